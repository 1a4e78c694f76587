import assert from "node:assert/strict";
import { test } from "node:test";
import { RetCode } from "../../proto/message_ids.ts";
import { type Rng, seededRng } from "../../reactor/time/rng.ts";
import { type BalanceSettings, checkBalanceSettings, defaultBalanceSettings } from "../mod.ts";
import { RouteLb } from "./route_lb.ts";
import type { RouteLbOptions } from "./route_records.ts";

interface Fixture {
  lb: RouteLb;
  pulls: string[];
}

const noJitter: Rng = { next: () => 0 };

function makeLb(options: Partial<RouteLbOptions> = {}): Fixture {
  const pulls: string[] = [];
  const lb = new RouteLb({
    settings: defaultBalanceSettings,
    rng: noJitter,
    onPull: (modId, cmdId) => pulls.push(`${modId},${cmdId}`),
    ...options,
  });
  return { lb, pulls };
}

const node = (ip: number): { ip: number; port: number } => ({ ip, port: 80 });
const ipOf = (picked: ReturnType<RouteLb["getHost"]>): number =>
  typeof picked === "number" ? -picked : picked.ip;

test("getHost() pulls an unknown module once and answers NoExist until the route comes", () => {
  const { lb, pulls } = makeLb();
  assert.equal(lb.getHost(1, 2, 0), RetCode.NoExist);
  assert.equal(lb.getHost(1, 2, 1), RetCode.NoExist);
  assert.deepEqual(pulls, ["1,2"]);
  assert.deepEqual(lb.update(1, 2, [node(7), node(8)], 5), {
    added: 2,
    kept: 0,
    removed: 0,
    cut: 0,
  });
  assert.deepEqual([ipOf(lb.getHost(1, 2, 6)), ipOf(lb.getHost(1, 2, 7))], [7, 8]);
  assert.deepEqual(pulls, ["1,2"]);
});

test("a pull without an answer is repeated after 1, 2, 4, 8, 15, 15 s", () => {
  const { lb, pulls } = makeLb();
  const times: number[] = [];
  lb.getHost(1, 1, 0);
  let seen = 0;
  for (let ms = 0; ms <= 50_000; ms += 100) {
    lb.getHost(1, 1, ms);
    lb.tick(ms);
    if (pulls.length > seen) times.push(ms);
    seen = pulls.length;
  }
  assert.deepEqual(times, [0, 1000, 3000, 7000, 15_000, 30_000, 45_000]);
  lb.update(1, 1, [node(1)], 50_000);
  lb.tick(60_000);
  assert.equal(pulls.length, seen, "an answer ends it");
});

test("a module that is forgotten is unknown at once, and takes no room", () => {
  const { lb, pulls } = makeLb({ modulesMax: 1 });
  lb.getHost(1, 1, 0);
  lb.update(1, 1, [node(1)], 0);
  lb.forget(1, 1);
  lb.forget(2, 1);
  assert.equal(lb.stats().modules, 0);
  lb.tick(1000);
  assert.equal(lb.getHost(1, 1, 1000), RetCode.NoExist);
  assert.equal(pulls.length, 2, "it is asked for anew");
});

test("an empty route is remembered for update_timeout", () => {
  const { lb, pulls } = makeLb();
  lb.getHost(1, 1, 0);
  lb.update(1, 1, [], 10);
  for (const ms of [11, 5000, 15_009]) assert.equal(lb.getHost(1, 1, ms), RetCode.NoExist);
  lb.tick(15_009);
  assert.equal(pulls.length, 1);
  assert.equal(lb.getHost(1, 1, 15_010), RetCode.NoExist);
  assert.equal(pulls.length, 2);
  lb.update(1, 1, [node(3)], 15_020);
  assert.equal(ipOf(lb.getHost(1, 1, 15_021)), 3);
});

test("a used module older than update_timeout is pulled again and serves meanwhile", () => {
  const { lb, pulls } = makeLb();
  lb.getHost(1, 1, 0);
  lb.update(1, 1, [node(1)], 0);
  lb.tick(14_999);
  assert.equal(ipOf(lb.getHost(1, 1, 14_999)), 1);
  assert.equal(pulls.length, 1);
  assert.equal(ipOf(lb.getHost(1, 1, 15_000)), 1);
  assert.equal(pulls.length, 2);
  // Dns is silent: repeated at 16,000 and 18,000, while every call is served.
  for (let ms = 15_100; ms <= 18_000; ms += 100) {
    lb.tick(ms);
    assert.equal(ipOf(lb.getHost(1, 1, ms)), 1);
  }
  assert.equal(pulls.length, 4);
});

test("refreshes are spread over a fifth of update_timeout", () => {
  const { lb, pulls } = makeLb({ rng: seededRng(7) });
  for (let i = 0; i < 200; i++) {
    lb.getHost(i, 1, 0);
    lb.update(i, 1, [node(1)], 0);
  }
  const pulledBy = (ms: number): number => {
    for (let i = 0; i < 200; i++) lb.getHost(i, 1, ms);
    return pulls.length - 200;
  };
  assert.equal(pulledBy(14_999), 0);
  const half = pulledBy(16_500);
  assert.ok(half > 60 && half < 140, String(half));
  assert.equal(pulledBy(18_000), 200);
});

test("an unused module is not pulled again", () => {
  const { lb, pulls } = makeLb();
  lb.getHost(1, 1, 0);
  lb.update(1, 1, [node(1)], 0);
  lb.tick(1e9);
  assert.equal(pulls.length, 1);
});

test("a push keeps counters, and a report of a removed node is ignored", () => {
  const { lb } = makeLb();
  lb.getHost(1, 1, 0);
  lb.update(1, 1, [node(1), node(2)], 0);
  for (const ip of [1, 2]) lb.report(1, 1, ip, 80, 0, 0, 10);
  lb.update(1, 1, [node(2), node(3)], 20);
  lb.report(1, 1, 1, 80, 0, 0, 30);
  lb.report(9, 9, 1, 80, 0, 0, 30);
  const [module] = lb.snapshot(40);
  assert.deepEqual(module.hosts.map((h) => [h.ip, h.rsucc]), [[2, 1], [3, 0]]);
  const stats = lb.stats();
  assert.deepEqual([stats.reports, stats.reportsIgnored], [2, 2]);
});

test("negative ids and addresses name the same module and node as unsigned ones", () => {
  const { lb, pulls } = makeLb();
  lb.getHost(-1, -2147483648, 0);
  lb.getHost(4294967295, 2147483648, 0);
  assert.deepEqual(pulls, ["4294967295,2147483648"]);
  lb.update(-1, -2147483648, [{ ip: -1062731343, port: 80 }], 0);
  assert.equal(ipOf(lb.getHost(4294967295, 2147483648, 1)), 3232235953);
  lb.report(4294967295, -2147483648, -1062731343, 80, 1, 0, 2);
  assert.equal(lb.stats().reports, 1);
});

test("modules with swapped or summed ids are different ones", () => {
  const { lb } = makeLb();
  const ids = [[1, 2], [2, 1], [0, 3], [3, 0], [1, 4294967295], [2, 4294967294]];
  ids.forEach(([modId, cmdId], i) => {
    lb.getHost(modId, cmdId, 0);
    lb.update(modId, cmdId, [node(i)], 0);
  });
  ids.forEach(([modId, cmdId], i) => assert.equal(ipOf(lb.getHost(modId, cmdId, 1)), i));
});

test("a full table evicts modules without nodes first, those asked for once before others", () => {
  const { lb } = makeLb({ modulesMax: 4 });
  const known = (): number[] => [...lb.snapshot(0)].map((m) => m.modId).sort();
  for (const modId of [1, 2, 3, 4]) lb.getHost(modId, 0, modId);
  lb.update(1, 0, [node(1)], 5);
  lb.update(3, 0, [node(1)], 5);
  lb.update(4, 0, [], 5);
  lb.getHost(2, 0, 6);
  lb.getHost(5, 0, 7);
  assert.deepEqual(known(), [1, 2, 3, 5], "4 never had a node, and nobody asked for it again");
  lb.getHost(4, 0, 7);
  assert.deepEqual(known(), [1, 2, 3, 4], "so it is with 5");
  lb.getHost(4, 0, 7);
  lb.getHost(5, 0, 7);
  assert.deepEqual(known(), [1, 3, 4, 5], "of 2 and 4 the older one goes");
  lb.update(4, 0, [node(1)], 8);
  lb.update(5, 0, [node(1)], 8);
  lb.getHost(1, 0, 9);
  lb.getHost(6, 0, 10);
  assert.deepEqual(known(), [1, 4, 5, 6], "3 was used longest ago");
  // A flood of unknown modules then goes through one place.
  for (let i = 100; i < 200; i++) lb.getHost(i, 0, i);
  assert.deepEqual(known(), [1, 4, 5, 199].sort());
  assert.equal(lb.stats().modulesEvicted, 104);
  assert.equal(lb.update(2, 0, [node(1)], 300), undefined, "an answer for a forgotten module");
});

test("an evicted module still has its last results reported", () => {
  const { lb } = makeLb({ modulesMax: 1 });
  lb.getHost(1, 0, 0);
  lb.update(1, 0, [node(1)], 0);
  lb.report(1, 0, 1, 80, 0, 0, 0);
  lb.getHost(2, 0, 1);
  assert.deepEqual(lb.drainReports(2).map((r) => [r.modId, r.results.length]), [[1, 1]]);
  assert.equal(lb.stats().activeHosts, 0);
});

test("pulls of unknown modules keep to burst and rate, oldest first", () => {
  const { lb, pulls } = makeLb({ pullsBurstMax: 10, pullsPerSecondMax: 5 });
  for (let i = 0; i < 30; i++) lb.getHost(i, 0, 0);
  assert.equal(pulls.length, 10);
  for (let i = 0; i < 10; i++) lb.update(i, 0, [node(1)], 0);
  lb.tick(1000);
  assert.deepEqual(pulls.slice(10), ["10,0", "11,0", "12,0", "13,0", "14,0"]);
  // Refreshes of modules with nodes are not held back.
  lb.getHost(0, 0, 15_000);
  assert.equal(pulls.at(-1), "0,0");
});

test("modules that were asked for again are pulled first, and faster", () => {
  const { lb, pulls } = makeLb({ pullsBurstMax: 4, pullsPerSecondMax: 5 });
  for (let modId = 0; modId < 200; modId++) lb.getHost(modId, 0, 0);
  // However late they came: 150 sixteen times, 120 to 129 twice.
  for (let modId = 120; modId < 130; modId++) lb.getHost(modId, 0, 1);
  for (let times = 1; times < 16; times++) lb.getHost(150, 0, 1);
  pulls.length = 0;
  for (let ms = 100; ms <= 300; ms += 100) lb.tick(ms);
  const again = Array.from({ length: 10 }, (_, i) => `${120 + i},0`);
  assert.deepEqual(pulls.slice(0, 11), ["150,0", ...again], "50 a second");
  const rest = pulls.length;
  for (let ms = 400; ms <= 900; ms += 100) lb.tick(ms);
  assert.deepEqual(pulls.slice(rest), ["4,0", "5,0", "6,0"], "5 a second");
});

/** What dns answers: it knows modules 1 to 999. */
function answerPulls(lb: RouteLb, pulls: string[], nowMs: number): void {
  for (const key of pulls.splice(0)) {
    const modId = Number(key.split(",")[0]);
    lb.update(modId, 0, modId < 1000 ? [node(1)] : [], nowMs);
  }
}

test("among 1,000 made-up modules a second on each port a real one is served within a second", () => {
  const gone: number[] = [];
  const { lb, pulls } = makeLb({
    modulesMax: 3334,
    pullsBurstMax: 334,
    pullsPerSecondMax: 50 / 3,
    onForget: (modId) => gone.push(modId),
  });
  let madeUp = 1000;
  let worstMs = 0;
  let begunMs = 0;
  let real = 1;
  for (let ms = 0; ms < 60_000; ms += 5) {
    for (let i = 0; i < 5; i++) lb.getHost(madeUp++, 0, ms);
    if (ms % 20 === 0 && typeof lb.getHost(real, 0, ms) !== "number") {
      worstMs = Math.max(worstMs, ms - begunMs);
      real++;
      begunMs = ms + 20;
    }
    if (ms % 100 === 0) lb.tick(ms);
    if (ms % 10 === 0) answerPulls(lb, pulls, ms);
  }
  assert.ok(worstMs <= 300, `${worstMs} ms`);
  assert.ok(real > 200, `${real} real modules`);
  const pulled = lb.stats().pullsSent;
  for (let ms = 60_000; ms <= 95_000; ms += 100) {
    lb.tick(ms);
    answerPulls(lb, pulls, ms);
  }
  const { modules, modulesReady, pullsPending } = lb.stats();
  assert.deepEqual([modules, pullsPending], [modulesReady, 0]);
  assert.ok(modulesReady >= real - 1);
  assert.ok(gone.length <= lb.stats().pullsSent && gone.length > 1000, `${gone.length}`);
  assert.ok(pulled < 334 + 60 * 17 + 10 * real, `${pulled} pulls`);
});

test("a module without nodes is forgotten when nobody asks for it for 30 s, others stay", () => {
  const gone: number[] = [];
  const { lb } = makeLb({ onForget: (modId) => gone.push(modId) });
  for (const modId of [1, 2, 3, 4]) lb.getHost(modId, 0, 0);
  lb.update(1, 0, [node(1)], 0);
  lb.update(2, 0, [], 0);
  lb.update(4, 0, [node(1)], 0);
  lb.update(4, 0, [], 1);
  lb.getHost(3, 0, 20_000);
  for (let ms = 0; ms < 30_000; ms += 100) lb.tick(ms);
  assert.deepEqual(gone, []);
  lb.tick(31_000);
  assert.deepEqual(gone, [2]);
  assert.equal(lb.stateOf(4, 0), "empty", "it was real once");
  for (let ms = 31_000; ms <= 51_000; ms += 100) lb.tick(ms);
  assert.deepEqual([gone, lb.stats().modules], [[2, 3], 2]);
});

test("resubscribe() asks for everything again, known modules spread over time", () => {
  const { lb, pulls } = makeLb({ rng: seededRng(3) });
  for (let i = 0; i < 1000; i++) {
    lb.getHost(i, 0, 0);
    if (i < 900) lb.update(i, 0, [node(1)], 0);
  }
  pulls.length = 0;
  lb.resubscribe(1000);
  // The burst of 1000 is used up; one second gave 50 more, so half of the hundred wait.
  assert.deepEqual([pulls.length, pulls[0]], [50, "900,0"]);
  // 1000 modules spread over 7.5 s.
  for (let ms = 1001; ms <= 8501; ms += 100) lb.tick(ms);
  const known = new Set(pulls.filter((key) => Number(key.split(",")[0]) < 900));
  assert.equal(known.size, 900);
  assert.equal(new Set(pulls).size, 1000);
});

test("pausePulls() holds every pull back without spending the rate, until resubscribe()", () => {
  const { lb, pulls } = makeLb({ pullsBurstMax: 2, pullsPerSecondMax: 0.001 });
  lb.pausePulls();
  for (const modId of [1, 2]) lb.getHost(modId, 0, 0);
  lb.preload(3, 0, [node(1)], 0);
  lb.getHost(3, 0, 0);
  for (let ms = 0; ms < 5000; ms += 100) lb.tick(ms);
  assert.deepEqual(pulls, []);
  lb.resubscribe(5000);
  lb.tick(5100);
  assert.deepEqual(pulls.sort(), ["1,0", "2,0", "3,0"]);
});

test("preload() serves at once, is refreshed on use and gives way to what dns says", () => {
  const { lb, pulls } = makeLb({ modulesMax: 2 });
  lb.preload(1, 1, [node(5)], 0);
  assert.equal(pulls.length, 0);
  assert.equal(ipOf(lb.getHost(1, 1, 0)), 5);
  assert.deepEqual(pulls, ["1,1"]);
  lb.update(1, 1, [node(6)], 1);
  assert.equal(ipOf(lb.getHost(1, 1, 2)), 6);
  lb.preload(1, 1, [node(5)], 3);
  assert.equal(ipOf(lb.getHost(1, 1, 4)), 6, "a cached route never replaces a known one");
  lb.preload(2, 2, [], 0);
  lb.preload(3, 3, [node(1)], 0);
  lb.preload(4, 4, [node(1)], 0);
  assert.equal(lb.stats().modules, 2);
});

test("confirm() counts as an answer and leaves the nodes alone", () => {
  const { lb, pulls } = makeLb();
  lb.confirm(1, 1, 0);
  lb.getHost(1, 1, 0);
  lb.confirm(1, 1, 0);
  lb.tick(1000);
  assert.equal(pulls.length, 2, "a module without a route is not answered by it");
  lb.update(1, 1, [node(4)], 1000);
  lb.getHost(1, 1, 16_000);
  lb.confirm(1, 1, 16_010);
  lb.tick(30_000);
  assert.equal(ipOf(lb.getHost(1, 1, 31_009)), 4);
  assert.equal(pulls.length, 3);
  lb.getHost(1, 1, 31_010);
  assert.equal(pulls.length, 4);
});

test("onForget() tells of every module that is not kept", () => {
  const forgotten: number[] = [];
  const { lb } = makeLb({ modulesMax: 2, onForget: (modId) => forgotten.push(modId) });
  for (const modId of [1, 2, 3]) lb.getHost(modId, 0, 0);
  lb.preload(4, 0, [node(1)], 0);
  lb.preload(5, 0, [], 0);
  assert.deepEqual(forgotten, [1, 4, 5]);
});

test("onForget() says nothing of a module that nobody outside has heard of", () => {
  const forgotten: number[] = [];
  const { lb } = makeLb({ modulesMax: 2, onForget: (modId) => forgotten.push(modId) });
  lb.pausePulls();
  for (const modId of [1, 2, 3]) lb.getHost(modId, 0, 0);
  assert.deepEqual(forgotten, []);
});

test("stats() counts what a walk over all modules would", () => {
  const { lb } = makeLb({ modulesMax: 3 });
  const check = (): void => {
    const { modules, modulesReady, hosts, hostsOverload } = lb.stats();
    const all = [...lb.snapshot(0)];
    const nodes = all.flatMap((module) => module.hosts);
    assert.deepEqual({ modules, modulesReady, hosts, hostsOverload }, {
      modules: all.length,
      modulesReady: all.filter(({ state }) => state === "ready").length,
      hosts: nodes.length,
      hostsOverload: nodes.filter(({ overload }) => overload).length,
    });
  };
  const fail = (modId: number, ip: number): void => {
    for (let i = 0; i < 20; i++) lb.report(modId, 0, ip, 80, 1, 0, 1);
    check();
  };
  for (const modId of [1, 2, 3]) {
    lb.getHost(modId, 0, modId);
    lb.update(modId, 0, modId === 3 ? [] : [node(1), node(2), node(3)], modId);
    check();
  }
  fail(1, 1);
  fail(1, 2);
  fail(2, 3);
  lb.setModulePolicy(1, 0, '{"recovery":"staged"}');
  check();
  lb.update(1, 0, [node(2), node(4), node(4)], 5);
  check();
  lb.update(2, 0, [], 5);
  check();
  // Evicts 3, then 2, then 1 with a node that is out.
  for (const modId of [4, 5, 6]) {
    lb.getHost(modId, 0, 10 + modId);
    lb.update(modId, 0, [node(1)], 10 + modId);
    check();
  }
  assert.equal(lb.stats().hosts, 3);
  assert.equal(lb.stats().hostsOverload, 0);
});

test("getRoute() gives all nodes, overload ones too, and pulls what is unknown", () => {
  const { lb, pulls } = makeLb();
  assert.deepEqual(lb.getRoute(1, 1, 0), []);
  assert.deepEqual(pulls, ["1,1"]);
  lb.update(1, 1, [node(1), node(2)], 0);
  for (let i = 0; i < 15; i++) lb.report(1, 1, 1, 80, 1, 0, i);
  assert.deepEqual(lb.getRoute(1, 1, 20).map((h) => h.ip), [1, 2]);
});

test("drainReports() gives each module at most once a second, and only what changed", () => {
  const { lb } = makeLb();
  for (const modId of [1, 2]) {
    lb.getHost(modId, 0, 0);
    lb.update(modId, 0, [node(1), node(2)], 0);
  }
  const drain = (ms: number): unknown =>
    lb.drainReports(ms).map(({ modId, results }) => [
      modId,
      results.map((h) => [h.ip, h.succ, h.succTotal]).sort(([one], [other]) => one - other),
    ]);
  assert.deepEqual(drain(0), []);
  lb.report(1, 0, 1, 80, 0, 0, 100);
  assert.deepEqual(drain(100), [[1, [[1, 1, 1]]]]);
  lb.report(1, 0, 1, 80, 0, 0, 200);
  lb.report(1, 0, 2, 80, 0, 0, 300);
  lb.report(2, 0, 2, 80, 0, 0, 300);
  assert.deepEqual(drain(400), [[2, [[2, 1, 1]]]]);
  assert.deepEqual(drain(1099), []);
  assert.deepEqual(drain(1100), [[1, [[1, 2, 2], [2, 1, 1]]]]);
  lb.report(1, 0, 1, 80, 0, 0, 1200);
  assert.equal(lb.drainReports(1201, true).length, 1, "force takes it at once");
  assert.deepEqual(drain(5000), []);
});

test("setSettings() takes effect without forgetting any node", () => {
  const { lb } = makeLb();
  lb.getHost(1, 1, 0);
  lb.update(1, 1, [node(1)], 0);
  for (let i = 0; i < 4; i++) lb.report(1, 1, 1, 80, 1, 0, i);
  lb.setSettings({ ...defaultBalanceSettings, continErrLimit: 5 });
  lb.report(1, 1, 1, 80, 1, 0, 5);
  assert.equal(lb.stats().hostsOverload, 1);
  assert.throws(() => lb.setSettings({ ...defaultBalanceSettings, probeNum: 0 }), RangeError);
});

test("checkBalanceSettings() names the setting that is wrong", () => {
  const cases: [Partial<BalanceSettings>, RegExp][] = [
    [{ probeNum: 0 }, /probeNum must be a whole number of at least 1: current value is 0/],
    [{ initSuccCnt: -1 }, /initSuccCnt/],
    [{ initErrCnt: 1.5 }, /initErrCnt/],
    [{ errRate: 1.1 }, /errRate must be from 0 to 1: current value is 1.1/],
    [{ succRate: NaN }, /succRate/],
    [{ continErrLimit: 0 }, /continErrLimit/],
    [{ continSuccLimit: 0 }, /continSuccLimit/],
    [{ windowErrRate: -0.1 }, /windowErrRate/],
    [{ idleTimeoutMs: 0 }, /idleTimeoutMs must be above 0: current value is 0/],
    [{ overloadTimeoutMs: -1 }, /overloadTimeoutMs/],
    [{ updateTimeoutMs: Infinity }, /updateTimeoutMs/],
  ];
  for (const [wrong, message] of cases) {
    assert.throws(() => checkBalanceSettings({ ...defaultBalanceSettings, ...wrong }), message);
  }
});

test("a tick looks at nodes that are not fresh and at nothing else", () => {
  const { lb } = makeLb({ modulesMax: 100_000, pullsBurstMax: 100_000 });
  for (let i = 0; i < 20_000; i++) {
    lb.getHost(i, 0, 0);
    lb.update(i, 0, [node(1)], 0);
  }
  lb.report(5, 0, 1, 80, 0, 0, 1);
  assert.equal(lb.stats().activeHosts, 1);
  assert.equal(lb.stats().pullsPending, 0);
  lb.tick(15_000);
  assert.equal(lb.stats().activeHosts, 0);
});

test("setModulePolicy() refuses a text it cannot read, known module or not, and forgets nothing", () => {
  const { lb } = makeLb();
  assert.throws(() => lb.setModulePolicy(1, 1, "{"), { name: "RangeError", message: /JSON/ });
  lb.setModulePolicy(1, 1, '{"policy":"maglev"}');
  assert.equal(lb.stateOf(1, 1), undefined, "a policy alone makes no module");
  lb.getHost(1, 1, 0);
  lb.update(1, 1, [node(7), node(8)], 0);
  lb.report(1, 1, 7, 80, 1, 0, 1);
  const before = [...lb.snapshot(2)];
  lb.setModulePolicy(1, 1, '{"errRate":0.5}');
  assert.throws(() => lb.setModulePolicy(1, 1, '{"errRate":2}'), { message: /^errRate must/ });
  lb.setModulePolicy(1, 1, "");
  assert.deepEqual([...lb.snapshot(2)], before);
});

test("resting says that no tick is due", () => {
  const { lb } = makeLb();
  assert.ok(lb.resting);
  lb.getHost(1, 1, 0);
  assert.ok(!lb.resting, "a pull is under way");
  lb.update(1, 1, [node(1), node(2)], 10);
  assert.ok(lb.resting);
  lb.getHost(1, 1, 20);
  assert.ok(lb.resting, "a pick by the original rules leaves nothing to do");
  lb.report(1, 1, 1, 80, 1, 0, 30);
  assert.ok(!lb.resting, "a window runs, and a result is to be reported");
  lb.drainReports(1000);
  assert.ok(!lb.resting, "the window still runs");
  lb.tick(60_000);
  assert.ok(lb.resting);
  lb.setModulePolicy(1, 1, '{"policy":"least_connections"}');
  lb.getHost(1, 1, 60_000);
  assert.ok(!lb.resting, "the call may never be reported, and then expires");
});
