// Goal: a run of equal outcomes is what its outcomes are one by one, whatever befell the node before.
// Method: random histories, told to one balancer run by run and to another call by call.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { seededRng } from "../reactor/time/rng.ts";
import type { StateChange } from "./balance_records.ts";
import { defaultBalanceSettings } from "./detection/balance_settings.ts";
import { POLICY_NAMES } from "./module_policy.ts";
import { PRESET_NAMES } from "./module_presets.ts";
import { RouteLb } from "./routes/route_lb.ts";

const NODES = 3;
const TIMES = [-1, 0, 1, 7, 40, 300, 2000];

interface Step {
  readonly node: number;
  readonly retcode: number;
  readonly timeMs: number;
  readonly count: number;
  readonly caller: number;
  readonly laterMs: number;
  readonly picks: number;
}

const steps = fc.array(
  fc.record({
    node: fc.integer({ min: 1, max: NODES }),
    retcode: fc.constantFrom(0, 0, 0, 0, 1, 110, 111, 503),
    timeMs: fc.constantFrom(...TIMES),
    count: fc.integer({ min: 1, max: 40 }),
    caller: fc.integer({ min: 1, max: 3 }),
    laterMs: fc.constantFrom(0, 0, 1, 10, 400, 6000),
    picks: fc.integer({ min: 0, max: 4 }),
  }),
  { minLength: 1, maxLength: 60 },
);

class Told {
  readonly changes: StateChange[] = [];
  readonly lb: RouteLb;

  constructor(policy: string) {
    this.lb = new RouteLb({
      settings: defaultBalanceSettings,
      rng: seededRng(3),
      onPull: () => {},
      onStateChange: (change) => this.changes.push(change),
    });
    this.lb.use(1, 1, 0);
    this.lb.setModulePolicy(1, 1, policy);
    const nodes = Array.from({ length: NODES }, (_, i) => ({ ip: i + 1, port: 80 }));
    this.lb.update(1, 1, nodes, 0);
  }

  all(nowMs: number): unknown {
    return {
      changes: this.changes,
      snapshot: [...this.lb.snapshot(nowMs)],
      stats: this.lb.stats(),
      explained: this.lb.explain(1, 1, nowMs),
      reports: this.lb.drainReports(nowMs, true),
    };
  }
}

function play(policy: string, history: readonly Step[]): StateChange[] {
  const [runs, calls] = [new Told(policy), new Told(policy)];
  let nowMs = 1;
  for (const { node, retcode, timeMs, count, caller, laterMs, picks } of history) {
    nowMs += laterMs;
    for (const { lb } of [runs, calls]) {
      lb.tick(nowMs);
      for (let i = 0; i < picks; i++) lb.getHost(1, 1, nowMs);
    }
    const times = retcode === 0 ? count : 1 + count % 5;
    for (let i = 0; i < times; i++) {
      calls.lb.reportPlanned(1, 1, node, 80, retcode, timeMs, nowMs, caller);
      if (retcode !== 0) runs.lb.reportPlanned(1, 1, node, 80, retcode, timeMs, nowMs, caller);
    }
    if (retcode === 0) runs.lb.reportRun(1, 1, node, 80, count, timeMs, nowMs, caller);
  }
  assert.deepEqual(runs.all(nowMs), calls.all(nowMs));
  return calls.changes;
}

for (const name of [...PRESET_NAMES, ...POLICY_NAMES]) {
  test(`${name}: a run comes to what its outcomes come to one by one`, () => {
    let changes = 0;
    fc.assert(
      fc.property(steps, (history) => {
        changes += play(JSON.stringify({ policy: name }), history).length;
      }),
      { numRuns: 60, seed: 4 },
    );
    assert.ok(changes > 0, "no node ever changed its state");
  });
}

test("a node that is slow goes out at the same call, and comes back at the same one", () => {
  const step = { retcode: 0, caller: 1, laterMs: 10, picks: 0 };
  const well = Array.from({ length: 40 }, (_, i) => ({
    ...{ ...step, node: 1 + i % NODES, timeMs: 2, count: 10 },
  }));
  const slow = { ...step, node: 2, timeMs: 2000, count: 300 };
  const back = { ...step, node: 2, timeMs: 2, count: 500, laterMs: 60_000 };
  const policy = JSON.stringify({ policy: "recommended" });
  assert.ok(play(policy, [...well, slow, back]).length >= 1);
});

test("a run of a node or a module that is not known is ignored as often as it counts", () => {
  const { lb } = new Told("");
  lb.reportRun(1, 1, 99, 80, 5, 1, 1, 1);
  lb.reportRun(8, 1, 1, 80, 6, 1, 1, 1);
  assert.equal(lb.stats().reportsIgnored, 11);
});
