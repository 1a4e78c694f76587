// The in-process client on a clock that stands still and an upstream that only notes down;
// in_process_tcp_test.ts does it over sockets.

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { defaultBalanceSettings } from "../balancer/detection/balance_settings.ts";
import type { ModuleReport } from "../balancer/routes/route_records.ts";
import { RouteLb } from "../balancer/routes/route_lb.ts";
import { formatIpv4 } from "../reactor/address.ts";
import { ConnectError } from "../reactor/errors.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { nextInt, seededRng } from "../reactor/time/rng.ts";
import { ClosedError, NoRouteError } from "./errors.ts";
import { InProcessClient } from "./in_process_client.ts";
import type { InProcessClientOptions } from "./in_process_options.ts";
import type { UpstreamEvents } from "./upstream.ts";

/** A client whose upstream is this test. */
class Bench {
  // Not a whole number, which engines keep in another way.
  readonly clock = new ManualClock(1000.5);
  readonly asked: string[] = [];
  readonly forgotten: string[] = [];
  readonly calls: number[][] = [];
  readonly reports: ModuleReport[] = [];
  readonly settled: boolean[] = [];
  readonly client: InProcessClient;
  connected = false;
  started = 0;
  closed = 0;
  #events: UpstreamEvents | undefined;

  constructor(options: InProcessClientOptions = {}) {
    this.client = new InProcessClient({
      clock: this.clock,
      rng: seededRng(1),
      openUpstream: (events) => {
        this.#events = events;
        const connected = (): boolean => this.connected;
        return {
          source: {
            get ready(): boolean {
              return connected();
            },
            address: { hostname: "127.0.0.1", port: 8888 },
            fault: undefined,
          },
          stats: { connects: 0, resultsPending: 0, resultsDropped: 0, batches: 0 },
          start: () => void this.started++,
          ask: (modId, cmdId) => void this.asked.push(`${modId},${cmdId}`),
          forget: (modId, cmdId) => void this.forgotten.push(`${modId},${cmdId}`),
          calls: { add: (...call) => void this.calls.push(call) },
          addReports: (reports) => void this.reports.push(...reports),
          tick: (_nowMs, settled) => void this.settled.push(settled),
          close: () => {
            this.closed++;
            return Promise.resolve();
          },
        };
      },
      ...options,
    });
  }

  get events(): UpstreamEvents {
    assert.ok(this.#events !== undefined);
    return this.#events;
  }

  connect(): void {
    this.connected = true;
    this.events.onReady();
  }

  lose(): void {
    this.connected = false;
    this.events.onLost();
  }

  route(modId: number, count: number, policy = ""): void {
    this.events.onRoute(
      modId,
      1,
      Array.from({ length: count }, (_, i) => ({ ip: i + 1, port: 80 })),
      policy,
    );
  }
}

test("InProcessClient() opens nothing before the first question", () => {
  const bench = new Bench();
  assert.deepEqual([bench.started, bench.clock.pendingCount], [0, 0]);
  assert.deepEqual([bench.client.connected, bench.client.tableAgeMs], [false, Infinity]);
});

test("a policy that cannot be used is counted, and the route is taken", () => {
  const bench = new Bench();
  bench.client.pick(1, 1);
  bench.connect();
  bench.route(1, 2, '{"policy":"nobody knows"}');
  assert.equal(bench.client.stats.policiesRefused, 1);
  assert.notEqual(typeof bench.client.pick(1, 1), "number");
  bench.route(1, 2, '{"policy":"lars"}');
  assert.equal(bench.client.stats.policiesRefused, 1);
});

test("the agent's rules hold, but for those the client was given itself", () => {
  for (const [rules, failures] of [[undefined, 3], [{ continErrLimit: 2 }, 2]] as const) {
    const bench = new Bench({ rules });
    bench.client.pick(1, 1);
    bench.connect();
    bench.events.onSettings('{"continErrLimit":3,"errRate":1}', "");
    bench.route(1, 2);
    for (let failure = 1; failure <= failures; failure++) {
      assert.equal(bench.client.stats.hostsOverload, 0);
      bench.client.report(1, 1, "0.0.0.1", 80, 1);
    }
    assert.equal(bench.client.stats.hostsOverload, 1);
    assert.equal(bench.client.stats.policiesRefused, 0);
  }
});

test("rules of the agent that cannot be used are counted, and those before stay", () => {
  const bench = new Bench();
  bench.client.pick(1, 1);
  bench.connect();
  bench.events.onSettings('{"continErrLimit":3,"errRate":1}', "");
  for (const bad of ["", "{", '{"errRate":7}', "null"]) bench.events.onSettings(bad, "");
  assert.equal(bench.client.stats.policiesRefused, 4);
  bench.route(1, 2);
  for (let failure = 0; failure < 3; failure++) bench.client.report(1, 1, "0.0.0.1", 80, 1);
  assert.equal(bench.client.stats.hostsOverload, 1);
});

test("the client stands in the zone of its agent, unless it was told another", () => {
  const nodes = ["east", "west"].map((zone, index) => ({ ip: index + 1, port: 80, zone }));
  for (const [zone, told, wanted] of [[undefined, "west", 2], ["east", "west", 1]] as const) {
    const bench = new Bench({ zone });
    bench.client.pick(1, 1);
    bench.connect();
    bench.events.onRoute(1, 1, nodes, '{"zoneAware":true}');
    bench.events.onSettings("{}", told);
    for (let pick = 0; pick < 20; pick++) {
      assert.deepEqual(bench.client.pick(1, 1), { ip: `0.0.0.${wanted}`, port: 80 });
    }
  }
});

test("pick() gives the same object for a node each time", () => {
  const bench = new Bench();
  assert.equal(bench.client.pick(1, 1), 3);
  bench.connect();
  bench.route(1, 2);
  const picked = [1, 2, 3, 4].map(() => bench.client.pick(1, 1));
  assert.deepEqual(picked.slice(0, 2), [{ ip: "0.0.0.1", port: 80 }, { ip: "0.0.0.2", port: 80 }]);
  assert.ok(picked[0] === picked[2] && picked[1] === picked[3]);
  bench.route(1, 3);
  assert.ok(bench.client.pick(1, 1) === picked[0], "also after the route has changed");
});

test("picks are those of RouteLb with the same history", () => {
  const rng = seededRng(7);
  const bench = new Bench();
  const lb = new RouteLb({ settings: defaultBalanceSettings, rng: seededRng(2), onPull: () => {} });
  bench.client.pick(1, 1);
  lb.getHost(1, 1, bench.clock.nowMs());
  bench.connect();
  let refusals = 0;
  let probes = 0;
  for (let step = 0; step < 20_000; step++) {
    const nowMs = bench.clock.nowMs();
    if (step % 2000 === 0) {
      const count = 1 + nextInt(rng, 6);
      bench.route(1, count);
      lb.update(1, 1, Array.from({ length: count }, (_, i) => ({ ip: i + 1, port: 80 })), nowMs);
    }
    const own = lb.getHost(1, 1, nowMs);
    const picked = bench.client.pick(1, 1);
    if (typeof own === "number") {
      assert.equal(picked, own, `step ${step}`);
      refusals++;
    } else {
      assert.deepEqual(picked, { ip: formatIpv4(own.ip), port: own.port }, `step ${step}`);
      if (own.overload) probes++;
      // Times in which most nodes fail, and times in which most are well.
      const failing = Math.floor(step / 3000) % 2 === 1;
      const retcode = rng.next() < (failing ? 0.6 : 0.02) ? 1 : 0;
      const costMs = nextInt(rng, 400);
      lb.report(1, 1, own.ip, own.port, retcode, costMs, nowMs);
      bench.client.report(1, 1, formatIpv4(own.ip), own.port, retcode, costMs);
    }
    if (step % 50 === 0) {
      bench.clock.advance(100);
      lb.tick(bench.clock.nowMs());
    }
  }
  assert.ok(refusals > 100 && probes > 100, `${refusals} refusals, ${probes} probes`);
});

test("the end of overload comes with the clock, without a call", () => {
  const bench = new Bench();
  bench.client.pick(1, 1);
  bench.connect();
  bench.route(1, 1);
  for (let i = 0; i < 15; i++) bench.client.report(1, 1, "0.0.0.1", 80, 1);
  assert.equal(bench.client.stats.hostsOverload, 1);
  bench.clock.advance(15_100);
  assert.equal(bench.client.stats.hostsOverload, 0);
});

test("without a connection the last table serves on, and says how old it is", () => {
  const bench = new Bench();
  bench.client.pick(1, 1);
  bench.connect();
  assert.deepEqual(bench.asked, ["1,1"]);
  bench.route(1, 2);
  bench.clock.advance(700);
  assert.equal(bench.client.tableAgeMs, 700);
  bench.events.onHeard();
  assert.equal(bench.client.tableAgeMs, 0);
  bench.lose();
  bench.clock.advance(60_000);
  assert.deepEqual([bench.client.connected, bench.client.tableAgeMs], [false, 60_000]);
  for (let i = 0; i < 100; i++) assert.notEqual(typeof bench.client.pick(1, 1), "number");
  // Back, but what is held may have changed meanwhile: still old until it has come again.
  bench.connect();
  bench.events.onHeard();
  bench.clock.advance(200);
  assert.deepEqual(bench.asked, ["1,1", "1,1"]);
  assert.equal(bench.client.tableAgeMs, 60_200);
  assert.equal(bench.settled.at(-1), false);
  bench.route(1, 1);
  assert.equal(bench.client.tableAgeMs, 0);
  bench.clock.advance(100);
  assert.equal(bench.settled.at(-1), true);
});

test("getHost() waits for the first route, and no longer than its deadline", async () => {
  const bench = new Bench({ deadlineMs: 50 });
  const early = bench.client.getHost(1, 1);
  bench.connect();
  bench.route(1, 1);
  assert.deepEqual(await early, { ip: "0.0.0.1", port: 80 });

  const late = bench.client.getHost(2, 1);
  bench.clock.advance(50);
  await assert.rejects(late, NoRouteError);
  assert.equal(bench.client.stats.waiting, 0);
  // Asked for long ago: nobody waits again.
  await assert.rejects(bench.client.getHost(2, 1), NoRouteError);

  bench.lose();
  const vain = bench.client.getHost(3, 1, { deadlineMs: 20 });
  bench.clock.advance(20);
  await assert.rejects(vain, ConnectError);
});

test("regInit() is answered by the route, empty or not, or by time", async () => {
  const bench = new Bench();
  const found = bench.client.regInit(1, 1);
  const none = bench.client.regInit(2, 1);
  const never = bench.client.regInit(3, 1);
  bench.connect();
  bench.route(1, 1);
  bench.route(2, 0);
  assert.deepEqual([await found, await none], [0, 3]);
  bench.lose();
  bench.clock.advance(250);
  assert.equal(await never, 2);
});

test("report() judges at once and passes calls and results on", () => {
  const bench = new Bench();
  bench.client.pick(1, 1);
  bench.connect();
  bench.route(1, 1);
  bench.client.report(1, 1, "0.0.0.1", 80, 0, 12.4);
  bench.client.report(1, 1, "0.0.0.1", 80, -5, 700);
  bench.client.report(1, 1, "0.0.0.9", 80, 0);
  assert.deepEqual(bench.calls, [
    [1, 1, 1, 80, 0, 12],
    [1, 1, 1, 80, -5, 700],
    [1, 1, 9, 80, 0, -1],
  ]);
  assert.equal(bench.client.stats.reportsIgnored, 1);
  bench.clock.advance(1000);
  assert.deepEqual(
    bench.reports.map(({ results }) =>
      results.map(({ succ, err, timedTotal, timeMsTotal }) => [succ, err, timedTotal, timeMsTotal])
    ),
    [
      [[1, 1, 2, 712]],
    ],
  );
});

test("a module too many takes the place of an old one, which is forgotten", () => {
  const bench = new Bench({ modulesMax: 2 });
  for (const modId of [1, 2]) bench.client.pick(modId, 1);
  bench.connect();
  for (const modId of [1, 2]) bench.route(modId, 1);
  bench.clock.advance(100);
  bench.client.pick(2, 1);
  bench.client.pick(3, 1);
  assert.deepEqual(bench.forgotten, ["1,1"]);
  assert.equal(bench.client.stats.modules, 2);
});

test("close() ends those who wait and sends the last results", async () => {
  const bench = new Bench();
  bench.client.pick(1, 1);
  bench.connect();
  bench.route(1, 1);
  bench.client.report(1, 1, "0.0.0.1", 80, 0);
  const waiting = bench.client.getHost(2, 1);
  await bench.client.close();
  await bench.client.close();
  await assert.rejects(waiting, ClosedError);
  assert.throws(() => bench.client.pick(1, 1), ClosedError);
  assert.deepEqual([bench.reports.length, bench.closed, bench.clock.pendingCount], [1, 1, 0]);
});

test("InProcessClient() refuses options that cannot be", () => {
  const wrong: InProcessClientOptions[] = [
    { mode: "remote" as "local" },
    { agents: [] },
    { agents: ["127.0.0.1:0"] },
    { agents: ["127.0.0.1:70000"] },
    { dns: ["a b"] },
    { reporters: [":1"] },
    { callerIp: "10.0.0" },
    { token: new Uint8Array() },
    { deadlineMs: 0 },
    { modulesMax: 0 },
    { resultsMax: 65_537 },
    { rules: { probeNum: 0 } },
  ];
  for (const options of wrong) {
    assert.throws(() => new InProcessClient(options), RangeError, JSON.stringify(options));
  }
});

test("a pick allocates nothing", {
  skip: process.versions.v8 === undefined || "bun" in process.versions
    ? "only V8 tells the size of its heap exactly"
    : false,
}, () => {
  const bench = new Bench();
  const modules = 200;
  for (let modId = 0; modId < modules; modId++) bench.client.pick(modId, 1);
  bench.connect();
  for (let modId = 0; modId < modules; modId++) bench.route(modId, 5);
  for (let i = 0; i < 15; i++) bench.client.report(0, 1, "0.0.0.1", 80, 1);
  const pickMany = (count: number): number => {
    let ports = 0;
    for (let i = 0; i < count; i++) {
      const host = bench.client.pick(i % modules, 1);
      if (typeof host !== "number") ports ^= host.port;
    }
    return ports;
  };
  pickMany(1_000_000);
  // In rounds, so that a collection in between hides at most one of them.
  const perPick = Array.from({ length: 20 }, () => {
    const before = process.memoryUsage().heapUsed;
    pickMany(100_000);
    return (process.memoryUsage().heapUsed - before) / 100_000;
  });
  const middle = perPick.sort((a, b) => a - b)[10];
  assert.ok(middle < 0.2, `${middle} bytes for each pick`);
});
