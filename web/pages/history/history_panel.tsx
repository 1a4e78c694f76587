// Shell. Charts of calls, errors, latency and overload: a range, one line in all or for each node or caller, zoom.

import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import type { QueryOf } from "../../contract.ts";
import { call } from "../shell/api.ts";
import {
  formatCount,
  formatInstant,
  formatNumber,
  formatShare,
  formatSpan,
  UNKNOWN,
} from "../parts/format.ts";
import { Icon } from "../parts/icons.tsx";
import { useModuleNames } from "../shell/module_names.ts";
import { useLoad } from "../shell/live.ts";
import { Chart, type Line, lineName, linesOf, measuresOf } from "./chart.tsx";
import { Swatch } from "./line_chart.tsx";
import { knowsLatency, totalsOf } from "./series.ts";
import { query, setQuery } from "../shell/state.ts";
import { Choice } from "../parts/fields.tsx";
import { Heads } from "../parts/tables.tsx";
import { Empty, Load } from "../parts/widgets.tsx";
import type { History } from "../../../control/schemas.ts";

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
/** Height of a chart in pixels. */
const CHART_HEIGHT = 190;
/** Shortest and longest pause between two looks at a range that ends now. */
const REFRESH_MIN_MS = 5000;
const REFRESH_MAX_MS = 60_000;
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

function Legend(props: {
  lines: readonly Line[];
  hidden: ReadonlySet<string>;
  onToggle: (key: string) => void;
}): JSX.Element {
  const names = useModuleNames();
  return (
    <table class="rows legend">
      <caption class="hidden">Sums of the range; choose which lines are drawn</caption>
      <Heads
        names={[
          "Line",
          "#Calls",
          "#Errors",
          "#Error share",
          "#Latency",
          "#Most kept out",
          "#Refused",
        ]}
      />
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
                  <span class="cut">{lineName(series.key, names)}</span>
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
              <td class="number">{formatCount(totals.refused)}</td>
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
  const lines = useMemo(() => linesOf(history), [history]);
  const [at, setAt] = useState<number>();
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
  const shown = useMemo(() => lines.filter(({ series }) => !hidden.has(series.key)), [
    lines,
    hidden,
  ]);
  if (history.series.length === 0) {
    return (
      <Empty icon="history" title="No calls in this range">
        <p>Calls stand here some ten seconds after callers report them. Try a longer range.</p>
      </Empty>
    );
  }
  return (
    <>
      <div class="panel">
        {measuresOf(history).map((measure) =>
          measure.measure === "latency" && !knowsLatency(history)
            ? <NoLatency key="latency" />
            : (
              <Chart
                key={measure.measure}
                {...props}
                {...measure}
                lines={shown}
                height={CHART_HEIGHT}
                at={at}
                onAt={setAt}
              />
            )
        )}
        <p class="muted small">
          {formatInstant(history.fromMs)} to {formatInstant(history.wholeMs)}, a value for each{" "}
          {formatSpan(history.stepMs)}.{" "}
          {history.gaps.length > 0 && "Where a line is broken nobody told anything. "}
          Drag over a chart to zoom in, double-click to go back; with the keys, go to a chart and
          press <kbd>←</kbd> <kbd>→</kbd>.
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
