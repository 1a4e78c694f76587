// Goal: what a module may ask for beyond the original rules does what its settings say.
// Method: one module through its life, with times and outcomes written out.

import assert from "node:assert/strict";
import { test } from "node:test";
import { RetCode } from "../proto/message_ids.ts";
import { seededRng } from "../reactor/time/rng.ts";
import type { ModuleModeChange, StateChange } from "./balance_records.ts";
import { defaultBalanceSettings } from "./detection/balance_settings.ts";
import { ReportCode } from "./detection/call_outcome.ts";
import { WATCH_MS } from "./explain.ts";
import type { RouteNode } from "../model/node.ts";
import { RouteLb } from "./routes/route_lb.ts";
import type { RouteLbOptions } from "./routes/route_records.ts";

class Fixture {
  readonly changes: StateChange[] = [];
  readonly modes: ModuleModeChange[] = [];
  readonly lb: RouteLb;

  constructor(settings: Record<string, unknown>, nodes: number | RouteNode[], zone = "") {
    const options: RouteLbOptions = {
      settings: defaultBalanceSettings,
      rng: seededRng(3),
      zone,
      onPull: () => {},
      onStateChange: (change) => this.changes.push(change),
      onModeChange: (change) => this.modes.push(change),
    };
    this.lb = new RouteLb(options);
    this.lb.use(1, 1, 0);
    this.set(settings);
    this.route(nodes, 0);
  }

  set(settings: Record<string, unknown>): void {
    this.lb.setModulePolicy(1, 1, JSON.stringify(settings));
  }

  route(nodes: number | RouteNode[], nowMs: number): void {
    this.lb.update(1, 1, typeof nodes === "number" ? nodesOf(nodes) : nodes, nowMs);
  }

  /** Reports outcomes of a node. */
  report(ip: number, retcodes: readonly number[], nowMs: number, tookMs = 10): void {
    for (const retcode of retcodes) this.lb.report(1, 1, ip, 80, retcode, tookMs, nowMs);
  }

  /** Picks; a negative number is a return code. */
  pick(nowMs: number): number {
    const picked = this.lb.getHost(1, 1, nowMs);
    return typeof picked === "number" ? -picked : picked.ip;
  }

  /** Picks that get their success at once, counted by node. */
  spread(picks: number, nowMs: number): Map<number, number> {
    const counts = new Map<number, number>();
    for (let i = 0; i < picks; i++) {
      const ip = this.pick(nowMs);
      counts.set(ip, (counts.get(ip) ?? 0) + 1);
      if (ip > 0) this.report(ip, [0], nowMs);
    }
    return counts;
  }

  conditions(nowMs: number): string[] {
    return this.lb.explain(1, 1, nowMs)?.module?.nodes.map(({ condition }) => condition) ?? [];
  }

  mode(nowMs: number): string | undefined {
    return this.lb.explain(1, 1, nowMs)?.module?.mode;
  }
}

function nodesOf(count: number, first = 1): RouteNode[] {
  return Array.from({ length: count }, (_, index) => ({ ip: first + index, port: 80 }));
}

const times = (count: number, retcode: number): number[] => new Array(count).fill(retcode);
const SICK = times(15, ReportCode.Other);

test("kinds of failure weigh as the module says, in the run and in the rate", () => {
  const weights = { refusedWeight: 8, timeoutWeight: 5, otherWeight: 3, pushbackWeight: 0 };
  const cases: [retcode: number, failuresUntilOut: number][] = [
    [ReportCode.Refused, 2],
    [ReportCode.Timeout, 3],
    [ReportCode.Other, 5],
  ];
  for (const [retcode, failures] of cases) {
    const module = new Fixture(weights, 3);
    module.report(1, times(failures - 1, retcode), 10);
    assert.equal(module.changes.length, 0);
    module.report(1, [retcode], 11);
    assert.match(module.changes[0].reason, /failures that count as 1[5-6] in a row, limit 15/);
  }
  const pushedBack = new Fixture(weights, 3);
  pushedBack.report(1, times(1000, ReportCode.Pushback), 10);
  assert.equal(pushedBack.changes.length, 0, "a weight of 0 is no reason");
  const [node] = pushedBack.lb.explain(1, 1, 10)?.module?.nodes ?? [];
  assert.deepEqual([node.errTotal, node.verr, node.continErr], [1000, 0, 0], "but is counted");
});

test("rules that are left out do not judge", () => {
  const only = (rules: string[]): number => {
    const module = new Fixture({ rules }, 3);
    module.report(1, times(100, ReportCode.Other), 10);
    module.lb.tick(60_000);
    return module.changes.filter(({ overload }) => overload).length;
  };
  assert.deepEqual([only([]), only(["slow"])], [0, 0]);
  for (const rule of ["errorRate", "errorRun", "window", "wilson"]) assert.equal(only([rule]), 1);
});

test("rule wilson: a third of rare calls failing is enough, one in a hundred never is", () => {
  const module = new Fixture({ rules: ["wilson"] }, 3);
  for (let call = 0; call < 600; call++) {
    const second = call * 1000;
    module.report(1, [call % 3 === 0 ? ReportCode.Other : 0], second);
    module.report(2, [call % 100 === 0 ? ReportCode.Other : 0], second);
    module.lb.tick(second);
  }
  const [first] = module.changes;
  assert.equal(first.ip, 1);
  assert.match(first.reason, /calls failed, error rate above 0.1 for sure/);
  // 7 of 19 is below the bound and 7 of 19 plus two good ones too; 8 of 22 is above it.
  assert.ok(first.atMs <= 30_000, `${first.atMs}`);
  assert.ok(module.changes.every(({ ip }) => ip === 1));
});

test("rule slow: a node far slower than the others goes out, and back only when it is fast", () => {
  const module = new Fixture({ rules: ["slow"], recovery: "staged", recoveryJitter: 0 }, 4);
  const second = (atMs: number, slowMs: number): void => {
    for (let ip = 1; ip <= 4; ip++) module.report(ip, times(3, 0), atMs, ip === 1 ? slowMs : 10);
    module.lb.tick(atMs);
  };
  for (let atMs = 0; atMs < 20_000; atMs += 1000) second(atMs, 100);
  assert.deepEqual(module.changes.map(({ ip, overload }) => [ip, overload]), [[1, true]]);
  assert.match(module.changes[0].reason, /calls took over 5 times 10\.0 ms, the median/);
  for (let atMs = 20_000; atMs < 40_000; atMs += 1000) second(atMs, 100);
  assert.equal(module.changes.length, 1, "slow answers do not bring it back");
  for (let atMs = 40_000; atMs < 120_000; atMs += 1000) second(atMs, 10);
  assert.deepEqual(module.changes.map(({ overload }) => overload), [true, false]);
});

test("rule slow: when all are slow nobody is", () => {
  const module = new Fixture({ rules: ["slow"] }, 4);
  for (let atMs = 0; atMs < 60_000; atMs += 1000) {
    const tookMs = atMs < 20_000 ? 10 : 300;
    for (let ip = 1; ip <= 4; ip++) module.report(ip, times(3, 0), atMs, tookMs);
  }
  const alone = new Fixture({ rules: ["slow"] }, 1);
  for (let atMs = 0; atMs < 60_000; atMs += 1000) alone.report(1, times(3, 0), atMs, 900);
  assert.deepEqual([module.changes.length, alone.changes.length], [0, 0]);
});

test("dry run: nodes are judged and told of, and stay in use", () => {
  const module = new Fixture({ dryRun: true }, 2);
  module.report(1, SICK, 10);
  assert.deepEqual(module.changes.map(({ ip, overload, dryRun }) => [ip, overload, dryRun]), [
    [1, true, true],
  ]);
  assert.deepEqual([...module.spread(10, 11).keys()].sort(), [1, 2]);
  assert.deepEqual(module.conditions(12), ["held", "idle"]);
  const [{ results }] = module.lb.drainReports(5000);
  assert.deepEqual(results.map(({ overload }) => overload), [false, false]);
  assert.equal(module.lb.stats().changesToOverload, 0);
  module.report(1, times(15, 0), 13);
  assert.deepEqual(module.changes.map(({ overload }) => overload), [true, false]);
  module.report(1, SICK, 20);
  module.set({});
  assert.deepEqual(module.conditions(21), ["overload", "idle"], "in earnest it takes effect");
});

test("no more nodes go out than the share allows, and never the last: n = 1 to 6", () => {
  const allowed = [0, 1, 1, 2, 2, 3];
  allowed.forEach((most, index) => {
    const count = index + 1;
    const module = new Fixture({ overloadShareMax: 0.5 }, count);
    for (let ip = 1; ip <= count; ip++) module.report(ip, SICK, ip);
    const conditions = module.conditions(10);
    assert.equal(conditions.filter((condition) => condition === "overload").length, most);
    assert.equal(conditions.filter((condition) => condition === "held").length, count - most);
    assert.deepEqual(module.changes.map(({ held }) => held === true), [
      ...times(most, 0).map(() => false),
      ...times(count - most, 0).map(() => true),
    ]);
  });
});

test("a node that is held goes out when another one returns", () => {
  const module = new Fixture({ overloadShareMax: 0.5 }, 4);
  for (let ip = 1; ip <= 3; ip++) module.report(ip, SICK, ip);
  assert.deepEqual(module.conditions(10), ["overload", "overload", "held", "idle"]);
  module.report(1, times(15, 0), 20);
  assert.deepEqual(module.conditions(20), ["idle", "overload", "overload", "idle"]);
  // A drained node is not counted: of three nodes one may be out.
  module.route(nodesOf(4).map((node) => node.ip === 4 ? { ...node, state: "drain" } : node), 30);
  assert.deepEqual(module.conditions(30), ["idle", "overload", "held", "drain"]);
});

test("all overload: refuse is the original, with its reason and since when", () => {
  const module = new Fixture({ probeNum: 2 }, 2);
  for (let ip = 1; ip <= 2; ip++) module.report(ip, SICK, 10 + ip);
  const picks = Array.from({ length: 6 }, () => module.pick(100));
  assert.deepEqual(picks, [-RetCode.Overload, -RetCode.Overload, 1, -1, -1, 2]);
  const view = module.lb.explain(1, 1, 112)?.module;
  assert.deepEqual([view?.mode, view?.modeReason, view?.modeSinceMs], [
    "refuse",
    "0 of 2 nodes are usable",
    100,
  ]);
  module.report(1, times(15, 0), 200);
  assert.deepEqual(module.modes.map(({ mode, atMs }) => [mode, atMs]), [
    ["refuse", 12],
    ["normal", 200],
  ]);
});

test("all overload: probe lets each node have one call at a time", () => {
  const module = new Fixture({ whenAllOverload: "probe" }, 3);
  for (let ip = 1; ip <= 3; ip++) module.report(ip, SICK, ip);
  assert.equal(module.mode(10), "probe");
  assert.deepEqual(Array.from({ length: 5 }, () => module.pick(10)), [1, 2, 3, -1, -1]);
  module.report(2, [ReportCode.Other], 11);
  assert.deepEqual([module.pick(11), module.pick(11)], [2, -1]);
  // Calls that nobody reports end by themselves.
  module.lb.tick(60_000);
  assert.notEqual(module.pick(60_000), -1);
});

test("nodes that are held stay in use: no call is refused, and nobody says that it is", () => {
  for (const whenAllOverload of ["refuse", "probe"]) {
    const module = new Fixture({ whenAllOverload, overloadShareMax: 0.5, probeNum: 1000 }, 2);
    for (let ip = 1; ip <= 2; ip++) module.report(ip, SICK, ip);
    assert.deepEqual(module.conditions(10), ["overload", "held"]);
    assert.equal(module.mode(10), "normal");
    const [{ results }] = module.lb.drainReports(5000);
    assert.deepEqual(results.map(({ ip, overload }) => [ip, overload]), [[1, true], [2, false]]);
    const picks = Array.from({ length: 100 }, () => module.pick(11));
    assert.ok(picks.filter((ip) => ip === 2).length >= 99, `${picks}`);
  }
});

test("all overload: open calls every node evenly, until most are usable again", () => {
  const settings = { whenAllOverload: "open", usableShareMin: 0.5, overloadShareMax: 0.5 };
  const module = new Fixture(settings, 6);
  for (let ip = 1; ip <= 3; ip++) module.report(ip, SICK, ip);
  assert.equal(module.mode(10), "normal", "half of them are usable");
  module.report(4, SICK, 10);
  assert.equal(module.mode(10), "open");
  const picks = new Map<number, number>();
  for (let i = 0; i < 60; i++) {
    const ip = module.pick(11);
    picks.set(ip, (picks.get(ip) ?? 0) + 1);
  }
  assert.deepEqual([...picks.values()], times(6, 10));
  module.report(1, times(15, 0), 20);
  module.report(2, times(15, 0), 20);
  assert.equal(module.mode(20), "open", "4 of 6 would get 150 % each");
  module.report(3, times(15, 0), 20);
  assert.equal(module.mode(20), "normal");
  assert.deepEqual(module.conditions(20)[3], "overload");
});

const STAGED = {
  policy: "smooth_weighted_round_robin",
  recovery: "staged",
  recoveryJitter: 0,
  ejectionMs: 1000,
  ejectionMaxMs: 3000,
  rampMs: 10_000,
};

test("open: who stays broken goes out once no verdict has changed for 30 s", () => {
  const settings = { whenAllOverload: "open", usableShareMin: 0.5, overloadShareMax: 0.5 };
  for (const policy of [{ ...STAGED, ...settings }, { policy: "recommended", callerOutsMax: 0 }]) {
    const module = new Fixture(policy, 3);
    for (let ip = 1; ip <= 3; ip++) module.report(ip, SICK, ip);
    assert.equal(module.mode(10), "open");
    const callAll = (atMs: number): void => {
      for (const ip of [1, 2]) module.report(ip, times(5, 0), atMs);
      module.report(3, times(5, ReportCode.Other), atMs);
      module.lb.tick(atMs);
    };
    const share = (atMs: number): number =>
      times(30, 0).filter(() => module.pick(atMs) === 3).length / 30;
    let backMs = 0;
    for (let atMs = 1000; atMs < 60_000 && backMs === 0; atMs += 1000) {
      callAll(atMs);
      if (module.conditions(atMs).filter((condition) => condition === "held").length === 1) {
        backMs = atMs;
      }
    }
    assert.ok(backMs > 0, "two of three are well again");
    for (let atMs = backMs + 1000; atMs < backMs + 29_000; atMs += 1000) {
      callAll(atMs);
      assert.equal(module.mode(atMs), "open", "a third may still come back");
    }
    assert.ok(share(backMs + 29_000) > 0.3);
    for (let atMs = backMs + 30_000; atMs < backMs + 33_000; atMs += 1000) callAll(atMs);
    assert.equal(module.mode(backMs + 33_000), "normal");
    assert.ok(share(backMs + 33_000) < 0.1, "the broken one gets a probe at most");
    const { reason } = module.modes.at(-1) ?? {};
    assert.equal(reason, "2 of 3 nodes are well");
    callAll(backMs + 90_000);
    assert.equal(module.mode(backMs + 90_000), "normal");
  }
});

test("open: with fewer well than usableShareMin it stays so, however long nothing changes", () => {
  const settings = { whenAllOverload: "open", overloadShareMax: 0.5 };
  const module = new Fixture({ ...STAGED, ...settings, usableShareMin: 0.5 }, 3);
  for (let ip = 1; ip <= 3; ip++) module.report(ip, SICK, ip);
  module.report(1, times(15, 0), 20);
  module.lb.tick(600_000);
  assert.equal(module.mode(600_000), "open");
  // Without a least share, none at all is not enough.
  const nobody = new Fixture({ ...STAGED, ...settings }, 2);
  for (let ip = 1; ip <= 2; ip++) nobody.report(ip, SICK, ip);
  nobody.lb.tick(600_000);
  assert.equal(nobody.mode(600_000), "open");
});

test("staged recovery: rest, probes one at a time, then a growing share", () => {
  const module = new Fixture(STAGED, 5);
  module.report(1, SICK, 0);
  assert.equal(module.spread(100, 500).get(1), undefined, "a resting node gets nothing");
  assert.equal(module.conditions(999)[0], "resting");
  module.lb.tick(1000);
  assert.equal(module.conditions(1000)[0], "overload");
  const probed = Array.from({ length: 60 }, () => module.pick(1100)).filter((ip) => ip === 1);
  assert.equal(probed.length, 1, "no second probe before the first has ended");
  module.report(1, [0], 1200);
  module.report(1, times(2, 0), 1200);
  assert.equal(module.conditions(1200)[0], "ramping");
  const shareAt = (atMs: number): number => {
    module.lb.tick(atMs);
    return (module.spread(1000, atMs).get(1) ?? 0) / 1000;
  };
  // Of 5 nodes: 0.1 / 4.1, 0.55 / 4.55 and a fifth.
  assert.ok(Math.abs(shareAt(1200) - 0.024) < 0.01);
  assert.ok(Math.abs(shareAt(6200) - 0.121) < 0.01);
  assert.ok(Math.abs(shareAt(11_200) - 0.2) < 0.01);
  assert.equal(module.conditions(11_200)[0], "idle");
});

test("staged recovery: each time out is longer, up to a cap, and decays in use", () => {
  const module = new Fixture({ ...STAGED, ejectionDecayMs: 60_000, rampMs: 0 }, 3);
  module.report(1, SICK, 0);
  const rests: number[] = [];
  let atMs = 0;
  for (let round = 0; round < 4; round++) {
    const fromMs = atMs;
    while (module.conditions(atMs)[0] === "resting") module.lb.tick(atMs += 100);
    rests.push(atMs - fromMs);
    module.report(1, [ReportCode.Other], atMs);
  }
  assert.deepEqual(rests, [1000, 2000, 3000, 3000]);
  module.lb.tick(atMs += 3000);
  module.report(1, times(3, 0), atMs);
  assert.deepEqual(module.conditions(atMs), ["idle", "idle", "idle"]);
  const ejections = (): number | undefined =>
    module.lb.explain(1, 1, atMs)?.module?.nodes[0].ejections;
  assert.equal(ejections(), 5);
  // Four minutes in use: four of the five are forgotten, and this one is added.
  atMs += 240_000;
  module.report(1, SICK, atMs);
  assert.equal(ejections(), 2);
});

test("calls that were under way when a node went out do not bring it back", () => {
  const module = new Fixture(STAGED, 3);
  module.report(1, SICK, 0);
  module.report(1, times(50, 0), 10);
  assert.equal(module.conditions(10)[0], "resting");
});

test("slow start: a new node gets a growing share, unless most nodes are new", () => {
  const settings = { policy: "smooth_weighted_round_robin", slowStartMs: 10_000 };
  const module = new Fixture(settings, 4);
  assert.deepEqual(module.conditions(0), ["idle", "idle", "idle", "idle"], "the first are not new");
  module.route(5, 1000);
  assert.equal(module.conditions(1000)[4], "ramping");
  // 0.1 of 4.1.
  assert.ok(Math.abs((module.spread(1000, 1000).get(5) ?? 0) / 1000 - 0.024) < 0.01);
  module.route(12, 2000);
  // 8 of 12 are new: nobody else could take their calls.
  assert.ok(module.conditions(2000).every((condition) => condition === "idle"));
  assert.ok(Math.abs((module.spread(1200, 2000).get(12) ?? 0) - 100) <= 2);
});

test("callers that never report do not make a node look busy for ever", () => {
  const module = new Fixture({ policy: "least_connections", outstandingTimeoutMs: 8000 }, 2);
  const first = module.pick(0);
  for (let i = 0; i < 9; i++) {
    module.pick(0);
  }
  const underWay = (nowMs: number): number[] | undefined =>
    module.lb.explain(1, 1, nowMs)?.module?.nodes.map(({ callsUnderWay }) => callsUnderWay);
  assert.deepEqual(underWay(0), [5, 5]);
  module.report(first, times(5, 0), 100);
  for (let atMs = 0; atMs <= 10_000; atMs += 100) module.lb.tick(atMs);
  assert.deepEqual(underWay(10_000), [0, 0]);
  assert.notEqual(module.pick(10_000), module.pick(10_000));
});

test("a change back to the original rules lets a waiting node return by the clock", () => {
  const module = new Fixture(STAGED, 2);
  module.report(1, SICK, 0);
  module.lb.tick(1000);
  module.set({});
  module.lb.tick(15_900);
  assert.equal(module.conditions(15_900)[0], "overload");
  module.lb.tick(16_000);
  assert.equal(module.conditions(16_000)[0], "idle");
});

test("a change of settings leaves no call under way that never ends, and no stale evidence", () => {
  const settings = { policy: "least_connections", rules: ["wilson"] };
  const module = new Fixture({ ...settings, outstandingTimeoutMs: 100, evidenceMs: 1000 }, 2);
  const lateMs = 10_000_000;
  module.pick(lateMs);
  module.report(1, times(4, ReportCode.Other), lateMs);
  module.lb.tick(lateMs);
  module.set({ ...settings, outstandingTimeoutMs: 8000, evidenceMs: 60_000 });
  module.pick(lateMs + 1);
  for (let ms = 0; ms <= 10_000; ms += 100) module.lb.tick(lateMs + ms);
  const nodes = module.lb.explain(1, 1, lateMs + 10_000)?.module?.nodes;
  assert.deepEqual(nodes?.map(({ callsUnderWay }) => callsUnderWay), [0, 0]);
  // The five failures of a minute, not of before; then it goes out by them alone.
  module.report(1, times(4, ReportCode.Other), lateMs + 20_000);
  assert.equal(module.changes.length, 0);
  module.report(1, [ReportCode.Other], lateMs + 30_000);
  assert.equal(module.changes.length, 1);
});

test("a node that was judged while it drained is out when it is back in service", () => {
  const module = new Fixture({ recovery: "lars" }, 2);
  const withState = (state: "on" | "drain"): RouteNode[] => [
    { ip: 1, port: 80, state },
    { ip: 2, port: 80 },
  ];
  module.report(1, SICK, 10);
  module.route(withState("drain"), 20);
  // Out of two, then of one: the mode changes to and fro while it is away.
  module.report(2, SICK, 30);
  module.report(2, times(15, 0), 40);
  module.route(withState("on"), 50);
  assert.deepEqual(module.conditions(50), ["overload", "idle"]);
});

test("explain() is plain data: reasons, decisions, and shares once it watches", () => {
  const module = new Fixture({ errRate: 0.2 }, 3);
  module.report(2, SICK, 100);
  const before = module.lb.explain(1, 1, 200);
  // Functions and instances would not survive this.
  assert.deepEqual(structuredClone(before), before);
  assert.deepEqual([before?.state, before?.ageMs], ["ready", 200]);
  const view = before?.module;
  assert.deepEqual([view?.policy, view?.settings], ["lars", { errRate: 0.2 }]);
  assert.deepEqual([view?.picksRemembered, view?.nodes[0].pickShare], [0, undefined]);
  assert.match(view?.nodes[1].reason ?? "", /15 calls failed in a row/);
  assert.equal(view?.nodes[1].node, "0.0.0.2:80");
  assert.deepEqual(view?.decisions.map(({ node, became, agoMs }) => [node, became, agoMs]), [
    ["0.0.0.2:80", "overload", 100],
  ]);
  for (let i = 0; i < 1100; i++) module.pick(300);
  const after = module.lb.explain(1, 1, 400)?.module;
  assert.equal(after?.picksRemembered, 1000);
  const shares = after?.nodes.map(({ pickShare }) => pickShare ?? 0) ?? [];
  // 1 pick in 11 probes the sick one, the others share the rest.
  [5 / 11, 1 / 11, 5 / 11].forEach((share, index) => {
    assert.ok(Math.abs(shares[index] - share) < 0.01, `${shares}`);
  });
  module.lb.tick(400 + WATCH_MS);
  assert.equal(module.lb.explain(1, 1, 401 + WATCH_MS)?.module?.picksRemembered, 0);
  assert.equal(module.lb.explain(9, 9, 0), undefined);
});

function zoned(counts: Record<string, number>): RouteNode[] {
  let ip = 0;
  return Object.entries(counts).flatMap(([zone, count]) =>
    Array.from({ length: count }, () => ({ ip: ++ip, port: 80, zone }))
  );
}

/** Share of the picks of each zone, from the addresses of `zoned`. */
function zoneShares(module: Fixture, nodes: RouteNode[], nowMs: number): Record<string, number> {
  const shares: Record<string, number> = {};
  for (const [ip, count] of module.spread(2000, nowMs)) {
    const zone = nodes.find((node) => node.ip === ip)?.zone ?? "none";
    shares[zone] = (shares[zone] ?? 0) + count / 2000;
  }
  return shares;
}

test("zones: the own zone first, spill when its nodes go, back by steps", () => {
  const nodes = zoned({ a: 4, b: 4, c: 4 });
  const policy = { ...STAGED, zoneAware: true, whenAllOverload: "open" };
  const module = new Fixture(policy, nodes, "a");
  assert.deepEqual(zoneShares(module, nodes, 0), { a: 1 });
  for (let ip = 1; ip <= 2; ip++) module.report(ip, SICK, 10);
  // 2 of 10 nodes bear 0.2 * 1.05 of all calls, a third of which come from here.
  const half = zoneShares(module, nodes, 20);
  assert.ok(Math.abs(half.a - 0.63) < 0.04, JSON.stringify(half));
  assert.ok(Math.abs(half.b - half.c) < 0.06, JSON.stringify(half));
  for (let ip = 3; ip <= 4; ip++) module.report(ip, SICK, 30);
  assert.equal(zoneShares(module, nodes, 40).a, undefined);
  module.lb.tick(1500);
  for (let ip = 1; ip <= 4; ip++) module.report(ip, times(3, 0), 1500);
  let last = 0;
  for (let atMs = 1500; atMs <= 12_000; atMs += 250) {
    module.lb.tick(atMs);
    const { a = 0 } = zoneShares(module, nodes, atMs);
    assert.ok(a - last < 0.45, `${a} after ${last}`);
    last = a;
  }
  assert.equal(last, 1);
});

test("zones: an evacuated zone gets no call while another has a node, and comes back", () => {
  const nodes = zoned({ a: 2, b: 2 });
  for (const zoneAware of [false, true]) {
    const module = new Fixture({ zoneAware, evacuatedZones: ["a"] }, nodes, "a");
    assert.deepEqual(zoneShares(module, nodes, 0), { b: 1 });
    const zones = module.lb.explain(1, 1, 0)?.module?.zones;
    assert.deepEqual(
      zones?.filter(({ evacuated }) => evacuated).map(({ zone, share }) => [
        zone,
        share,
      ]),
      [["a", 0]],
    );
    module.route(nodes.slice(0, 2), 10);
    assert.deepEqual(zoneShares(module, nodes, 10), { a: 1 });
    module.route(nodes, 20);
    module.set({ zoneAware });
    const { a = 0 } = zoneShares(module, nodes, 30);
    assert.ok(Math.abs(a - (zoneAware ? 1 : 0.5)) < 0.01, `${a}`);
  }
});

test("zones: more than there may be share the rest", () => {
  const nodes = Array.from({ length: 200 }, (_, index) => ({
    ip: index + 1,
    port: 80,
    zone: `z${index}`,
  }));
  const module = new Fixture({ zoneAware: true }, nodes, "elsewhere");
  // 63 zones are known by name; the other 137 nodes have more than their own callers need.
  assert.equal(module.spread(20_000, 0).size, 137);
  assert.ok((module.lb.explain(1, 1, 0)?.module?.zones.length ?? 0) <= 64);
});

test("zones: a keyed policy keeps keys on their nodes", () => {
  const module = new Fixture({ policy: "ring_hash", zoneAware: true }, zoned({ a: 3, b: 9 }), "a");
  const owners = (): (number | undefined)[] =>
    Array.from({ length: 200 }, (_, key) => {
      const host = module.lb.getHost(1, 1, 0, `user ${key}`);
      return typeof host === "number" ? undefined : host.ip;
    });
  assert.deepEqual(owners(), owners());
  assert.ok(new Set(owners()).size > 6);
});

test("a node that fails goes out before one that is slow, and does not throw the module open", () => {
  const module = new Fixture({ policy: "recommended", callerOutsMax: 0 }, 3);
  for (let round = 1; round <= 60; round++) {
    for (const ip of [1, 2]) module.report(ip, [0], round, 10);
    module.report(3, [0], round, 500);
  }
  assert.deepEqual(module.conditions(100), ["idle", "idle", "resting"]);
  module.report(1, times(15, ReportCode.Other), 101, 10);
  assert.deepEqual(module.conditions(102), ["resting", "idle", "held"]);
  assert.equal(module.mode(102), "normal");
  // It fails as well now, so nobody is much better than the others.
  module.report(3, times(15, ReportCode.Other), 103, 500);
  assert.equal(module.mode(104), "open");
});
