// Core. Series of numbers as lines: for the small ones in tables and the charts of the history.

import type { History, HistorySeries } from "../../../control/schemas.ts";

/** SVG paths of a line over `values`, drawn from zero up to their maximum; null is a gap. */
export function sparklinePath(
  values: readonly (number | null)[],
  width: number,
  height: number,
): { line: string; area: string } {
  const top = Math.max(0, ...values.map((value) => value ?? 0));
  const step = width / Math.max(1, values.length - 1);
  const y = (value: number): number =>
    top === 0 ? height - 1 : height - 1 - (value / top) * (height - 2);
  let line = "";
  let area = "";
  for (const [from, to] of runsOf(values)) {
    const points = values.slice(from, to).map((value, index) =>
      `${round((from + index) * step)} ${round(y(value ?? 0))}`
    );
    const run = `M${points.join("L")}`;
    line += run;
    area += `${run}L${round((to - 1) * step)} ${height}L${round(from * step)} ${height}Z`;
  }
  return { line, area };
}

/** Begin and end, exclusive, of each stretch without a gap. */
function runsOf(values: readonly (number | null)[]): [number, number][] {
  const runs: [number, number][] = [];
  values.forEach((value, index) => {
    if (value === null) return;
    const last = runs.at(-1);
    if (last?.[1] === index) last[1]++;
    else runs.push([index, index + 1]);
  });
  return runs;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

/** What a chart of the history shows. */
export type Measure = "calls" | "errors" | "refused" | "latency" | "overload";

/** True when callers were refused, in some series. */
export function knowsRefused(history: History): boolean {
  return history.series.some(({ refused }) => refused.some((count) => count > 0));
}

/** True when some caller told what its calls took, in some series. */
export function knowsLatency(history: History): boolean {
  return history.series.some(({ meanLatencyMs }) => meanLatencyMs !== null);
}

/** Seconds at the start of each step: the x axis of a chart. */
export function timesOf(
  { fromMs, stepMs, steps }: Pick<History, "fromMs" | "stepMs" | "steps">,
): number[] {
  return Array.from({ length: steps }, (_, index) => (fromMs + index * stepMs) / 1000);
}

/** What a line has to know of the history that it is of. */
type Times = Pick<History, "fromMs" | "stepMs" | "steps" | "wholeMs" | "gaps">;

/** How much of each step is known, in milliseconds; 0 in a gap. */
function knownMs({ fromMs, stepMs, steps, wholeMs, gaps }: Times): number[] {
  return Array.from({ length: steps }, (_, index) => {
    const atMs = fromMs + index * stepMs;
    const isGap = gaps.some((gap) =>
      gap.fromMs <= atMs && gap.toMs >= Math.min(atMs + stepMs, wholeMs)
    );
    return isGap ? 0 : Math.max(0, Math.min(stepMs, wholeMs - atMs));
  });
}

/**
 * One line of a chart: calls/s, error share or share of overload in per cent, mean time of a call in
 * milliseconds; null is a gap. The last step may be known in part: its rate is that of this part.
 */
export function lineOf(
  series: HistorySeries,
  measure: Measure,
  times: Times,
): readonly (number | null)[] {
  const known = knownMs(times);
  const valueAt = (index: number): number | null => {
    if (measure === "latency") return series.latencyMs[index];
    if (measure === "overload") return series.overloadShare[index] * 100;
    if (measure === "refused") return series.refused[index] * 1000 / known[index];
    const calls = series.calls[index];
    if (measure === "calls") return calls * 1000 / known[index];
    return calls === 0 ? null : series.errors[index] / calls * 100;
  };
  return known.map((ms, index) => ms === 0 ? null : valueAt(index));
}

/** Where a key leads from one value of a chart, of so many; null when it is no such key. */
export function stepAfterKey(key: string, at: number, steps: number): number | null {
  const far = Math.max(1, Math.round(steps / 12));
  const wanted = new Map([
    ["ArrowLeft", at - 1],
    ["ArrowRight", at + 1],
    ["PageUp", at - far],
    ["PageDown", at + far],
    ["Home", 0],
    ["End", steps - 1],
  ]).get(key);
  return wanted === undefined ? null : Math.min(Math.max(wanted, 0), steps - 1);
}

/** Sums of a series, for the table under the charts. */
export interface SeriesTotals {
  readonly calls: number;
  readonly errors: number;
  /** Callers that got no node. */
  readonly refused: number;
  /** 0 to 1; 0 without calls. */
  readonly errorShare: number;
  /** Mean time of a call in milliseconds; null when callers told none. */
  readonly latencyMs: number | null;
  /** Largest share of reports in a step that held the node for overloaded, 0 to 1. */
  readonly overloadShareMax: number;
}

/** Adds a series up. */
export function totalsOf(series: HistorySeries): SeriesTotals {
  const sum = (values: readonly number[]): number => values.reduce((all, one) => all + one, 0);
  const calls = sum(series.calls);
  const errors = sum(series.errors);
  return {
    calls,
    errors,
    refused: sum(series.refused),
    errorShare: calls === 0 ? 0 : errors / calls,
    latencyMs: series.meanLatencyMs,
    overloadShareMax: Math.max(0, ...series.overloadShare),
  };
}
