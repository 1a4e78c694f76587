// Core. Series of numbers as lines: for the small ones in tables and the charts of the history.

import type { History, HistorySeries } from "../../../control/schemas.ts";

/** SVG paths of a line over `values`, drawn from zero up to their maximum. */
export function sparklinePath(
  values: readonly number[],
  width: number,
  height: number,
): { line: string; area: string } {
  const top = Math.max(...values, 0);
  const step = width / Math.max(1, values.length - 1);
  const y = (value: number): number =>
    top === 0 ? height - 1 : height - 1 - (value / top) * (height - 2);
  const points = values.map((value, index) => `${round(index * step)} ${round(y(value))}`);
  const line = `M${points.join("L")}`;
  return { line, area: `${line}L${width} ${height}L0 ${height}Z` };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

/** What a chart of the history shows. */
export type Measure = "calls" | "errors" | "latency" | "overload";

/** True when some caller told what its calls took, in some series. */
export function knowsLatency(history: History): boolean {
  return history.series.some(({ meanLatencyMs }) => meanLatencyMs !== null);
}

/** Seconds at the start of each step: the x axis of a chart. */
export function timesOf(history: History): number[] {
  return Array.from(
    { length: history.steps },
    (_, index) => (history.fromMs + index * history.stepMs) / 1000,
  );
}

/**
 * One line of a chart: calls/s, error share or share of overload in per cent, mean time of a call in
 * milliseconds; null is a gap.
 */
export function lineOf(
  series: HistorySeries,
  measure: Measure,
  stepMs: number,
): readonly (number | null)[] {
  if (measure === "latency") return series.latencyMs;
  if (measure === "overload") return series.overloadShare.map((share) => share * 100);
  if (measure === "calls") return series.calls.map((calls) => calls * 1000 / stepMs);
  return series.calls.map((calls, index) =>
    calls === 0 ? null : series.errors[index] / calls * 100
  );
}

/** Sums of a series, for the table under the charts. */
export interface SeriesTotals {
  readonly calls: number;
  readonly errors: number;
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
    errorShare: calls === 0 ? 0 : errors / calls,
    latencyMs: series.meanLatencyMs,
    overloadShareMax: Math.max(0, ...series.overloadShare),
  };
}
