// Core. Reports that are kept for a while: their numbers side by side, so that they are no work for who collects garbage.

import type { GainedResult, TimedReport } from "./pending_reports.ts";

const NUMBERS = 13;

/** A report as it is kept. */
export interface PackedReport extends Omit<TimedReport, "results"> {
  /** Of each result {@linkcode NUMBERS}. */
  readonly numbers: Float64Array;
}

/** Number of results in it. */
export function resultCount({ numbers }: PackedReport): number {
  return numbers.length / NUMBERS;
}

/** Packs a report; nothing of it is changed. */
export function packReport(report: TimedReport): PackedReport {
  const { results, modId, cmdId, ts, refused, refusedNew } = report;
  const numbers = new Float64Array(results.length * NUMBERS);
  let at = 0;
  for (const result of results) {
    const { gains } = result;
    numbers[at] = result.ip;
    numbers[at + 1] = result.port;
    numbers[at + 2] = result.succ;
    numbers[at + 3] = result.err;
    numbers[at + 4] = result.overload ? 1 : 0;
    numbers[at + 5] = result.succTotal;
    numbers[at + 6] = result.errTotal;
    numbers[at + 7] = result.timedTotal;
    numbers[at + 8] = result.timeMsTotal;
    numbers[at + 9] = gains.succ;
    numbers[at + 10] = gains.err;
    numbers[at + 11] = gains.timed;
    numbers[at + 12] = gains.timeMs;
    at += NUMBERS;
  }
  return refused === undefined
    ? { modId, cmdId, ts, refusedNew, numbers }
    : { modId, cmdId, ts, refusedNew, numbers, refused };
}

/** The report that was packed. */
export function unpackReport({ numbers, ...rest }: PackedReport): TimedReport {
  const results: GainedResult[] = [];
  for (let at = 0; at < numbers.length; at += NUMBERS) {
    const [ip, port, succ, err, overload, succTotal, errTotal, timedTotal, timeMsTotal] = numbers
      .subarray(at);
    const [gained, failed, timed, timeMs] = numbers.subarray(at + 9);
    results.push({
      ...{ ip, port, succ, err, overload: overload === 1 },
      ...{ succTotal, errTotal, timedTotal, timeMsTotal },
      gains: { succ: gained, err: failed, timed, timeMs },
    });
  }
  return { ...rest, results };
}
