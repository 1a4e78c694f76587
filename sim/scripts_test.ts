import assert from "node:assert/strict";
import { test } from "node:test";
import { isWell } from "./node_model.ts";
import { makeScript, SCRIPT_NAMES, type SimScript } from "./scripts.ts";

/** Conditions and the route as they are when a script is over. */
function leftBehind(script: SimScript): { sick: number[]; route: readonly number[] } {
  const sick = new Set<number>();
  let route = script.route;
  for (const change of script.changes) {
    if (change.kind === "route") route = change.route;
    else {
      for (const node of change.nodes) {
        if (isWell(change.condition)) sick.delete(node);
        else sick.add(node);
      }
    }
  }
  return { sick: [...sick], route };
}

for (const name of SCRIPT_NAMES) {
  test(`script ${name}: in order of time, within its bounds, and all is well after it`, () => {
    for (const [nodes, seconds] of [[1, 1], [7, 10], [100, 60]]) {
      const script = makeScript(name, { nodes, seconds });
      const times = script.changes.map(({ atMs }) => atMs);
      assert.deepEqual(times, [...times].sort((a, b) => a - b));
      // Sums of fractions may fall a hair beside the end.
      for (const atMs of times) {
        assert.ok(atMs >= script.fromMs && atMs <= script.toMs + 1e-6, `${atMs}`);
      }
      assert.ok(script.toMs <= seconds * 1000);
      const { sick, route } = leftBehind(script);
      assert.deepEqual(sick, []);
      assert.equal(route.length, nodes);
    }
  });
}

test("makeScript() strikes a fifth of the nodes, and at least one", () => {
  assert.deepEqual(makeScript("crash", { nodes: 3, seconds: 60 }).struck, [0]);
  assert.deepEqual(makeScript("crash", { nodes: 20, seconds: 60 }).struck, [0, 1, 2, 3]);
  assert.equal(makeScript("all-sick", { nodes: 20, seconds: 60 }).struck.length, 20);
  assert.equal(makeScript("cold-start", { nodes: 20, seconds: 60 }).route.length, 16);
});

test("deploy-wave takes each node down once, one batch at a time", () => {
  const script = makeScript("deploy-wave", { nodes: 25, seconds: 60 });
  const down = new Set<number>();
  let restarts = 0;
  for (const change of script.changes) {
    if (change.kind === "route") continue;
    for (const node of change.nodes) {
      if (isWell(change.condition)) down.delete(node);
      else {
        down.add(node);
        restarts++;
      }
    }
    assert.ok(down.size <= 3, "25 nodes in 10 batches");
  }
  assert.equal(restarts, 25);
});

test("makeScript() strikes one zone of as many as it is told, or of three", () => {
  const usual = makeScript("zone-loss", { nodes: 7, seconds: 60 });
  assert.deepEqual([usual.zones, usual.struck], [3, [0, 3, 6]]);
  const two = makeScript("zone-loss", { nodes: 7, seconds: 60, zones: 2 });
  assert.deepEqual([two.zones, two.struck], [2, [0, 2, 4, 6]]);
  assert.equal(makeScript("crash", { nodes: 7, seconds: 60 }).zones, 1);
});

test("makeScript() strikes as many nodes, as hard, as it is told", () => {
  const script = makeScript("slow", { nodes: 20, seconds: 60, struck: 2, slowness: 10 });
  assert.deepEqual(script.struck, [0, 1]);
  const [change] = script.changes;
  assert.equal(change.kind === "condition" && change.condition.slowness, 10);
});
