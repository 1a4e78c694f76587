import assert from "node:assert/strict";
import { test } from "node:test";
import { decayedEjections, ejectionsAllowed, ejectionTimeMs, rampShare } from "./verdicts.ts";
import { DEFAULT_MODULE_POLICY } from "../module_policy.ts";

test("ejectionsAllowed() never allows the last node, and rounds down", () => {
  const cases: [share: number, allowed: number[]][] = [
    [1, [1, 2, 3, 4, 5, 6]],
    [0.99, [0, 1, 2, 3, 4, 5]],
    [0.5, [0, 1, 1, 2, 2, 3]],
    [0.3, [0, 1, 1, 1, 1, 1]],
    [0.1, [0, 1, 1, 1, 1, 1]],
    [0, [0, 0, 0, 0, 0, 0]],
  ];
  for (const [share, allowed] of cases) {
    allowed.forEach((count, index) => assert.equal(ejectionsAllowed(index + 1, share), count));
    assert.equal(ejectionsAllowed(0, share), 0);
  }
  // 0.1 of 30 is 3 although 30 * 0.1 is not exactly 3 in binary.
  assert.equal(ejectionsAllowed(30, 0.1), 3);
  assert.equal(ejectionsAllowed(1000, 0.3), 300);
});

test("ejectionTimeMs() doubles up to its cap, and jitter only adds", () => {
  const settings = {
    ...DEFAULT_MODULE_POLICY.settings,
    ejectionMs: 1000,
    ejectionMaxMs: 5000,
    recoveryJitter: 0.5,
  };
  const times = [1, 2, 3, 4, 1000].map((count) => ejectionTimeMs(count, settings, 0));
  assert.deepEqual(times, [1000, 2000, 4000, 5000, 5000]);
  assert.equal(ejectionTimeMs(1, settings, 1), 1500);
});

test("decayedEjections() forgets one for each decay time in use", () => {
  const cases = [[3, 0, 3], [3, 999, 3], [3, 1000, 2], [3, 2500, 1], [3, 1e9, 0]];
  for (const [count, inUseMs, left] of cases) {
    assert.equal(decayedEjections(count, inUseMs, 1000), left);
  }
});

test("rampShare() grows from its start to 1 and is never 0", () => {
  assert.equal(rampShare(0, 1000, 0.1), 0.1);
  assert.equal(rampShare(0, 1000, 0), 0.02);
  assert.equal(rampShare(500, 1000, 0), 0.5);
  assert.equal(rampShare(500, 1000, 0.5), 0.75);
  assert.equal(rampShare(1000, 1000, 0.1), 1);
  let last = 0;
  for (let ms = 0; ms <= 1000; ms += 5) {
    const share = rampShare(ms, 1000, 0.1);
    // One step of 50 is 2 % of what is left to grow.
    assert.ok(share >= last && share - Math.max(last, 0.1) <= 0.02 + 1e-9, `${ms}: ${share}`);
    last = share;
  }
});
