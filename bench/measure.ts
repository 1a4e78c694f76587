// Shell. Times a piece of work next to its reference, interleaved, and gives medians of ratios.

import { systemClock } from "../reactor/system_clock.ts";

/** A piece of work; `run` does it `count` times and returns something derived from the results. */
export interface Work {
  readonly name: string;
  run(count: number): number;
}

/** One row: what is measured, and what it is compared with in the same run. */
export interface BenchCase {
  readonly name: string;
  readonly work: Work;
  readonly reference: Work;
  /** Value that one call of `work.run(1)` must return: a benchmark of a broken thing is worthless. */
  readonly expected: number;
}

/** Result of one row. */
export interface BenchRow {
  readonly name: string;
  readonly nsPerOperation: number;
  readonly reference: string;
  readonly referenceNsPerOperation: number;
  /** Median over rounds of time of the work by time of the reference. */
  readonly ratio: number;
}

function timeNs(work: Work, count: number): number {
  const startMs = systemClock.nowMs();
  work.run(count);
  return (systemClock.nowMs() - startMs) * 1e6 / count;
}

/** Middle value; the mean of the two middle ones for an even number. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Number of repetitions of `work` that take about `targetMs`. */
function calibrate(work: Work, targetMs: number): number {
  let count = 1;
  for (;;) {
    const startMs = systemClock.nowMs();
    work.run(count);
    const tookMs = systemClock.nowMs() - startMs;
    if (tookMs >= targetMs || count >= 1 << 28) return count;
    count = Math.ceil(count * Math.min(10, Math.max(2, targetMs / Math.max(tookMs, 0.01))));
  }
}

/**
 * Measures one case: `rounds` rounds, in each the work and then its reference, about `roundMs` each.
 *
 * @throws {Error} when the work does not return what it should.
 */
export function measure(one: BenchCase, options: { rounds: number; roundMs: number }): BenchRow {
  const result = one.work.run(1);
  if (result !== one.expected) {
    throw new Error(`${one.name}: result must be ${one.expected}: current value is ${result}`);
  }
  const workCount = calibrate(one.work, options.roundMs);
  const referenceCount = calibrate(one.reference, options.roundMs);
  const workNs: number[] = [];
  const referenceNs: number[] = [];
  for (let round = 0; round < options.rounds; round++) {
    workNs.push(timeNs(one.work, workCount));
    referenceNs.push(timeNs(one.reference, referenceCount));
  }
  return {
    name: one.name,
    nsPerOperation: median(workNs),
    reference: one.reference.name,
    referenceNsPerOperation: median(referenceNs),
    ratio: median(workNs.map((ns, round) => ns / referenceNs[round])),
  };
}
