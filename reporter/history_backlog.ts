// Core. Buckets and events that wait for the database, within bounds.

import type { NewEvent } from "../sql/results/event.ts";
import type { CallHistoryRow } from "../sql/results/call_history.ts";
import type { SessionMark } from "../sql/results/call_history.ts";
import type { ClosedBucket } from "./call_history.ts";
import { isIn, type MarkState, missingIn } from "../sql/results/mark_state.ts";
import { callsId } from "../model/node.ts";
import { addRow, BUCKET_RESULTS_MAX, sumOf } from "./bucket_reports.ts";

/** Most rows of buckets that wait; beyond, the two oldest buckets become one. */
export const HISTORY_BACKLOG_ROWS_MAX = 200_000;

/** Most events that wait; further ones are dropped and counted. */
export const EVENT_BACKLOG_MAX = 10_000;

/** A bucket on its way into the database. */
export interface PendingBucket extends ClosedBucket {
  /** Names the writer; a bucket of an earlier time gets another one, so that it replaces nothing. */
  readonly source: number;
  /** Only growing. */
  readonly number: number;
  /** Which reports of which sessions are in it. */
  readonly marks: readonly SessionMark[];
  /** True when the results that it was made of are in SQL, so that it may follow. */
  isReady(): boolean;
}

/** Rows of both, those about the same calls added up, at the time of the later ones. */
function sumRows(
  older: readonly CallHistoryRow[],
  newer: readonly CallHistoryRow[],
  atSeconds: number,
): CallHistoryRow[] {
  const rows = new Map(newer.map((row) => [callsId(row), row]));
  for (const row of older) addRow(rows, { ...row, atSeconds });
  return [...rows.values()];
}

/** Both buckets in one, at the later time. */
function merge(older: PendingBucket, newer: PendingBucket): PendingBucket {
  const { atSeconds } = newer;
  const rows = sumRows(older.rows, newer.rows, atSeconds);
  const kept = new Map(newer.kept);
  // Added up as well: else it would grow for as long as the database is away.
  for (const [session, own] of older.kept) {
    kept.set(session, sumRows(own, newer.kept.get(session) ?? [], atSeconds));
  }
  const { reports } = older;
  if (newer.reports !== undefined) reports?.addAll(newer.reports);
  const marks = joined([...older.marks, ...newer.marks]);
  return { ...newer, rows, kept, marks, reports: newer.reports && reports };
}

/** Marks that follow one another in one; what others have between two stays between. */
function joined(marks: readonly SessionMark[]): SessionMark[] {
  const all: SessionMark[] = [];
  /** Where the last one of a session is. */
  const places = new Map<number, number>();
  for (const mark of marks) {
    const place = places.get(mark.session);
    if (place !== undefined && all[place].to === mark.from) {
      all[place] = { ...all[place], to: mark.to };
    } else {
      places.set(mark.session, all.length);
      all.push(mark);
    }
  }
  return all;
}

/** The row of a module, in which nodes are weighed and not added up. */
const MODULE_SUM = { ip: 0, port: 0, caller: 0, reportCount: 0, overloadCount: 0 };

function isModuleSum({ ip, port, caller }: CallHistoryRow): boolean {
  return ip === 0 && port === 0 && caller === 0;
}

function hasCalls({ succCount, errCount, refusedCount }: CallHistoryRow): boolean {
  return succCount + errCount + refusedCount > 0;
}

/** The rows of a bucket, sums of modules too, without what these rows of senders say. */
function subtract(
  all: readonly CallHistoryRow[],
  taken: readonly CallHistoryRow[],
): CallHistoryRow[] {
  const rows = new Map(all.map((row) => [callsId(row), row]));
  for (const row of taken) {
    const ofModule = { ...row, ...MODULE_SUM };
    // What a sender without an address was refused stands in the sum alone.
    for (const part of isModuleSum(row) ? [ofModule] : [row, ofModule]) {
      const key = callsId(part);
      const known = rows.get(key);
      if (known !== undefined) rows.set(key, sumOf(known, part, -1));
    }
  }
  return [...rows.values()].filter((row) =>
    isModuleSum(row) ? hasCalls(row) : row.reportCount > 0 || hasCalls(row)
  );
}

/** The bucket without what came from these sessions. */
function without(bucket: PendingBucket, sessions: ReadonlySet<number>): PendingBucket {
  const marks = bucket.marks.filter(({ session }) => !sessions.has(session));
  const left = [...bucket.kept].filter(([session]) => sessions.has(session));
  if (left.length === 0) return { ...bucket, marks };
  const rows = subtract(bucket.rows, left.flatMap(([, own]) => own));
  const kept = new Map([...bucket.kept].filter(([session]) => !sessions.has(session)));
  return { ...bucket, rows, kept, marks };
}

/** Which of the reports of a mark are not in SQL. */
type Missing = (mark: SessionMark) => SessionMark[];

/** Whether some of a session are in SQL and some not, and nobody knows what came of which. */
function isUnclear({ marks, reports }: PendingBucket, session: number, missing: Missing): boolean {
  if (reports !== undefined) return false;
  const own = marks.filter((mark) => mark.session === session);
  const left = own.flatMap(missing);
  return left.length > 0 && countOf(left) < countOf(own);
}

function countOf(marks: readonly SessionMark[]): number {
  return marks.reduce((sum, { from, to }) => sum + to - from, 0);
}

/** The bucket without those reports that are in SQL as these states say. */
function withoutStored(
  bucket: PendingBucket,
  states: ReadonlyMap<number, MarkState>,
  missing: Missing,
): PendingBucket {
  const marks = bucket.marks.flatMap(missing);
  if (countOf(marks) === countOf(bucket.marks)) return bucket;
  if (bucket.reports === undefined) {
    const left = new Set(marks.map(({ session }) => session));
    const gone = [...states.keys()].filter((session) => !left.has(session));
    return without(bucket, new Set(gone));
  }
  const taken = bucket.reports.takeOut((session, seq) => {
    const state = states.get(session);
    return state !== undefined && isIn(state, seq);
  }, bucket.atSeconds);
  const kept = new Map(bucket.kept);
  for (const [session, rows] of taken) {
    const rest = subtract(kept.get(session) ?? [], rows);
    if (rest.length === 0) kept.delete(session);
    else kept.set(session, rest);
  }
  return { ...bucket, marks, kept, rows: subtract(bucket.rows, [...taken.values()].flat()) };
}

/**
 * Buckets in order of time. While the database is away they pile up; when they are too many the
 * oldest are added together, so that no call is lost, only its time becomes less exact.
 */
export class HistoryBacklog {
  readonly #rowsMax: number;
  readonly #nextSource: () => number;
  #source: number;
  #number = 0;
  #lastAtSeconds = -Infinity;
  #buckets: PendingBucket[] = [];
  #mergeCount = 0;

  /** `nextSource` gives a random unsigned 32-bit number. */
  constructor(nextSource: () => number, rowsMax = HISTORY_BACKLOG_ROWS_MAX) {
    this.#nextSource = nextSource;
    this.#source = nextSource();
    this.#rowsMax = rowsMax;
  }

  /** Rows that wait. */
  get rowCount(): number {
    return this.#buckets.reduce((total, bucket) => total + bucket.rows.length, 0);
  }

  /** Times that two buckets became one. */
  get mergeCount(): number {
    return this.#mergeCount;
  }

  /** The oldest bucket; it stays until {@linkcode settle}. */
  get first(): PendingBucket | undefined {
    return this.#buckets[0];
  }

  /** Takes a bucket. The first may be on its way, so it is never merged with another. */
  add(
    bucket: ClosedBucket,
    marks: readonly SessionMark[] = [],
    isReady = (): boolean => true,
  ): void {
    if (bucket.rows.length === 0 && marks.length === 0) return;
    if (bucket.atSeconds <= this.#lastAtSeconds) this.#source = this.#nextSource();
    this.#lastAtSeconds = bucket.atSeconds;
    const waiting = this.#buckets.reduce((sum, { reports }) => sum + (reports?.size ?? 0), 0);
    const hasRoom = waiting + (bucket.reports?.size ?? 0) <= BUCKET_RESULTS_MAX;
    const reports = hasRoom ? bucket.reports : undefined;
    const { source, number } = { source: this.#source, number: ++this.#number };
    this.#buckets.push({ ...bucket, source, number, marks, isReady, reports });
    while (this.#buckets.length > 2 && this.rowCount > this.#rowsMax) {
      const [first, older, newer, ...rest] = this.#buckets;
      this.#buckets = [first, merge(older, newer), ...rest];
      this.#mergeCount++;
    }
  }

  /**
   * What came from these sessions is not to be counted.
   *
   * @param from The first bucket that is meant: 1 while that before it is on its way.
   * @param to The first that is not.
   */
  leaveOut(sessions: Iterable<number>, from = 0, to = Infinity): void {
    const all = new Set(sessions);
    if (all.size === 0) return;
    this.#buckets = this.#buckets.map((bucket, index) => {
      if (index < from || index >= to) return bucket;
      bucket.reports?.split(all);
      return without(bucket, all);
    });
  }

  /**
   * Others have written reports of these sessions, as far as the states say: what is in SQL is left
   * out, the rest stays. Not while the first bucket is on its way.
   *
   * @returns the sessions of which it is not known what came of which report, or of which the first
   * bucket holds nothing that is in SQL: they stay as they are.
   */
  leaveOutStored(states: ReadonlyMap<number, MarkState>): number[] {
    const missing = (mark: SessionMark): SessionMark[] => {
      const state = states.get(mark.session);
      if (state === undefined) return [mark];
      return missingIn(state, mark).map((range) => ({ session: mark.session, ...range }));
    };
    const own = (session: number): SessionMark[] =>
      this.first?.marks.filter((mark) => mark.session === session) ?? [];
    const unclear = [...states.keys()].filter((session) =>
      countOf(own(session)) === countOf(own(session).flatMap(missing)) ||
      this.#buckets.some((bucket) => isUnclear(bucket, session, missing))
    );
    const clear = new Map(states);
    for (const session of unclear) clear.delete(session);
    const left: Missing = (mark) => clear.has(mark.session) ? missing(mark) : [mark];
    this.#buckets = this.#buckets.map((bucket) => withoutStored(bucket, clear, left));
    return unclear;
  }

  /** Rows that hold more than what came from sessions that are kept elsewhere. */
  ownRowCount(isKept: (session: number) => boolean): number {
    return this.#buckets.reduce((total, bucket) => {
      const kept = new Set([...bucket.kept.keys()].filter(isKept));
      return total + without(bucket, kept).rows.length;
    }, 0);
  }

  /** The first bucket is written, or given up. */
  settle(): void {
    this.#buckets.shift();
  }
}

/** Events in order, within a bound. */
export class EventBacklog {
  readonly #events: NewEvent[] = [];
  #droppedCount = 0;

  /** Events that wait. */
  get size(): number {
    return this.#events.length;
  }

  /** Events that found no room. */
  get droppedCount(): number {
    return this.#droppedCount;
  }

  add(event: NewEvent): void {
    if (this.#events.length < EVENT_BACKLOG_MAX) this.#events.push(event);
    else this.#droppedCount++;
  }

  /** The oldest events, which stay until {@linkcode settle}. */
  peek(count: number): NewEvent[] {
    return this.#events.slice(0, count);
  }

  /** The oldest `count` events are stored, or given up. */
  settle(count: number): void {
    this.#events.splice(0, count);
  }
}
