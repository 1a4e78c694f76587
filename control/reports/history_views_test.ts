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
    refusedCount: 0,
    ...more,
  };
}

function historyOf(points: readonly CallHistoryPoint[]): CallHistory {
  return { stepSeconds: 10, fromSeconds: 100, toSeconds: 130, points, truncated: false };
}

/** Five seconds after the end of the last bucket. */
const query = historyQuery({ modId: 1, cmdId: 2, by: "node" }, 135_000);
const NOTHING = historyOf([]);

test("historyView() gives the mean time of calls where it is known", () => {
  const view = historyView(
    historyOf([
      point(100, 0, { timedCount: 4, timeMsSum: 10 }),
      point(110, 0, { refusedCount: 7, succCount: 80, timedCount: 1, timeMsSum: 100 }),
      point(100, 1, {}),
      point(120, 0, { timedCount: 2, timeMsSum: 0, overloadShare: 0.12345 }),
    ]),
    query,
    NOTHING,
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
      refused: [0, 7, 0],
    },
    {
      key: "10.0.0.2:80",
      calls: [10, 0, 0],
      errors: [2, 0, 0],
      overloadShare: [0, 0, 0],
      latencyMs: [null, null, null],
      meanLatencyMs: null,
      refused: [0, 0, 0],
    },
  ]);
});

test("historyView() leaves points outside the range out", () => {
  const { series, steps } = historyView(
    historyOf([point(90, 0, { timedCount: 1 }), point(130, 0, { timedCount: 1 })]),
    query,
    NOTHING,
  );
  assert.equal(steps, 3);
  assert.deepEqual(series.map((one) => [one.calls, one.meanLatencyMs]), [[[0, 0, 0], null]]);
});

test("historyQuery() ends where the history is whole, at any time of a bucket", () => {
  for (let wallMs = 1_000_000; wallMs < 1_030_000; wallMs += 100) {
    const { toSeconds } = historyQuery({ range: "1h" }, wallMs);
    assert.equal(toSeconds % 10, 0);
    assert.ok(
      toSeconds * 1000 + 5000 <= wallMs,
      "the bucket before has had its time to be written",
    );
    assert.ok(toSeconds * 1000 + 15_000 > wallMs, "and no whole bucket is left out");
    const zoomed = historyQuery({ fromMs: 900_000, toMs: 2_000_000 }, wallMs);
    assert.equal(zoomed.toSeconds, toSeconds, "a range into the future ends there too");
  }
  assert.equal(historyQuery({ fromMs: 500_000, toMs: 600_000 }, 1_000_000).toSeconds, 600);
  const coming = historyQuery({ fromMs: 990_000, toMs: 995_000 }, 990_000);
  assert.ok(
    coming.toSeconds > coming.fromSeconds,
    "what has not been yet is asked for all the same",
  );
});

test("historyView() tells how far it is whole, and where nothing is known", () => {
  const asked = { fromSeconds: 1000, toSeconds: 2500, stepSeconds: 60 };
  const known = (...times: number[]): CallHistory => ({
    ...{ stepSeconds: 60, fromSeconds: 960, toSeconds: 2520, truncated: false },
    points: times.map((atSeconds) => point(atSeconds, 0, {})),
  });
  const gapsOf = (...times: number[]): number[][] =>
    historyView(known(), asked, known(...times)).gaps.map(({ fromMs, toMs }) => [
      fromMs / 1000,
      toMs / 1000,
    ]);
  const all = Array.from({ length: 26 }, (_, index) => 960 + index * 60);
  assert.deepEqual(gapsOf(...all), []);
  assert.deepEqual(gapsOf(), [[960, 2500]]);
  assert.deepEqual(gapsOf(...all.filter((at) => at >= 1320)), [[960, 1320]], "before all began");
  assert.deepEqual(gapsOf(...all.filter((at) => at < 2100)), [[2100, 2500]], "since it ended");
  assert.deepEqual(gapsOf(...all.filter((at) => at < 1200 || at > 1600)), [[1200, 1620]]);
  assert.deepEqual(gapsOf(...all.filter((at) => at !== 1200)), [], "a minute without calls is 0");
  const view = historyView(known(), asked, known());
  assert.deepEqual([view.wholeMs, view.steps], [2_500_000, 26]);
});

test("historyQuery() refuses a range that is none, also where both ends are in one second", () => {
  const ranges = [[2_000_000, 1_000_000], [1_000_005, 1_000_001], [5, 1], [7, 7]];
  for (const [fromMs, toMs] of ranges) {
    assert.throws(() => historyQuery({ fromMs, toMs }, 2_000_000), /longer than 0/);
  }
  assert.equal(historyQuery({ fromMs: 1, toMs: 5 }, 2_000_000).fromSeconds, 0);
});
