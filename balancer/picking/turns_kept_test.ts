// Goal: a route or a policy that is written anew takes no node its turn, new routes begin anywhere,
// and idle nodes share calls by weight. Method: the balancer as an agent uses it, under each policy.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { seededRng } from "../../reactor/time/rng.ts";
import type { RouteNode } from "../../model/node.ts";
import type { StateChange } from "../balance_records.ts";
import { defaultBalanceSettings } from "../detection/balance_settings.ts";
import { POLICY_NAMES } from "../module_policy.ts";
import { RouteLb } from "../routes/route_lb.ts";

const COUNT = 4;

function nodes(
  count: number,
  change: (index: number) => Partial<RouteNode> = () => ({}),
): RouteNode[] {
  return Array.from({ length: count }, (_, ip) => ({ ip, port: 80, ...change(ip) }));
}

function balancer(seed = 1, changes: StateChange[] = []): RouteLb {
  const lb = new RouteLb({
    settings: defaultBalanceSettings,
    rng: seededRng(seed),
    zone: "a",
    onPull: () => {},
    onStateChange: (change) => changes.push(change),
  });
  lb.use(1, 1, 0);
  return lb;
}

/** Makes a call that goes well, and says which node it went to. */
function call(lb: RouteLb, nowMs: number): number {
  const host = lb.getHost(1, 1, nowMs);
  assert.ok(typeof host !== "number", `refused with ${host}`);
  lb.report(1, 1, host.ip, host.port, 0, 3, nowMs);
  return host.ip;
}

/** What is written again and again, while the nodes' shares should not change much. */
const WRITES: Readonly<Record<string, (lb: RouteLb, round: number, policy: string) => void>> = {
  weight: (lb, round) => {
    lb.update(1, 1, nodes(COUNT, (ip) => ip === 3 ? { weight: 100 + round % 2 } : {}), round);
  },
  "weights of all": (lb, round) => {
    lb.update(1, 1, nodes(COUNT, (ip) => ({ weight: 100 + (round + ip) % 2 })), round);
  },
  zone: (lb, round) => {
    lb.update(1, 1, nodes(COUNT, (ip) => ip === 3 ? { zone: `z${round % 2}` } : {}), round);
  },
  text: (lb, round, policy) => {
    lb.setModulePolicy(1, 1, JSON.stringify({ policy, errRate: round % 2 === 0 ? 0.1 : 0.11 }));
  },
};

for (const policy of POLICY_NAMES) {
  for (const [what, write] of Object.entries(WRITES)) {
    test(`${policy}: every node keeps its turn while the ${what} is written every 2 calls`, () => {
      const lb = balancer();
      lb.setModulePolicy(1, 1, JSON.stringify({ policy }));
      lb.update(1, 1, nodes(COUNT), 0);
      const counts = Array.from({ length: COUNT }, () => 0);
      for (let round = 1; round <= 100; round++) {
        write(lb, round, policy);
        for (let i = 0; i < 2; i++) counts[call(lb, round * 2000 + i)]++;
      }
      // A quarter is 50; by hashes and chance some have less.
      for (const count of counts) assert.ok(count >= 25, `${counts}`);
    });
  }
}

test("a node that changes its zone where zones count keeps its turn in the other one", () => {
  for (const policy of ["lars", "smooth_weighted_round_robin", "least_connections"]) {
    const lb = balancer();
    // No zone is nearer: shares are by weight, and all zones have nodes.
    lb.setModulePolicy(1, 1, JSON.stringify({ policy, evacuatedZones: ["none"] }));
    const counts = Array.from({ length: 8 }, () => 0);
    for (let round = 0; round < 400; round++) {
      const zoneOf = (ip: number): string => (ip === 7 ? round : ip) % 2 === 0 ? "b" : "c";
      lb.update(1, 1, nodes(8, (ip) => ({ zone: zoneOf(ip) })), round);
      for (let i = 0; i < 2; i++) counts[call(lb, round * 2000 + i)]++;
    }
    // 100 each; whole places of short lists are coarse.
    for (const count of counts) assert.ok(count >= 50 && count <= 150, `${policy}: ${counts}`);
  }
});

test("a change of weight, zone or text keeps what is known of a node", () => {
  const lb = balancer();
  lb.setModulePolicy(1, 1, '{"rules":["wilson"],"evidenceMs":60000}');
  lb.update(1, 1, nodes(2), 0);
  for (let failed = 1; failed <= 4; failed++) lb.report(1, 1, 1, 80, 500, 9, failed);
  lb.report(1, 1, 0, 80, 0, 9, 4);
  lb.update(1, 1, nodes(2, () => ({ weight: 50, zone: "b" })), 5);
  lb.setModulePolicy(1, 1, '{"rules":["wilson"],"evidenceMs":60000,"errRate":0.2}');
  const [, sick] = lb.explain(1, 1, 6)?.module?.nodes ?? [];
  assert.deepEqual([sick.rerr, sick.errTotal, sick.weight], [4, 4, 50]);
  // The fifth failure of a minute, with four from before: the rule needs five.
  lb.report(1, 1, 1, 80, 500, 9, 7);
  assert.equal(lb.explain(1, 1, 8)?.module?.nodes[1].condition, "overload");
});

test("a share that grows goes on to grow when the weight changes", () => {
  const lb = balancer();
  lb.setModulePolicy(1, 1, '{"slowStartMs":10000,"recoveryJitter":0}');
  lb.update(1, 1, nodes(4), 0);
  lb.update(1, 1, nodes(5), 1000);
  lb.tick(6000);
  const pickWeight = (nowMs: number): number =>
    Math.round(lb.explain(1, 1, nowMs)?.module?.nodes[4].pickWeight ?? 0);
  assert.equal(pickWeight(6000), 55);
  lb.update(1, 1, nodes(5, (ip) => ip === 4 ? { weight: 200 } : {}), 6000);
  assert.equal(pickWeight(6000), 110);
  lb.setModulePolicy(1, 1, '{"slowStartMs":10000,"recoveryJitter":0,"errRate":0.2}');
  assert.equal(pickWeight(6000), 110);
  lb.tick(11_000);
  assert.equal(pickWeight(11_000), 200);
});

test("agents and programs that begin together do not all begin at one node", () => {
  for (const policy of POLICY_NAMES) {
    const first = new Map<number, number>();
    for (let seed = 1; seed <= 400; seed++) {
      const lb = balancer(seed);
      lb.setModulePolicy(1, 1, JSON.stringify({ policy }));
      lb.update(1, 1, nodes(8), 0);
      const ip = call(lb, 1);
      first.set(ip, (first.get(ip) ?? 0) + 1);
    }
    assert.equal(first.size, 8, `${policy}: ${[...first.keys()]}`);
    // 50 each; 20 is more than four deviations away.
    for (const count of first.values()) assert.ok(count >= 20, `${policy}: ${[...first]}`);
  }
});

for (const policy of ["least_connections", "weight_minus_connections"]) {
  test(`${policy}: idle nodes share calls by weight, the heaviest does not take all`, () => {
    for (const weights of [[101, 100, 100, 100], [100, 100, 100, 100], [300, 100, 100, 100]]) {
      const lb = balancer();
      lb.setModulePolicy(1, 1, JSON.stringify({ policy }));
      lb.update(1, 1, nodes(4, (ip) => ({ weight: weights[ip] })), 0);
      const counts = [0, 0, 0, 0];
      for (let nowMs = 1; nowMs <= 1000; nowMs++) counts[call(lb, nowMs)]++;
      const sum = weights.reduce((all, weight) => all + weight);
      counts.forEach((count, ip) => {
        const wanted = 1000 * weights[ip] / sum;
        // One pick in 20 of weight_minus_connections goes round all nodes.
        assert.ok(Math.abs(count - wanted) <= 0.06 * 1000, `${weights}: ${counts}`);
      });
    }
  });
}

/** The lists of the original's `load_balance`, moved as its verdicts say. */
class OriginalModule {
  readonly #probeNum: number;
  #idle: number[];
  #overload: number[] = [];
  #accessCount = 0;

  constructor(ips: readonly number[], probeNum: number) {
    this.#idle = [...ips];
    this.#probeNum = probeNum;
  }

  /** `choice_one_host`: an address, or undefined for "overload". */
  choose(): number | undefined {
    if (this.#idle.length > 0 && this.#overload.length === 0) return this.#turn(this.#idle);
    if (this.#accessCount >= this.#probeNum) {
      this.#accessCount = 0;
      return this.#turn(this.#overload);
    }
    this.#accessCount++;
    return this.#turn(this.#idle);
  }

  move({ ip, overload }: StateChange): void {
    const [from, to] = overload ? [this.#idle, this.#overload] : [this.#overload, this.#idle];
    from.splice(from.indexOf(ip), 1);
    to.push(ip);
  }

  #turn(list: number[]): number | undefined {
    const first = list.shift();
    if (first !== undefined) list.push(first);
    return first;
  }
}

test("lars on an original's database: picks as the original, from whichever node it begins", () => {
  const step = fc.record({
    picks: fc.nat(30),
    ip: fc.nat(4),
    good: fc.boolean(),
    times: fc.nat(20),
    ms: fc.nat(9000),
  });
  fc.assert(fc.property(fc.array(step), fc.integer({ min: 1, max: 1e6 }), (steps, seed) => {
    const changes: StateChange[] = [];
    const lb = balancer(seed, changes);
    lb.update(1, 1, nodes(5), 0);
    const first = lb.getHost(1, 1, 0);
    assert.ok(typeof first !== "number");
    const circle = [1, 2, 3, 4, 5].map((after) => (first.ip + after) % 5);
    const original = new OriginalModule(circle, defaultBalanceSettings.probeNum);
    let nowMs = 1;
    for (const { picks, ip, good, times, ms } of steps) {
      for (let i = 0; i < picks; i++) {
        const picked = lb.getHost(1, 1, nowMs);
        assert.equal(typeof picked === "number" ? undefined : picked.ip, original.choose());
      }
      for (let i = 0; i < times; i++) lb.report(1, 1, ip, 80, good ? 0 : 1, 5, nowMs);
      nowMs += ms;
      lb.tick(nowMs);
      for (const change of changes.splice(0)) original.move(change);
    }
  }));
});
