// Goal: every pick policy keeps what callers rely on. Method: one suite, run for each policy, first
// on a pool of nodes alone, then inside a module; then what each policy promises beyond that.

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import fc from "fast-check";
import { RetCode } from "../../proto/message_ids.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import { defaultBalanceSettings } from "../detection/balance_settings.ts";
import { Dice } from "./dice.ts";
import { Host } from "../host.ts";
import { NodeStatistics } from "../detection/node_statistics.ts";
import { checkModulePolicy, POLICY_NAMES, type PolicyName } from "../module_policy.ts";
import { tableKeyOf } from "./murmur3.ts";
import { NodePool } from "./zone_router.ts";
import { NO_KEY } from "./pick_policy.ts";
import { RouteLb } from "../routes/route_lb.ts";

const owner = { settle(): void {}, stillOut(): void {} };
const KEYED: readonly PolicyName[] = ["ring_hash", "bounded_ring_hash", "maglev"];
/** Policies whose long shares are the weights, and how far off: by turns, by chance, by hash. */
const SHARES: Partial<Record<PolicyName, number>> = {
  smooth_weighted_round_robin: 0.001,
  random_weighted: 0.02,
  maglev: 0.02,
  ring_hash: 0.2,
};

function hostOf(ip: number, weight = 100): Host {
  const host = new Host(ip, 80, owner, 0);
  host.weight = weight;
  host.pickWeight = weight;
  host.stats = new NodeStatistics();
  return host;
}

function poolOf(
  name: PolicyName,
  weights: readonly number[],
  more: Record<string, unknown> = {},
): { pool: NodePool; hosts: Host[] } {
  const pool = new NodePool(
    "",
    checkModulePolicy({ policy: name, ...more }),
    new Dice(seededRng(5)),
  );
  const hosts = weights.map((weight, index) => hostOf(0x0a000001 + index, weight));
  for (const host of hosts) pool.add(host);
  return { pool, hosts };
}

/** Picks as a module does: the call begins, and ends well after it. */
function call(pool: NodePool, nowMs: number, key = NO_KEY, tookMs = 10): Host {
  const host = pool.policy.pick(nowMs, key);
  assert.ok(host !== undefined);
  host.stats?.underWay.begin(nowMs, 30_000);
  pool.began(host, nowMs);
  host.stats?.underWay.end();
  host.stats?.ewma.observe(tookMs, nowMs, 10_000);
  pool.ended(host, 1, 0, nowMs);
  return host;
}

function countPicks(pool: NodePool, picks: number): Map<Host, number> {
  const counts = new Map<Host, number>();
  for (let i = 0; i < picks; i++) {
    const host = call(pool, i);
    counts.set(host, (counts.get(host) ?? 0) + 1);
  }
  return counts;
}

function makeLb(policy: PolicyName, more: Record<string, unknown> = {}): RouteLb {
  const lb = new RouteLb({
    settings: defaultBalanceSettings,
    rng: seededRng(9),
    onPull: () => {},
  });
  lb.use(1, 1, 0);
  lb.setModulePolicy(1, 1, JSON.stringify({ policy, ...more }));
  return lb;
}

const route = (count: number): { ip: number; port: number }[] =>
  Array.from({ length: count }, (_, index) => ({ ip: index + 1, port: 80 }));

for (const name of POLICY_NAMES) {
  test(`${name}: the name is the one configuration uses`, () => {
    assert.equal(poolOf(name, []).pool.policy.name, name);
  });

  test(`${name}: without nodes there is none to pick`, () => {
    const { pool, hosts } = poolOf(name, [100]);
    assert.equal(pool.policy.pick(0, NO_KEY), hosts[0]);
    pool.remove(hosts[0]);
    assert.equal(pool.policy.pick(0, NO_KEY), undefined);
    assert.equal(pool.policy.pick(0, 7), undefined);
  });

  test(`${name}: every node gets its turn`, () => {
    const { pool } = poolOf(name, new Array(7).fill(100));
    const counts = countPicks(pool, 700);
    assert.equal(counts.size, 7);
    // Hashes and chance are uneven; nobody gets a third, or a third of a share.
    for (const count of counts.values()) assert.ok(count > 33 && count < 233, `${count}`);
  });

  test(`${name}: through any changes only usable nodes are picked`, () => {
    const step = fc.record({
      what: fc.constantFrom("add", "remove", "drop", "weight", "pick", "pick"),
      node: fc.nat(7),
      key: fc.integer({ min: -1, max: 100 }),
    });
    fc.assert(fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const { pool } = poolOf(name, []);
      const hosts = Array.from({ length: 8 }, (_, ip) => hostOf(ip));
      const usable = new Set<Host>();
      let nowMs = 0;
      for (const { what, node, key } of steps) {
        const host = hosts[node];
        nowMs += 7;
        if (what === "add" && !usable.has(host)) {
          pool.add(host);
          usable.add(host);
        } else if ((what === "remove" || what === "drop") && usable.delete(host)) {
          pool.remove(host);
          if (what === "drop") pool.policy.forget?.(host);
        } else if (what === "weight" && usable.has(host)) {
          pool.setWeight(host, 1 + node * 13);
        } else if (what === "pick") {
          const picked = pool.policy.pick(nowMs, key < 0 ? NO_KEY : tableKeyOf(key));
          assert.equal(picked === undefined, usable.size === 0);
          if (picked === undefined) continue;
          assert.ok(usable.has(picked));
          picked.stats?.underWay.begin(nowMs, 1000);
          pool.began(picked, nowMs);
        }
        assert.equal(pool.usable.count, usable.size);
      }
    }));
  });

  test(`${name}: a module gives overload nodes 1 call in probe_num + 1`, () => {
    for (const idle of [0, 1, 5]) {
      const lb = makeLb(name);
      lb.update(1, 1, route(idle + 3), 0);
      for (let ip = 1; ip <= 3; ip++) {
        for (let i = 0; i < 15; i++) lb.report(1, 1, ip, 80, 500, 0, 1);
      }
      const probed = new Set<Host>();
      let probes = 0;
      for (let i = 0; i < 330; i++) {
        const host = lb.getHost(1, 1, 2, i);
        if (typeof host === "number") assert.equal(host, RetCode.Overload);
        else if (host.overload) probed.add(host), probes++;
        if (idle === 0 && typeof host !== "number") assert.ok(host.overload);
      }
      assert.deepEqual([probes, probed.size], [30, 3]);
    }
  });

  test(`${name}: a module gives nothing to nodes that drain, are off or weigh nothing`, () => {
    const lb = makeLb(name);
    const away = [{ state: "drain" }, { state: "off" }, { weight: 0 }] as const;
    const nodes = route(5).map((node, index) => ({ ...node, ...away[index] }));
    lb.update(1, 1, nodes, 0);
    const picked = new Set<number>();
    for (let i = 0; i < 200; i++) {
      const host = lb.getHost(1, 1, i, i);
      if (typeof host !== "number") picked.add(host.ip);
    }
    assert.deepEqual([...picked].sort(), [4, 5]);
    assert.deepEqual(lb.getRoute(1, 1, 200).map(({ ip }) => ip), [4, 5]);
    lb.update(1, 1, nodes.slice(0, 3), 300);
    assert.equal(lb.getHost(1, 1, 300), RetCode.NoExist);
    lb.update(1, 1, route(1), 400);
    const back = lb.getHost(1, 1, 400);
    assert.equal(typeof back === "number" ? back : back.ip, 1);
  });

  test(`${name}: a change of policy keeps counts, and takes effect at the next pick`, () => {
    const lb = makeLb("lars");
    lb.update(1, 1, route(4), 0);
    for (let i = 0; i < 15; i++) lb.report(1, 1, 1, 80, 500, 0, 1);
    lb.report(1, 1, 2, 80, 0, 5, 1);
    const counts = (): number[][] =>
      [...lb.snapshot(1)][0].hosts.map(({ ip, rsucc, rerr, verr }) => [ip, rsucc, rerr, verr])
        .sort((a, b) => a[0] - b[0]);
    const before = counts();
    lb.setModulePolicy(1, 1, JSON.stringify({ policy: name }));
    assert.deepEqual(counts(), before);
    assert.equal(lb.explain(1, 1, 1)?.module?.policy, name);
    const picked = new Set<number>();
    for (let i = 0; i < 10; i++) {
      const host = lb.getHost(1, 1, 2, i);
      if (typeof host !== "number") picked.add(host.ip);
    }
    assert.equal(picked.has(1), false, "node 1 is still out");
    assert.ok(picked.size > 0);
  });
}

for (const name of POLICY_NAMES) {
  test(`${name}: a pick and its report allocate nothing`, {
    skip: process.versions.v8 === undefined || "bun" in process.versions
      ? "only V8 tells the size of its heap exactly"
      : false,
  }, () => {
    const lb = makeLb(name);
    lb.update(1, 1, route(50), 0);
    let nowMs = 0;
    const callMany = (count: number): void => {
      for (let i = 0; i < count; i++) {
        // A number of milliseconds, whole and small, so that it is not itself put on the heap.
        nowMs += 1;
        const host = lb.getHost(1, 1, nowMs, i);
        if (typeof host !== "number") lb.report(1, 1, host.ip, 80, 0, 10, nowMs);
      }
    };
    // In rounds, so that a collection in between hides at most some of them; and again while the
    // engine has not yet come to compile what is called so often.
    let middle = Infinity;
    for (let attempt = 0; attempt < 20 && middle >= 2; attempt++) {
      callMany(100_000);
      const perCall = Array.from({ length: 20 }, () => {
        const before = process.memoryUsage().heapUsed;
        callMany(20_000);
        return (process.memoryUsage().heapUsed - before) / 20_000;
      });
      middle = perCall.sort((x, y) => x - y)[10];
    }
    assert.ok(middle < 2, `${middle} bytes for each call`);
  });
}

for (const [name, most] of Object.entries(SHARES) as [PolicyName, number][]) {
  test(`${name}: shares are the weights, within ${most * 100} % of all picks`, () => {
    const weights = [100, 50, 300, 25, 125];
    const { pool, hosts } = poolOf(name, weights);
    const counts = countPicks(pool, 10_000);
    hosts.forEach((host, index) => {
      const off = (counts.get(host) ?? 0) / 10_000 - weights[index] / 600;
      assert.ok(Math.abs(off) <= most, `${index}: ${off}`);
    });
  });
}

for (const name of KEYED) {
  const owners = (pool: NodePool): (Host | undefined)[] =>
    Array.from({ length: 10_000 }, (_, key) => pool.policy.pick(0, tableKeyOf(key)));

  test(`${name}: a key keeps its node, and one that leaves moves few others`, () => {
    const { pool, hosts } = poolOf(name, new Array(10).fill(100));
    const before = owners(pool);
    assert.deepEqual(owners(pool), before);
    pool.remove(hosts[3]);
    const out = owners(pool);
    out.forEach((host, key) => {
      if (before[key] !== hosts[3]) assert.equal(host, before[key], "only its own keys move");
    });
    // Its keys are spread over all others: none gets more than half of them.
    const heirs = new Map<Host | undefined, number>();
    out.forEach((host, key) => {
      if (before[key] === hosts[3]) heirs.set(host, (heirs.get(host) ?? 0) + 1);
    });
    const moved = before.filter((host) => host === hosts[3]).length;
    assert.ok(moved <= 10_000 * 1.3 / 10, `${moved} keys moved`);
    for (const count of heirs.values()) assert.ok(count < moved / 2);
    pool.policy.forget?.(hosts[3]);
    const gone = owners(pool).filter((host, key) => host !== before[key]).length;
    assert.ok(gone <= 10_000 * 1.3 / 10, `${gone} keys moved when it left the route`);
  });

  test(`${name}: every agent finds the same node, whatever the order of the route`, () => {
    const { pool } = poolOf(name, [100, 200, 300]);
    const other = poolOf(name, []).pool;
    for (const [ip, weight] of [[2, 300], [0, 100], [1, 200]]) {
      other.add(hostOf(0x0a000001 + ip, weight));
    }
    assert.deepEqual(owners(pool).map((host) => host?.ip), owners(other).map((host) => host?.ip));
  });

  test(`${name}: with nearly all nodes out the rest is found`, () => {
    const { pool, hosts } = poolOf(name, new Array(2000).fill(100));
    pool.policy.pick(0, 1);
    for (const host of hosts.slice(1)) pool.remove(host);
    for (let key = 0; key < 100; key++) {
      assert.equal(pool.policy.pick(0, tableKeyOf(key)), hosts[0]);
    }
  });
}

test("smooth_weighted_round_robin: a heavy node gets no burst", () => {
  const { pool, hosts } = poolOf("smooth_weighted_round_robin", [500, 100, 100]);
  const picks = Array.from({ length: 700 }, () => call(pool, 0));
  // Of 7 picks in a row 5 are the heavy one's: 4 or 6 where a turn begins at an odd place.
  for (let at = 0; at + 7 <= picks.length; at++) {
    const heavy = picks.slice(at, at + 7).filter((host) => host === hosts[0]).length;
    assert.ok(heavy >= 4 && heavy <= 6, `${heavy} at ${at}`);
  }
});

test("bounded_ring_hash: a hot key loads no node beyond its bound", () => {
  for (const boundedLoad of [1.1, 1.25, 2]) {
    const { pool, hosts } = poolOf("bounded_ring_hash", new Array(10).fill(100), { boundedLoad });
    for (let begun = 1; begun <= 1000; begun++) {
      const host = pool.policy.pick(0, begun % 3 === 0 ? tableKeyOf(begun) : 42);
      assert.ok(host !== undefined);
      host.stats?.underWay.begin(0, 30_000);
      pool.began(host, 0);
      const most = Math.ceil(boundedLoad * begun / 10);
      for (const { stats } of hosts) {
        assert.ok((stats?.underWay.count ?? 0) <= most, `${stats?.underWay.count} > ${most}`);
      }
    }
  }
});

test("least_connections: the node with the fewest calls for its weight is next", () => {
  const { pool, hosts } = poolOf("least_connections", [100, 200]);
  for (let i = 0; i < 300; i++) {
    const host = pool.policy.pick(0, NO_KEY);
    assert.ok(host !== undefined);
    host.stats?.underWay.begin(0, 30_000);
    pool.began(host, 0);
  }
  assert.deepEqual(hosts.map(({ stats }) => stats?.underWay.count), [100, 200]);
});

test("weight_minus_connections: failures halve a weight and successes double it, 1 to 1024", () => {
  const { pool, hosts } = poolOf("weight_minus_connections", [100, 100]);
  const fail = (times: number): void => {
    for (let i = 0; i < times; i++) pool.ended(hosts[0], 0, 4, 0);
  };
  const underWay = (calls: number): void => {
    for (let i = 0; i < calls; i++) {
      hosts[1].stats?.underWay.begin(0, 30_000);
      pool.began(hosts[1], 0);
    }
  };
  // 1024 halves to 1 in ten failures and stays there: the other is next until it has 1023 calls.
  fail(20);
  underWay(1022);
  assert.equal(pool.policy.pick(0, NO_KEY), hosts[1]);
  underWay(2);
  assert.equal(pool.policy.pick(0, NO_KEY), hosts[0]);
  // Ten successes bring it back to 1024, twenty do no more: both then differ by the calls alone.
  for (let i = 0; i < 20; i++) pool.ended(hosts[0], 0, 0, 0);
  for (let i = 0; i < 1023; i++) {
    hosts[0].stats?.underWay.begin(0, 30_000);
    pool.began(hosts[0], 0);
  }
  assert.equal(pool.policy.pick(0, NO_KEY), hosts[0]);
  hosts[0].stats?.underWay.begin(0, 30_000);
  pool.began(hosts[0], 0);
  hosts[0].stats?.underWay.begin(0, 30_000);
  pool.began(hosts[0], 0);
  assert.equal(pool.policy.pick(0, NO_KEY), hosts[1]);
});

test("p2c_ewma: a slow node and one that fails fast get few calls", () => {
  for (const [what, tookMs] of [["slow", 100], ["fails fast", 1000]] as const) {
    const { pool, hosts } = poolOf("p2c_ewma", new Array(10).fill(100));
    const counts = new Map<Host, number>();
    for (let i = 0; i < 5000; i++) {
      const host = pool.policy.pick(i, NO_KEY);
      assert.ok(host !== undefined);
      counts.set(host, (counts.get(host) ?? 0) + 1);
      // A failure is observed as failurePenaltyMs, however fast it was.
      host.stats?.ewma.observe(host === hosts[0] ? tookMs : 10, i, 10_000);
    }
    // 5 s are too short for it to be tried often: once known it waits for its average to fall.
    assert.ok((counts.get(hosts[0]) ?? 0) <= 5, `${what}: ${counts.get(hosts[0])}`);
    for (const host of hosts.slice(1)) assert.ok((counts.get(host) ?? 0) > 200, what);
  }
});
