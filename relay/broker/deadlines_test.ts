import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { DEADLINE_STEP_MS, Deadlines } from "./deadlines.ts";

test("deadlines are never early, and late by a step at most", () => {
  fc.assert(fc.property(
    fc.array(fc.record({ delayMs: fc.nat(100_000), pauseMs: fc.nat(500), removed: fc.boolean() }), {
      maxLength: 100,
    }),
    (items) => {
      const clock = new ManualClock(123);
      const due: [at: number, wanted: number][] = [];
      const deadlines = new Deadlines<number>(clock, (wanted) => due.push([clock.nowMs(), wanted]));
      let kept = 0;
      for (const { delayMs, pauseMs, removed } of items) {
        const place = deadlines.add(clock.nowMs() + delayMs, delayMs);
        if (removed) place.remove();
        else kept++;
        clock.advance(pauseMs);
      }
      clock.advance(200_000);
      assert.equal(due.length, kept);
      for (const [at, wanted] of due) {
        assert.ok(at >= wanted && at <= wanted + DEADLINE_STEP_MS, `${at} for ${wanted}`);
      }
      assert.equal(clock.pendingCount, 0);
    },
  ));
});

test("what falls due may take away others that are due with it", () => {
  const clock = new ManualClock();
  const due: string[] = [];
  const deadlines: Deadlines<string> = new Deadlines(clock, (item) => {
    due.push(item);
    other.remove();
    if (due.length < 3) deadlines.add(`after ${item}`, 0);
  });
  deadlines.add("one", 10);
  const other = deadlines.add("other", 10);
  clock.advance(1000);
  assert.deepEqual(due, ["one", "after one", "after after one"]);
});
