import assert from "node:assert/strict";
import { test } from "node:test";
import { RetCode } from "../proto/message_ids.ts";
import { ConnectError, TimeoutError } from "../reactor/errors.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { BaseClient } from "./base_client.ts";
import { NoRouteError, OverloadError } from "./errors.ts";
import { FIRST_ROUTE_MODULES_MAX, FirstRoutes } from "./first_route.ts";
import type { Host, HostAnswer } from "./host.ts";
import type { FirstRouteOptions, PickOptions } from "./options.ts";

const HOST: Host = { ip: "10.0.0.1", port: 80 };

/** A client whose route comes at a time of the clock. */
class Bench extends BaseClient {
  readonly manual: ManualClock;
  readonly picks: number[] = [];
  readonly reports: number[] = [];
  routeAsks = 0;
  answer: HostAnswer = { retcode: RetCode.NoExist };
  #comesAtMs: number;

  constructor(
    comesAtMs: number,
    options: FirstRouteOptions & { deadlineMs?: number } = {},
    clock = new ManualClock(),
  ) {
    super(options, clock);
    this.manual = clock;
    this.#comesAtMs = clock.nowMs() + comesAtMs;
  }

  get #hosts(): Host[] {
    return this.manual.nowMs() >= this.#comesAtMs ? [HOST] : [];
  }

  tryGetHost(_modId: number, _cmdId: number, options: PickOptions = {}): Promise<HostAnswer> {
    this.picks.push(options.deadlineMs ?? 0);
    const [host] = this.#hosts;
    return Promise.resolve(host === undefined ? this.answer : { retcode: RetCode.Success, host });
  }

  getRoute(): Promise<Host[]> {
    this.routeAsks++;
    return Promise.resolve(this.#hosts);
  }

  report(...[, , , , retcode]: Parameters<BaseClient["report"]>): void {
    this.reports.push(retcode);
  }

  explain(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  regInit(): Promise<RetCode> {
    return Promise.resolve(RetCode.NoExist);
  }

  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }

  /** Moves the clock until the promise is settled; the time that took. */
  async drive<T>(promise: Promise<T>): Promise<[outcome: T | Error, tookMs: number]> {
    const startMs = this.manual.nowMs();
    let outcome: T | Error | undefined;
    promise.then((value) => outcome = value, (error) => outcome = error);
    for (let step = 0; step < 20_000; step++) {
      for (let turns = 0; turns < 20; turns++) await Promise.resolve();
      if (outcome !== undefined) return [outcome, this.manual.nowMs() - startMs];
      this.manual.advance(1);
    }
    throw new Error("Never settled");
  }
}

test("getHost() and call() wait for the first route, and pick as soon as it has come", async () => {
  for (const comesAtMs of [1, 4, 40, 300, 990]) {
    const picked = new Bench(comesAtMs);
    const [host, tookMs] = await picked.drive(picked.getHost(1, 1));
    assert.equal(host, HOST, `${comesAtMs}`);
    assert.ok(tookMs >= comesAtMs && tookMs <= comesAtMs + 105, `${comesAtMs}: ${tookMs}`);
    const called = new Bench(comesAtMs);
    assert.equal((await called.drive(called.call(1, 1, ({ ip }) => ip)))[0], HOST.ip);
    assert.deepEqual(called.reports, [0]);
  }
});

test("the wait ends with firstRouteMs, a named deadline, or timeoutMs, whichever is first", async () => {
  const cases: [
    FirstRouteOptions & { deadlineMs?: number },
    PickOptions,
    number | undefined,
    number,
  ][] = [
    [{}, {}, undefined, 1000],
    [{ firstRouteMs: 300 }, {}, undefined, 300],
    [{ firstRouteMs: 0 }, {}, undefined, 0],
    [{ deadlineMs: 70 }, {}, undefined, 70],
    [{ deadlineMs: 5000 }, {}, undefined, 1000],
    [{}, { deadlineMs: 20 }, undefined, 20],
    [{}, { firstRouteMs: 0 }, undefined, 0],
    [{}, { firstRouteMs: 2500 }, undefined, 2500],
    [{}, {}, 200, 200],
    [{}, {}, 30, 30],
    [{}, { deadlineMs: 40 }, 200, 40],
  ];
  for (const [options, pick, timeoutMs, expectedMs] of cases) {
    const bench = new Bench(Infinity, options);
    const asked = timeoutMs === undefined
      ? bench.getHost(1, 1, pick)
      : bench.call(1, 1, () => assert.fail("must not run"), { ...pick, timeoutMs });
    const [error, tookMs] = await bench.drive<unknown>(asked);
    assert.ok(error instanceof NoRouteError, `${error}`);
    assert.equal(tookMs, expectedMs, JSON.stringify([options, pick, timeoutMs]));
  }
  assert.throws(() => new Bench(0, { firstRouteMs: -1 }), RangeError);
  assert.throws(() => new Bench(0, { firstRouteMs: 60_001 }), RangeError);
});

test("a module that does not exist costs the wait once, and few questions", async () => {
  const bench = new Bench(Infinity);
  const many = Array.from({ length: 500 }, () => bench.getHost(1, 1).catch((error) => error));
  const [errors] = await bench.drive(Promise.all(many));
  assert.ok(Array.isArray(errors) && errors.every((error) => error instanceof NoRouteError));
  assert.ok(bench.routeAsks < 20, `${bench.routeAsks} questions for one module`);
  const before = bench.routeAsks;
  const [, againMs] = await bench.drive(bench.getHost(1, 1));
  assert.deepEqual([againMs, bench.routeAsks], [0, before], "nobody waits again");
  const [, otherMs] = await bench.drive(bench.getHost(2, 1));
  assert.equal(otherMs, 1000, "another module has a time of its own");
});

test("an agent that does not answer is asked again, a full one is not", async () => {
  const cases: [HostAnswer, number][] = [
    [{ retcode: RetCode.SystemError, error: new TimeoutError("late", 50) }, 1000],
    [{ retcode: RetCode.SystemError, error: new ConnectError("a:1", "refused") }, 0],
    [{ retcode: RetCode.SystemError }, 0],
    [{ retcode: RetCode.Overload }, 0],
  ];
  for (const [answer, expectedMs] of cases) {
    const bench = new Bench(Infinity);
    bench.answer = answer;
    const [error, tookMs] = await bench.drive(bench.getHost(1, 1));
    assert.equal(tookMs, expectedMs);
    if (answer.retcode === RetCode.Overload) assert.ok(error instanceof OverloadError);
    if (answer.error !== undefined) assert.equal(error, answer.error);
  }
});

test("FirstRoutes remembers a bounded number of modules, and forgets those that have a route", async () => {
  const clock = new ManualClock();
  const routes = new FirstRoutes({
    clock,
    getRoute: () => Promise.resolve([]),
    isClosed: () => false,
  });
  const waits: Promise<boolean>[] = [];
  for (let modId = 0; modId < FIRST_ROUTE_MODULES_MAX + 50; modId++) {
    waits.push(routes.wait(modId, 1, clock.nowMs() + 10));
  }
  assert.equal(routes.size, FIRST_ROUTE_MODULES_MAX);
  routes.arrived(100, 1);
  assert.equal(routes.size, FIRST_ROUTE_MODULES_MAX - 1);
  clock.advance(10);
  await Promise.all(waits);
  assert.equal(await routes.wait(200, 1, clock.nowMs() + 10), false);
});
