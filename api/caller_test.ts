// Goal: tries, their limits, and that nothing outlasts its time. Method: a client that gives nodes
// from a list, and a virtual clock.

import assert from "node:assert/strict";
import { test } from "node:test";
import { TimeoutError } from "../reactor/errors.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import type { RetCode } from "../proto/message_ids.ts";
import { Caller } from "./caller.ts";
import { OverloadError } from "./errors.ts";
import type { Host } from "./host.ts";
import type { CallAttempt, CallOptions, RetryBudgetOptions, RetryOptions } from "./options.ts";

const host = (name: string): Host => ({ ip: `10.0.0.${name.charCodeAt(0) - 64}`, port: 80 });

/** A client that gives the nodes of `picks` in turn, "!" for none, and notes what it is told. */
class Bench {
  readonly clock = new ManualClock();
  readonly reports: string[] = [];
  readonly deadlines: number[] = [];
  readonly attempts: CallAttempt[] = [];
  readonly caller: Caller;
  closed = false;
  #picks: string[];

  constructor(picks: string, budget: RetryBudgetOptions = {}) {
    this.#picks = [...picks];
    const { clock } = this;
    this.caller = new Caller(this, {
      ...budget,
      clock,
      deadlineMs: 50,
      isClosed: () => this.closed,
    });
  }

  getHost(modId: number, cmdId: number, options: CallOptions = {}): Promise<Host> {
    this.deadlines.push(options.deadlineMs ?? 0);
    const name = this.#picks.shift() ?? "!";
    if (name === "!") return Promise.reject(new OverloadError(modId, cmdId));
    return Promise.resolve(host(name));
  }

  report(
    _modId: number,
    _cmdId: number,
    ip: string,
    _port: number,
    retcode: RetCode,
    timecostMs?: number,
  ): void {
    const name = String.fromCharCode(64 + Number(ip.split(".")[3]));
    this.reports.push(`${name}${retcode === 0 ? "+" : "-"}${timecostMs}`);
  }

  /** Calls with a function for which the nodes of `bad` fail after 3 ms. */
  run(bad: string, options: RetryOptions): Promise<string> {
    return this.caller.run(1, 1, ({ ip }, attempt) => {
      this.attempts.push(attempt);
      this.clock.advance(3);
      if ([...bad].some((name) => host(name).ip === ip)) throw new Error(`${ip} is down`);
      return ip;
    }, options);
  }
}

test("a call tries once unless it is told otherwise", async () => {
  const bench = new Bench("AB");
  await assert.rejects(bench.run("A", {}), /10.0.0.1 is down/);
  assert.deepEqual([bench.reports, bench.deadlines], [["A-3"], [0]], "no deadline is named");
});

test("a retry goes to another node, and every try is reported", async () => {
  const bench = new Bench("AABC");
  assert.equal(await bench.run("AB", { retries: 3 }), "10.0.0.3");
  assert.deepEqual(bench.reports, ["A-3", "B-3", "C+3"]);
  assert.deepEqual(bench.attempts.map(({ number }) => number), [0, 1, 2]);
  assert.equal(bench.caller.retriedCount, 2);
});

test("a retry never goes to the node just tried", async () => {
  const alone = new Bench("A".repeat(50));
  await assert.rejects(alone.run("A", { retries: 3 }), /10.0.0.1 is down/);
  assert.deepEqual(alone.reports, ["A-3"]);
  const two = new Bench("ABBABABABABABABABABABABAB");
  await assert.rejects(two.run("AB", { retries: 2 }), /10.0.0.1 is down/);
  assert.deepEqual(two.reports, ["A-3", "B-3", "A-3"], "with two nodes the first gets another try");
});

test("without another node the failure that was seen is told, not that there is none", async () => {
  const bench = new Bench("A!");
  await assert.rejects(bench.run("A", { retries: 3 }), /10.0.0.1 is down/);
  const none = new Bench("!");
  await assert.rejects(none.run("", { retries: 3 }), OverloadError);
  assert.deepEqual(none.reports, []);
});

test("retries stop at their number, at a spent budget and where they cannot help", async () => {
  const few = new Bench("ABCD");
  await assert.rejects(few.run("ABCD", { retries: 2 }), /10.0.0.3 is down/);
  assert.equal(few.reports.length, 3);

  const poor = new Bench("AAB".repeat(5), { retryShare: 0.5, retryFloorPerSecond: 0 });
  for (let call = 0; call < 10; call++) await poor.run("A", { retries: 1 }).catch(() => {});
  assert.deepEqual([poor.caller.retriedCount, poor.caller.refusedCount], [5, 5]);

  const spent = new Bench("AAAB", { retryShare: 0, retryFloorPerSecond: 0 });
  await assert.rejects(spent.run("A", { retries: 1 }), /10.0.0.1 is down/);
  assert.equal(spent.deadlines.length, 1, "with a spent budget nobody is asked for another node");

  const alone = new Bench("A!A!A!AB", { retryShare: 0, retryFloorPerSecond: 0.1 });
  for (let call = 0; call < 3; call++) await alone.run("A", { retries: 1 }).catch(() => {});
  assert.equal(await alone.run("A", { retries: 1 }), "10.0.0.2", "what was not used is left");

  const hopeless = new Bench("AB");
  const isRetryable = (error: unknown): boolean => !/down/.test(String(error));
  await assert.rejects(hopeless.run("A", { retries: 1, isRetryable }), /10.0.0.1 is down/);
});

test("a failed try is reported with its kind, or as the caller says", async () => {
  const codes: number[] = [];
  const client = {
    getHost: () => Promise.resolve(host("A")),
    report: (_modId: number, _cmdId: number, _ip: string, _port: number, retcode: number) => {
      codes.push(retcode);
    },
  };
  const clock = new ManualClock();
  const caller = new Caller(client, { clock, deadlineMs: 50, isClosed: () => false });
  const fail = async (error: unknown, options: RetryOptions = {}): Promise<number | undefined> => {
    await assert.rejects(caller.run(1, 1, () => Promise.reject(error), options));
    return codes.pop();
  };
  const refused = Object.assign(new Error("connect"), { code: "ECONNREFUSED" });
  assert.equal(await fail(refused), 111);
  assert.equal(await fail(new Error("status 500")), 2);
  const retcodeOf = (error: unknown): number => /503/.test(String(error)) ? 503 : 7;
  assert.equal(await fail(new Error("status 503"), { retcodeOf }), 503);
  assert.equal(await fail(new Error("status 500"), { retcodeOf }), 7);
  assert.equal(await fail(refused, { retcodeOf: () => undefined }), 111);
  for (const bad of [0, 1.5, NaN]) {
    assert.equal(await fail(new Error("down"), { retcodeOf: () => bad }), 2, "a failure it stays");
  }
  const late = caller.run(1, 1, () => new Promise(() => {}), { timeoutMs: 100 });
  late.catch(() => {});
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  clock.advance(100);
  await assert.rejects(late, TimeoutError);
  assert.equal(codes.pop(), 110);
});

test("nothing of a call outlasts its time", async () => {
  const bench = new Bench("ABCDEF");
  // 3 ms each: the fourth try would begin at 9 ms, when 8 are over.
  await assert.rejects(bench.run("ABCDEF", { retries: 9, timeoutMs: 8 }), /10.0.0.3 is down/);
  assert.equal(bench.deadlines[0], 8, "no question is more patient than the call");
  assert.equal(bench.reports.length, 3);
  assert.equal(bench.clock.pendingCount, 0);
});

test("a try that hangs is given up, reported and told", async () => {
  const bench = new Bench("AB");
  let signal: AbortSignal | undefined;
  const { promise: running, resolve: started } = deferred();
  const called = bench.caller.run(1, 1, (_host, attempt) => {
    signal = attempt.signal;
    started();
    return new Promise<never>(() => {});
  }, { retries: 1, timeoutMs: 500 });
  await running;
  bench.clock.advance(499);
  assert.equal(signal?.aborted, false);
  bench.clock.advance(1);
  await assert.rejects(called, (error) => {
    assert.ok(error instanceof TimeoutError);
    assert.match(error.message, /No outcome of the call in 500 ms; .* 10\.0\.0\.1:80/);
    assert.equal(signal?.reason, error);
    return true;
  });
  assert.deepEqual(bench.reports, ["A-500"]);
});

test("the outcome of a call counts more than that the client was closed meanwhile", async () => {
  const bench = new Bench("A");
  const called = bench.caller.run(1, 1, () => {
    bench.closed = true;
    return "done";
  }, {});
  assert.equal(await called, "done");
  assert.deepEqual(bench.reports, []);
});

for (
  const [what, options] of Object.entries({
    "retries must be a whole number from 0 to 10": { retries: 11 },
    "retries must be": { retries: 0.5 },
    "timeoutMs must be more than 0": { timeoutMs: 0 },
    "timeoutMs must be": { timeoutMs: Number.NaN },
  })
) {
  test(`a call refuses ${JSON.stringify(options)}`, async () => {
    await assert.rejects(new Bench("A").run("", options), (error) => {
      return error instanceof RangeError && error.message.includes(what);
    });
  });
}

test("a client refuses a share or a floor that is out of range", () => {
  for (const options of [{ retryShare: 1.1 }, { retryShare: -1 }, { retryFloorPerSecond: 1001 }]) {
    assert.throws(() => new Bench("", options), /retry\w+ must be from 0 to/);
  }
});

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => void (resolve = done));
  return { promise, resolve };
}
