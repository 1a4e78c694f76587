// Core. Buckets and events that wait for the database, within bounds.

import type { NewEvent } from "../sql/results/event.ts";
import type { CallHistoryRow } from "../sql/results/call_history.ts";
import type { SessionMark } from "../sql/results/call_history.ts";
import type { ClosedBucket } from "./call_history.ts";
import { callsId } from "../model/node.ts";

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

function sum(one: CallHistoryRow, other: CallHistoryRow, sign: 1 | -1): CallHistoryRow {
  return {
    ...one,
    succCount: one.succCount + sign * other.succCount,
    errCount: one.errCount + sign * other.errCount,
    reportCount: one.reportCount + sign * other.reportCount,
    overloadCount: one.overloadCount + sign * other.overloadCount,
    timedCount: one.timedCount + sign * other.timedCount,
    timeMsSum: one.timeMsSum + sign * other.timeMsSum,
    refusedCount: one.refusedCount + sign * other.refusedCount,
  };
}

/** Rows of both, those about the same calls added up, at the time of the later ones. */
function sumRows(
  older: readonly CallHistoryRow[],
  newer: readonly CallHistoryRow[],
  atSeconds: number,
): CallHistoryRow[] {
  const rows = new Map(newer.map((row) => [callsId(row), row]));
  for (const row of older) {
    const key = callsId(row);
    const known = rows.get(key);
    rows.set(key, known === undefined ? { ...row, atSeconds } : sum(known, row, 1));
  }
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
  const marks = new Map(older.marks.map((mark) => [mark.session, mark]));
  for (const mark of newer.marks) {
    marks.set(mark.session, { ...mark, from: marks.get(mark.session)?.from ?? mark.from });
  }
  return { ...newer, rows, kept, marks: [...marks.values()] };
}

/** The row of a module, in which nodes are weighed and not added up. */
const MODULE_SUM = { ip: 0, port: 0, caller: 0, reportCount: 0, overloadCount: 0 };

function isModuleSum({ ip, port, caller }: CallHistoryRow): boolean {
  return ip === 0 && port === 0 && caller === 0;
}

function hasCalls({ succCount, errCount, refusedCount }: CallHistoryRow): boolean {
  return succCount + errCount + refusedCount > 0;
}

/** The bucket without what came from these sessions. */
function without(bucket: PendingBucket, sessions: ReadonlySet<number>): PendingBucket {
  const marks = bucket.marks.filter(({ session }) => !sessions.has(session));
  const left = [...bucket.kept].filter(([session]) => sessions.has(session));
  if (left.length === 0) return { ...bucket, marks };
  const rows = new Map(bucket.rows.map((row) => [callsId(row), row]));
  for (const row of left.flatMap(([, own]) => own)) {
    const ofModule = { ...row, ...MODULE_SUM };
    // What a sender without an address was refused stands in the sum alone.
    for (const part of isModuleSum(row) ? [ofModule] : [row, ofModule]) {
      const key = callsId(part);
      const known = rows.get(key);
      if (known !== undefined) rows.set(key, sum(known, part, -1));
    }
  }
  const kept = new Map([...bucket.kept].filter(([session]) => !sessions.has(session)));
  const told = [...rows.values()].filter((row) =>
    isModuleSum(row) ? hasCalls(row) : row.reportCount > 0 || hasCalls(row)
  );
  return { ...bucket, rows: told, kept, marks };
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
    this.#buckets.push({ ...bucket, source: this.#source, number: ++this.#number, marks, isReady });
    while (this.#buckets.length > 2 && this.rowCount > this.#rowsMax) {
      const [first, older, newer, ...rest] = this.#buckets;
      this.#buckets = [first, merge(older, newer), ...rest];
      this.#mergeCount++;
    }
  }

  /** What came from these sessions is not to be counted. Not while the first bucket is on its way. */
  leaveOut(sessions: Iterable<number>): void {
    const all = new Set(sessions);
    this.#buckets = this.#buckets.map((bucket) => without(bucket, all));
  }

  /** Rows that hold more than what senders keep themselves. */
  ownRowCount(): number {
    return this.#buckets.reduce(
      (total, bucket) => total + without(bucket, new Set(bucket.kept.keys())).rows.length,
      0,
    );
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
