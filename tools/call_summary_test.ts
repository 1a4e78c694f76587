import assert from "node:assert/strict";
import { test } from "node:test";
import type { CallStatusRow } from "../sql/store.ts";
import { summariseCalls, SUMMARY_MODULES_MAX, SUMMARY_NODES_MAX } from "./call_summary.ts";

function row(values: Partial<CallStatusRow>): CallStatusRow {
  return {
    modId: 1,
    cmdId: 1,
    ip: 0x0a000001,
    port: 80,
    caller: 1,
    succCount: 0,
    errCount: 0,
    ts: 100,
    overload: false,
    ...values,
  };
}

test("summariseCalls() adds up modules, worst first, and names overloaded nodes", () => {
  const summary = summariseCalls([
    row({ succCount: 90, errCount: 10, ts: 105 }),
    row({ caller: 2, succCount: 100, overload: true }),
    row({ modId: 2, succCount: 1, errCount: 1 }),
    row({ modId: 3 }),
  ]);
  assert.equal(summary.module_count, 3);
  assert.equal(summary.last_ts, 105);
  assert.deepEqual(summary.modules.map(({ modid, error_share }) => [modid, error_share]), [
    [2, 0.5],
    [1, 0.05],
    [3, 0],
  ]);
  assert.deepEqual(summary.overloaded, [
    { modid: 1, cmdid: 1, node: "10.0.0.1:80", agents: 1, agents_total: 2 },
  ]);
});

test("summariseCalls() of nothing is empty", () => {
  assert.deepEqual(summariseCalls([]), {
    module_count: 0,
    last_ts: 0,
    modules: [],
    overloaded_count: 0,
    overloaded: [],
  });
});

test("summariseCalls() names a limited number and counts all", () => {
  const rows = Array.from({ length: 50 }, (_, index) => row({ modId: index, overload: true }));
  const summary = summariseCalls(rows);
  assert.equal(summary.modules.length, SUMMARY_MODULES_MAX);
  assert.equal(summary.overloaded.length, SUMMARY_NODES_MAX);
  assert.equal(summary.overloaded_count, 50);
});
