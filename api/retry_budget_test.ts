// Goal: retries stay a share of the calls. Method: a virtual clock, sums by hand, and a property.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RetryBudget } from "./retry_budget.ts";

function takeAll(budget: RetryBudget, nowMs: number): number {
  let count = 0;
  while (count < 10_000 && budget.take(nowMs)) count++;
  return count;
}

test("RetryBudget gives a share of the calls of ten seconds", () => {
  const budget = new RetryBudget(0.2, 0);
  assert.equal(budget.take(0), false, "no call, no retry");
  for (let call = 0; call < 100; call++) budget.addCall(call * 10);
  assert.equal(takeAll(budget, 1000), 20);
  for (let call = 0; call < 100; call++) budget.addCall(5000);
  assert.equal(takeAll(budget, 9999), 20);
  assert.equal(takeAll(budget, 14_000), 0, "the retries of second 9 were those of second 5");
  for (let call = 0; call < 100; call++) budget.addCall(19_000);
  assert.equal(takeAll(budget, 19_999), 20, "what was spent in second 9 is forgotten after ten");
});

test("RetryBudget gives a floor to those who rarely call", () => {
  const budget = new RetryBudget(0, 1);
  assert.equal(takeAll(budget, 0), 10);
  assert.equal(takeAll(budget, 9999), 0);
  assert.equal(takeAll(budget, 10_000), 10);
  assert.equal(takeAll(new RetryBudget(0, 0), 50), 0);
});

test("RetryBudget gives again what was put back", () => {
  const budget = new RetryBudget(0, 1);
  assert.equal(takeAll(budget, 0), 10);
  budget.giveBack(3000);
  assert.equal(takeAll(budget, 3000), 1);
});

test("RetryBudget forgets calls that are older than ten seconds", () => {
  const budget = new RetryBudget(1, 0);
  for (let call = 0; call < 50; call++) budget.addCall(0);
  assert.equal(takeAll(budget, 10_000), 0);
  budget.addCall(1_000_000);
  assert.equal(takeAll(budget, 1_000_000), 1);
});

test("RetryBudget never lets retries of ten seconds exceed share and floor", () => {
  const steps = fc.array(fc.record({ waitMs: fc.nat(3000), call: fc.boolean() }), {
    maxLength: 200,
  });
  fc.assert(
    fc.property(steps, fc.constantFrom(0, 0.1, 0.5), fc.constantFrom(0, 1), (all, share, floor) => {
      const budget = new RetryBudget(share, floor);
      const calls: number[] = [];
      const retries: number[] = [];
      let nowMs = 0;
      for (const { waitMs, call } of all) {
        nowMs += waitMs;
        if (call) budget.addCall(nowMs), calls.push(nowMs);
        else if (budget.take(nowMs)) retries.push(nowMs);
        // Whole seconds: a retry may rest on calls that are nearly ten seconds older than itself.
        const since = (times: number[], ms: number): number =>
          times.filter((atMs) => atMs > nowMs - ms).length;
        assert.ok(since(retries, 9000) <= share * since(calls, 20_000) + 2 * floor * 10 + 0.01);
      }
    }),
  );
});
