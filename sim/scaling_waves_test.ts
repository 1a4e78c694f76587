import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ruleForWave,
  SCALING_WAVES,
  scalingTable,
  simulatedRule,
  simulateScaling,
} from "./scaling_waves.ts";

for (const wave of SCALING_WAVES) {
  test(`Scaling, ${wave.name}: at most two changes of direction a wave, none stopped in use`, () => {
    for (const seed of [1, 2, 3]) {
      const rule = ruleForWave(wave);
      const outcome = simulateScaling(wave, rule, seed);
      assert.ok(outcome.turns <= 2 * wave.waves, `${outcome.turns} changes with seed ${seed}`);
      assert.equal(outcome.stoppedInUse, 0);
      assert.ok(outcome.nodesMax <= rule.max && outcome.nodesMin >= rule.min);
      // Only nodes that are there in time can keep every call from failing.
      const failedMax = wave.suitedMin === 1 ? 0.001 : 0.07;
      assert.ok(outcome.failedShare <= failedMax, `${outcome.failedShare}`);
    }
  });
}

test("Scaling with nodes that last until ordered ones are there: at most one call of 1,000 fails", () => {
  for (const wave of SCALING_WAVES) {
    for (const seed of [1, 2, 3]) {
      const outcome = simulateScaling(wave, ruleForWave(wave, wave.suitedMin), seed);
      assert.ok(outcome.failedShare <= 0.001, `${wave.name}: ${outcome.failedShare}`);
      assert.ok(outcome.turns <= 2 * wave.waves, `${wave.name}: ${outcome.turns} changes`);
      assert.equal(outcome.stoppedInUse, 0);
    }
  }
});

test("Scaling without a stabilisation window swings with the load: the window is what holds it", () => {
  const wave = SCALING_WAVES.find(({ name }) => name === "oscillation");
  assert.ok(wave !== undefined);
  const hasty = simulatedRule({
    ...{ stabilisationS: 0, coolDownDownS: 5, coolDownUpS: 5, stepDown: 5, windowS: 10 },
  });
  assert.ok(simulateScaling(wave, hasty, 1).turns > 20);
});

test("The same seed gives the same run", () => {
  const run = (seed: number): unknown =>
    scalingTable([simulateScaling(SCALING_WAVES[0], simulatedRule(), seed)]);
  assert.deepEqual(run(7), run(7));
});
