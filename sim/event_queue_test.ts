import assert from "node:assert/strict";
import { test } from "node:test";
import { nextInt, seededRng } from "../reactor/time/rng.ts";
import { EventQueue } from "./event_queue.ts";

test("EventQueue gives events by time, and those of one time in the order of adding", () => {
  const rng = seededRng(1);
  const queue = new EventQueue<{ atMs: number; order: number }>();
  const waiting: { atMs: number; order: number }[] = [];
  let nowMs = 0;
  for (let order = 0; order < 3000; order++) {
    // Few different times, so that many events share one; two in three are added, one is taken.
    const event = { atMs: nowMs + nextInt(rng, 8), order };
    queue.add(event.atMs, event);
    waiting.push(event);
    if (order % 3 !== 2) continue;
    waiting.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
    assert.equal(queue.nextMs, waiting[0].atMs);
    assert.equal(queue.take(), waiting.shift());
    nowMs = queue.nowMs;
  }
  waiting.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
  assert.equal(queue.count, waiting.length);
  for (const event of waiting) {
    assert.equal(queue.take(), event);
    assert.equal(queue.nowMs, event.atMs);
  }
  assert.equal(queue.take(), undefined);
  assert.equal(queue.nextMs, Infinity);
});
