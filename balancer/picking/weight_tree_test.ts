import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { seededRng } from "../../reactor/time/rng.ts";
import { Dice, DICE_LIMIT } from "./dice.ts";
import { WeightTree } from "./host_slots.ts";

test("sample() takes each slot as often as it weighs, and none without weight", () => {
  const tree = new WeightTree();
  const weights = [5, 0, 1, 3, 0.5, 0.5];
  weights.forEach((weight, slot) => tree.set(slot, weight));
  assert.equal(tree.total, 10);
  const dice = new Dice(seededRng(7));
  const counts = weights.map(() => 0);
  for (let i = 0; i < 100_000; i++) counts[tree.sample(dice)]++;
  weights.forEach((weight, slot) => {
    // 100,000 draws: a standard deviation is at most 160; five of them.
    assert.ok(Math.abs(counts[slot] - weight * 10_000) <= 800, `${slot}: ${counts[slot]}`);
  });
  assert.equal(counts[1], 0);
});

test("sample() answers -1 without any weight, and never takes a slot of weight 0", () => {
  assert.equal(new WeightTree().sample({ throw: () => DICE_LIMIT / 2 }), -1);
  const weights = fc.array(fc.constantFrom(0, 0, 0.1, 1, 1e9), { minLength: 1, maxLength: 20 });
  const chance = fc.integer({ min: 0, max: DICE_LIMIT - 1 });
  fc.assert(fc.property(weights, chance, (all, thrown) => {
    const tree = new WeightTree();
    all.forEach((weight, slot) => tree.set(slot, weight));
    const slot = tree.sample({ throw: () => thrown });
    if (all.every((weight) => weight === 0)) assert.equal(slot, -1);
    else assert.ok(all[slot] > 0);
  }));
});
