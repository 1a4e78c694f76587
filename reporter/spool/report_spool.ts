// Core. The spool of the reporter: what arrives goes to disk, what is left of an earlier run into SQL.

import { type Clock, sleep } from "../../reactor/time/clock.ts";
import { messageOf, StoreError } from "../../reactor/errors.ts";
import type { Logger } from "../../reactor/log.ts";
import type { Rng } from "../../reactor/time/rng.ts";
import type { SessionMark } from "../../sql/results/call_history.ts";
import type { Store } from "../../sql/store.ts";
import type { SpoolRecounts } from "../history_writer.ts";
import type { KeptSessions } from "../kept_sessions.ts";
import type { KeptRow, ReportedRow } from "../report_rows.ts";
import { encodeSpoolRecord, NO_SESSION, reportOf, type RowGains } from "./spool_format.ts";
import { SpoolAside, type SpoolAsideStats } from "./spool_aside.ts";
import { type SpoolDisk, SpoolLog, type SpoolStats } from "./spool_log.ts";
import { SpoolReplay } from "./spool_replay.ts";
import { type FoundFile, type FoundSpools, scanSpools } from "./spool_scan.ts";

/** Records from so long ago are not replayed, in seconds: the marks of their senders may be forgotten. */
export const SPOOL_AGE_MAX_S = 6 * 86_400;

/** Rows of one record: whatever is in them, they fit. */
const RECORD_ROWS_MAX = 1_000;

/** Time between two looks whether results are written. */
const ROWS_WAIT_MS = 1_000;

/** What a {@linkcode ReportSpool} is given. */
export interface ReportSpoolOptions {
  readonly disk: SpoolDisk;
  readonly store: Pick<Store, "readMarkStates" | "writeMarkedHistory">;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  readonly bytesMax: number;
  readonly keysMax: number;
  /** Where it is, for the log. */
  readonly label: string;
  /** False: only the latest results are kept, nothing is counted. */
  readonly history: boolean;
  readonly sessions: KeptSessions;
  /** Told of results of an earlier run, oldest first, when the database takes them. */
  onLeftRows(rows: readonly ReportedRow[]): void;
}

/** Keeps what arrives until it is in the database, over kills of this process. */
export class ReportSpool implements SpoolRecounts {
  readonly #options: ReportSpoolOptions;
  readonly #log: SpoolLog;
  readonly #replay: SpoolReplay;
  readonly #found: FoundSpools;
  readonly #aside: SpoolAside;
  /** Up to which record what is on disk of a session is to be counted again. */
  readonly #recounts = new Map<number, number>();
  #isReplayed: boolean;
  #isTaking = true;
  #isEnded = false;

  private constructor(options: ReportSpoolOptions, found: FoundSpools, aside: SpoolAside) {
    const { disk, store, clock, rng, log, keysMax, bytesMax, sessions, history } = options;
    this.#options = options;
    this.#found = found;
    this.#aside = aside;
    this.#isReplayed = found.spools.length === 0;
    const oldestMs = (): number => oldestOf(clock);
    this.#replay = new SpoolReplay({
      ...{ disk, store, clock, rng, log, keysMax, oldestMs, history },
      onRows: (rows) => options.onLeftRows(rows),
      pause: () => sleep(clock, 0),
    });
    this.#log = new SpoolLog({
      ...{ disk, clock, bytesMax, usedBytes: found.bytes },
      id: 1 + Math.floor(rng.next() * (Number.MAX_SAFE_INTEGER - 1)),
      onDurable: (reached) => sessions.noteDurable(reached),
      onState: (fault) => this.#noteState(fault),
    });
    sessions.setSpooledBefore(found.sessions);
  }

  /** Reads what is on disk. */
  static async open(options: ReportSpoolOptions): Promise<ReportSpool> {
    const { disk, clock, log, keysMax } = options;
    const aside = new SpoolAside(disk, log);
    const found = await scanSpools({
      ...{ disk, aside, clock, log, keysMax, oldestMs: oldestOf(clock) },
      pause: () => sleep(clock, 0),
    });
    return new ReportSpool(options, found, aside);
  }

  /** True while it takes what arrives. */
  get isTaking(): boolean {
    return this.#isTaking;
  }

  /** True when nothing of an earlier run waits any more. */
  get isReplayed(): boolean {
    return this.#isReplayed;
  }

  get stats(): SpoolStats & SpoolReplay["stats"] & SpoolAsideStats {
    return { ...this.#log.stats, ...this.#replay.stats, ...this.#aside.stats };
  }

  /** The latest results on disk of senders that keep none themselves. */
  get leftRows(): readonly ReportedRow[] {
    return this.#found.rows;
  }

  /**
   * Counts what is left of earlier runs, as soon as the database takes it.
   *
   * @param divide Divides results that have come from those that come: whether those are written.
   */
  async replay(divide: () => () => boolean): Promise<void> {
    const { log, clock, sessions } = this.#options;
    try {
      for (const { id, files } of this.#found.spools) {
        const names = files.map(({ name }) => name);
        const range = { id, files: names, after: 0, upTo: Infinity };
        if (!await this.#replay.finish(range)) return;
        const areWritten = divide();
        while (!areWritten()) {
          if (this.#isEnded) return;
          await sleep(clock, ROWS_WAIT_MS);
        }
        for (const file of files) await this.#drop(file);
      }
      if (!this.#isReplayed) log.info("Spool of results is in the database", this.#replay.stats);
      sessions.setSpooledBefore(new Map());
    } catch (error) {
      log.error("Database does not take the history of the spool: it stays on disk", {
        reason: messageOf(error),
      });
    }
    this.#isReplayed = true;
  }

  /** Takes a report that its sender keeps; it is told once that is on disk. */
  keep({ session, seq }: KeptRow, rows: readonly ReportedRow[]): void {
    const { sessions } = this.#options;
    // With a report missing between, only the database can tell its sender how far it is.
    if (!sessions.mayBeSpooled(session, seq)) return;
    const gainsOf = (index: number): RowGains | undefined => {
      const { kept } = rows[index];
      return kept && { ...kept.gains, refused: kept.refusedNew };
    };
    if (this.#append(session, seq, rows, gainsOf)) sessions.noteSpooled(session, seq);
  }

  /** Takes a report that nobody else keeps. */
  add(rows: readonly ReportedRow[], gains: readonly (RowGains | undefined)[] | undefined): void {
    // One has all rows of a connection at once; a report is of one module.
    for (const [start, end] of reportsIn(rows)) {
      this.#append(NO_SESSION, 0, rows.slice(start, end), (index) => gains?.[start + index]);
    }
  }

  #append(
    session: number,
    seq: number,
    rows: readonly ReportedRow[],
    gainsOf: (index: number) => RowGains | undefined,
  ): boolean {
    const report = reportOf(rows, gainsOf);
    const atMs = this.#options.clock.wallMs();
    return this.#log.append(encodeSpoolRecord({ atMs, session, report }), session, seq);
  }

  /** What is in the bucket that is closed now, as {@linkcode KeptSessions.close}. */
  close(): SessionMark[] {
    return this.#log.close();
  }

  /** A bucket is in the database. */
  noteStored(marks: readonly SessionMark[]): void {
    this.#log.noteStored(marks);
  }

  note(session: number): void {
    this.#recounts.set(session, this.#log.number);
  }

  async run(): Promise<void> {
    for (const [session, upTo] of this.#recounts) {
      // What is not on disk is not counted here: its sender has it still, and must go on to have it.
      if (!await this.#log.flush()) this.#log.leaveUntold(session, upTo);
      const after = this.#log.storedTo;
      const files = this.#log.filesAfter(after);
      await this.#replay.write({ id: this.#log.id, files, session, after, upTo });
      // Not counted: a bucket that is written now would say that it is.
      if (this.#isEnded) throw new StoreError("The spool is closed", true);
      if (this.#recounts.get(session) === upTo) this.#recounts.delete(session);
    }
  }

  /** Takes no more. @returns whether all that is not in the database is on disk. */
  async end(): Promise<boolean> {
    this.#isEnded = true;
    this.#replay.stop();
    const isWhole = await this.#log.end() && this.#isTaking;
    await this.#options.disk.close().catch(() => {});
    return isWhole;
  }

  /** Writes to disk what waits. */
  async flush(): Promise<void> {
    await this.#log.flush();
  }

  async #drop({ name, bytes, fault }: FoundFile): Promise<void> {
    const { disk, log } = this.#options;
    try {
      const isDamaged = fault !== undefined && !fault.isTorn;
      if (isDamaged || this.#replay.isUnread(name)) {
        log.info("A damaged file of the spool is kept", { kept: await this.#aside.keep(name) });
      } else {
        await disk.remove(name);
      }
      this.#log.noteFreed(bytes);
    } catch (error) {
      log.warn("A file of the spool stays", { name, reason: messageOf(error) });
    }
  }

  #noteState(fault: string | undefined): void {
    const { log, label } = this.#options;
    this.#isTaking = fault === undefined;
    if (fault === undefined) log.info("Spool takes results again", { spool: label });
    else {
      log.error("Spool takes no results: agents keep theirs until the database has them", {
        ...{ spool: label, reason: fault },
      });
    }
  }
}

function oldestOf(clock: Clock): number {
  return clock.wallMs() - SPOOL_AGE_MAX_S * 1000;
}

/** Where the rows of one module and caller begin and end, of so many as fit a record. */
function* reportsIn(rows: readonly ReportedRow[]): Generator<[number, number]> {
  let start = 0;
  for (let at = 1; at <= rows.length; at++) {
    const [one, other] = [rows[start], rows.at(at < rows.length ? at : start)];
    const isSame = at < rows.length && at - start < RECORD_ROWS_MAX && one.modId === other?.modId &&
      one.cmdId === other.cmdId &&
      one.caller === other.caller && one.ts === other.ts;
    if (isSame) continue;
    yield [start, at];
    start = at;
  }
}
