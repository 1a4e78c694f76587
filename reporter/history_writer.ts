// Shell. Writes call history and events into the database, sums up and deletes what is old.

import { type Clock, setRepeating, sleep, type Timer } from "../reactor/time/clock.ts";
import { messageOf, StoreError } from "../reactor/errors.ts";
import { type Logger, LogRateLimiter } from "../reactor/log.ts";
import type { Rng } from "../reactor/time/rng.ts";
import type { HistoryStep, MovedSession } from "../sql/results/call_history.ts";
import { EVENTS_PER_CALL_MAX } from "../sql/results/event.ts";
import type { CallStatusRow, Store } from "../sql/store.ts";
import { endsWithin } from "../service/store_health.ts";
import { type CallTotal, CallTracker, type TrackedRow } from "./call_history.ts";
import { EventBacklog, HistoryBacklog, type PendingBucket } from "./history_backlog.ts";
import type { KeptSessions, ResultKeeper } from "./kept_sessions.ts";
import type { KeptRow } from "./report_rows.ts";
import type { RowGains } from "./spool/spool_format.ts";
import { STOP_RETRY_MS } from "./store_queue.ts";

/** How often it is looked whether a bucket is over. */
const TICK_MS = 1_000;

/** Longest time an event waits for others. */
const EVENT_DELAY_MS = 100;

/** Time between two roll-ups, and between two deletions of old events. */
export const ROLL_UP_INTERVAL_MS = 60_000;
export const PRUNE_INTERVAL_MS = 600_000;

/**
 * Results that nobody has renewed for so long are deleted, in seconds: their host or their node is
 * gone. As long as an agent is remembered that is.
 */
export const RESULT_KEEP_S = 7 * 86_400;

/** First and longest pause after a failed write; it doubles in between, with jitter. */
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 10_000;

/** Pause after a failure that will not go away by itself: no table, no grant. */
export const HISTORY_REFUSED_MS = 60_000;

/** It is said at most once in this time that what reporters owe is given up. */
const GIVEN_UP_TOLD_MS = 60_000;

/** Time between two looks after senders that wait until all is stored: longer than results wait. */
const WRITE_OUT_MS = 200;

/** Rows of a connection that has ended can still be on their way from a worker for so long. */
const DROP_DELAY_MS = 5_000;

/** How history is kept; SIGHUP replaces it. */
export interface HistoryRetention {
  /** For how long buckets of each length are kept, in seconds. */
  readonly keepSeconds: Readonly<Record<HistoryStep, number>>;
  /** For how long events are kept, in seconds. */
  readonly eventKeepSeconds: number;
}

/** What {@linkcode HistoryWriter} is given. */
export interface HistoryWriterOptions {
  readonly store: Pick<
    Store,
    | "writeCallHistory"
    | "writeMarkedHistory"
    | "rollUpCallHistory"
    | "addEvents"
    | "pruneEvents"
    | "pruneCallStatus"
  >;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  /** Most nodes followed, over all connections. */
  readonly keysMax: number;
  readonly retention: HistoryRetention;
  /** Senders that keep what they send. */
  readonly sessions: Pick<
    KeptSessions,
    | "take"
    | "close"
    | "closeOf"
    | "standing"
    | "noteStored"
    | "noteElsewhere"
    | "again"
    | "keeperOf"
  >;
  /** Divides results that have come from those that come: whether those before are in SQL. */
  divide(): () => boolean;
  /** What is on disk of senders that are left out of buckets. */
  readonly recounts?: SpoolRecounts;
}

/** Counts from the spool what was told to be kept and is in no bucket any more. */
export interface SpoolRecounts {
  /** What is on disk of this session, and in no bucket that is written, is to be counted. */
  note(session: number): void;
  /** Counts what was noted. */
  run(): Promise<void>;
}

/** What stands for the connection of a session, which goes on over several. */
function keptPeer(session: number): string {
  return `kept ${session}`;
}

/** Rows that the database did not take before the end. */
export interface HistoryLeft {
  /** Nobody else has what is in them; and events. */
  readonly lost: number;
  /** Their senders went without a word: they have it if they went elsewhere. */
  readonly unsure: number;
}

/** Counters of a {@linkcode HistoryWriter}. */
export type HistoryStats = Record<
  | "history_keys"
  | "history_keys_refused"
  | "history_rows_waiting"
  | "history_rows_written"
  | "history_rows_dropped"
  | "history_merges"
  | "history_failures"
  | "history_gaps_given_up"
  | "events_waiting"
  | "events_written"
  | "events_dropped",
  number
>;

/** A {@linkcode CallTracker} and what brings its buckets and events into the database. */
export class HistoryWriter {
  readonly #options: HistoryWriterOptions;
  readonly #tracker: CallTracker;
  readonly #backlog: HistoryBacklog;
  readonly #events = new EventBacklog();
  /** Names this writer in the marks of sessions. */
  readonly #writer: number;
  readonly #gapsLimiter: LogRateLimiter;
  readonly #gone: { readonly peer: string; readonly atMs: number }[] = [];
  #retention: HistoryRetention;
  #ticking: Timer | undefined;
  #eventTimer: Timer | undefined;
  #working: Promise<void> | undefined;
  #failuresRunning = 0;
  #refused = false;
  #isResultsWarned = false;
  #pausedUntilMs = -Infinity;
  /** Sessions to be left out of the bucket that is on its way, by its number. */
  readonly #again = new Map<number, number>();
  /** Senders that end soon, and wait. */
  readonly #leaving = new Set<number>();
  #leaveTimer: Timer | undefined;
  #rollUpDueMs = 0;
  #pruneDueMs = 0;
  #rowsWritten = 0;
  #rowsDropped = 0;
  #eventsWritten = 0;
  #eventsDropped = 0;
  #failureCount = 0;
  #gapsGivenUp = 0;

  constructor(options: HistoryWriterOptions) {
    const { rng, keysMax, retention } = options;
    this.#options = options;
    this.#gapsLimiter = new LogRateLimiter(options.clock, 1, GIVEN_UP_TOLD_MS);
    this.#retention = retention;
    this.#writer = 1 + Math.floor(rng.next() * (Number.MAX_SAFE_INTEGER - 1));
    this.#backlog = new HistoryBacklog(() => 1 + Math.floor(rng.next() * 0xffff_fffe));
    this.#tracker = new CallTracker({
      ...{ keysMax, keepsReports: true },
      onEvent: (event) => {
        this.#events.add(event);
        this.#eventTimer ??= options.clock.setTimer(EVENT_DELAY_MS, () => {
          this.#eventTimer = undefined;
          this.#work();
        });
      },
    });
  }

  get stats(): HistoryStats {
    const { keys, refused, detailDropped } = this.#tracker.stats;
    return {
      history_keys: keys,
      history_keys_refused: refused,
      history_rows_waiting: this.#backlog.rowCount,
      history_rows_written: this.#rowsWritten,
      history_rows_dropped: this.#rowsDropped + detailDropped,
      history_merges: this.#backlog.mergeCount,
      history_failures: this.#failureCount,
      history_gaps_given_up: this.#gapsGivenUp,
      events_waiting: this.#events.size,
      events_written: this.#eventsWritten,
      events_dropped: this.#eventsDropped + this.#events.droppedCount,
    };
  }

  /** Calls of each module since the start; see {@linkcode CallTracker.callTotals}. */
  callTotals(): CallTotal[] {
    return this.#tracker.callTotals();
  }

  /** Begins; `stored` is what the database holds of the time before. */
  start(stored: readonly CallStatusRow[]): void {
    const { clock, rng } = this.#options;
    this.#tracker.adopt(stored, clock.wallMs());
    const nowMs = clock.nowMs();
    // Several reporters that start together need not roll up together.
    this.#rollUpDueMs = nowMs + ROLL_UP_INTERVAL_MS * (0.1 + 0.4 * rng.next());
    this.#pruneDueMs = nowMs + PRUNE_INTERVAL_MS * (0.1 + 0.4 * rng.next());
    this.#ticking = setRepeating(clock, TICK_MS, () => this.#tick());
  }

  /** Takes results that came over one connection. @returns what of each row counts, if anything. */
  add(peer: string, rows: readonly TrackedRow[]): (RowGains | undefined)[] {
    const wallMs = this.#options.clock.wallMs();
    this.#closeBucket(wallMs, false);
    return this.#tracker.add(peer, rows, wallMs);
  }

  /**
   * The sender of a session ends soon, and waits until all of it is stored: what comes from it is
   * written before its bucket is over.
   */
  writeOut(session: number): void {
    this.#leaving.add(session);
    this.#leaveTimer ??= this.#options.clock.setTimer(WRITE_OUT_MS, () => this.#writeOut());
  }

  #writeOut(): void {
    const { sessions, clock, divide } = this.#options;
    this.#leaveTimer = undefined;
    this.#closeBucket(clock.wallMs(), false);
    const open = new Set<number>();
    for (const session of this.#leaving) {
      const standing = sessions.standing(session);
      if (standing === "gone") this.#leaving.delete(session);
      else if (standing === "open") open.add(session);
    }
    const bucket = open.size === 0 ? undefined : this.#tracker.closeOf(open);
    if (bucket !== undefined) this.#backlog.add(bucket, sessions.closeOf(open), divide());
    this.#work();
    if (this.#leaving.size === 0) return;
    this.#leaveTimer = clock.setTimer(WRITE_OUT_MS, () => this.#writeOut());
  }

  /** Ends the open bucket before its time. */
  closeBucket(): void {
    this.#closeBucket(this.#options.clock.wallMs(), true);
  }

  /** A connection has ended. */
  drop(peer: string): void {
    this.#gone.push({ peer, atMs: this.#options.clock.nowMs() + DROP_DELAY_MS });
  }

  /**
   * Takes report `seq` of a session.
   *
   * @returns false when it is not to be counted.
   */
  addKept({ session, seq }: KeptRow, rows: readonly TrackedRow[]): boolean {
    // First, so that the marks of that bucket do not hold what is in the next.
    this.#closeBucket(this.#options.clock.wallMs(), false);
    if (!this.#options.sessions.take(session, seq)) return false;
    this.add(keptPeer(session), rows);
    return true;
  }

  /** Nothing of a session is held any more, and nothing more of it is taken. */
  dropKept(session: number): void {
    this.#tracker.drop(keptPeer(session));
  }

  /** What came over this connection of late is not to be counted: it comes again, with numbers. */
  leaveOut(peer: string): void {
    this.#tracker.leaveOut(peer);
  }

  /** What is held of a session is not to be counted; it is sent again. */
  sendAgain(session: number): void {
    const { first } = this.#backlog;
    // A bucket that is on its way finds out by its marks, and is left as it is until then.
    const isOnItsWay = this.#working !== undefined && first !== undefined;
    this.#backlog.leaveOut([session], isOnItsWay ? 1 : 0);
    if (isOnItsWay) this.#again.set(session, first.number);
    this.#tracker.leaveOut(keptPeer(session));
    this.#options.recounts?.note(session);
    this.#options.sessions.again(session);
  }

  /** All connections whose names begin with `prefix` have ended. */
  dropAll(prefix: string): void {
    this.#tracker.dropAll(prefix);
  }

  setRetention(retention: HistoryRetention): void {
    this.#retention = retention;
  }

  /**
   * Writes out what is there, the open bucket too, for at most `limitMs`.
   *
   * @returns what could not be written. A database that refuses the history (it has no table for it,
   *   say) loses nothing: it was said that none is kept.
   */
  async stop(limitMs: number): Promise<HistoryLeft> {
    const { clock } = this.#options;
    this.#ticking?.cancel();
    this.#eventTimer?.cancel();
    this.#leaveTimer?.cancel();
    this.#leaving.clear();
    this.#closeBucket(clock.wallMs(), true);
    this.#rollUpDueMs = this.#pruneDueMs = Infinity;
    await endsWithin(clock, limitMs, this.#drain(clock.nowMs() + limitMs));
    const keeperOf = (session: number): ResultKeeper => this.#options.sessions.keeperOf(session);
    const lost = this.#backlog.ownRowCount((session) => keeperOf(session) !== "ended");
    const unsafe = this.#backlog.ownRowCount((session) =>
      ["sender", "spool"].includes(keeperOf(session))
    );
    return { lost: lost + this.#events.size, unsure: unsafe - lost };
  }

  /** Writes all, and tries again until it is too late: what senders that are gone left is nowhere else. */
  async #drain(endMs: number): Promise<void> {
    const { clock } = this.#options;
    await this.#working;
    while (!this.#refused) {
      try {
        return await this.#writeAll();
      } catch (error) {
        this.#noteFailure(error);
      }
      if (this.#refused) break;
      if (clock.nowMs() + STOP_RETRY_MS >= endMs) return;
      await sleep(clock, STOP_RETRY_MS);
    }
    this.#discard();
  }

  #tick(): void {
    const { clock } = this.#options;
    const nowMs = clock.nowMs();
    let due = 0;
    for (; (this.#gone[due]?.atMs ?? Infinity) <= nowMs; due++) {
      this.#tracker.drop(this.#gone[due].peer);
    }
    // Together: to take the first of very many away moves all others.
    this.#gone.splice(0, due);
    this.#closeBucket(clock.wallMs(), false);
    this.#work();
  }

  #closeBucket(wallMs: number, force: boolean): void {
    const bucket = this.#tracker.close(wallMs, force);
    if (bucket === undefined) return;
    const { sessions, divide } = this.#options;
    this.#backlog.add(bucket, sessions.close(), divide());
  }

  #work(): void {
    if (this.#working !== undefined) return;
    if (this.#options.clock.nowMs() < this.#pausedUntilMs) {
      if (this.#refused) this.#discard();
      return;
    }
    this.#working = this.#turn().finally(() => {
      this.#working = undefined;
    });
  }

  /** One round of all that is due. Never throws. */
  async #turn(): Promise<void> {
    const { clock, log } = this.#options;
    try {
      await this.#writeAll();
      if (this.#refused) log.info("Call history is written again");
      this.#failuresRunning = 0;
      this.#refused = false;
    } catch (error) {
      this.#noteFailure(error);
      return;
    }
    const nowMs = clock.nowMs();
    if (nowMs >= this.#rollUpDueMs) await this.#keepUp("roll-up", () => this.#rollUp(nowMs));
    if (nowMs < this.#pruneDueMs) return;
    await this.#keepUp("deletion", () => this.#prune(nowMs));
    await this.#pruneResults();
  }

  /** Housekeeping that fails is told and tried again in time; what is written goes on. */
  async #keepUp(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#failureCount++;
      const isAway = error instanceof StoreError && error.transient;
      const { log } = this.#options;
      if (!isAway) log.warn(`The ${what} of the history failed`, { reason: messageOf(error) });
    }
  }

  async #writeAll(): Promise<void> {
    const { store, recounts } = this.#options;
    for (;;) {
      await recounts?.run();
      const events = this.#events.peek(EVENTS_PER_CALL_MAX);
      if (events.length > 0) {
        await store.addEvents(events);
        this.#events.settle(events.length);
        this.#eventsWritten += events.length;
      }
      const bucket = this.#backlog.first?.isReady() === true ? this.#backlog.first : undefined;
      if (bucket === undefined && this.#events.size === 0) return;
      if (bucket !== undefined) await this.#writeBucket(bucket);
    }
  }

  async #writeBucket(bucket: PendingBucket): Promise<void> {
    const { store, sessions } = this.#options;
    const { source, rows, marks, number } = bucket;
    const { moved, bad, gapsGivenUp = 0 } = marks.length === 0
      ? { moved: [], bad: await store.writeCallHistory(source, rows) }
      : await store.writeMarkedHistory({ source, rows, marks, number, writer: this.#writer });
    if (gapsGivenUp > 0) this.#noteGivenUp(gapsGivenUp);
    if (moved.length === 0) {
      this.#backlog.settle();
      this.#rowsWritten += rows.length - bad.length;
      this.#rowsDropped += bad.length;
      sessions.noteStored(marks);
    }
    const again = [...this.#again].filter(([, at]) => at === number).map(([session]) => session);
    this.#again.clear();
    if (moved.length === 0) return;
    this.#backlog.leaveOut(again, 0, 1);
    this.#leaveOutStored(moved.filter(({ session }) => !again.includes(session)));
  }

  #noteGivenUp(gaps: number): void {
    this.#gapsGivenUp += gaps;
    const held = this.#gapsLimiter.admit("gaps");
    if (held === undefined) return;
    this.#options.log.warn(
      "Too many reports are owed by other reporters: the oldest are given up",
      {
        ...{ gaps, ...held },
      },
    );
  }

  /**
   * What others have written of sessions is left out, and what they have not stays: its sender may be
   * gone, and have it no more.
   */
  #leaveOutStored(moved: readonly MovedSession[]): void {
    const { sessions, recounts } = this.#options;
    // What has come since as well: then all of a session is in buckets that are closed.
    this.closeBucket();
    const states = new Map(moved.map(({ session, state }) => [session, state]));
    const unclear = this.#backlog.leaveOutStored(states);
    this.#backlog.leaveOut(unclear);
    for (const session of unclear) {
      recounts?.note(session);
      sessions.again(session);
      states.delete(session);
    }
    for (const [session, { seq }] of states) sessions.noteElsewhere(session, seq);
  }

  async #rollUp(nowMs: number): Promise<void> {
    const { store, clock } = this.#options;
    const { keepSeconds } = this.#retention;
    this.#rollUpDueMs = nowMs + ROLL_UP_INTERVAL_MS;
    await store.rollUpCallHistory({ nowSeconds: Math.floor(clock.wallMs() / 1000), keepSeconds });
  }

  async #prune(nowMs: number): Promise<void> {
    const { store, clock } = this.#options;
    this.#pruneDueMs = nowMs + PRUNE_INTERVAL_MS;
    this.#tracker.sweep(clock.wallMs());
    await store.pruneEvents({
      nowMs: clock.wallMs(),
      keepSeconds: this.#retention.eventKeepSeconds,
    });
  }

  /** A user of the database that may not delete there is told of once. */
  async #pruneResults(): Promise<void> {
    const { store, clock, log } = this.#options;
    try {
      await store.pruneCallStatus(Math.floor(clock.wallMs() / 1000) - RESULT_KEEP_S);
    } catch (error) {
      const isAway = error instanceof StoreError && error.transient;
      if (!isAway && !this.#isResultsWarned) {
        log.warn("Old call results stay: the database does not let them be deleted", {
          reason: messageOf(error),
        });
      }
      this.#isResultsWarned ||= !isAway;
    }
  }

  #noteFailure(error: unknown): void {
    const { clock, log, rng } = this.#options;
    this.#failureCount++;
    this.#failuresRunning++;
    if (error instanceof StoreError && error.transient) {
      const limitMs = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** (this.#failuresRunning - 1));
      this.#pausedUntilMs = clock.nowMs() + limitMs * (0.5 + 0.5 * rng.next());
      return;
    }
    if (!this.#refused) {
      log.warn("Database does not take the call history: is it migrated?", {
        reason: messageOf(error),
      });
    }
    this.#refused = true;
    this.#pausedUntilMs = clock.nowMs() + HISTORY_REFUSED_MS;
    this.#discard();
  }

  /** Nobody takes it: it is counted as dropped. */
  #discard(): void {
    const { sessions } = this.#options;
    for (let bucket = this.#backlog.first; bucket !== undefined; bucket = this.#backlog.first) {
      if (!bucket.isReady()) break;
      this.#rowsDropped += bucket.rows.length;
      this.#backlog.settle();
      sessions.noteStored(bucket.marks);
    }
    this.#eventsDropped += this.#events.size;
    this.#events.settle(this.#events.size);
  }
}
