// Goal: who walks through a plan calls the same nodes, as often, as who asks for each pick. Method: both
// are done for modules of every policy, with weights, zones, nodes that drain and nodes that are out.

import assert from "node:assert/strict";
import { test } from "node:test";
import { KEYED_LOOKS_MAX } from "../proto/table_layout.ts";
import { RetCode } from "../proto/message_ids.ts";
import { seededRng } from "../reactor/time/rng.ts";
import type { RouteNode } from "../model/node.ts";
import { defaultBalanceSettings, isOut, type PickPlan, REFUSED_TURN, RouteLb } from "./mod.ts";
import { PLAN_NODES_MAX } from "./pick_plan.ts";
import { tableKeyOf } from "./picking/murmur3.ts";

const node = (ip: number, more: Partial<RouteNode> = {}): RouteNode => ({ ip, port: 80, ...more });

function makeLb(zone = ""): RouteLb {
  return new RouteLb({
    settings: defaultBalanceSettings,
    rng: seededRng(7),
    zone,
    hasPlans: true,
    onPull: () => {},
  });
}

/** A module with these nodes; `policy` as people write it. */
function withRoute(nodes: readonly RouteNode[], policy = "", zone = ""): RouteLb {
  const lb = makeLb(zone);
  lb.use(1, 1, 0);
  lb.setModulePolicy(1, 1, policy);
  lb.update(1, 1, nodes, 0);
  return lb;
}

function planOf(lb: RouteLb): PickPlan | undefined {
  let taken: PickPlan | undefined;
  let count = 0;
  lb.plans?.take(100, (modId, cmdId, plan) => {
    assert.deepEqual([modId, cmdId], [1, 1]);
    taken = plan;
    count++;
  });
  assert.equal(count, 1, "the module did not change, or more than one did");
  return taken;
}

function sharesOf(plan: PickPlan | undefined): Map<number, number> {
  assert.ok(plan !== undefined, "there is no plan");
  const shares = new Map<number, number>();
  for (const turn of plan.turns) {
    const ip = turn === REFUSED_TURN ? -RetCode.Overload : plan.nodes[turn].ip;
    shares.set(ip, (shares.get(ip) ?? 0) + 1 / plan.turns.length);
  }
  return shares;
}

function sharesOfPicks(lb: RouteLb, picks = 30_000): Map<number, number> {
  const shares = new Map<number, number>();
  for (let i = 0; i < picks; i++) {
    const picked = lb.getHost(1, 1, 0);
    const ip = typeof picked === "number" ? -picked : picked.ip;
    shares.set(ip, (shares.get(ip) ?? 0) + 1 / picks);
  }
  return shares;
}

function assertAlike(got: Map<number, number>, wanted: Map<number, number>, within: number): void {
  for (const ip of new Set([...got.keys(), ...wanted.keys()])) {
    const [a, b] = [got.get(ip) ?? 0, wanted.get(ip) ?? 0];
    assert.ok(Math.abs(a - b) <= within, `${ip}: ${a} of the turns, ${b} of the picks`);
  }
}

const WEIGHTED = [node(1, { weight: 300 }), node(2, { weight: 100 }), node(3, { weight: 17 })];
const ZONED = [
  node(1, { zone: "a" }),
  node(2, { zone: "a", weight: 50 }),
  node(3, { zone: "b" }),
  node(4, { zone: "c", weight: 250 }),
];
const MIXED = [...WEIGHTED, node(9, { state: "drain" }), node(10, { state: "off" })];

const CASES: [string, RouteNode[], string, string][] = [
  ["equal weights", [node(1), node(2), node(3)], "", ""],
  ["weights", WEIGHTED, "", ""],
  ["drained and switched off", MIXED, "", ""],
  ["the preset", WEIGHTED, '{"policy":"recommended"}', ""],
  ["chance", WEIGHTED, '{"policy":"random_weighted"}', ""],
  ["smooth turns", WEIGHTED, '{"policy":"smooth_weighted_round_robin"}', ""],
  ["zones", ZONED, '{"policy":"lars","zoneAware":true}', "a"],
  ["an evacuated zone", ZONED, '{"policy":"lars","evacuatedZones":["a"]}', "a"],
];

for (const [name, nodes, policy, zone] of CASES) {
  test(`a plan has the shares of picks: ${name}`, () => {
    const lb = withRoute(nodes, policy, zone);
    const plan = planOf(lb);
    assertAlike(sharesOf(plan), sharesOfPicks(lb), 0.015);
  });
}

function fail(lb: RouteLb, ip: number): void {
  for (let i = 0; i < 20; i++) lb.report(1, 1, ip, 80, 1, 5, 0);
}

test("a node that is out has the share of probes", () => {
  const lb = withRoute([node(1), node(2), node(3), node(4)]);
  planOf(lb);
  fail(lb, 2);
  const plan = planOf(lb);
  assertAlike(sharesOf(plan), sharesOfPicks(lb), 0.01);
  assert.ok(Math.abs((sharesOf(plan).get(2) ?? 0) - 1 / 11) < 0.01);
});

test("where all nodes are out most calls are refused, and the others are probes", () => {
  const lb = withRoute([node(1), node(2)]);
  planOf(lb);
  fail(lb, 1);
  fail(lb, 2);
  const plan = planOf(lb);
  assertAlike(sharesOf(plan), sharesOfPicks(lb), 0.01);
  assert.ok((sharesOf(plan).get(-RetCode.Overload) ?? 0) > 0.9);
});

test("nodes that rest get nothing: a module without others refuses all calls", () => {
  const staged = '{"policy":"lars","recovery":"staged"}';
  const lb = withRoute([node(1)], staged);
  planOf(lb);
  fail(lb, 1);
  assert.deepEqual([...sharesOf(planOf(lb))], [[-RetCode.Overload, 1]]);
});

test("a growing share is in the plan, and grows in it", () => {
  const lb = withRoute([node(1), node(2), node(3)], '{"policy":"lars","slowStartMs":60000}');
  planOf(lb);
  lb.update(1, 1, [node(1), node(2), node(3), node(4)], 0);
  const first = sharesOf(planOf(lb)).get(4) ?? 0;
  lb.tick(45_000);
  const later = sharesOf(planOf(lb)).get(4) ?? 0;
  assert.ok(first > 0 && first < 0.1, `${first}`);
  assert.ok(later > 2 * first && later < 0.25, `${first}, then ${later}`);
});

for (const policy of ["least_connections", "p2c_ewma", "bounded_ring_hash"]) {
  test(`a policy that follows calls has no plan: ${policy}`, () => {
    assert.equal(planOf(withRoute(WEIGHTED, JSON.stringify({ policy }))), undefined);
  });
}

test("there is no plan without nodes, with too many, or in the mode that probes without refusing", () => {
  const gone = withRoute([node(1)]);
  gone.update(1, 1, [], 0);
  assert.equal(planOf(gone), undefined);
  const many = Array.from({ length: PLAN_NODES_MAX + 1 }, (_, i) => node(i + 1));
  assert.equal(planOf(withRoute(many)), undefined);
  assert.equal(planOf(withRoute([node(1, { state: "off" })])), undefined);
  const probing = withRoute([node(1)], '{"policy":"lars","whenAllOverload":"probe"}');
  planOf(probing);
  fail(probing, 1);
  assert.equal(planOf(probing), undefined);
});

test("a module that is forgotten is told without a plan", () => {
  const lb = new RouteLb({
    ...{ settings: defaultBalanceSettings, rng: seededRng(1), modulesMax: 1, hasPlans: true },
    onPull: () => {},
  });
  lb.use(1, 1, 0);
  lb.update(1, 1, [node(1)], 0);
  assert.ok(planOf(lb) !== undefined);
  lb.use(2, 2, 1);
  assert.equal(planOf(lb), undefined);
});

test("new numbers of the configuration change plans", () => {
  const lb = withRoute([node(1), node(2)]);
  fail(lb, 1);
  planOf(lb);
  lb.setSettings({ ...defaultBalanceSettings, probeNum: 3 });
  assert.ok(Math.abs((sharesOf(planOf(lb)).get(1) ?? 0) - 1 / 4) < 0.03);
});

/** The node of a key as shared_table.md says it is found. */
function findKey({ keyed }: PickPlan, key: string): number | undefined {
  assert.ok(keyed !== undefined);
  const { owners, hashes, hosts } = keyed;
  const hash = tableKeyOf(key);
  const { length } = owners;
  const found = hashes?.findIndex((one) => one >= hash) ?? hash % length;
  const step = hashes === undefined ? tableKeyOf(hash) % (length - 1) + 1 : 1;
  let entry = Math.max(found, 0);
  for (let look = 0; look < Math.min(length, KEYED_LOOKS_MAX); look++) {
    const host = hosts[owners[entry]];
    if (!isOut(host)) return host.ip;
    entry = (entry + step) % length;
  }
  return undefined;
}

for (const policy of ["ring_hash", "maglev"]) {
  test(`keys belong to the same nodes by plan and by pick: ${policy}`, () => {
    const nodes = [...WEIGHTED, ...[4, 5, 6, 7].map((ip) => node(ip))];
    const lb = withRoute(nodes, JSON.stringify({ policy }));
    const check = (): void => {
      const plan = planOf(lb);
      assert.ok(plan !== undefined);
      let compared = 0;
      for (let i = 0; i < 2000; i++) {
        const picked = lb.getHost(1, 1, 0, `user-${i}`);
        if (typeof picked === "number" || picked.overload) continue;
        assert.equal(findKey(plan, `user-${i}`), picked.ip, `user-${i}`);
        compared++;
      }
      assert.ok(compared > 1500);
    };
    check();
    fail(lb, 4);
    fail(lb, 5);
    check();
    lb.update(1, 1, nodes.slice(1), 0);
    check();
  });
}

test("a table of keys is the same object until the route changes", () => {
  const lb = withRoute(WEIGHTED, '{"policy":"maglev"}');
  const before = planOf(lb)?.keyed;
  fail(lb, 1);
  assert.equal(planOf(lb)?.keyed, before);
  lb.update(1, 1, WEIGHTED.slice(1), 0);
  assert.notEqual(planOf(lb)?.keyed, before);
});

test("keyed picks over several zones are made by the balancer", () => {
  const policy = '{"policy":"ring_hash","zoneAware":true}';
  const plan = planOf(withRoute(ZONED, policy, "a"));
  assert.deepEqual([plan?.keyed, plan?.keyedHere], [undefined, true]);
  const plain = planOf(withRoute(WEIGHTED));
  assert.deepEqual([plain?.keyed, plain?.keyedHere], [undefined, false]);
});
