import assert from "node:assert/strict";
import { test } from "node:test";
import type { CallHistory, CallHistoryPoint } from "../../sql/results/call_history.ts";
import { historyQuery, historyView } from "./history_views.ts";
import { History } from "../schemas.ts";

const NODES = [{ ip: 0x0a000001, port: 80 }, { ip: 0x0a000002, port: 80 }];

function point(atSeconds: number, node: number, more: Partial<CallHistoryPoint>): CallHistoryPoint {
  return {
    atSeconds,
    module: { modId: 1, cmdId: 2 },
    node: NODES[node],
    succCount: 8,
    errCount: 2,
    overloadShare: 0,
    timedCount: 0,
    timeMsSum: 0,
    ...more,
  };
}

function historyOf(points: readonly CallHistoryPoint[]): CallHistory {
  return { stepSeconds: 10, fromSeconds: 100, toSeconds: 130, points, truncated: false };
}

const query = historyQuery({ modId: 1, cmdId: 2, by: "node" }, 130_000);

test("historyView() gives the mean time of calls where it is known", () => {
  const view = historyView(
    historyOf([
      point(100, 0, { timedCount: 4, timeMsSum: 10 }),
      point(110, 0, { succCount: 80, timedCount: 1, timeMsSum: 100 }),
      point(100, 1, {}),
      point(120, 0, { timedCount: 2, timeMsSum: 0, overloadShare: 0.12345 }),
    ]),
    query,
  );
  assert.deepEqual(History.parse(view).series, [
    {
      key: "10.0.0.1:80",
      calls: [10, 82, 10],
      errors: [2, 2, 2],
      overloadShare: [0, 0, 0.123],
      latencyMs: [2.5, 100, 0],
      // Each call counts the same, not each step.
      meanLatencyMs: 15.714,
    },
    {
      key: "10.0.0.2:80",
      calls: [10, 0, 0],
      errors: [2, 0, 0],
      overloadShare: [0, 0, 0],
      latencyMs: [null, null, null],
      meanLatencyMs: null,
    },
  ]);
});

test("historyView() leaves points outside the range out", () => {
  const { series, steps } = historyView(
    historyOf([point(90, 0, { timedCount: 1 }), point(130, 0, { timedCount: 1 })]),
    query,
  );
  assert.equal(steps, 3);
  assert.deepEqual(series.map((one) => [one.calls, one.meanLatencyMs]), [[[0, 0, 0], null]]);
});
