// Shell. Calls, errors and latency of everything in the last hour, for the overview.

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import type { History } from "../../../control/schemas.ts";
import { call } from "../shell/api.ts";
import { useLoad } from "../shell/live.ts";
import { withQuery } from "../shell/places.ts";
import { navigate } from "../shell/state.ts";
import { Chart, linesOf, measuresOf } from "./chart.tsx";
import { knowsLatency } from "./series.ts";

/** Height of a chart in pixels. */
const CHART_HEIGHT = 130;
/** The history grows by a value every ten seconds. */
const REFRESH_MS = 10_000;

function Charts({ history }: { history: History }): JSX.Element {
  const lines = useMemo(() => linesOf(history), [history]);
  const [at, setAt] = useState<number>();
  const shown = measuresOf(history).filter(({ measure }) =>
    measure !== "overload" && (measure !== "latency" || knowsLatency(history))
  );
  return (
    <div class="chart-row">
      {shown.map((measure) => (
        <Chart
          key={measure.measure}
          {...measure}
          history={history}
          lines={lines}
          height={CHART_HEIGHT}
          at={at}
          onAt={setAt}
          onReset={() => navigate("/history")}
          onZoom={(fromMs, toMs) =>
            navigate(withQuery("/history", { from: String(fromMs), to: String(toMs) }))}
        />
      ))}
    </div>
  );
}

/** The panel; what goes wrong with it is told by the page around it. */
export function LastHour(): JSX.Element {
  const history = useLoad(
    "last hour",
    (signal) => call("getHistory", { query: { range: "1h" }, signal }),
    REFRESH_MS,
    true,
  );
  const { value } = history;
  return (
    <section class="panel" aria-labelledby="last-hour">
      <h2 id="last-hour">
        <a href="/history">The last hour</a>
      </h2>
      {value === undefined
        ? <p class="muted">{history.problem?.title ?? "Loading …"}</p>
        : value.series.length === 0
        ? <p class="muted">No calls. They stand here some 15 seconds after callers report them.</p>
        : <Charts history={value} />}
    </section>
  );
}
