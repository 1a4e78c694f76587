import assert from "node:assert/strict";
import { test } from "node:test";
import { type ScaleRule, ScaleRuleShape } from "../control/schemas.ts";
import { FleetScaler, type ScaleEffect } from "./fleet_scaler.ts";
import { type FleetNode, pickLeaving } from "./leaving_nodes.ts";

function ruleOf(values: Partial<ScaleRule> = {}): ScaleRule {
  return ScaleRuleShape.parse({
    ...{ metric: "calls", target: 100, max: 10, windowS: 10, stabilisationS: 20, startS: 30 },
    ...{ driver: "webhook", coolDownDownS: 10, drainS: 60, ...values },
  });
}

function nodeOf(port: number, values: Partial<FleetNode> = {}): FleetNode {
  return {
    ...{ modId: 1, cmdId: 1, ip: 0x0a00_0001, port, name: `10.0.0.1:${port}`, state: "on" },
    ...{ isKeptOut: false, callsPerSecond: 50, sinceMs: port * 1000, canLeave: true },
    ...values,
  };
}

/** A module under a rule, second by second. */
class Bench {
  scaler: FleetScaler;
  nodes = new Map<string, FleetNode>();
  nowMs = 1_000_000;
  rule = ruleOf();

  constructor(count: number, scaler = new FleetScaler()) {
    this.scaler = scaler;
    for (let port = 1; port <= count; port++) this.put(nodeOf(port));
  }

  put(node: FleetNode): void {
    this.nodes.set(node.name, node);
  }

  /** Passes time; the effects that came, as words. */
  pass(seconds: number, load: number | undefined): string[] {
    const said: string[] = [];
    for (let second = 0; second < seconds; second++) {
      this.nowMs += 1000;
      said.push(...words(this.scaler.look({
        ...{ rule: this.rule, nodes: [...this.nodes.values()], floor: 0, nowMs: this.nowMs },
        sample: load === undefined ? undefined : { atMs: this.nowMs, load, errorShare: 0 },
      })));
    }
    return said;
  }
}

function words(effects: readonly ScaleEffect[]): string[] {
  return effects.map((effect) => {
    if (effect.op === "event") return effect.kind;
    if (effect.op !== "order") return `${effect.op} ${effect.name}`;
    const { action, from, to, nodes } = effect.order;
    return [`${action} ${from}->${to}`, ...nodes].join(" ");
  });
}

test("A module grows once, waits for what it ordered, and says when that does not come", () => {
  const bench = new Bench(2);
  const said = bench.pass(12, 390);
  assert.deepEqual(said, ["scale.up", "start 2->4"]);
  assert.equal(bench.scaler.status?.pendingCount, 2);
  bench.put(nodeOf(3));
  assert.deepEqual(bench.pass(10, 390), []);
  assert.equal(bench.scaler.status?.pendingCount, 1);
  assert.deepEqual(bench.pass(20, 390), ["scale.late", "scale.up", "start 3->4"]);
});

test("A start that cannot be ordered is tried again after the cool-down", () => {
  const bench = new Bench(2);
  bench.pass(12, 390);
  bench.scaler.failed({ action: "start", from: 2, to: 4, nodes: [], reason: "" });
  assert.deepEqual(bench.pass(15, 390), ["scale.up", "start 2->4"]);
});

test("A node is drained, asked about, stopped, and forgotten when it has gone", () => {
  const bench = new Bench(4);
  const said = bench.pass(30, 150);
  assert.deepEqual(said, ["scale.down", "drain 10.0.0.1:4"]);
  bench.put(nodeOf(4, { state: "drain" }));
  assert.deepEqual(bench.scaler.draining.map(({ name }) => name), ["10.0.0.1:4"]);
  assert.deepEqual(words(bench.scaler.safe(["10.0.0.1:4", "10.0.0.1:1"], bench.nowMs)), [
    "stop 4->3 10.0.0.1:4",
  ]);
  assert.deepEqual(bench.scaler.status?.stopping, ["10.0.0.1:4"]);
  bench.nodes.delete("10.0.0.1:4");
  assert.deepEqual(bench.pass(1, 290), ["free 10.0.0.1:4", "scale.gone"]);
});

test("Load that comes back takes drains back, and starts only what is still missing", () => {
  const bench = new Bench(4);
  bench.pass(30, 150);
  bench.put(nodeOf(4, { state: "drain" }));
  bench.rule = ruleOf({ coolDownUpS: 0 });
  const said = bench.pass(6, 480);
  assert.deepEqual(said, ["scale.up", "restore 10.0.0.1:4", "scale.up", "start 4->5"]);
  assert.deepEqual(bench.pass(4, 480), ["restore 10.0.0.1:4"], "until the route says so");
  bench.put(nodeOf(4));
  assert.deepEqual(bench.pass(4, 480), []);
});

test("A node that is told to stop gets no calls again, whatever comes", () => {
  const bench = new Bench(4);
  bench.pass(30, 150);
  bench.put(nodeOf(4, { state: "drain" }));
  bench.scaler.safe(["10.0.0.1:4"], bench.nowMs);
  bench.rule = ruleOf({ coolDownUpS: 0 });
  const said = bench.pass(45, 480);
  assert.ok(!said.includes("restore 10.0.0.1:4"), said.join());
  assert.ok(said.includes("start 4->5"), said.join());
  assert.ok(said.includes("stop 6->5 10.0.0.1:4"), "ordered again when it should have stopped");
});

test("Nodes that stop count for max until they are gone", () => {
  const bench = new Bench(4);
  bench.rule = ruleOf({ max: 4 });
  bench.pass(30, 150);
  bench.put(nodeOf(4, { state: "drain" }));
  bench.scaler.safe(["10.0.0.1:4"], bench.nowMs);
  assert.deepEqual(bench.pass(20, 900), []);
  bench.nodes.delete("10.0.0.1:4");
  assert.ok(bench.pass(2, 900).includes("start 3->4"));
});

test("A drain that is not safe in time, or that somebody takes back, is over", () => {
  const slow = new Bench(4);
  slow.pass(30, 150);
  slow.put(nodeOf(4, { state: "drain" }));
  const said = slow.pass(62, 310);
  assert.deepEqual(said.slice(0, 2), ["restore 10.0.0.1:4", "scale.cancel"]);
  const byHand = new Bench(4);
  byHand.pass(30, 150);
  byHand.put(nodeOf(4, { state: "on" }));
  assert.deepEqual(byHand.pass(20, 310), ["scale.cancel"]);
});

test("Another service goes on with what the one before did", () => {
  const first = new Bench(4);
  first.pass(30, 150);
  first.put(nodeOf(4, { state: "drain" }));
  const memory = JSON.parse(JSON.stringify(first.scaler.memory));
  const second = new Bench(4, new FleetScaler(memory));
  second.nowMs = first.nowMs;
  second.put(nodeOf(4, { state: "drain" }));
  assert.deepEqual(second.pass(1, 150), []);
  assert.equal(second.scaler.draining.length, 1);
  assert.deepEqual(words(second.scaler.cancel("the rule is off", second.nowMs)), [
    "restore 10.0.0.1:4",
  ]);
});

test("A dry rule says each step once and does nothing", () => {
  const bench = new Bench(2);
  bench.rule = ruleOf({ driver: "dry" });
  assert.deepEqual(bench.pass(40, 390), ["scale.up"]);
  assert.deepEqual(bench.scaler.memory.leaving, []);
});

test("Data that stops holds everything, and shrinking waits for a whole window of it again", () => {
  const bench = new Bench(4);
  bench.pass(18, 150);
  assert.deepEqual(bench.pass(60, undefined), []);
  assert.match(bench.scaler.status?.reason ?? "", /no data/);
  assert.deepEqual(bench.pass(24, 150), []);
  assert.deepEqual(bench.pass(3, 150), ["scale.down", "drain 10.0.0.1:4"]);
});

test("Idle nodes leave first, then the youngest; those of an operator never", () => {
  const nodes = [
    nodeOf(1, { callsPerSecond: 0 }),
    nodeOf(2),
    nodeOf(3),
    nodeOf(4, { canLeave: false }),
    nodeOf(5, { state: "drain" }),
  ];
  const names = pickLeaving(nodes, 9).map(({ port }) => port);
  assert.deepEqual(names, [1, 3, 2]);
  assert.equal(pickLeaving(nodes, 0).length, 0);
});
