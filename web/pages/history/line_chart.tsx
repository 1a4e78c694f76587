// Shell. A chart of lines over time, with the values under the pointer or the keys.

import type { JSX } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import uPlot from "uplot";
import { formatInstant, formatTick } from "../parts/format.ts";
import { isDark } from "../shell/state.ts";
import { stepAfterKey, timesOf } from "./series.ts";

/** A selection narrower than this many pixels is a slip of the hand. */
const ZOOM_PIXELS_MIN = 6;
/** Values that stand above a chart; of more lines the first, which have the most calls. */
const VALUES_SHOWN = 8;
/** With fewer values each is a dot as well. */
const DOTS_MAX = 40;
const FONT = "12px system-ui, sans-serif";

/** How a line looks. */
export interface LineLook {
  /** Number of its colour, from 0. */
  readonly colour: number;
  readonly isDashed: boolean;
}

/** One line. */
export interface DrawnLine extends LineLook {
  readonly name: string;
  /** One for each step; null is a gap. */
  readonly values: readonly (number | null)[];
}

/** The look of a line beside its name. */
export function Swatch({ line }: { line: LineLook }): JSX.Element {
  return (
    <svg class={`swatch line-${line.colour + 1}`} viewBox="0 0 18 4" aria-hidden="true">
      <path d={line.isDashed ? "M0 2h7M11 2h7" : "M0 2h18"} />
    </svg>
  );
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
export interface ChartEvents {
  /** Some of its time was chosen. Without it nothing can be. */
  onZoom?(fromMs: number, toMs: number): void;
  onAt(at: number | undefined): void;
}

/** What a chart of lines is given. */
export interface LineChartProps extends ChartEvents {
  readonly title: string;
  readonly unit: string;
  readonly fromMs: number;
  readonly stepMs: number;
  readonly steps: number;
  readonly lines: readonly DrawnLine[];
  /** Upper end of its scale, from the largest value. */
  topOf(max: number): number;
  /** A value for people. */
  textOf(value: number | null | undefined): string;
  /** Height in pixels. */
  readonly height: number;
  /** The step whose values are told; undefined: the latest. All charts of a page show the same. */
  readonly at: number | undefined;
  readonly onReset?: () => void;
}

function optionsOf(
  width: number,
  { height, lines, topOf }: LineChartProps,
  events: () => ChartEvents,
): uPlot.Options {
  return {
    ...{ width, height },
    padding: [8, 24, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      drag: { x: events().onZoom !== undefined, y: false, dist: ZOOM_PIXELS_MIN },
    },
    scales: { y: { range: (_, _min, max) => [0, topOf(max ?? 0)] } },
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
      ...lines.map(({ name, values, colour, isDashed }): uPlot.Series => ({
        label: name,
        stroke: colourOf(colour),
        width: 1.75,
        points: {
          show: values.length < DOTS_MAX,
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
        events().onZoom?.(Math.round(from * 1000), Math.round(to * 1000));
      }],
    },
  };
}

/** The values at one instant, in the order of the lines: none changes its place. */
function Values(
  { lines, at, textOf }: Pick<LineChartProps, "lines" | "textOf"> & { readonly at: number },
): JSX.Element {
  const rest = lines.length - VALUES_SHOWN;
  return (
    <ul class="values">
      {lines.slice(0, VALUES_SHOWN).map((line) => (
        <li key={line.name}>
          <Swatch line={line} />
          <span class="muted cut">{line.name}</span>
          <b>{textOf(line.values[at])}</b>
        </li>
      ))}
      {rest > 0 && <li class="muted">and {rest} more</li>}
    </ul>
  );
}

/** The chart as it is drawn; drawn anew when lines or colours differ. */
function useChart(
  props: LineChartProps,
  data: uPlot.AlignedData,
): { current: HTMLDivElement | null } {
  const { lines, height, at } = props;
  const holder = useRef<HTMLDivElement>(null);
  const latest = useRef<ChartEvents>(props);
  latest.current = props;
  const chart = useRef<uPlot>(undefined);
  const look = `${isDark.value} ${lines.map(({ name, colour }) => `${name}:${colour}`)}`;
  useEffect(() => {
    const element = holder.current;
    if (element === null) return;
    const options = optionsOf(element.clientWidth, props, () => latest.current);
    const made = new uPlot(options, data, element);
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
  useEffect(() => chart.current?.setData(data), [data]);
  useEffect(() => {
    const drawn = chart.current;
    if (drawn === undefined || (drawn.cursor.idx ?? undefined) === at) return;
    const left = at === undefined ? -10 : drawn.valToPos(data[0][at], "x");
    drawn.setCursor({ left, top: 0 }, false);
  }, [at]);
  return holder;
}

/** One chart. Left and right, Home and End go from value to value; the text tells it. */
export function LineChart(props: LineChartProps): JSX.Element {
  const { title, unit, fromMs, stepMs, steps, lines, textOf, onAt } = props;
  const data = useMemo(() =>
    [
      timesOf({ fromMs, stepMs, steps }),
      ...lines.map(({ values }) => values),
    ] as [number[], ...(number | null)[][]], [fromMs, stepMs, steps, lines]);
  const holder = useChart(props, data);
  const at = Math.min(props.at ?? steps - 1, steps - 1);
  const when = formatInstant(fromMs + at * stepMs);
  const onKey = (event: KeyboardEvent): void => {
    const next = stepAfterKey(event.key, at, steps);
    if (next === null) return;
    event.preventDefault();
    onAt(next);
  };
  const told = lines.slice(0, VALUES_SHOWN)
    .map(({ name, values }) => `${name} ${textOf(values[at])}`).join(", ");
  return (
    <figure class="chart">
      <figcaption>
        <b>{title}</b> <span class="muted">{unit}</span>
        <time class="muted">{props.at === undefined ? "latest" : when}</time>
        <Values lines={lines} at={at} textOf={textOf} />
      </figcaption>
      <div
        ref={holder}
        class="canvas"
        style={{ height: props.height }}
        role="slider"
        tabIndex={0}
        aria-label={`${title} over time`}
        aria-valuemin={0}
        aria-valuemax={steps - 1}
        aria-valuenow={at}
        aria-valuetext={`${when}: ${told}`}
        onKeyDown={onKey}
        onBlur={() => onAt(undefined)}
        {...(props.onReset === undefined ? {} : { onDblClick: props.onReset })}
      />
    </figure>
  );
}
