// Shell. Charts of calls, errors, latency and overload: a range, one line in all or for each node or caller, zoom.

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import type { QueryOf } from "../../contract.ts";
import { call } from "../shell/api.ts";
import {
  formatCount,
  formatInstant,
  formatNumber,
  formatShare,
  formatTick,
  UNKNOWN,
} from "../parts/format.ts";
import { Icon } from "../parts/icons.tsx";
import { useLoad } from "../shell/live.ts";
import { knowsLatency, lineOf, type Measure, timesOf, totalsOf } from "./series.ts";
import { isDark, query, setQuery } from "../shell/state.ts";
import { Choice } from "../parts/fields.tsx";
import { Heads } from "../parts/tables.tsx";
import { Empty, Load } from "../parts/widgets.tsx";
import type { History, HistorySeries } from "../../../control/schemas.ts";

const RANGES = ["5m", "15m", "1h", "6h", "24h", "7d", "30d"] as const;
type Range = (typeof RANGES)[number];
const RANGE_TEXTS: readonly (readonly [Range, string])[] = [
  ["5m", "5 min"],
  ["15m", "15 min"],
  ["1h", "1 h"],
  ["6h", "6 h"],
  ["24h", "24 h"],
  ["7d", "7 d"],
  ["30d", "30 d"],
];
const BY = [
  ["total", "In all"],
  ["module", "Per module"],
  ["node", "Per node"],
  ["caller", "Per caller"],
] as const;
type By = (typeof BY)[number][0];

/** Lines drawn at first; the others wait in the table. */
const LINES_AT_FIRST = 8;
/** Colours of lines; from the second round on lines are dashed. */
const COLOURS = 8;
const CHART_HEIGHT = 190;
/** Shortest and longest pause between two looks at a range that ends now. */
const REFRESH_MIN_MS = 5000;
const REFRESH_MAX_MS = 60_000;
/** A selection narrower than this many pixels is a slip of the hand. */
const ZOOM_PIXELS_MIN = 6;

const MEASURES: readonly { measure: Measure; title: string; unit: string }[] = [
  { measure: "calls", title: "Calls", unit: "calls/s" },
  { measure: "errors", title: "Errors", unit: "% of calls" },
  { measure: "latency", title: "Latency", unit: "ms a call, mean" },
  { measure: "overload", title: "Kept out", unit: "% of reports" },
];

/** Measures in per cent. */
const SHARES: ReadonlySet<Measure> = new Set(["errors", "overload"]);

/** A line of the charts with its look. */
interface Line {
  readonly series: HistorySeries;
  readonly colour: number;
  readonly isDashed: boolean;
}

function colourOf(index: number): string {
  const name = `--line-${index + 1}`;
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function axisOf(): Pick<uPlot.Axis, "stroke" | "grid" | "ticks" | "font"> {
  const style = getComputedStyle(document.documentElement);
  const stroke = style.getPropertyValue("--muted").trim();
  const line = { stroke: style.getPropertyValue("--border").trim(), width: 1 };
  return { stroke, grid: line, ticks: line, font: "12px system-ui, sans-serif" };
}

function optionsOf(
  width: number,
  measure: Measure,
  lines: readonly Line[],
  onZoom: (fromMs: number, toMs: number) => void,
): uPlot.Options {
  return {
    width,
    height: CHART_HEIGHT,
    legend: { show: false },
    cursor: { sync: { key: "lars" }, drag: { x: true, y: false, dist: ZOOM_PIXELS_MIN } },
    scales: {
      y: {
        range: (_, _min, max) => {
          const top = Math.max(max ?? 0, measure === "calls" ? 0.1 : 1) * 1.08;
          return [0, SHARES.has(measure) ? Math.min(top, 100) : top];
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
        size: 56,
        values: (_, splits) => splits.map((value) => formatTick(value)),
      },
    ],
    series: [
      {},
      ...lines.map(({ series, colour, isDashed }): uPlot.Series => ({
        label: series.key,
        stroke: colourOf(colour),
        width: 1.75,
        points: { show: series.calls.length < 40, size: 4 },
        spanGaps: false,
        ...(isDashed ? { dash: [5, 4] } : {}),
      })),
    ],
    hooks: {
      setSelect: [(chart) => {
        if (chart.select.width < ZOOM_PIXELS_MIN) return;
        const from = chart.posToVal(chart.select.left, "x");
        const to = chart.posToVal(chart.select.left + chart.select.width, "x");
        onZoom(Math.round(from * 1000), Math.round(to * 1000));
      }],
    },
  };
}

/** One chart; the table under all of them says the same in numbers. */
function Chart(props: {
  history: History;
  lines: readonly Line[];
  measure: Measure;
  title: string;
  unit: string;
  onZoom: (fromMs: number, toMs: number) => void;
  onReset: () => void;
}): JSX.Element {
  const { history, lines, measure, title, unit } = props;
  const holder = useRef<HTMLDivElement>(null);
  const zoom = useRef(props.onZoom);
  zoom.current = props.onZoom;
  const look = `${isDark.value} ${lines.map(({ series, colour }) => `${series.key}:${colour}`)}`;
  const chart = useRef<uPlot>(undefined);
  const data = [
    timesOf(history),
    ...lines.map(({ series }) => lineOf(series, measure, history.stepMs)),
  ] as uPlot.AlignedData;
  useEffect(() => {
    const element = holder.current;
    if (element === null) return;
    const options = optionsOf(
      element.clientWidth,
      measure,
      lines,
      (from, to) => zoom.current(from, to),
    );
    const made = new uPlot(options, data, element);
    chart.current = made;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth > 0) {
        made.setSize({ width: element.clientWidth, height: CHART_HEIGHT });
      }
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
    };
  }, [look]);
  useEffect(() => chart.current?.setData(data), [history]);
  return (
    <figure class="chart">
      <figcaption>
        <b>{title}</b> <span class="muted">{unit}</span>
      </figcaption>
      <div
        ref={holder}
        class="canvas"
        role="img"
        aria-label={`${title} over time; the table below has the sums`}
        onDblClick={props.onReset}
      />
    </figure>
  );
}

function NoLatency(): JSX.Element {
  return (
    <figure class="chart">
      <figcaption>
        <b>Latency</b> <span class="muted">not known in this range</span>
      </figcaption>
      <p class="muted small">
        Callers did not tell what their calls took. <code>call()</code>{" "}
        of the client libraries does by itself; with <code>report()</code>{" "}
        pass the time, in milliseconds, as its last argument.
      </p>
    </figure>
  );
}

function Swatch({ line }: { line: Line }): JSX.Element {
  return (
    <svg class={`swatch line-${line.colour + 1}`} viewBox="0 0 18 4" aria-hidden="true">
      <path d={line.isDashed ? "M0 2h7M11 2h7" : "M0 2h18"} />
    </svg>
  );
}

function Legend(props: {
  lines: readonly Line[];
  hidden: ReadonlySet<string>;
  onToggle: (key: string) => void;
}): JSX.Element {
  return (
    <table class="rows legend">
      <caption class="hidden">Sums of the range; choose which lines are drawn</caption>
      <Heads names={["Line", "#Calls", "#Errors", "#Error share", "#Latency", "#Most kept out"]} />
      <tbody>
        {props.lines.map((line) => {
          const { series } = line;
          const totals = totalsOf(series);
          return (
            <tr key={series.key}>
              <td>
                <label class="check">
                  <input
                    type="checkbox"
                    checked={!props.hidden.has(series.key)}
                    onInput={() => props.onToggle(series.key)}
                  />
                  <Swatch line={line} />
                  <span class="cut">{series.key === "total" ? "in all" : series.key}</span>
                </label>
              </td>
              <td class="number">{formatCount(totals.calls)}</td>
              <td class="number">{formatCount(totals.errors)}</td>
              <td class="number">
                {totals.calls === 0 ? UNKNOWN : formatShare(totals.errorShare)}
              </td>
              <td class="number">
                {totals.latencyMs === null ? UNKNOWN : `${formatNumber(totals.latencyMs)} ms`}
              </td>
              <td class="number">{formatShare(totals.overloadShareMax)}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function Charts(props: {
  history: History;
  onZoom: (fromMs: number, toMs: number) => void;
  onReset: () => void;
}): JSX.Element {
  const { history } = props;
  const lines = history.series.map((series, index): Line => ({
    series,
    colour: index % COLOURS,
    isDashed: index >= COLOURS,
  }));
  const keys = lines.map(({ series }) => series.key).join(" ");
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  useEffect(() => {
    setHidden(new Set(lines.slice(LINES_AT_FIRST).map(({ series }) => series.key)));
  }, [keys]);
  const toggle = (key: string): void =>
    setHidden((old) => {
      const next = new Set(old);
      if (!next.delete(key)) next.add(key);
      return next;
    });
  if (history.series.length === 0) {
    return (
      <Empty icon="history" title="No calls in this range">
        <p>Calls stand here some ten seconds after callers report them. Try a longer range.</p>
      </Empty>
    );
  }
  const shown = lines.filter(({ series }) => !hidden.has(series.key));
  return (
    <>
      <div class="panel">
        {MEASURES.map((measure) =>
          measure.measure === "latency" && !knowsLatency(history)
            ? <NoLatency key="latency" />
            : <Chart key={measure.measure} {...props} {...measure} lines={shown} />
        )}
        <p class="muted small">
          {formatInstant(history.fromMs)} to{" "}
          {formatInstant(history.fromMs + history.steps * history.stepMs)}, a value for each{" "}
          {formatCount(history.stepMs / 1000)}{" "}
          s. Drag over a chart to zoom in, double-click to go back.
        </p>
      </div>
      <div class="panel flush">
        <Legend lines={lines} hidden={hidden} onToggle={toggle} />
        {history.isTruncated && (
          <p class="more warn">
            Too many points to read at once: the sums are too small. Choose a shorter range.
          </p>
        )}
        {history.seriesCount > history.series.length && (
          <p class="more muted">
            The {history.series.length} largest of {formatCount(history.seriesCount)} are shown.
          </p>
        )}
      </div>
    </>
  );
}

function readChoice(): { range: Range; by: By; from: string | null; to: string | null } {
  const parts = query.value;
  return {
    range: RANGES.find((range) => range === parts.get("range")) ?? "1h",
    by: BY.find(([by]) => by === parts.get("by"))?.[0] ?? "total",
    from: parts.get("from"),
    to: parts.get("to"),
  };
}

/** History of one module, or of everything. */
export function HistoryPanel(props: { modId?: number; cmdId?: number }): JSX.Element {
  const { range, by, from, to } = readChoice();
  const isZoomed = from !== null && to !== null;
  const wanted: QueryOf<"getHistory"> = {
    by,
    ...(props.modId === undefined
      ? {}
      : { modId: String(props.modId), cmdId: String(props.cmdId) }),
    ...(isZoomed ? { fromMs: from, toMs: to } : { range }),
  };
  const [stepMs, setStepMs] = useState(REFRESH_MIN_MS);
  const everyMs = Math.min(Math.max(stepMs, REFRESH_MIN_MS), REFRESH_MAX_MS);
  const history = useLoad(
    JSON.stringify(wanted),
    (signal) => call("getHistory", { query: wanted, signal }),
    isZoomed ? undefined : everyMs,
  );
  useEffect(() => setStepMs(history.value?.stepMs ?? REFRESH_MIN_MS), [history.value?.stepMs]);
  const reset = (): void => setQuery({ from: undefined, to: undefined });
  return (
    <section class="stack" aria-label="History">
      <div class="chart-tools">
        <Choice<Range>
          label="Range"
          value={range}
          options={RANGE_TEXTS}
          onChange={(next) =>
            setQuery({ range: next === "1h" ? undefined : next, from: undefined, to: undefined })}
        />
        <Choice<By>
          label="Lines"
          value={by}
          options={props.modId === undefined ? BY : BY.filter(([name]) => name !== "module")}
          onChange={(next) => setQuery({ by: next === "total" ? undefined : next })}
        />
        {isZoomed && (
          <button type="button" onClick={reset}>
            <Icon name="undo" />Zoom out
          </button>
        )}
      </div>
      <Load of={history} onRetry={history.reload} rows={8}>
        {(value) => (
          <Charts
            history={value}
            onReset={reset}
            onZoom={(fromMs, toMs) => setQuery({ from: String(fromMs), to: String(toMs) })}
          />
        )}
      </Load>
    </section>
  );
}
