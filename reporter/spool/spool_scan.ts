// Core. What an earlier run of the reporter has left on disk.

import type { Clock } from "../../reactor/time/clock.ts";
import type { Logger } from "../../reactor/log.ts";
import { messageOf } from "../../reactor/errors.ts";
import { callsId } from "../../model/node.ts";
import type { ReportedRow } from "../report_rows.ts";
import {
  NO_SESSION,
  type NumberedRecord,
  rowsIn,
  type SpoolFault,
  SpoolReader,
} from "./spool_format.ts";
import type { SpoolDisk } from "./spool_log.ts";

/** A file, and which records it holds. */
export interface FoundFile {
  readonly name: string;
  readonly bytes: number;
  readonly last: number;
  /** Bytes that are no records; such a file is kept for somebody to look at. */
  readonly fault: SpoolFault | undefined;
}

/** One spool: the files of one run. */
export interface FoundSpool {
  readonly id: number;
  readonly files: FoundFile[];
}

/** What is on disk. */
export interface FoundSpools {
  /** Oldest first. */
  readonly spools: readonly FoundSpool[];
  /** Up to which report of each session all is there, or in SQL. */
  readonly sessions: ReadonlyMap<number, number>;
  /** The latest results of senders that keep none themselves, at most `keysMax`. */
  readonly rows: readonly ReportedRow[];
  readonly bytes: number;
  readonly records: number;
}

/** What {@linkcode scanSpools} is given. */
export interface SpoolScanOptions {
  readonly disk: SpoolDisk;
  readonly clock: Clock;
  readonly log: Logger;
  readonly keysMax: number;
  /** Results from before this time, in unix milliseconds, are left out. */
  readonly oldestMs: number;
  /** Lets others work, between two files. */
  pause(): Promise<void>;
}

/** Reads all files; one whose head is none is set aside. Changes nothing else. */
export async function scanSpools(options: SpoolScanOptions): Promise<FoundSpools> {
  const { disk, log, keysMax, oldestMs } = options;
  const spools = new Map<number, FoundSpool>();
  const sessions = new Map<number, number>();
  const rows = new Map<string, ReportedRow>();
  let bytes = 0;
  let records = 0;
  for (const name of await disk.list()) {
    const content = await readFile(options, name);
    if (content === undefined) continue;
    const reader = new SpoolReader(content);
    let last = 0;
    for (const one of reader.records()) {
      last = one.number;
      records++;
      if (one.session !== NO_SESSION) sessions.set(one.session, one.seq);
      else if (one.atMs >= oldestMs) keepLatest(rows, one, keysMax);
    }
    const { head, fault } = reader;
    if (fault !== undefined) await tell(options, name, fault, head !== undefined);
    if (head === undefined) continue;
    bytes += content.length;
    const spool = spools.get(head.id) ?? { id: head.id, files: [] };
    spools.set(head.id, spool);
    spool.files.push({ name, bytes: content.length, last, fault });
    await options.pause();
  }
  if (records > 0) log.info("Spool of results read", { records, bytes, senders: sessions.size });
  return { spools: [...spools.values()], sessions, rows: [...rows.values()], bytes, records };
}

function keepLatest(rows: Map<string, ReportedRow>, one: NumberedRecord, keysMax: number): void {
  for (const row of rowsIn(one)) {
    const key = callsId(row);
    if (rows.size < keysMax || rows.has(key)) rows.set(key, row);
  }
}

async function readFile(
  { disk, log }: SpoolScanOptions,
  name: string,
): Promise<Uint8Array | undefined> {
  try {
    return await disk.read(name);
  } catch (error) {
    log.error("A file of the spool cannot be read", { name, reason: messageOf(error) });
    return undefined;
  }
}

async function tell(
  { disk, log }: SpoolScanOptions,
  name: string,
  { atByte, reason, isTorn }: SpoolFault,
  hasHead: boolean,
): Promise<void> {
  if (isTorn) {
    log.info("A file of the spool ends in the middle of a write, which counts as never made", {
      ...{ name, atByte },
    });
    if (!hasHead) await disk.remove(name).catch(() => {});
    return;
  }
  const kept = hasHead
    ? "beside it, once what is before has been read"
    : await disk.setAside(name).catch((error: unknown) => `nowhere: ${messageOf(error)}`);
  log.error("A file of the spool is damaged: results from there on are lost", {
    ...{ name, atByte, reason, kept },
  });
}
