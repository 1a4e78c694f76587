import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeCallTotals } from "../../sql/console/console_store.ts";
import { summariseCalls, SUMMARY_MODULES_MAX, SUMMARY_NODES_MAX } from "./call_summary.ts";

function node(values: Partial<NodeCallTotals>): NodeCallTotals {
  return {
    modId: 1,
    cmdId: 1,
    ip: 0x0a000001,
    port: 80,
    succTotal: 0,
    errTotal: 0,
    succCount: 0,
    errCount: 0,
    callerCount: 1,
    overloadCount: 0,
    ts: 100,
    ...values,
  };
}

test("summariseCalls() adds up modules, worst first, and names overloaded nodes", () => {
  const summary = summariseCalls(
    [
      node({ succCount: 90, errCount: 10, ts: 105 }),
      node({ port: 81, succCount: 100, callerCount: 2, overloadCount: 1 }),
      node({ modId: 2, succCount: 1, errCount: 1 }),
      node({ modId: 3 }),
    ],
    new Map([
      ["2/1", { calls: 2, errors: 1, meanMs: 7.5, refused: 0 }],
      ["4/1", { calls: 0, errors: 0, meanMs: null, refused: 9 }],
      ["1/1", { calls: 60, errors: 3, meanMs: null, refused: 20 }],
    ]),
  );
  assert.equal(summary.moduleCount, 4, "one of them has refused calls alone");
  assert.equal(summary.lastTs, 105);
  const none = { cmdId: 1, meanMs: null, refused: 0 };
  assert.deepEqual(summary.modules, [
    { ...none, modId: 4, succ: 0, err: 0, errorShare: 0, refused: 9, overloadedNodes: 0 },
    { ...none, modId: 2, succ: 1, err: 1, errorShare: 0.5, meanMs: 7.5, overloadedNodes: 0 },
    { ...none, modId: 1, succ: 190, err: 10, errorShare: 0.05, refused: 20, overloadedNodes: 1 },
    { ...none, modId: 3, succ: 0, err: 0, errorShare: 0, overloadedNodes: 0 },
  ]);
  assert.deepEqual(summary.overloaded, [
    { modId: 1, cmdId: 1, node: "10.0.0.1:81", agents: 1, agentsTotal: 2 },
  ]);
});

test("summariseCalls() leaves out what is old", () => {
  const ghost = { ts: 50, modId: 9, errCount: 5, callerCount: 0, overloadCount: 0 };
  const summary = summariseCalls([node({ succCount: 1 }), node(ghost)], new Map(), 100);
  assert.deepEqual(summary.modules.map(({ modId }) => modId), [1]);
  assert.equal(summary.lastTs, 100);
  assert.equal(summariseCalls([node(ghost)], new Map(), 100).lastTs, 50, "the latest is told");
});

test("summariseCalls() of nothing is empty", () => {
  assert.deepEqual(summariseCalls([], new Map()), {
    moduleCount: 0,
    lastTs: 0,
    modules: [],
    overloadedCount: 0,
    overloaded: [],
  });
});

test("summariseCalls() names a limited number and counts all", () => {
  const nodes = Array.from({ length: 50 }, (_, index) => node({ modId: index, overloadCount: 1 }));
  const summary = summariseCalls(nodes, new Map());
  assert.equal(summary.modules.length, SUMMARY_MODULES_MAX);
  assert.equal(summary.overloaded.length, SUMMARY_NODES_MAX);
  assert.equal(summary.overloadedCount, 50);
});
