// Waves of load on modules that scale by calls at a time and by the time of a call, with real nodes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type ScaleRule, ScaleRuleShape } from "../control/schemas.ts";
import { skipUnlessLong } from "./support/in_time.ts";
import { turnsIn, withScaledFleet } from "./support/scaling_fleet.ts";
import { until } from "./support/until.ts";

/** Times of calls are known by tens of seconds: windows are no smaller. */
const USUAL = {
  ...{ min: 1, max: 4, stepUp: 3, stepDown: 3, windowS: 10, coolDownUpS: 20, coolDownDownS: 10 },
  ...{ stabilisationS: 20, startS: 30, warmUpS: 5, drainS: 30, quietS: 2 },
  ...{ driver: "webhook", webhook: "fleet" },
};
const ruleOf = (values: Partial<ScaleRule>): ScaleRule =>
  ScaleRuleShape.parse({ ...USUAL, ...values });

/** 60 calls/s of 50 ms are three at a time; of one at a time and 13 ms a node is nearly full. */
const MODULES = [
  { modId: 8, rule: ruleOf({ metric: "inflight", target: 1 }), serviceMs: 50, slots: 100 },
  { modId: 9, rule: ruleOf({ metric: "latency", target: 35 }), serviceMs: 13, slots: 1 },
];

test("waves by calls at a time and by the time of a call: nodes come and go, no call fails", {
  timeout: 300_000,
  skip: skipUnlessLong(),
}, () =>
  withScaledFleet(MODULES, async ({ driver, loads, countOf, stepsOf }) => {
    const running = loads.map((load) => load.run());
    const most = new Map<number, number>();
    const counted = async (modId: number): Promise<number> => {
      const count = await countOf(modId);
      most.set(modId, Math.max(count, most.get(modId) ?? 0));
      return count;
    };
    const counts = (): Promise<number[]> => Promise.all(MODULES.map(({ modId }) => counted(modId)));
    const hold = async (callsPerSecond: number, seconds: number): Promise<void> => {
      for (const load of loads) load.callsPerSecond = callsPerSecond;
      const endS = loads[0].second + seconds;
      await until(async () => (await counts(), loads[0].second >= endS), { timeoutMs: 120_000 });
    };
    await hold(6, 25);
    assert.deepEqual(await counts(), [1, 1], "one node is enough");
    await hold(60, 10);
    await until(async () => (await counts()).every((count) => count >= 2), {
      ...{ timeoutMs: 90_000, what: () => `more nodes: ${JSON.stringify([...most])}` },
    });
    await hold(60, 20);
    for (const load of loads) load.callsPerSecond = 6;
    await until(async () => (await counts()).every((count) => count === 1), {
      ...{ timeoutMs: 150_000, what: "one node each" },
    });
    for (const load of loads) load.stop();
    await Promise.all(running);
    for (const [index, { modId, rule }] of MODULES.entries()) {
      const { calls, failed, errors } = loads[index].totals;
      const what = `${rule.metric}: ${failed} of ${calls} failed: ${errors.join("; ")}`;
      assert.ok(failed / calls <= 0.001, what);
      assert.ok((most.get(modId) ?? 0) <= rule.max);
      const steps = await stepsOf(modId);
      const kinds = steps.map(({ kind }) => kind).join();
      assert.ok(turnsIn(steps) <= 2, `${rule.metric}: ${kinds}`);
    }
    assert.deepEqual(driver.faults, []);
  }));
