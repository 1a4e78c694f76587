import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../reactor/mod.ts";
import {
  Heartbeat,
  type HeartbeatSettings,
  PING_INTERVAL_MS,
  PING_UNUSED_INTERVAL_MS,
  SILENCE_TIMEOUT_MS,
} from "./heartbeat.ts";

/** A heartbeat whose server has answered Hello at 100 ms; what it does is written down with its time. */
function startPinging(settings: HeartbeatSettings = {}): {
  clock: ManualClock;
  heartbeat: Heartbeat;
  pingedAtMs: number[];
  leftAtMs: number[];
  send(): void;
} {
  const clock = new ManualClock();
  const pingedAtMs: number[] = [];
  const leftAtMs: number[] = [];
  let framesOut = 1;
  const heartbeat = new Heartbeat(settings, {
    clock,
    framesOut: () => framesOut,
    ping: () => {
      framesOut++;
      pingedAtMs.push(clock.nowMs());
    },
    leave: () => leftAtMs.push(clock.nowMs()),
  });
  clock.advance(100);
  heartbeat.start();
  return { clock, heartbeat, pingedAtMs, leftAtMs, send: () => void framesOut++ };
}

test("Heartbeat pings seldom, asks again soon, and leaves a silent server within 2.8 s", () => {
  const { clock, heartbeat, pingedAtMs, leftAtMs } = startPinging();
  clock.advance(1500);
  assert.deepEqual(pingedAtMs, [1600]);
  clock.advance(590);
  heartbeat.heard();
  clock.advance(1620);
  assert.deepEqual(pingedAtMs, [1600, 3200, 3800], "the second one of a pair is sent sooner");
  heartbeat.heard();
  clock.advance(1010);
  assert.deepEqual([pingedAtMs.at(-1), leftAtMs], [4800, []], "any frame is an answer");
  clock.advance(1200);
  assert.deepEqual([pingedAtMs.slice(-2), leftAtMs], [[4800, 5400], [6000]]);
  heartbeat.stop();
  clock.advance(10_000);
  assert.equal(clock.pendingCount, 0);
  assert.equal(leftAtMs.length, 1);
});

test("Heartbeat pings an unused link still less often, and one that was used at once", () => {
  const { clock, heartbeat, pingedAtMs, leftAtMs, send } = startPinging({
    unusedIntervalMs: PING_UNUSED_INTERVAL_MS,
  });
  const advanceTo = (ms: number): void => clock.advance(ms - clock.nowMs());
  advanceTo(1600);
  assert.deepEqual(pingedAtMs, [1600], "the first one is not put off");
  heartbeat.heard();
  advanceTo(9000);
  assert.deepEqual(pingedAtMs, [1600]);
  send();
  advanceTo(9600);
  heartbeat.heard();
  advanceTo(25_000);
  assert.deepEqual(pingedAtMs, [1600, 9600], "what was sent is followed by one ping");
  advanceTo(25_600);
  assert.deepEqual(pingedAtMs.slice(2), [25_600]);
  assert.ok(PING_UNUSED_INTERVAL_MS + PING_INTERVAL_MS < SILENCE_TIMEOUT_MS);
  assert.deepEqual(leftAtMs, []);
  advanceTo(26_800);
  assert.deepEqual([pingedAtMs.slice(3), leftAtMs], [[26_200], [26_800]], "a silent one is left");
});
