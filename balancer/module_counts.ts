// Core. The calls of one module, all nodes together, as metrics want them: totals and times in buckets.

import type { CallCounts } from "./detection/outlier_detector.ts";

/** Upper ends of the buckets of call times, in milliseconds; what took longer is in one more. */
export const LATENCY_BOUNDS_MS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000],
] as const;

/** Where the values lie: calls that went well and that failed, told times, then the buckets. */
export const COUNTS_AT = { succ: 0, err: 1, timeMs: 2, buckets: 3 } as const;

/** Number of values. */
export const COUNTS_LENGTH = COUNTS_AT.buckets + LATENCY_BOUNDS_MS.length + 1;

/** Totals since the module is known; one array, so that nothing is allocated for a call. */
export class ModuleCounts {
  readonly values = new Float64Array(COUNTS_LENGTH);

  /** The values as they are now. */
  list(): number[] {
    const list: number[] = [];
    // Of a typed array a spread asks an iterator for each value.
    for (let i = 0; i < COUNTS_LENGTH; i++) list.push(this.values[i]);
    return list;
  }

  /** Counts one call; `timecostMs` -1 when nobody told. */
  add(isSuccess: boolean, timecostMs: number): void {
    this.values[isSuccess ? COUNTS_AT.succ : COUNTS_AT.err]++;
    if (timecostMs < 0) return;
    this.values[COUNTS_AT.timeMs] += timecostMs;
    this.values[COUNTS_AT.buckets + latencyBucketOf(timecostMs)]++;
  }

  /** Counts calls that went well and took the same time, as `add` counts each. */
  addRun(count: number, timecostMs: number): void {
    this.values[COUNTS_AT.succ] += count;
    if (timecostMs < 0) return;
    this.values[COUNTS_AT.timeMs] += count * timecostMs;
    this.values[COUNTS_AT.buckets + latencyBucketOf(timecostMs)] += count;
  }

  /** Adds calls that went well: at `at` their number, then the sum of told times, then the buckets. */
  addTallied(tallied: Float64Array, at: number): void {
    this.values[COUNTS_AT.succ] += tallied[at];
    for (let i = COUNTS_AT.timeMs; i < COUNTS_LENGTH; i++) {
      this.values[i] += tallied[at + 1 + i - COUNTS_AT.timeMs];
    }
  }

  /** Counts many calls, of which only the sum of the times is known: each counts with their mean. */
  addMany({ succ, err, timed, timeMs }: CallCounts): void {
    this.values[COUNTS_AT.succ] += succ;
    this.values[COUNTS_AT.err] += err;
    if (timed === 0) return;
    this.values[COUNTS_AT.timeMs] += timeMs;
    this.values[COUNTS_AT.buckets + latencyBucketOf(timeMs / timed)] += timed;
  }
}

/**
 * The bucket of a call time, counted from 0. Most calls take few milliseconds, so that a walk from the
 * smallest end is short.
 */
export function latencyBucketOf(timeMs: number): number {
  let bucket = 0;
  while (bucket < LATENCY_BOUNDS_MS.length && timeMs > LATENCY_BOUNDS_MS[bucket]) bucket++;
  return bucket;
}
