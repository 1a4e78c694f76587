// A wave of load on a module whose nodes are started and stopped by a webhook, all as real processes.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { type ScaleRule, ScaleRuleShape } from "../control/schemas.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { type ChartedFleet, drawScaling } from "../sim/scaling_chart.ts";
import { type ScaledWorld, turnsIn, withScaledFleet } from "./support/scaling_fleet.ts";
import { until } from "./support/until.ts";

const MOD_ID = 7;

/** Windows so small that a wave takes a minute. */
const RULE: ScaleRule = ScaleRuleShape.parse({
  ...{ metric: "calls", target: 20, min: 1, max: 6, stepUp: 6, stepDown: 2, windowS: 6 },
  ...{ coolDownUpS: 5, coolDownDownS: 5, stabilisationS: 10, startS: 30, warmUpS: 0 },
  ...{ drainS: 30, quietS: 2, driver: "webhook", webhook: "fleet" },
});

/** The chart that docs keep; `LARS_SCALING_CHART=FILE` writes it. */
async function drawWave(
  { stepsOf, loads: [load] }: ScaledWorld,
  counts: readonly number[],
  wallMs: number,
): Promise<void> {
  const file = process.env.LARS_SCALING_CHART;
  if (file === undefined) return;
  const steps = new Map<number, "up" | "down">();
  for (const { atMs, kind } of await stepsOf(MOD_ID)) {
    steps.set(Math.floor((atMs - wallMs) / 1000), kind === "scale.up" ? "up" : "down");
  }
  const points = load.seconds.map(({ calls, failed }, second): ChartedFleet => ({
    ...{ second, load: calls, failed, nodes: counts[second] ?? counts[counts.length - 1] ?? 0 },
    step: steps.get(second),
  }));
  const title = "1x, 10x, 1x: nodes are processes that a webhook starts and stops";
  const about = `tests/e2e_scaling_test.ts, target ${RULE.target} calls/s of a node`;
  writeFileSync(file, drawScaling([{ title, points, target: RULE.target }], about));
}

test(
  "a wave of load: nodes come and go with it, no call fails, none is stopped in use",
  {
    timeout: 300_000,
  },
  () =>
    withScaledFleet([{ modId: MOD_ID, rule: RULE, serviceMs: 5, slots: 100 }], async (world) => {
      const { store, driver, loads: [load], countOf, stepsOf } = world;
      const counts: number[] = [];
      const wallMs = systemClock.wallMs() - load.second * 1000;
      const counted = async (): Promise<number> => {
        const on = await countOf(MOD_ID);
        while (counts.length <= load.second) counts.push(on);
        return on;
      };
      const running = load.run();
      const hold = async (callsPerSecond: number, seconds: number): Promise<void> => {
        load.callsPerSecond = callsPerSecond;
        const endS = load.second + seconds;
        await until(async () => (await counted(), load.second >= endS), { timeoutMs: 120_000 });
      };
      await hold(10, 12);
      assert.deepEqual(driver.orders, [], "one node is enough");
      await hold(100, 5);
      await until(async () => await counted() >= 5, { timeoutMs: 60_000, what: "5 nodes" });
      await hold(100, 8);
      load.callsPerSecond = 10;
      await until(async () => await counted() === 1, {
        ...{ timeoutMs: 120_000, what: () => `1 node, not ${counts.at(-1)}` },
      });
      await until(() => driver.nodes.size === 1, { timeoutMs: 60_000, what: "the last stop" });
      await hold(10, 5);
      load.stop();
      await running;
      await drawWave(world, counts, wallMs);
      const { calls, failed, errors } = load.totals;
      assert.ok(failed / calls <= 0.001, `${failed} of ${calls} failed: ${errors.join("; ")}`);
      assert.deepEqual(driver.faults, []);
      const steps = await stepsOf(MOD_ID);
      assert.equal(turnsIn(steps), 1, steps.map(({ kind }) => kind).join());
      assert.ok(Math.max(...counts) <= RULE.max);
      const left = (await store.leases.list({ modId: MOD_ID }, 99))
        .filter(({ phase }) => phase === "gone");
      assert.deepEqual(left, [], "nothing is kept of nodes that have stopped");
    }),
);
