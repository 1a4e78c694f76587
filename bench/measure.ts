// Shell. Times a piece of work next to its reference, interleaved, and gives medians of ratios.

import { systemClock } from "../reactor/time/system_clock.ts";
import { type Row, rowOf, type Target } from "./rows.ts";

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
  /** Of the ratio. */
  readonly target?: Target;
}

function timeNs(work: Work, count: number): number {
  const startMs = systemClock.nowMs();
  work.run(count);
  return (systemClock.nowMs() - startMs) * 1e6 / count;
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
export function measure(
  one: BenchCase,
  subject: string,
  options: { rounds: number; roundMs: number },
): Row {
  const result = one.work.run(1);
  if (result !== one.expected) {
    throw new Error(`${one.name}: result must be ${one.expected}: current value is ${result}`);
  }
  const workCount = calibrate(one.work, options.roundMs);
  const referenceCount = calibrate(one.reference, options.roundMs);
  const values: number[] = [];
  const referenceValues: number[] = [];
  for (let round = 0; round < options.rounds; round++) {
    values.push(timeNs(one.work, workCount));
    referenceValues.push(timeNs(one.reference, referenceCount));
  }
  const { name, target } = one;
  const reference = one.reference.name;
  return rowOf({ name, subject, unit: "ns", values, reference, referenceValues, target });
}
