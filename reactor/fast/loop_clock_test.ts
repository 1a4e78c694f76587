import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { setRepeating } from "../time/clock.ts";
import { LoopClock } from "./loop_clock.ts";
import { ManualClock } from "../time/manual_clock.ts";

test("LoopClock fires as a plain clock does, whatever is set and cancelled", () => {
  const command = fc.record({
    delayMs: fc.integer({ min: 0, max: 50 }),
    cancel: fc.option(fc.nat(200)),
    advanceMs: fc.integer({ min: 0, max: 20 }),
  });
  fc.assert(fc.property(fc.array(command, { maxLength: 200 }), (commands) => {
    const time = new ManualClock();
    const clock = new LoopClock(time);
    const expected: number[] = [];
    const fired: number[] = [];
    const timers: { cancel(): void }[][] = [];
    for (const [index, { delayMs, cancel, advanceMs }] of commands.entries()) {
      timers.push([
        time.setTimer(delayMs, () => expected.push(index)),
        clock.setTimer(delayMs, () => fired.push(index)),
      ]);
      for (const timer of timers[cancel ?? -1] ?? []) timer.cancel();
      time.advance(advanceMs);
      clock.turn();
      assert.deepEqual(fired, expected);
      assert.equal(clock.pendingCount, time.pendingCount);
    }
    time.advance(100);
    clock.turn();
    assert.deepEqual(fired, expected);
    assert.equal(clock.waitMs(), -1);
  }));
});

test("LoopClock.waitMs() tells how long there is nothing to do", () => {
  const time = new ManualClock();
  const clock = new LoopClock(time);
  assert.equal(clock.waitMs(), -1);
  const late = clock.setTimer(100.5, () => undefined);
  assert.equal(clock.waitMs(), 101);
  const soon = clock.setTimer(10, () => undefined);
  assert.equal(clock.waitMs(), 10);
  time.advance(10);
  assert.equal(clock.waitMs(), 0);
  soon.cancel();
  soon.cancel();
  assert.equal(clock.waitMs(), 91);
  late.cancel();
  assert.equal(clock.waitMs(), -1);
  assert.equal(clock.pendingCount, 0);
});

test("LoopClock.turn() leaves for the next what is set in it, and ends", () => {
  const time = new ManualClock();
  const clock = new LoopClock(time);
  let count = 0;
  const again = (): void => {
    count++;
    clock.setTimer(0, again);
  };
  again();
  clock.turn();
  assert.equal(count, 2);
  clock.turn();
  assert.equal(count, 3);
});

test("LoopClock keeps no heap of cancelled timers", () => {
  const clock = new LoopClock(new ManualClock());
  const kept = clock.setTimer(5, () => undefined);
  for (let index = 0; index < 10_000; index++) clock.setTimer(1_000_000, () => undefined).cancel();
  assert.equal(clock.pendingCount, 1);
  assert.ok(clock.entryCount < 200, `${clock.entryCount} entries`);
  kept.cancel();
});

test("LoopClock carries repeating timers", () => {
  const time = new ManualClock(1000);
  const clock = new LoopClock(time);
  let ticks = 0;
  const timer = setRepeating(clock, 10, () => void ticks++);
  for (let step = 0; step < 10; step++) {
    time.advance(clock.waitMs());
    clock.turn();
  }
  assert.equal(ticks, 10);
  assert.equal(time.nowMs(), 1100);
  timer.cancel();
  assert.equal(clock.waitMs(), -1);
});
