// Core. What an earlier run of the reporter has left on disk.

import type { Clock } from "../../reactor/time/clock.ts";
import type { Logger } from "../../reactor/log.ts";
import { messageOf } from "../../reactor/errors.ts";
import { callsId } from "../../model/node.ts";
import { KEPT_SESSIONS_MAX } from "../kept_sessions.ts";
import type { ReportedRow } from "../report_rows.ts";
import {
  NO_SESSION,
  type NumberedRecord,
  rowsIn,
  type SpoolFault,
  SpoolReader,
} from "./spool_format.ts";
import type { SpoolAside } from "./spool_aside.ts";
import { type SpoolDisk, spoolIdIn } from "./spool_log.ts";

/**
 * Senders known from what is on disk: those whose last reports are older are asked of the database alone,
 * and send again what it does not have yet.
 */
export const SPOOLED_SESSIONS_MAX = KEPT_SESSIONS_MAX;

/** A file, and which records it holds. */
export interface FoundFile {
  readonly name: string;
  /** 0: it could not be read now, and will be tried again when it is to be counted. */
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
  /** Up to which report of each session all is there, or in SQL; {@linkcode SPOOLED_SESSIONS_MAX} at most. */
  readonly sessions: ReadonlyMap<number, number>;
  /** The latest results of senders that keep none themselves, at most `keysMax`. */
  readonly rows: readonly ReportedRow[];
  readonly bytes: number;
  readonly records: number;
}

/** What {@linkcode scanSpools} is given. */
export interface SpoolScanOptions {
  readonly disk: SpoolDisk;
  readonly aside: SpoolAside;
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
    if (content === undefined) {
      const id = spoolIdIn(name);
      if (id !== undefined) filesOf(spools, id).push({ name, bytes: 0, last: 0, fault: undefined });
      continue;
    }
    const reader = new SpoolReader(content);
    let last = 0;
    for (const one of reader.records()) {
      last = one.number;
      records++;
      if (one.session !== NO_SESSION) noteSession(sessions, one);
      else if (one.atMs >= oldestMs) keepLatest(rows, one, keysMax);
    }
    const { head, fault } = reader;
    if (fault !== undefined) await tell(options, name, fault, head !== undefined);
    if (head === undefined) continue;
    bytes += content.length;
    filesOf(spools, head.id).push({ name, bytes: content.length, last, fault });
    await options.pause();
  }
  if (records > 0) log.info("Spool of results read", { records, bytes, senders: sessions.size });
  return { spools: [...spools.values()], sessions, rows: [...rows.values()], bytes, records };
}

/** Files of a spool in the order of their names, which is that of their records. */
function filesOf(spools: Map<number, FoundSpool>, id: number): FoundFile[] {
  const spool = spools.get(id) ?? { id, files: [] };
  spools.set(id, spool);
  return spool.files;
}

/** The one that was heard of last is at the end. */
function noteSession(sessions: Map<number, number>, { session, seq }: NumberedRecord): void {
  sessions.delete(session);
  sessions.set(session, seq);
  if (sessions.size <= SPOOLED_SESSIONS_MAX) return;
  for (const oldest of sessions.keys()) {
    sessions.delete(oldest);
    return;
  }
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
    log.error(
      "A file of the spool cannot be read now: it is tried again when it is to be counted",
      {
        ...{ name, reason: messageOf(error) },
      },
    );
    return undefined;
  }
}

async function tell(
  { disk, aside, log }: SpoolScanOptions,
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
    : await aside.keep(name).catch((error: unknown) => `nowhere: ${messageOf(error)}`);
  log.error("A file of the spool is damaged: results from there on are lost", {
    ...{ name, atByte, reason, kept },
  });
}
