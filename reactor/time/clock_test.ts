import { test } from "node:test";
import assert from "node:assert/strict";
import { until } from "../../tests/support/until.ts";
import { setAligned, setRepeating, sleep, type Timer } from "./clock.ts";
import { ManualClock } from "./manual_clock.ts";
import { nextInt, seededRng } from "./rng.ts";
import { systemClock } from "./system_clock.ts";
import { systemRng } from "./system_rng.ts";

test("ManualClock fires timers in order of time, then of creation", () => {
  const clock = new ManualClock();
  const fired: string[] = [];
  const at = (name: string) => (): void => void fired.push(`${name} at ${clock.nowMs()}`);
  clock.setTimer(20, at("late"));
  clock.setTimer(10, at("first"));
  clock.setTimer(10, at("second"));
  clock.setTimer(10, () => clock.setTimer(5, at("nested")));
  const cancelled = clock.setTimer(1, at("never"));
  cancelled.cancel();
  cancelled.cancel();
  clock.advance(9);
  assert.deepEqual(fired, []);
  clock.advance(11);
  assert.deepEqual(fired, ["first at 10", "second at 10", "nested at 15", "late at 20"]);
  assert.equal(clock.nowMs(), 20);
  assert.equal(clock.pendingCount, 0);
});

test("ManualClock keeps wall time in step", () => {
  const clock = new ManualClock(100, 5000);
  clock.advance(7);
  assert.deepEqual([clock.nowMs(), clock.wallMs()], [107, 5007]);
});

test("setRepeating() goes on until cancelled, also from within", () => {
  const clock = new ManualClock();
  let count = 0;
  const timer = setRepeating(clock, 10, () => {
    if (++count === 3) timer.cancel();
  });
  clock.advance(100);
  assert.equal(count, 3);
  assert.equal(clock.pendingCount, 0);
});

test("setAligned() fires at the multiples of its interval, all timers together", () => {
  const clock = new ManualClock(1007);
  const fired: string[] = [];
  const note = (name: string) => (): void => void fired.push(`${name}${clock.nowMs()}`);
  const first = setAligned(clock, 10, note("a"));
  clock.advance(5);
  const second = setAligned(clock, 10, note("b"));
  clock.advance(20);
  assert.deepEqual(fired, ["a1010", "a1020", "b1020", "a1030", "b1030"]);
  first.cancel();
  second.cancel();
  assert.equal(clock.pendingCount, 0);
});

test("setAligned() fires once for each multiple, also with timers that are early", () => {
  let nowMs = 0;
  let fire = (): void => {};
  const delays: number[] = [];
  const clock = {
    nowMs: () => nowMs,
    wallMs: () => 0,
    setTimer(delayMs: number, action: () => void): Timer {
      delays.push(delayMs);
      fire = action;
      return { cancel: (): void => {} };
    },
  };
  setAligned(clock, 10, () => {});
  nowMs = 9.9;
  fire();
  nowMs = 23;
  fire();
  assert.deepEqual(delays.map(Math.round), [10, 10, 7]);
});

test("sleep() resolves after its time", async () => {
  const clock = new ManualClock();
  let awake = false;
  const sleeping = sleep(clock, 50).then(() => (awake = true));
  clock.advance(49);
  await Promise.resolve();
  assert.equal(awake, false);
  clock.advance(1);
  await sleeping;
});

test("systemClock moves forward and fires timers", async () => {
  const startMs = systemClock.nowMs();
  let fired = 0;
  systemClock.setTimer(1, () => fired++);
  systemClock.setTimer(1, () => assert.fail("cancelled")).cancel();
  await until(() => fired === 1, { what: "the timer" });
  assert.ok(systemClock.nowMs() > startMs);
  assert.ok(Math.abs(systemClock.wallMs() - Date.now()) < 1000);
});

test("seededRng() repeats itself and fills its range", () => {
  const [one, same, other] = [seededRng(1), seededRng(1), seededRng(2)];
  const draw = (rng: { next(): number }): number[] => Array.from({ length: 50 }, () => rng.next());
  const first = draw(one);
  assert.deepEqual(first, draw(same));
  assert.notDeepEqual(first, draw(other));
  const counts = new Array<number>(6).fill(0);
  for (let index = 0; index < 6000; index++) counts[nextInt(one, 6)]++;
  for (const count of counts) assert.ok(Math.abs(count - 1000) < 200, `${counts}`);
  assert.ok(systemRng.next() < 1);
});
