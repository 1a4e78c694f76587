import assert from "node:assert/strict";
import { test } from "node:test";
import { Evidence, EVIDENCE_PIECES, wilsonLowerBound } from "./node_statistics.ts";

test("wilsonLowerBound() gives the values of the formula", () => {
  // 10 of 10 at z = 1.96: n / (n + z^2) = 10 / 13.8416. 1 of 10: 0.0179 (Brown, Cai, DasGupta).
  const cases: [failed: number, calls: number, z: number, bound: number][] = [
    [0, 0, 4, 0],
    [0, 10, 4, 0],
    [10, 10, 1.96, 0.7225],
    [1, 10, 1.96, 0.0179],
    [50, 100, 1.96, 0.4038],
    [5, 10, 4, 0.1078],
    [5, 12, 4, 0.0886],
  ];
  for (const [failed, calls, z, bound] of cases) {
    assert.equal(Number(wilsonLowerBound(failed, calls, z).toFixed(4)), bound);
  }
});

test("Evidence finds a fault that has just begun behind a long good time", () => {
  const evidence = new Evidence();
  for (let second = 0; second < 50; second++) evidence.add(second * 1000, 60_000, 20, 0, 0);
  assert.equal(evidence.failures(0.1, 4, 5), undefined);
  // The latest piece of 5 s has 10 calls, half of them failed; the whole minute 1 %.
  evidence.add(50_000, 60_000, 10, 5, 0);
  assert.deepEqual(evidence.failures(0.1, 4, 5), { hits: 5, calls: 10 });
  assert.equal(evidence.failures(0.1, 4, 6), undefined, "fewer than the least number");
  assert.equal(evidence.slowCalls(0.1, 4, 1), undefined);
});

test("Evidence gathers rare calls over the whole time, and forgets what is older", () => {
  const evidence = new Evidence();
  for (let piece = 0; piece < EVIDENCE_PIECES; piece++) {
    evidence.add(piece * 5000, 60_000, 1, 1, 1);
  }
  assert.deepEqual(evidence.failures(0.1, 4, 5), { hits: 5, calls: 5 });
  assert.deepEqual(evidence.failures(0.4, 4, 5), { hits: 11, calls: 11 });
  assert.deepEqual(evidence.slowCalls(0.42, 4, 5), { hits: 12, calls: 12 });
  evidence.add(60_000, 60_000, 0, 0, 0);
  assert.equal(evidence.failures(0, 4, 12), undefined, "the oldest piece is gone");
  assert.deepEqual(evidence.failures(0, 4, 11), { hits: 11, calls: 11 });
  evidence.add(1_000_000, 60_000, 0, 0, 0);
  assert.equal(evidence.failures(0, 4, 1), undefined);
});

test("Evidence.clear() forgets everything", () => {
  const evidence = new Evidence();
  evidence.add(0, 60_000, 10, 10, 10);
  evidence.clear();
  assert.equal(evidence.failures(0, 4, 1), undefined);
});
