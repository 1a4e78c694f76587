import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultBalanceSettings, RouteLb } from "../../balancer/mod.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import { EXPLANATION_BYTES_MAX, explanationPage } from "./shard.ts";

function moduleOf(nodes: number): RouteLb {
  const lb = new RouteLb({ settings: defaultBalanceSettings, rng: seededRng(1), onPull: () => {} });
  lb.getHost(1, 1, 0);
  const route = Array.from({ length: nodes }, (_, i) => ({
    ip: i + 1,
    port: 80,
    zone: "zürich".repeat(i % 10),
  }));
  lb.update(1, 1, route, 0);
  return lb;
}

test("pages of an explanation fit a datagram, and together have every node once", () => {
  const explained = moduleOf(1000).explain(1, 1, 5);
  assert.ok(explained !== undefined);
  const seen: string[] = [];
  let pages = 0;
  for (let nodeCount = 1; seen.length < nodeCount; pages++) {
    const text = explanationPage(explained, seen.length);
    assert.ok(new TextEncoder().encode(text).length <= EXPLANATION_BYTES_MAX);
    const { state, module } = JSON.parse(text);
    assert.equal(state, "ready");
    nodeCount = module.nodeCount;
    assert.ok(module.nodes.length > 0);
    seen.push(...module.nodes.map(({ node }: { node: string }) => node));
  }
  assert.ok(pages > 1);
  assert.deepEqual(seen, explained.module?.nodes.map(({ node }) => node));
  assert.deepEqual(JSON.parse(explanationPage(explained, 5000)).module.nodes, []);
});

test("an explanation has one node at least, and none where there is none", () => {
  const explained = moduleOf(2).explain(1, 1, 5);
  assert.ok(explained !== undefined);
  assert.equal(JSON.parse(explanationPage(explained, 0, 1)).module.nodes.length, 1);
  const empty = moduleOf(0).explain(1, 1, 5);
  assert.ok(empty !== undefined);
  assert.deepEqual(JSON.parse(explanationPage(empty, 0)), { state: "empty", ageMs: 5 });
});
