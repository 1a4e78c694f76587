// Core. The last minutes of the history in one number each.

import type { CallHistoryPoint } from "../../sql/results/call_history.ts";
import type { RecentCalls } from "../schemas.ts";

/** Adds points up. */
export function sumCalls(points: readonly CallHistoryPoint[]): RecentCalls {
  const sum = { calls: 0, errors: 0, timed: 0, timeMs: 0, refused: 0 };
  for (const { succCount, errCount, timedCount, timeMsSum, refusedCount } of points) {
    sum.calls += succCount + errCount;
    sum.errors += errCount;
    sum.timed += timedCount;
    sum.timeMs += timeMsSum;
    sum.refused += refusedCount;
  }
  return {
    calls: sum.calls,
    errors: sum.errors,
    meanMs: sum.timed === 0 ? null : Math.round(1000 * sum.timeMs / sum.timed) / 1000,
    refused: sum.refused,
  };
}

/** The same of each group of points. */
export function groupCalls(
  points: readonly CallHistoryPoint[],
  keyOf: (point: CallHistoryPoint) => string,
): Map<string, RecentCalls> {
  const groups = new Map<string, CallHistoryPoint[]>();
  for (const point of points) {
    const key = keyOf(point);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [point]);
    else group.push(point);
  }
  return new Map([...groups].map(([key, group]) => [key, sumCalls(group)]));
}
