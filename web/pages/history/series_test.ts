import assert from "node:assert/strict";
import { test } from "node:test";
import { knowsLatency, knowsRefused, lineOf, sparklinePath, timesOf, totalsOf } from "./series.ts";

const series = {
  key: "total",
  calls: [10, 0, 30],
  errors: [1, 0, 15],
  overloadShare: [0, 0, 0.5],
  latencyMs: [12.5, null, 0],
  meanLatencyMs: 4.2,
  refused: [0, 5, 0],
};
const history = {
  fromMs: 60_000,
  stepMs: 10_000,
  steps: 3,
  wholeMs: 90_000,
  gaps: [],
  series: [series],
  seriesCount: 1,
  isTruncated: false,
};

test("sparklinePath() spans the width and touches top and bottom", () => {
  assert.equal(sparklinePath([0, 2, 1], 20, 10).line, "M0 9L10 1L20 5");
  assert.equal(sparklinePath([0, 0], 20, 10).line, "M0 9L20 9");
  assert.match(sparklinePath([1, 2], 20, 10).area, /L20 10L0 10Z$/);
});

test("lineOf() gives rates, per cents and gaps", () => {
  assert.deepEqual(timesOf(history), [60, 70, 80]);
  assert.deepEqual(lineOf(series, "calls", history), [1, 0, 3]);
  assert.deepEqual(lineOf(series, "errors", history), [10, null, 50]);
  assert.deepEqual(lineOf(series, "overload", history), [0, 0, 50]);
  assert.deepEqual(lineOf(series, "latency", history), [12.5, null, 0]);
});

test("sparklinePath() leaves gaps open", () => {
  assert.deepEqual(sparklinePath([0, 2, null, 1, 2], 40, 10), {
    line: "M0 9L10 1M30 5L40 1",
    area: "M0 9L10 1L10 10L0 10ZM30 5L40 1L40 10L30 10Z",
  });
  assert.equal(sparklinePath([null, null], 20, 10).line, "");
});

test("lineOf() gives the rate of the part of a step that is known, and gaps", () => {
  const half = { ...history, wholeMs: 85_000 };
  assert.deepEqual(lineOf(series, "calls", half), [1, 0, 6], "half a step is no fall by half");
  const early = { ...history, wholeMs: 80_000 };
  assert.deepEqual(lineOf(series, "calls", early), [1, 0, null]);
  const gap = { ...history, gaps: [{ fromMs: 60_000, toMs: 80_000 }] };
  for (const measure of ["calls", "errors", "overload", "latency"] as const) {
    assert.deepEqual(lineOf(series, measure, gap).slice(0, 2), [null, null], measure);
  }
});

test("lineOf() of refused calls is a rate; where nobody is refused there is nothing to draw", () => {
  assert.deepEqual(lineOf(series, "refused", history), [0, 0.5, 0]);
  assert.equal(knowsRefused(history), true);
  const calm = { ...history, series: [{ ...series, refused: [0, 0, 0] }] };
  assert.equal(knowsRefused(calm), false);
});

test("totalsOf() adds a series up", () => {
  assert.deepEqual(totalsOf(series), {
    calls: 40,
    errors: 16,
    refused: 5,
    errorShare: 0.4,
    latencyMs: 4.2,
    overloadShareMax: 0.5,
  });
  const none = {
    ...{ key: "x", calls: [0], errors: [0], overloadShare: [0], refused: [0] },
    ...{ latencyMs: [null], meanLatencyMs: null },
  };
  assert.equal(totalsOf(none).errorShare, 0);
  assert.deepEqual([history, { ...history, series: [none] }].map(knowsLatency), [true, false]);
});
