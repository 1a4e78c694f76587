// Goal: the shares that previews and explanations tell are those that picks come to. Method: random
// modules, picked from often, under policies that go by turns or chance; and values by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { seededRng } from "../../reactor/time/rng.ts";
import type { RouteNode } from "../../model/node.ts";
import { defaultBalanceSettings } from "../detection/balance_settings.ts";
import { DEFAULT_MODULE_POLICY, parseModulePolicy } from "../module_policy.ts";
import { RouteLb } from "../routes/route_lb.ts";
import { expectedShares } from "./expected_shares.ts";

const PICKS = 20_000;

function balancer(nodes: readonly RouteNode[], policy: string, zone: string, seed = 1): RouteLb {
  const lb = new RouteLb({
    settings: defaultBalanceSettings,
    rng: seededRng(seed),
    zone,
    onPull: () => {},
  });
  lb.use(1, 1, 0);
  lb.setModulePolicy(1, 1, policy);
  lb.update(1, 1, nodes, 0);
  return lb;
}

/** Share of the picks of each node, in the order of the route. */
function pickedShares(lb: RouteLb, nodes: readonly RouteNode[], picks = PICKS): number[] {
  const counts = new Map<number, number>();
  for (let index = 0; index < picks; index++) {
    const host = lb.getHost(1, 1, 1);
    // What is probed must not come back, nor have a call under way.
    if (typeof host !== "number") counts.set(host.ip, (counts.get(host.ip) ?? 0) + 1);
  }
  return nodes.map(({ ip }) => (counts.get(ip) ?? 0) / picks);
}

const node = fc.record({
  weight: fc.constantFrom(0, 1, 50, 100, 100, 100, 101, 9973),
  zone: fc.constantFrom("", "a", "b", "c"),
  state: fc.constantFrom("on", "on", "on", "drain", "off"),
  isSick: fc.constantFrom(false, false, false, true),
});

/** How far shares may be off: by turns hardly, by chance a little. */
const POLICIES: Readonly<Record<string, number>> = {
  "": 0.001,
  '{"policy":"smooth_weighted_round_robin"}': 0.001,
  '{"policy":"random_weighted"}': 0.02,
  '{"policy":"lars","zoneAware":true}': 0.02,
  '{"policy":"lars","evacuatedZones":["a"]}': 0.02,
  '{"policy":"smooth_weighted_round_robin","zoneAware":true,"overloadShareMax":0.5}': 0.02,
};

for (const [policy, off] of Object.entries(POLICIES)) {
  test(`expectedShares() are what picks come to: ${policy === "" ? "the default" : policy}`, () => {
    const module = fc.record({
      nodes: fc.array(node, { minLength: 1, maxLength: 8 }),
      zone: fc.constantFrom("", "a", "b"),
      seed: fc.integer({ min: 1, max: 1e6 }),
    });
    fc.assert(
      fc.property(module, ({ nodes, zone, seed }) => {
        const route = nodes.map(({ isSick: _sick, ...rest }, ip) => ({ ip, port: 80, ...rest }));
        const lb = balancer(route, policy, zone, seed);
        nodes.forEach(({ isSick }, ip) => {
          for (let call = 0; isSick && call < 15; call++) lb.report(1, 1, ip, 80, 500, 0, 1);
        });
        const told = lb.explain(1, 1, 1)?.module?.nodes.map(({ expectedShare }) => expectedShare);
        const answered = (told ?? []).some((share) => share > 0) ? 1 : 0;
        const picked = pickedShares(lb, route);
        const got = picked.reduce((sum, share) => sum + share, 0);
        picked.forEach((share, index) => {
          // While all are out most calls are refused: shares are those of the others.
          const real = got > 0 ? share / got * answered : 0;
          const wanted = told?.[index] ?? -1;
          assert.ok(
            Math.abs(real - wanted) <= off,
            `node ${index}: ${wanted} told, ${real} picked`,
          );
        });
      }),
      { numRuns: 60 },
    );
  });
}

test("lars: weights count where they differ, and a change of one keeps it so", () => {
  const weights = [1, 100, 100];
  const route = weights.map((weight, ip) => ({ ip, port: 80, weight }));
  const lb = balancer(route, "", "");
  const picks = pickedShares(lb, route, 201).map((share) => Math.round(share * 201));
  assert.deepEqual(picks, [1, 100, 100]);
  const alike = route.map((node) => ({ ...node, weight: 7 }));
  lb.update(1, 1, alike, 1);
  assert.deepEqual(pickedShares(lb, alike, 30), [1 / 3, 1 / 3, 1 / 3]);
});

test("expectedShares() of a route: drained, weightless and evacuated nodes get nothing", () => {
  const nodes = [
    { weight: 300, zone: "a" },
    { weight: 100, zone: "b" },
    { weight: 0, zone: "b" },
  ];
  const { settings } = DEFAULT_MODULE_POLICY;
  assert.deepEqual(expectedShares(nodes, { settings }), [0.75, 0.25, 0]);
  const evacuated = parseModulePolicy('{"evacuatedZones":["a"]}').settings;
  assert.deepEqual(expectedShares(nodes, { settings: evacuated }), [0, 1, 0]);
  assert.deepEqual(expectedShares([{ weight: 0, zone: "" }], { settings }), [0]);
  assert.deepEqual(expectedShares([], { settings }), []);
});

test("expectedShares() of probes: one call in probeNum + 1 while some node is usable", () => {
  const { settings } = DEFAULT_MODULE_POLICY;
  const sick = { weight: 100, zone: "", isProbed: true };
  const well = { weight: 100, zone: "" };
  assert.deepEqual(expectedShares([sick, sick, well], { settings, probeNum: 9 }), [
    0.05,
    0.05,
    0.9,
  ]);
  assert.deepEqual(expectedShares([sick, sick], { settings, probeNum: 9 }), [0.5, 0.5]);
});
