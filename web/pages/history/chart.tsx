// Shell. One chart of the history: a measure of some series.

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import type { History, HistorySeries } from "../../../control/schemas.ts";
import { formatNumber, UNKNOWN } from "../parts/format.ts";
import { type NameLookup, useModuleNames } from "../shell/module_names.ts";
import { type ChartEvents, type DrawnLine, LineChart, type LineLook } from "./line_chart.tsx";
import { knowsRefused, lineOf, type Measure } from "./series.ts";

/** Colours of lines; from the second round on lines are dashed. */
const COLOURS = 8;

/** What can be drawn. */
const MEASURES: readonly { measure: Measure; title: string; unit: string }[] = [
  { measure: "calls", title: "Calls", unit: "calls/s" },
  { measure: "errors", title: "Errors", unit: "% of calls" },
  { measure: "refused", title: "Refused", unit: "callers/s that got no node" },
  { measure: "latency", title: "Latency", unit: "ms a call, mean" },
  { measure: "overload", title: "Kept out", unit: "%" },
];

/** Measures in per cent. */
const SHARES: ReadonlySet<Measure> = new Set(["errors", "overload"]);

/** Measures per second. */
const RATES: ReadonlySet<Measure> = new Set(["calls", "refused"]);

/** The measures that say something of a history: nobody misses the refused where there are none. */
export function measuresOf(history: History): typeof MEASURES {
  return MEASURES.filter(({ measure }) => measure !== "refused" || knowsRefused(history));
}

/** A line of the charts with its look. */
export interface Line extends LineLook {
  readonly series: HistorySeries;
}

/** The lines of a history, each with its look. */
export function linesOf(history: History): Line[] {
  return history.series.map((series, index) => ({
    series,
    colour: index % COLOURS,
    isDashed: index >= COLOURS,
  }));
}

/** What a series is called. */
export function lineName(key: string, names: NameLookup): string {
  return key === "total" ? "in all" : names.inText(key);
}

function valueText(value: number | null | undefined, measure: Measure): string {
  if (value === null || value === undefined) return UNKNOWN;
  if (SHARES.has(measure)) return `${formatNumber(value)} %`;
  return measure === "latency" ? `${formatNumber(value)} ms` : `${formatNumber(value)}/s`;
}

function topOf(max: number, measure: Measure): number {
  const top = Math.max(max, RATES.has(measure) ? 0.1 : 1) * 1.08;
  // A little over 100 %, or dots up there are cut in half.
  return SHARES.has(measure) ? Math.min(top, 103) : top;
}

/** What a chart is given. */
export interface ChartProps extends ChartEvents {
  readonly history: History;
  readonly lines: readonly Line[];
  readonly measure: Measure;
  readonly title: string;
  readonly unit: string;
  /** Height in pixels. */
  readonly height: number;
  /** The step whose values are told; undefined: the latest. All charts of a page show the same. */
  readonly at: number | undefined;
  readonly onReset: () => void;
}

/** One chart of a history. */
export function Chart({ history, lines, measure, ...rest }: ChartProps): JSX.Element {
  const { fromMs, stepMs, steps } = history;
  const names = useModuleNames();
  const called = lines.map(({ series }) => lineName(series.key, names));
  const drawn = useMemo(() =>
    lines.map(({ series, ...look }, index): DrawnLine => ({
      ...look,
      name: called[index],
      values: lineOf(series, measure, history),
    })), [history, lines, measure, called.join("\n")]);
  return (
    <LineChart
      {...rest}
      {...{ fromMs, stepMs, steps }}
      lines={drawn}
      topOf={(max) => topOf(max, measure)}
      textOf={(value) => valueText(value, measure)}
    />
  );
}
