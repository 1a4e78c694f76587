import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRng } from "../../reactor/time/rng.ts";
import { Dice, DICE_LIMIT } from "./dice.ts";

test("Dice asks its source once, and only when it is thrown", () => {
  let asked = 0;
  const dice = new Dice({ next: () => (asked++, 0.5) });
  assert.equal(asked, 0);
  for (let i = 0; i < 100; i++) dice.throw();
  assert.equal(asked, 1);
});

test("Dice throws evenly from any start, also the lowest and the highest", () => {
  for (const start of [0, 1 - 2 ** -33, seededRng(1).next()]) {
    const dice = new Dice({ next: () => start });
    for (let i = 0; i < 20; i++) dice.throw();
    const counts = new Array(10).fill(0);
    for (let i = 0; i < 100_000; i++) {
      const value = dice.throw();
      assert.ok(Number.isInteger(value) && value >= 0 && value < DICE_LIMIT);
      counts[Math.floor(value / DICE_LIMIT * 10)]++;
    }
    // A standard deviation is 95; five of them.
    for (const count of counts) assert.ok(Math.abs(count - 10_000) < 475, `${start}: ${counts}`);
  }
});
