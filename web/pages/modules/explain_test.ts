import assert from "node:assert/strict";
import { test } from "node:test";
import { explainHealth, explainNodes, sinceText, stateTextOf, whyText } from "./explain.ts";
import type { NodeCondition } from "../../../balancer/explain.ts";
import type { ModuleDetail, NodeStatus } from "../../../control/schemas.ts";

const node: NodeStatus = {
  ip: "10.0.0.1",
  port: 7000,
  weight: 100,
  zone: "",
  state: "on",
  health: "ok",
  wantedShare: 1,
  severity: null,
  troubleSinceMs: null,
  callsPerSecond: 30,
  errorShare: 0,
  callerCount: 3,
  overloadCallerCount: 0,
  reportedAtMs: 0,
  sparkline: [],
};
const module: ModuleDetail = {
  modId: 1,
  cmdId: 2,
  name: "pay",
  policy: "lars",
  health: "ok",
  severity: null,
  troubleSinceMs: null,
  nodeCount: 1,
  onCount: 1,
  overloadCount: 0,
  callsPerSecond: 30,
  errorShare: 0,
  refusedPerSecond: 0,
  refusedShare: 0,
  refusedBy: { overload: 0, unusable: 0, noNode: 0, noRoute: 0 },
  policyText: "",
  revision: "r",
  nodes: [node],
};

test("explainNodes() tells the share a node is to get, and the one it gets", () => {
  const [heavy, light, drained] = explainNodes({
    nodes: [
      { ...node, weight: 300, wantedShare: 0.75 },
      { ...node, callsPerSecond: 10, wantedShare: 0.25 },
      { ...node, state: "drain", callsPerSecond: 0, wantedShare: 0 },
    ],
  });
  assert.equal(heavy.wantedShare, 0.75);
  assert.equal(heavy.realShare, 0.75);
  assert.equal(light.wantedShare, 0.25);
  assert.equal(drained.wantedShare, 0);
  assert.match(drained.reason, /removed in peace/);
  assert.equal(explainNodes({ nodes: [{ ...node, callsPerSecond: 0 }] })[0].realShare, null);
});

test("each state of a node has its own reason", () => {
  const reason = (values: Partial<NodeStatus>): string =>
    explainNodes({ nodes: [{ ...node, ...values }] })[0].reason;
  assert.match(reason({}), /^In use: 100 %/);
  assert.match(reason({ state: "off" }), /^Switched off/);
  assert.match(reason({ state: "drain" }), /under way/);
  assert.match(reason({ weight: 0 }), /^Weight 0/);
  assert.match(reason({ health: "overload", errorShare: 0.5 }), /all of 3 callers.*50 %/);
  const quiet = { health: "overload", callerCount: 1, errorShare: 0 } as const;
  assert.match(reason(quiet), /^Kept out by its only caller: too many of its calls failed\./);
  assert.match(reason({ health: "partial", overloadCallerCount: 1 }), /by 1 of 3 callers/);
  assert.match(reason({ health: "idle" }), /^Nobody reported/);
});

test("explainModule() says what callers get", () => {
  assert.match(explainHealth(module), /every node/);
  assert.match(explainHealth({ ...module, nodes: [] }), /does not exist/);
  for (const none of [{ state: "off" }, { weight: 0 }] as const) {
    assert.match(explainHealth({ ...module, nodes: [{ ...node, ...none }] }), /No node is on/);
  }
  const out: NodeStatus = { ...node, health: "overload" };
  assert.match(
    explainHealth({ ...module, health: "degraded", nodes: [node, out] }),
    /^1 node of 2 kept out/,
  );
});

test("an agent's times and reasons say what they are of", () => {
  const since = (condition: string): string => sinceText({ condition, sinceMs: 38_000 });
  assert.equal(since("idle"), "for 38 s");
  assert.equal(since("resting"), "out for 38 s");
  assert.equal(since("overload"), "out for 38 s");
  assert.equal(since("drain"), "");
  const why = (condition: string): string => whyText({ condition, reason: "3 probes went well" });
  assert.equal(why("idle"), "Last decision: 3 probes went well");
  assert.equal(why("overload"), "3 probes went well");
  assert.equal(whyText({ condition: "idle", reason: "" }), "–");
});

test("stateTextOf() has a word for every condition of the balancer, and shows unknown ones", () => {
  const conditions = ["idle", "ramping", "held", "overload", "resting", "drain", "off"] as const;
  const known: Record<NodeCondition, true> = {
    idle: true,
    ramping: true,
    held: true,
    overload: true,
    resting: true,
    drain: true,
    off: true,
  };
  assert.deepEqual(Object.keys(known), [...conditions]);
  for (const condition of conditions) {
    assert.notEqual(stateTextOf(condition).title, stateTextOf("newer").title, condition);
  }
  assert.equal(stateTextOf("newer").text, "newer");
  assert.equal(stateTextOf("constructor").text, "constructor");
});

test("a node that failed a moment ago, and does no more, is not said to fail 0 %", () => {
  const failing = { ...node, health: "failing" as const, callerCount: 1, callsPerSecond: 30 };
  const reasonAt = (errorShare: number): string =>
    explainNodes({ nodes: [{ ...failing, errorShare }] })[0].reason;
  assert.match(reasonAt(0.4), /^40 % of its calls fail, and no caller keeps it out/);
  assert.match(reasonAt(0), /^Calls failed within the last 10 s, .*they succeed now\.$/);
});
