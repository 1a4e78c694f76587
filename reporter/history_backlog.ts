// Core. Buckets and events that wait for the database, within bounds.

import type { NewEvent } from "../sql/results/event.ts";
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
}

/** Both buckets in one, at the later time. */
function merge(older: PendingBucket, newer: PendingBucket): PendingBucket {
  const rows = new Map(newer.rows.map((row) => [callsId(row), row]));
  for (const row of older.rows) {
    const key = callsId(row);
    const known = rows.get(key);
    rows.set(
      key,
      known === undefined ? { ...row, atSeconds: newer.atSeconds } : {
        ...known,
        succCount: known.succCount + row.succCount,
        errCount: known.errCount + row.errCount,
        reportCount: known.reportCount + row.reportCount,
        overloadCount: known.overloadCount + row.overloadCount,
        timedCount: known.timedCount + row.timedCount,
        timeMsSum: known.timeMsSum + row.timeMsSum,
        refusedCount: known.refusedCount + row.refusedCount,
      },
    );
  }
  return { ...newer, rows: [...rows.values()] };
}

/**
 * Buckets in order of time. While the database is away they pile up; when they are too many the
 * oldest are added together, so that no call is lost, only its time becomes less exact.
 */
export class HistoryBacklog {
  readonly #rowsMax: number;
  readonly #nextSource: () => number;
  #source: number;
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
    return this.#buckets.reduce((sum, bucket) => sum + bucket.rows.length, 0);
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
  add(bucket: ClosedBucket): void {
    if (bucket.rows.length === 0) return;
    if (bucket.atSeconds <= this.#lastAtSeconds) this.#source = this.#nextSource();
    this.#lastAtSeconds = bucket.atSeconds;
    this.#buckets.push({ ...bucket, source: this.#source });
    while (this.#buckets.length > 2 && this.rowCount > this.#rowsMax) {
      const [first, older, newer, ...rest] = this.#buckets;
      this.#buckets = [first, merge(older, newer), ...rest];
      this.#mergeCount++;
    }
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
