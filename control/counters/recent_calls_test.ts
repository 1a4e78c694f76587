import assert from "node:assert/strict";
import { test } from "node:test";
import type { CallHistoryPoint } from "../../sql/results/call_history.ts";
import { groupCalls, sumCalls } from "./recent_calls.ts";

function point(modId: number, values: Partial<CallHistoryPoint> = {}): CallHistoryPoint {
  return {
    atSeconds: 0,
    module: { modId, cmdId: 1 },
    succCount: 3,
    errCount: 1,
    overloadShare: 0,
    timedCount: 0,
    timeMsSum: 0,
    refusedCount: 0,
    ...values,
  };
}

test("sumCalls() adds up, and tells a mean of the calls whose time is known", () => {
  assert.deepEqual(sumCalls([]), { calls: 0, errors: 0, meanMs: null, refused: 0 });
  assert.deepEqual(sumCalls([point(1), point(1)]), {
    calls: 8,
    errors: 2,
    meanMs: null,
    refused: 0,
  });
  const timed = [
    point(1, { timedCount: 1, timeMsSum: 10 }),
    point(2, { timedCount: 2, refusedCount: 3 }),
  ];
  assert.deepEqual(sumCalls(timed), { calls: 8, errors: 2, meanMs: 3.333, refused: 3 });
});

test("groupCalls() does so for each group", () => {
  const groups = groupCalls(
    [point(1), point(2, { errCount: 0 }), point(1)],
    ({ module }) => String(module?.modId),
  );
  assert.deepEqual([...groups], [
    ["1", { calls: 8, errors: 2, meanMs: null, refused: 0 }],
    ["2", { calls: 3, errors: 0, meanMs: null, refused: 0 }],
  ]);
});
