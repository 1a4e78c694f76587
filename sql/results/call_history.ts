// Core. Call results over time: what may be written, asked and rolled up.

import type { MarkState, ReportRange } from "./mark_state.ts";
import type { RefusedRow } from "./divided_write.ts";
import type { ModuleKey } from "../../model/module.ts";
import type { NodeKey } from "../../model/node.ts";

/** Lengths of the buckets, in seconds, finest first. Each is a whole multiple of the one before. */
export const HISTORY_STEPS_S = [10, 60, 3600] as const;

/** One of {@linkcode HISTORY_STEPS_S}. */
export type HistoryStep = typeof HISTORY_STEPS_S[number];

/** How long buckets of each length are kept, in seconds: 6 hours, 3 days, 90 days. */
export const HISTORY_KEEP_S: Readonly<Record<HistoryStep, number>> = {
  10: 6 * 3_600,
  60: 3 * 86_400,
  3600: 90 * 86_400,
};

/** A bucket is rolled up this long after its end, in seconds: then every reporter has written. */
export const HISTORY_GRACE_S = 30;

/**
 * A bucket may still grow for this long after its end, in seconds: agents report once a second,
 * reporters write once a second, and their clocks are not quite one.
 */
export const HISTORY_SETTLE_S = 5;

/**
 * Up to when the history is whole: the begin of the first ten-second bucket that may still grow, in
 * unix seconds. Every chart, rate and sum ends here, so that none shows a bucket that is half full
 * as a fall.
 *
 * @param nowSeconds Now, in unix seconds.
 */
export function historyWholeUntil(nowSeconds: number): number {
  const [step] = HISTORY_STEPS_S;
  return Math.max(0, Math.floor((nowSeconds - HISTORY_SETTLE_S) / step) * step);
}

/**
 * Largest count of one row of ten seconds; what is more is clipped. A billion calls a second are not
 * made, and the sum of any number of rows stays a 64-bit number.
 */
export const HISTORY_COUNT_MAX = 10_000_000_000;

/** Largest sum of times of one row, in milliseconds: ten million calls at once. */
export const HISTORY_TIME_MS_MAX = 100_000_000_000;

/** Most points that one `readCallHistory` gives; the rest, in order of time, is left out. */
export const HISTORY_POINTS_MAX = 100_000;

/** Most time slots that one `readCallHistory` may ask for. */
export const HISTORY_SLOTS_MAX = 10_000;

/** Calls of one caller to one node within ten seconds, or of all callers to all nodes of a module. */
export interface CallHistoryRow extends NodeKey {
  /**
   * IPv4 address of the caller, unsigned. A row with port 0, ip 0 and caller 0 is the module's sum;
   * one with a caller alone has the calls of that caller that got no node. Those of a sender that
   * names no address (0) are in the sum alone.
   */
  readonly caller: number;
  /** Begin of the bucket in unix seconds, a multiple of 10. */
  readonly atSeconds: number;
  /** Calls that succeeded, up to {@linkcode HISTORY_COUNT_MAX} like the other counts. */
  readonly succCount: number;
  /** Calls that failed. */
  readonly errCount: number;
  /** Results that arrived in the bucket. */
  readonly reportCount: number;
  /** Results that said that the node is overloaded. */
  readonly overloadCount: number;
  /** Calls, of both kinds, whose time was told. */
  readonly timedCount: number;
  /** What those took together, in milliseconds, up to {@linkcode HISTORY_TIME_MS_MAX}. */
  readonly timeMsSum: number;
  /** Calls that got no node; of no node, so 0 in its rows. */
  readonly refusedCount: number;
}

/** What series a history is split into. */
export type HistoryGroup = "total" | "module" | "node" | "caller";

/** Which part of the history is wanted. */
export interface CallHistoryQuery {
  /** All modules when left out. */
  readonly module?: ModuleKey;
  /** Calls to this node only. */
  readonly node?: Pick<NodeKey, "ip" | "port">;
  /** Calls of this caller only, an unsigned IPv4 address. */
  readonly caller?: number;
  /** From this unix second on, rounded down to a whole step. */
  readonly fromSeconds: number;
  /** Up to this unix second, exclusive. */
  readonly toSeconds: number;
  /**
   * Wanted distance of two points in seconds. It is raised to what is still kept for so long ago
   * and rounded up to a whole bucket: see {@linkcode CallHistory.stepSeconds}.
   */
  readonly stepSeconds: number;
  /** @default {"total"} */
  readonly groupBy?: HistoryGroup;
}

/** One point of one series. Slots without any result have no point. */
export interface CallHistoryPoint {
  /** Begin of the slot, in unix seconds. */
  readonly atSeconds: number;
  /** Present in series by module, node or caller of several modules. */
  readonly module?: ModuleKey;
  /** Present in series by node. */
  readonly node?: Pick<NodeKey, "ip" | "port">;
  /** Present in series by caller. */
  readonly caller?: number;
  readonly succCount: number;
  readonly errCount: number;
  /**
   * Share of what is kept out, 0 to 1: of a module's nodes as its callers have them; in series of
   * nodes and callers, the mean of each node as each caller had it, over the time with results.
   */
  readonly overloadShare: number;
  /** Calls whose time was told; their mean time is `timeMsSum / timedCount`. */
  readonly timedCount: number;
  /** What those took together, in milliseconds. */
  readonly timeMsSum: number;
  /** Calls that got no node; 0 in series by node. */
  readonly refusedCount: number;
}

/** An answer of `readCallHistory`. */
export interface CallHistory {
  /** Distance of two points in seconds, as it came to be. */
  readonly stepSeconds: number;
  /** Begin of the first slot. */
  readonly fromSeconds: number;
  readonly toSeconds: number;
  /** In order of time, then of module, node and caller. */
  readonly points: readonly CallHistoryPoint[];
  /** True when points were left out. */
  readonly truncated: boolean;
}

/** How a roll-up is done. */
export interface RollUpOptions {
  /** Now, in unix seconds. */
  readonly nowSeconds: number;
  /** How long buckets are kept. @default {HISTORY_KEEP_S} */
  readonly keepSeconds?: Readonly<Record<HistoryStep, number>>;
}

/** What a roll-up did. */
export interface RollUpResult {
  /** Windows of a minute or an hour that were summed up. */
  readonly windowCount: number;
  /** Times that rows past their time were deleted; 0 when there were none. */
  readonly deletionCount: number;
}

/** Reports of one session that a bucket holds. */
export interface SessionMark extends ReportRange {
  /** A number by chance, up to 2^53. */
  readonly session: number;
}

/** A bucket of the history, and which reports are in it. */
export interface MarkedBucket {
  /** As `source` of `writeCallHistory`. */
  readonly source: number;
  readonly rows: readonly CallHistoryRow[];
  /** Names the writer; has a mark of its own, by which it knows what it has written before. */
  readonly writer: number;
  /** Number of the bucket, only growing. */
  readonly number: number;
  /** In order; of a session there may be several, with reports between that others have. */
  readonly marks: readonly SessionMark[];
}

/** A session of which somebody else has written reports, and which of them are in the history. */
export interface MovedSession {
  readonly session: number;
  readonly state: MarkState;
}

/** What became of a {@linkcode MarkedBucket}. */
export interface MarkedOutcome {
  /** Not empty: nothing was written, because some reports of these sessions are in the history already. */
  readonly moved: readonly MovedSession[];
  /** Rows that the database refuses; all others are written. */
  readonly bad: readonly RefusedRow<CallHistoryRow>[];
  /**
   * Gaps before marks that are remembered no more, as there were too many: what a reporter has on its
   * disk of them will not be counted. Absent: none.
   */
  readonly gapsGivenUp?: number;
}

/** The history of calls in the database. A schema without it reads as empty. */
export interface CallHistoryStore {
  /**
   * Writes ten-second buckets. `source` names the writer (a random unsigned 32-bit number for each
   * start of a process): rows of several sources add up, a row written again by its source replaces
   * the first, so that a write may be repeated after a failure. A schema before migration 8 takes
   * the rows without their times, one before migration 10 without refused calls.
   *
   * @returns the rows that the database refuses for what is in them; all others are written.
   * @throws {StoreError} for good, on a schema without history.
   */
  writeCallHistory(
    source: number,
    rows: readonly CallHistoryRow[],
  ): Promise<readonly RefusedRow<CallHistoryRow>[]>;
  /**
   * Which reports of each of these sessions are in the history; sessions without a mark are missing.
   * Undefined on a schema before migration 16, which knows no marks.
   */
  readMarkStates(sessions: readonly number[]): Promise<ReadonlyMap<number, MarkState> | undefined>;
  /**
   * As `writeCallHistory`, together with how far the reports of sessions are in it: in one
   * transaction, so that each report counts once whoever writes it and however often. Only a bucket
   * of more rows than one transaction may hold is written in parts, its marks last; what others have
   * written of it by then counts nothing here. Safe to repeat.
   */
  writeMarkedHistory(bucket: MarkedBucket): Promise<MarkedOutcome>;
  /**
   * Reads series of points. Each part of the range comes from the coarsest buckets that fit and
   * have been rolled up, so that the end of the range is as fresh as its ten-second buckets.
   *
   * @throws {RangeError} when the range is empty or has more than `HISTORY_SLOTS_MAX` slots.
   */
  readCallHistory(query: CallHistoryQuery): Promise<CallHistory>;
  /**
   * Sums whole minutes and hours up and deletes what is past its time. Safe to repeat and to run in
   * several places at once: a window is computed from its buckets, never added to.
   */
  rollUpCallHistory(options: RollUpOptions): Promise<RollUpResult>;
}
