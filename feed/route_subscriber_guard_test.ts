import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PushGuard } from "./route_subscriber.ts";

const HOLD_MS = 60_000;

function takes(guard: PushGuard, before: number, after: number, meant = false, nowMs = 0): boolean {
  return guard.judge(1, 2, before, after, meant, nowMs).take;
}

test("PushGuard holds back what leaves no node, or less than half of them", () => {
  const cases: [before: number, after: number, take: boolean][] = [
    [0, 0, true],
    [0, 5, true],
    [1, 0, false],
    [1, 1, true],
    [2, 1, true],
    [2, 0, false],
    [3, 2, true],
    [3, 1, false],
    [4, 2, true],
    [5, 2, false],
    [20, 10, true],
    [20, 9, false],
    [20, 40, true],
  ];
  for (const [before, after, take] of cases) {
    assert.equal(takes(new PushGuard(HOLD_MS), before, after), take, `${before} -> ${after}`);
    assert.ok(takes(new PushGuard(HOLD_MS), before, after, true), "meant is meant");
    assert.ok(takes(new PushGuard(0), before, after), "0 holds nothing back");
  }
});

test("PushGuard gives way to what has stayed so for long enough", () => {
  const guard = new PushGuard(HOLD_MS);
  assert.match(guard.judge(1, 2, 4, 0, false, 0).event ?? "", /1,2 is held back.*0 of 4/);
  assert.deepEqual(guard.judge(1, 2, 4, 1, false, HOLD_MS - 1), { take: false, event: undefined });
  assert.equal(guard.describe(HOLD_MS - 1), "1,2: 1 of 4 nodes, 60 s");
  const verdict = guard.judge(1, 2, 4, 1, false, HOLD_MS);
  assert.ok(verdict.take);
  assert.match(verdict.event ?? "", /taken with 1 of 4 nodes: it has stayed so for 60 s/);
  assert.deepEqual(guard.stats, { pushesHeld: 2, modulesHeld: 0, heldTakenByTime: 1 });
  assert.equal(guard.describe(HOLD_MS), "");
});

test("PushGuard begins anew when the nodes were back in between", () => {
  const guard = new PushGuard(HOLD_MS);
  assert.equal(takes(guard, 4, 0, false, 0), false);
  assert.match(guard.judge(1, 2, 4, 3, false, 50_000).event ?? "", /back/);
  assert.equal(takes(guard, 4, 0, false, 60_000), false);
  assert.equal(takes(guard, 4, 0, false, 119_999), false);
  assert.match(guard.judge(1, 2, 4, 0, true, 119_999).event ?? "", /it is meant/);
});

test("PushGuard keeps modules apart, and forgets those that are not used", () => {
  const guard = new PushGuard(HOLD_MS);
  for (let modId = 1; modId <= 7; modId++) guard.judge(modId, 1, 2, 0, false, 0);
  assert.equal(guard.stats.modulesHeld, 7);
  assert.match(guard.describe(0), /^1,1: 0 of 2 nodes, 0 s; .*; and 2 more$/);
  guard.forget(1, 1);
  guard.forget(1, 1);
  assert.equal(guard.stats.modulesHeld, 6);
  guard.setHold(0);
  assert.ok(guard.judge(2, 1, 2, 0, false, 1).take);
  assert.throws(() => guard.setHold(-1), RangeError);
  assert.throws(() => new PushGuard(NaN), RangeError);
});

test("PushGuard never lets callers lose more than half at once, whatever comes, without a reason", () => {
  const step = fc.record({
    nodes: fc.nat(20),
    meant: fc.boolean(),
    waitMs: fc.nat(HOLD_MS),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
    const guard = new PushGuard(HOLD_MS);
    let nowMs = 0;
    let good = 10;
    let smallSinceMs: number | undefined;
    for (const { nodes, meant, waitMs } of steps) {
      nowMs += waitMs;
      const small = nodes * 2 < good && !meant;
      if (!small) smallSinceMs = undefined;
      else smallSinceMs ??= nowMs;
      const long = smallSinceMs !== undefined && nowMs - smallSinceMs >= HOLD_MS;
      const { take } = guard.judge(1, 1, good, nodes, meant, nowMs);
      assert.equal(take, !small || long);
      if (!take) continue;
      good = nodes;
      smallSinceMs = undefined;
    }
  }));
});
