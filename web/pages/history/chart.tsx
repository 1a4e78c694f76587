// Shell. One chart of the history: lines over time, with the values under the pointer or the keys.

import type { JSX } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import uPlot from "uplot";
import type { History, HistorySeries } from "../../../control/schemas.ts";
import { formatInstant, formatNumber, formatTick, UNKNOWN } from "../parts/format.ts";
import { type NameLookup, useModuleNames } from "../shell/module_names.ts";
import { isDark } from "../shell/state.ts";
import { knowsRefused, lineOf, type Measure, stepAfterKey, timesOf } from "./series.ts";

/** Colours of lines; from the second round on lines are dashed. */
const COLOURS = 8;
/** A selection narrower than this many pixels is a slip of the hand. */
const ZOOM_PIXELS_MIN = 6;
/** Values that stand above a chart; of more lines the first, which have the most calls. */
const VALUES_SHOWN = 8;
const FONT = "12px system-ui, sans-serif";

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
export interface Line {
  readonly series: HistorySeries;
  readonly colour: number;
  readonly isDashed: boolean;
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

/** The look of a line beside its name. */
export function Swatch({ line }: { line: Line }): JSX.Element {
  return (
    <svg class={`swatch line-${line.colour + 1}`} viewBox="0 0 18 4" aria-hidden="true">
      <path d={line.isDashed ? "M0 2h7M11 2h7" : "M0 2h18"} />
    </svg>
  );
}

function valueText(value: number | null | undefined, measure: Measure): string {
  if (value === null || value === undefined) return UNKNOWN;
  if (SHARES.has(measure)) return `${formatNumber(value)} %`;
  return measure === "latency" ? `${formatNumber(value)} ms` : `${formatNumber(value)}/s`;
}

function colourOf(index: number): string {
  const name = `--line-${index + 1}`;
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function axisOf(): Pick<uPlot.Axis, "stroke" | "grid" | "ticks" | "font"> {
  const style = getComputedStyle(document.documentElement);
  const stroke = style.getPropertyValue("--muted").trim();
  const line = { stroke: style.getPropertyValue("--border").trim(), width: 1 };
  return { stroke, grid: line, ticks: line, font: FONT };
}

/** Width of the longest of some labels in pixels, so that none is cut off. */
function labelWidth(chart: uPlot, labels: readonly string[] | null): number {
  chart.ctx.save();
  chart.ctx.font = FONT;
  const widths = (labels ?? []).map((label) => chart.ctx.measureText(label).width);
  chart.ctx.restore();
  return Math.ceil(Math.max(20, ...widths)) + 18;
}

/** Points that no line leads to or from: they are drawn as dots. */
function lonelyPoints(chart: uPlot, series: number): number[] {
  const values = chart.data[series];
  const isThere = (at: number): boolean => values[at] !== null && values[at] !== undefined;
  return [...values.keys()].filter((at) => isThere(at) && !isThere(at - 1) && !isThere(at + 1));
}

/** What a chart tells to those around it. */
interface ChartEvents {
  onZoom(fromMs: number, toMs: number): void;
  onAt(at: number | undefined): void;
}

function optionsOf(
  size: { width: number; height: number },
  measure: Measure,
  lines: readonly Line[],
  events: () => ChartEvents,
): uPlot.Options {
  return {
    ...size,
    padding: [8, 24, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: true, y: false, dist: ZOOM_PIXELS_MIN } },
    scales: {
      y: {
        range: (_, _min, max) => {
          const top = Math.max(max ?? 0, RATES.has(measure) ? 0.1 : 1) * 1.08;
          // A little over 100 %, or dots up there are cut in half.
          return [0, SHARES.has(measure) ? Math.min(top, 103) : top];
        },
      },
    },
    axes: [
      {
        ...axisOf(),
        space: 70,
        values: [
          [86_400, "{MM}-{DD}", null, null, null, null, null, null, 1],
          [60, "{HH}:{mm}", "\n{MM}-{DD}", null, null, null, null, null, 1],
          [1, "{HH}:{mm}:{ss}", "\n{MM}-{DD}", null, null, null, null, null, 1],
        ],
      },
      {
        ...axisOf(),
        size: labelWidth,
        values: (_, splits) => splits.map((value) => formatTick(value)),
      },
    ],
    series: [
      {},
      ...lines.map(({ series, colour, isDashed }): uPlot.Series => ({
        label: series.key,
        stroke: colourOf(colour),
        width: 1.75,
        points: {
          show: series.calls.length < 40,
          size: 4,
          filter: (chart, index, isShown) => isShown ? null : lonelyPoints(chart, index),
        },
        spanGaps: false,
        ...(isDashed ? { dash: [5, 4] } : {}),
      })),
    ],
    hooks: {
      setCursor: [(chart) => events().onAt(chart.cursor.idx ?? undefined)],
      setSelect: [(chart) => {
        if (chart.select.width < ZOOM_PIXELS_MIN) return;
        const from = chart.posToVal(chart.select.left, "x");
        const to = chart.posToVal(chart.select.left + chart.select.width, "x");
        events().onZoom(Math.round(from * 1000), Math.round(to * 1000));
      }],
    },
  };
}

/** The values at one instant, in the order of the lines: none changes its place. */
function Values(props: {
  measure: Measure;
  lines: readonly Line[];
  values: readonly (number | null)[];
}): JSX.Element {
  const rest = props.lines.length - VALUES_SHOWN;
  const names = useModuleNames();
  return (
    <ul class="values">
      {props.lines.slice(0, VALUES_SHOWN).map((line, index) => (
        <li key={line.series.key}>
          <Swatch line={line} />
          <span class="muted cut">{lineName(line.series.key, names)}</span>
          <b>{valueText(props.values[index], props.measure)}</b>
        </li>
      ))}
      {rest > 0 && <li class="muted">and {rest} more</li>}
    </ul>
  );
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

/** The chart as it is drawn; drawn anew when lines or colours differ. */
function useChart(
  { history, lines, measure, height, at, ...events }: ChartProps,
  data: uPlot.AlignedData,
): { current: HTMLDivElement | null } {
  const holder = useRef<HTMLDivElement>(null);
  const latest = useRef<ChartEvents>(events);
  latest.current = events;
  const chart = useRef<uPlot>(undefined);
  const look = `${isDark.value} ${lines.map(({ series, colour }) => `${series.key}:${colour}`)}`;
  useEffect(() => {
    const element = holder.current;
    if (element === null) return;
    const size = { width: element.clientWidth, height };
    const made = new uPlot(optionsOf(size, measure, lines, () => latest.current), data, element);
    chart.current = made;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth > 0) made.setSize({ width: element.clientWidth, height });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
    };
  }, [look]);
  useEffect(() => chart.current?.setData(data), [history]);
  useEffect(() => {
    const drawn = chart.current;
    if (drawn === undefined || (drawn.cursor.idx ?? undefined) === at) return;
    const left = at === undefined ? -10 : drawn.valToPos(data[0][at], "x");
    drawn.setCursor({ left, top: 0 }, false);
  }, [at]);
  return holder;
}

/** One chart. Left and right, Home and End go from value to value; the text tells it. */
export function Chart(props: ChartProps): JSX.Element {
  const { history, lines, measure, title, unit, onAt } = props;
  const data = useMemo(() =>
    [
      timesOf(history),
      ...lines.map(({ series }) => lineOf(series, measure, history)),
    ] as [number[], ...(number | null)[][]], [history, lines, measure]);
  const holder = useChart(props, data);
  const at = Math.min(props.at ?? history.steps - 1, history.steps - 1);
  const values = data.slice(1).map((line) => line[at]);
  const when = formatInstant(history.fromMs + at * history.stepMs);
  const onKey = (event: KeyboardEvent): void => {
    const next = stepAfterKey(event.key, at, history.steps);
    if (next === null) return;
    event.preventDefault();
    onAt(next);
  };
  const names = useModuleNames();
  const told = lines.slice(0, VALUES_SHOWN).map(({ series }, index) =>
    `${lineName(series.key, names)} ${valueText(values[index], measure)}`
  ).join(", ");
  return (
    <figure class="chart">
      <figcaption>
        <b>{title}</b> <span class="muted">{unit}</span>
        <time class="muted">{props.at === undefined ? "latest" : when}</time>
        <Values measure={measure} lines={lines} values={values} />
      </figcaption>
      <div
        ref={holder}
        class="canvas"
        style={{ height: props.height }}
        role="slider"
        tabIndex={0}
        aria-label={`${title} over time`}
        aria-valuemin={0}
        aria-valuemax={history.steps - 1}
        aria-valuenow={at}
        aria-valuetext={`${when}: ${told}`}
        onKeyDown={onKey}
        onBlur={() => onAt(undefined)}
        onDblClick={props.onReset}
      />
    </figure>
  );
}
