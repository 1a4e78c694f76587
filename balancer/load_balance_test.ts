import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RetCode } from "../proto/message_ids.ts";
import { describeStateChange, type StateChange } from "./balance_records.ts";
import { defaultBalanceSettings } from "./detection/balance_settings.ts";
import { ActiveHosts, type Host } from "./host.ts";
import { DEPARTED_NODES_MAX, DepartedNodes } from "./departed_nodes.ts";
import { LoadBalance } from "./load_balance.ts";
import type { BalanceSettings } from "./mod.ts";
import { TIME_UNKNOWN_MS } from "./detection/call_outcome.ts";
import { OutHosts } from "./detection/out_hosts.ts";
import { smallWindowCallsMax } from "./detection/outlier_detector.ts";

interface Fixture {
  module: LoadBalance;
  active: ActiveHosts;
  changes: StateChange[];
  dirtyCalls: () => number;
}

function makeModule(
  settings: Partial<BalanceSettings> = {},
  nodesMax = 100,
  departed = new DepartedNodes(),
): Fixture {
  const changes: StateChange[] = [];
  const active = new ActiveHosts();
  let dirty = 0;
  const module = new LoadBalance(1, 1, {
    settings: { ...defaultBalanceSettings, ...settings },
    nodesMax,
    active,
    hostsOut: 0,
    out: new OutHosts(),
    departed,
    isInUse: () => true,
    zone: "",
    rng: { next: () => 0 },
    onStateChange: (change) => changes.push(change),
    onModeChange: () => {},
    onDirty: () => dirty++,
    onTicking: () => {},
  });
  return { module, active, changes, dirtyCalls: () => dirty };
}

const nodes = (...ips: number[]): { ip: number; port: number }[] =>
  ips.map((ip) => ({ ip, port: 80 }));

function hostOf(module: LoadBalance, ip: number): Host {
  for (const host of module.hosts.values()) if (host.ip === ip) return host;
  throw new Error(`No host ${ip}`);
}

/** Reports a word of "S" and "F" for node 1, one millisecond apart; returns the next time. */
function play(module: LoadBalance, word: string, atMs: number): number {
  for (const letter of word) module.report(1, 80, letter === "S" ? 0 : 1, 0, atMs++);
  return atMs;
}

test("smallWindowCallsMax() is the largest count the error-rate rule cannot fire on", () => {
  // 180 · 0.1 / 0.9 = 20: 20/200 = 0.1 is not above err_rate, 21/201 is.
  const cases: [Partial<BalanceSettings>, number][] = [
    [{}, 20],
    [{ initSuccCnt: 0 }, 0],
    [{ initSuccCnt: 100, errRate: 0.5 }, 100],
    [{ initSuccCnt: 270 }, 30],
    [{ errRate: 0 }, 0],
    [{ errRate: 1 }, Infinity],
  ];
  for (const [settings, expected] of cases) {
    assert.equal(smallWindowCallsMax({ ...defaultBalanceSettings, ...settings }), expected);
  }
});

test("windows are judged at their end by count and run", () => {
  // Each word is one window of 15 s from 0; the expected value is when the node became overload.
  const cases: [string, string[], number | undefined][] = [
    ["two bad small windows", ["FFF", "FFF"], 30_000],
    ["one bad small window", ["FFF", ""], undefined],
    ["single calls", ["F", "F"], 30_000],
    ["an empty window neither counts nor breaks", ["F", "", "", "F"], 60_000],
    ["a good window breaks the run", ["F", "S", "F"], undefined],
    ["and the run can begin again", ["F", "S", "F", "F"], 60_000],
    // 14 of 20 = 0.7 reaches window_err_rate; 20 is small.
    ["20 calls are small", ["FFFFFFFSSSSSSFFFFFFF"], undefined],
    // 15 of 21 = 0.714, and 15/201 = 0.075 is below err_rate; 21 is not small.
    ["21 calls are not", ["FFFFFSSFFFFFSSFFFFFSS"], 15_000],
    // 13 of 20 = 0.65.
    ["a rate below the bound", ["FFFFFFFSSSSSSSFFFFFF", "FFFFFFFSSSSSSSFFFFFF"], undefined],
  ];
  for (const [name, windows, expected] of cases) {
    for (const late of [false, true]) {
      const { module, active, changes } = makeModule();
      module.update(nodes(1), 0);
      windows.forEach((word, i) => {
        play(module, word, i * 15_000 + 100);
        if (!late) active.settle((i + 1) * 15_000);
      });
      const endMs = windows.length * 15_000;
      active.settle(endMs);
      assert.equal(changes[0]?.atMs, expected, `${name}, ${late ? "late" : "in time"}`);
    }
  }
});

test("settle() begins each window on the grid that starts with the state", () => {
  const { module, active } = makeModule();
  module.update(nodes(1), 1000);
  // Windows are 1000-16000, 16000-31000, ...; a report at 40,000 falls into 31000-46000.
  play(module, "SF", 40_000);
  const host = hostOf(module, 1);
  assert.equal(host.dueMs, 46_000);
  active.settle(45_999.9);
  assert.deepEqual([host.vsucc, host.verr, host.rsucc, host.rerr], [181, 1, 1, 1]);
  active.settle(46_000);
  assert.deepEqual([host.vsucc, host.verr, host.rsucc, host.rerr], [180, 0, 0, 0]);
  assert.deepEqual([host.succTotal, host.errTotal], [1, 1]);
  assert.equal(active.count, 0);
});

test("settle() brings an overload node back that nobody probes", () => {
  const { module, active, changes } = makeModule();
  module.update(nodes(1), 0);
  play(module, "F".repeat(15), 0);
  assert.equal(module.walk.overload.count, 1);
  active.settle(15_013);
  assert.equal(module.walk.overload.count, 1);
  active.settle(15_014);
  assert.equal(module.walk.overload.count, 0);
  assert.deepEqual(changes.map((c) => [c.atMs, c.overload]), [[14, true], [15_014, false]]);
});

test("report() weighs a failure by its time cost and counts it once", () => {
  const cases: [number, number][] = [[0, 1], [99, 1], [199, 1], [200, 2], [1000, 10], [1999, 19]];
  for (const [timecostMs, weight] of cases) {
    const { module } = makeModule();
    module.update(nodes(1), 0);
    module.report(1, 80, 2, timecostMs, 0);
    const host = hostOf(module, 1);
    assert.deepEqual([host.verr, host.rerr, host.errTotal, host.continErr], [weight, 1, 1, 1]);
  }
  const { module } = makeModule();
  module.update(nodes(1), 0);
  module.report(1, 80, 0, 5000, 0);
  assert.equal(hostOf(module, 1).verr, 0, "a slow success is a success");
});

test("report() adds up the times that were told, and leaves out what can be none", () => {
  const { module } = makeModule();
  module.update(nodes(1), 0);
  const times = [0, 12, 30_000, 86_400_000, TIME_UNKNOWN_MS, 86_400_001, 4_294_967_295, NaN];
  for (const [index, timecostMs] of times.entries()) {
    module.report(1, 80, index % 2, timecostMs, 0);
  }
  const { timedTotal, timeMsTotal } = hostOf(module, 1);
  assert.deepEqual([timedTotal, timeMsTotal], [4, 86_430_012]);
});

test("report() takes any code but 0 for a failure", () => {
  for (const retcode of [1, 2, 3, 99, -1, 4294967295]) {
    const { module } = makeModule();
    module.update(nodes(1), 0);
    module.report(1, 80, retcode, 0, 0);
    assert.equal(hostOf(module, 1).rerr, 1);
  }
});

test("state changes say which rule fired with which numbers", () => {
  const cases: [string, string][] = [
    ["F".repeat(15), "0.0.0.1:80 of module 1,1 is overload: 15 calls failed in a row, limit 15"],
    // 14 F, S, 7 F: 21/(181 + 21) = 0.104.
    [
      "F".repeat(14) + "S" + "F".repeat(7),
      "0.0.0.1:80 of module 1,1 is overload: 21 of 22 calls failed, error rate 0.104 > 0.1",
    ],
  ];
  for (const [word, text] of cases) {
    const { module, changes } = makeModule();
    module.update(nodes(1), 0);
    play(module, word, 0);
    assert.deepEqual(changes.map(describeStateChange), [text]);
  }
  const { module, active, changes } = makeModule();
  module.update(nodes(1), 0);
  play(module, "F", 0);
  play(module, "F", 15_000);
  active.settle(45_000);
  assert.deepEqual(changes.map(describeStateChange), [
    "0.0.0.1:80 of module 1,1 is overload: 1 of 1 calls of a window failed, " +
    "error rate 1 >= 0.7, 2 such windows running",
    "0.0.0.1:80 of module 1,1 is idle: overload for 15 s",
  ]);
});

test("update() keeps the counters of kept nodes and drops the others", () => {
  const { module, active } = makeModule();
  assert.deepEqual(module.update(nodes(1, 2, 3), 0), { added: 3, kept: 0, removed: 0, cut: 0 });
  play(module, "F".repeat(15), 0);
  module.report(2, 80, 0, 0, 20);
  const change = module.update(
    [...nodes(4, 2, 1, 1), { ip: 5, port: 0 }, { ip: 6, port: 65536 }],
    30,
  );
  assert.deepEqual(change, { added: 1, kept: 2, removed: 1, cut: 2 });
  assert.equal(hostOf(module, 2).rsucc, 1);
  assert.equal(hostOf(module, 1).overload, true);
  assert.deepEqual([...module.usable()].map((host) => host.ip), [2, 4]);
  assert.equal(module.report(3, 80, 1, 0, 40), false, "a removed node is not known");
  module.update([], 50);
  assert.equal(
    module.hostCount + [...module.usable()].length + module.walk.overload.count + active.count,
    0,
  );
  assert.equal(module.pick(0), RetCode.NoExist);
  module.update(nodes(1), 60);
  assert.deepEqual(
    [hostOf(module, 1).overload, hostOf(module, 1).errTotal],
    [false, 0],
    "a node that comes back starts anew",
  );
});

test("update() cuts a route to nodesMax", () => {
  const { module } = makeModule({}, 2);
  assert.deepEqual(module.update(nodes(1, 2, 2, 3, 4), 0), {
    added: 2,
    kept: 0,
    removed: 0,
    cut: 2,
  });
});

test("takeResults() gives the changed nodes only, with counts that a reset cannot hide", () => {
  const { module, active, dirtyCalls } = makeModule();
  module.update(nodes(1, 2), 0);
  play(module, "SSF", 14_000);
  active.settle(15_000);
  assert.equal(dirtyCalls(), 1);
  const base = { ip: 1, port: 80, overload: false };
  assert.deepEqual(module.takeResults(15_100), [
    { ...base, succ: 2, err: 1, succTotal: 2, errTotal: 1, timedTotal: 3, timeMsTotal: 0 },
  ]);
  assert.deepEqual(module.takeResults(15_200), []);
  play(module, "F".repeat(15), 16_000);
  assert.deepEqual(module.takeResults(16_100), [
    {
      ...base,
      ...{ overload: true, succ: 0, err: 15, succTotal: 2, errTotal: 16 },
      ...{ timedTotal: 18, timeMsTotal: 0 },
    },
  ]);
  // Back to idle by time alone: a state change without a call.
  active.settle(40_000);
  assert.deepEqual(module.takeResults(40_000), [
    { ...base, succ: 0, err: 0, succTotal: 2, errTotal: 16, timedTotal: 18, timeMsTotal: 0 },
  ]);
  assert.equal(dirtyCalls(), 3);
});

type Step =
  | { kind: "pick"; success: boolean; timecostMs: number }
  | { kind: "report"; ip: number; success: boolean }
  | { kind: "update"; ips: number[] }
  | { kind: "wait"; ms: number };

const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant("pick" as const),
      success: fc.boolean(),
      timecostMs: fc.constantFrom(0, 100, 250, 3000),
    }),
  },
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant("report" as const),
      ip: fc.integer({ min: 1, max: 6 }),
      success: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("update" as const),
      ips: fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 8 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("wait" as const),
      ms: fc.constantFrom(1, 100, 3000, 7000, 15_000, 50_000),
    }),
  },
);

/** Small limits, so that short histories change states often. */
const nervous = { initSuccCnt: 5, continErrLimit: 3, continSuccLimit: 2, probeNum: 2 };

function assertWhole(module: LoadBalance, active: ActiveHosts): void {
  assert.equal([...module.usable()].length + module.walk.overload.count, module.hostCount);
  const idle = new Set(module.usable());
  const overload = new Set(module.walk.overload);
  let watched = 0;
  for (const host of module.hosts.values()) {
    assert.equal(idle.has(host), !host.overload);
    assert.equal(overload.has(host), host.overload);
    const shouldWatch = host.overload || host.rsucc + host.rerr > 0;
    assert.equal(host.activeIndex >= 0, shouldWatch);
    assert.equal(host.dueMs < Infinity, shouldWatch);
    if (shouldWatch) watched++;
  }
  assert.equal(active.count, watched);
}

test("any history leaves every node in exactly one list and every count in place", () => {
  fc.assert(fc.property(fc.array(stepArbitrary, { maxLength: 120, size: "max" }), (steps) => {
    const { module, active } = makeModule(nervous);
    module.update(nodes(1, 2, 3), 0);
    const counted = new Map<number, number>();
    let nowMs = 0;
    for (const step of steps) {
      if (step.kind === "wait") {
        nowMs += step.ms;
        active.settle(nowMs);
      } else if (step.kind === "update") {
        module.update(nodes(...step.ips), nowMs);
        for (const ip of counted.keys()) if (!step.ips.includes(ip)) counted.delete(ip);
      } else {
        const picked = step.kind === "pick" ? module.pick(0) : undefined;
        if (typeof picked === "number") continue;
        const ip = step.kind === "pick" ? picked?.ip ?? 0 : step.ip;
        const timecostMs = step.kind === "pick" ? step.timecostMs : 0;
        const known = module.report(ip, 80, step.success ? 0 : 1, timecostMs, nowMs);
        if (known) counted.set(ip, (counted.get(ip) ?? 0) + 1);
      }
      assertWhole(module, active);
    }
    for (const host of module.hosts.values()) {
      assert.equal(host.succTotal + host.errTotal, counted.get(host.ip) ?? 0);
    }
  }));
});

test("how late or how often time is looked at does not change any state", () => {
  fc.assert(fc.property(fc.array(stepArbitrary, { maxLength: 80, size: "max" }), (steps) => {
    const eager = makeModule(nervous);
    const lazy = makeModule(nervous);
    for (const { module } of [eager, lazy]) module.update(nodes(1, 2, 3, 4, 5, 6), 0);
    let nowMs = 0;
    for (const step of steps) {
      if (step.kind === "wait") {
        for (let ms = 0; ms < step.ms; ms += 500) eager.active.settle(nowMs + ms);
        nowMs += step.ms;
        eager.active.settle(nowMs);
      } else if (step.kind === "report") {
        for (const { module } of [eager, lazy]) {
          module.report(step.ip, 80, step.success ? 0 : 1, 0, nowMs);
        }
      }
    }
    lazy.active.settle(nowMs);
    const byIp = (f: Fixture): unknown => f.module.snapshot().sort((a, b) => a.ip - b.ip);
    assert.deepEqual(byIp(lazy), byIp(eager));
    const sorted = (f: Fixture): string[] => f.changes.map((c) => `${c.ip} ${c.atMs}`).sort();
    assert.deepEqual(sorted(lazy), sorted(eager));
  }));
});

test("with overload nodes exactly one pick in probe_num + 1 probes, and they take turns", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 30 }),
      fc.integer({ min: 0, max: 5 }),
      fc.integer({ min: 1, max: 5 }),
      (probeNum, idleCount, overloadCount) => {
        const { module } = makeModule({ probeNum });
        const ips = Array.from({ length: idleCount + overloadCount }, (_, i) => i + 1);
        module.update(nodes(...ips), 0);
        for (const ip of ips.slice(idleCount)) {
          for (let i = 0; i < 15; i++) module.report(ip, 80, 1, 0, 0);
        }
        const probed: number[] = [];
        for (let i = 1; i <= (probeNum + 1) * overloadCount; i++) {
          const host = module.pick(0);
          const probing = typeof host !== "number" && host.overload;
          assert.equal(probing, i % (probeNum + 1) === 0);
          if (typeof host === "number") assert.equal(host, RetCode.Overload);
          else if (probing) probed.push(host.ip);
        }
        assert.deepEqual(probed, ips.slice(idleCount));
      },
    ),
  );
});

test("what is reported of a node goes on when it returns to the route, of so many that left", () => {
  const { module } = makeModule({}, DEPARTED_NODES_MAX + 2);
  const all = nodes(...Array.from({ length: DEPARTED_NODES_MAX + 1 }, (_, index) => index + 1));
  module.update(all, 0);
  for (const { ip, port } of all) module.report(ip, port, 0, 7, 1);
  module.report(2, 80, 1, 0, 2);
  module.takeResults(3);
  const totals = (ip: number): number[][] =>
    module.takeResults(7).filter((one) => one.ip === ip)
      .map((one) => [one.succTotal, one.errTotal, one.timedTotal, one.timeMsTotal]);
  module.report(2, 80, 0, 7, 3);
  module.update(nodes(5000), 4);
  assert.deepEqual(totals(2), [[2, 1, 3, 14]], "what was not reported when it left");
  module.update(all, 5);
  assert.equal(hostOf(module, 2).succTotal, 0, "here nothing is known of it");
  module.report(2, 80, 0, 7, 6);
  module.report(1, 80, 0, 7, 6);
  module.update(nodes(5000), 6);
  module.update(all, 6);
  module.report(2, 80, 1, 7, 6);
  assert.deepEqual(totals(2), [[3, 1, 4, 21], [3, 2, 5, 28]], "before it left again, and since");
  module.update(nodes(1), 8);
  module.update(nodes(1, 3), 9);
  module.report(1, 80, 0, 7, 9);
  assert.deepEqual(totals(1), [[1, 0, 1, 7]], "of the first that left all before was forgotten");
});

test("of the nodes that left all modules of a loop the first are forgotten, whose ever they are", () => {
  const departed = new DepartedNodes(3);
  const [one, other, last] = [1, 2, 3].map(() => makeModule({}, 100, departed).module);
  const call = (module: LoadBalance, ip: number): number | undefined => {
    module.report(ip, 80, 0, 7, 1);
    return module.takeResults(2).find((result) => result.ip === ip)?.succTotal;
  };
  for (const module of [one, other, last]) {
    module.update(nodes(1, 2), 0);
    for (const { ip } of nodes(1, 2)) assert.equal(call(module, ip), 1);
  }
  one.update(nodes(9), 3);
  assert.equal(departed.count, 2);
  other.update(nodes(2, 9), 4);
  other.update(nodes(9), 5);
  assert.equal(departed.count, 3);
  one.update(nodes(1, 2), 6);
  assert.equal(departed.count, 2, "one that returns gives its place back");
  assert.deepEqual([1, 2].map((ip) => call(one, ip)), [1, 2], "node 1 was the first that left");
  last.update(nodes(9), 7);
  other.update(nodes(1, 2, 9), 8);
  assert.deepEqual([1, 2].map((ip) => call(other, ip)), [1, 2]);
});

test("a module that is to be forgotten takes no place of nodes that left, and tells its totals on", () => {
  const departed = new DepartedNodes(2);
  const [one, other] = [1, 2].map(() => makeModule({}, 100, departed).module);
  for (const module of [one, other]) {
    module.update(nodes(1, 2, 3), 0);
    for (const { ip, port } of nodes(1, 2, 3)) module.report(ip, port, 0, 7, 1);
    module.takeResults(2);
  }
  one.update(nodes(1), 3);
  one.update(nodes(1, 2), 4);
  one.report(2, 80, 0, 7, 5);
  other.update(nodes(1, 2), 6);
  assert.equal(departed.count, 2);
  one.clear();
  assert.equal(departed.count, 1);
  assert.deepEqual(one.takeResults(7).map(({ ip, succTotal }) => [ip, succTotal]), [[2, 2]]);
  other.update(nodes(1, 2, 3), 8);
  other.report(3, 80, 0, 7, 9);
  assert.deepEqual(other.takeResults(10).map(({ ip, succTotal }) => [ip, succTotal]), [[3, 2]]);
  assert.equal(departed.count, 0);
});
