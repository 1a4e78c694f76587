import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRng } from "../reactor/time/rng.ts";
import { defaultBalanceSettings } from "./detection/balance_settings.ts";
import { RouteLb } from "./routes/route_lb.ts";

function balancer(): RouteLb {
  const lb = new RouteLb({ settings: defaultBalanceSettings, rng: seededRng(1), onPull: () => {} });
  lb.use(1, 1, 0);
  lb.update(1, 1, [{ ip: 1, port: 80 }, { ip: 2, port: 80 }], 0);
  return lb;
}

const hostsOf = (lb: RouteLb): unknown => [...lb.snapshot(0)].map(({ hosts }) => hosts);

const none = {
  ...{ succ: 0, err: 0, errWeight: 0, continSucc: 0, continErr: 0 },
  ...{ timed: 0, timeMs: 0 },
};

const histories: [string, boolean[]][] = [
  ["successes", [true, true, true]],
  ["failures", [false, false, false, false]],
  ["failures after a success", [true, false, false]],
  ["a success after failures", [false, false, true]],
  ["as many failures as make it overload", new Array(7).fill(false)],
];

for (const [name, outcomes] of histories) {
  test(`reportCalls() of ${name} does what one report for each call does`, () => {
    const [one, all] = [balancer(), balancer()];
    // A streak before the batch, which the batch goes on with or ends.
    for (const lb of [one, all]) lb.report(1, 1, 1, 80, 0, 0, 10);
    for (const good of outcomes) one.report(1, 1, 1, 80, good ? 0 : 1, 350, 10);
    const succ = outcomes.filter((good) => good).length;
    const err = outcomes.length - succ;
    const streak = outcomes.length - 1 - outcomes.lastIndexOf(!outcomes.at(-1));
    all.reportCalls(1, 1, 1, 80, {
      succ,
      err,
      errWeight: 3 * err,
      continSucc: outcomes.at(-1) ? streak : 0,
      continErr: outcomes.at(-1) ? 0 : streak,
      timed: outcomes.length,
      timeMs: 350 * outcomes.length,
    }, 10);
    assert.deepEqual(hostsOf(all), hostsOf(one));
    assert.deepEqual(all.stats(), one.stats());
    assert.deepEqual(all.drainReports(20), one.drainReports(20));
  });
}

test("reportCalls() weighs kinds of failures apart, as one report for each call does", () => {
  const policy = JSON.stringify({
    pushbackWeight: 0,
    refusedWeight: 5,
    timeoutWeight: 2,
    otherWeight: 3,
    rules: ["errorRun", "wilson"],
  });
  const codes = { 503: "errPushback", 111: "errRefused", 110: "errTimeout", 2: undefined };
  for (const [code, kind] of Object.entries(codes)) {
    const [one, all] = [balancer(), balancer()];
    for (const lb of [one, all]) lb.setModulePolicy(1, 1, policy);
    for (let batch = 0; batch < 10; batch++) {
      one.report(1, 1, 1, 80, Number(code), 0, 10);
      const calls = { ...none, err: 1, errWeight: 1, continErr: 1 };
      all.reportCalls(1, 1, 1, 80, kind === undefined ? calls : { ...calls, [kind]: 1 }, 10);
      assert.deepEqual(hostsOf(all), hostsOf(one), `${code}, batch ${batch}`);
    }
  }
});

test("reportCalls() of mixed kinds weighs each failure as they weigh on average", () => {
  const lb = balancer();
  lb.setModulePolicy(1, 1, JSON.stringify({ refusedWeight: 9, rules: ["errorRun"] }));
  const calls = { ...none, succ: 1, err: 4, errWeight: 4, continErr: 2, errRefused: 2 };
  lb.reportCalls(1, 1, 1, 80, calls, 10);
  const [{ hosts }] = lb.snapshot(10);
  const host = hosts.find(({ ip }) => ip === 1);
  assert.deepEqual([host?.verr, host?.rerr, host?.continErr], [20, 4, 10]);
  lb.reportCalls(1, 1, 1, 80, { ...none, err: 1, errWeight: 1, continErr: 1, errRefused: 1 }, 10);
  assert.equal(lb.stats().hostsOverload, 1);
});

test("reportCalls() brings an overload node back by its successes", () => {
  const lb = balancer();
  lb.reportCalls(1, 1, 1, 80, { ...none, err: 15, errWeight: 15, continErr: 15 }, 10);
  assert.equal(lb.stats().hostsOverload, 1);
  lb.reportCalls(1, 1, 1, 80, { ...none, succ: 15, continSucc: 15 }, 20);
  assert.equal(lb.stats().hostsOverload, 0);
});

test("reportCalls() ignores and counts calls of unknown modules and nodes", () => {
  const lb = balancer();
  lb.reportCalls(9, 9, 1, 80, { ...none, succ: 3 }, 10);
  lb.reportCalls(1, 1, 3, 80, { ...none, succ: 2, err: 1, errWeight: 1 }, 10);
  assert.equal(lb.stats().reportsIgnored, 6);
  assert.equal(lb.stats().modules, 1);
});

test("use() asks for the route of an unknown module, once", () => {
  const asked: number[] = [];
  const lb = new RouteLb({
    settings: defaultBalanceSettings,
    rng: seededRng(1),
    onPull: (modId) => void asked.push(modId),
  });
  lb.use(7, 1, 0);
  lb.use(7, 1, 1);
  assert.deepEqual(asked, [7]);
  assert.equal(lb.stats().picks, 0);
});
