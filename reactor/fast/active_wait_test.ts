// Goal: a thread waits awake only while that pays. Method: pauses as callers make them, by the millisecond.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ACTIVE_MS_MAX, ActiveWait } from "./active_wait.ts";

const SHORT_MS = 0.012;

/** One caller: each pause is over in time, or not. Counts waits awake, and the time they wasted. */
function serve(
  active: ActiveWait,
  calls: number,
  pauseOf: (call: number) => number,
  handled = 1,
): { awake: number; wastedMs: number } {
  let awake = 0;
  let wastedMs = 0;
  for (let call = 0; call < calls; call++) {
    const pauseMs = pauseOf(call);
    const { limitMs } = active;
    if (limitMs > 0) awake++;
    if (limitMs > 0 && pauseMs <= limitMs) {
      active.found(pauseMs, handled);
      continue;
    }
    if (limitMs > 0) {
      wastedMs += limitMs;
      active.missed(limitMs);
    }
    active.slept(pauseMs, handled);
  }
  return { awake, wastedMs };
}

test("a thread at rest, or with seldom calls, never waits awake", () => {
  const active = new ActiveWait();
  assert.equal(active.limitMs, 0);
  assert.equal(serve(active, 10_000, () => 1).awake, 0);
  assert.equal(serve(active, 10_000, () => 2 * ACTIVE_MS_MAX).awake, 0);
  // Nothing came: the time was over.
  for (let i = 0; i < 100; i++) active.slept(0.01, 0);
  assert.equal(active.limitMs, 0);
});

test("calls that come one after the other are waited for awake", () => {
  const { awake, wastedMs } = serve(new ActiveWait(), 10_000, () => SHORT_MS);
  assert.ok(awake > 9900, `${awake} of 10,000`);
  assert.equal(wastedMs, 0);
});

test("calls that come in time, and so far apart that sleeping costs less, are slept for", () => {
  // Ten thousand a second, evenly: each pause is in time, and a whole processor would go into them.
  for (const pauseMs of [0.045, 0.06, 0.095]) {
    const active = new ActiveWait();
    const { awake } = serve(active, 1_000_000, () => pauseMs);
    assert.ok(awake < 1000, `${pauseMs} ms: ${awake} of 1,000,000`);
    assert.equal(active.limitMs, 0);
  }
  // Those of one caller are waited for again when they come closer.
  const active = new ActiveWait();
  serve(active, 1000, () => 0.06);
  const { awake } = serve(active, 100_000, () => SHORT_MS);
  assert.ok(awake > 95_000, `${awake} of 100,000`);
});

test("a pause now and then ends nothing", () => {
  const { awake } = serve(new ActiveWait(), 10_000, (call) => call % 100 === 0 ? 5 : SHORT_MS);
  assert.ok(awake > 9500, `${awake} of 10,000`);
});

test("where many come at once the thread sleeps, which gathers them", () => {
  assert.equal(serve(new ActiveWait(), 10_000, () => SHORT_MS, 8).awake, 0);
  const active = new ActiveWait();
  serve(active, 100, () => SHORT_MS);
  assert.ok(active.limitMs > 0);
  serve(active, 100, () => SHORT_MS, 8);
  assert.equal(active.limitMs, 0);
});

test("when the caller stops, little is wasted", () => {
  const active = new ActiveWait();
  serve(active, 10_000, () => SHORT_MS);
  const { wastedMs } = serve(active, 1000, () => 50);
  assert.ok(wastedMs <= 1 + ACTIVE_MS_MAX, `${wastedMs} ms`);
  assert.equal(active.limitMs, 0);
});

test("on one processor with its caller it all but gives up", () => {
  // While the thread waits awake the caller cannot run: no wait comes to anything.
  const active = new ActiveWait();
  let wastedMs = 0;
  for (let call = 0; call < 1_000_000; call++) {
    const { limitMs } = active;
    if (limitMs > 0) {
      wastedMs += limitMs;
      active.missed(limitMs);
    }
    active.slept(SHORT_MS, 1);
  }
  // 17 tries of three waits: a stretch of calls twice as long before each, up to 65,536.
  assert.ok(wastedMs < 15, `${wastedMs} ms in a million calls`);
});

test("a processor that is taken away counts as wasted", () => {
  const active = new ActiveWait();
  serve(active, 20, () => SHORT_MS);
  assert.ok(active.limitMs > 0);
  active.found(4, 1);
  assert.equal(active.limitMs, 0);
});

test("after a try that was worth it the next comes soon", () => {
  const active = new ActiveWait();
  serve(active, 5000, () => SHORT_MS);
  serve(active, 100, () => 10);
  assert.equal(active.limitMs, 0);
  const { awake } = serve(active, 1000, () => SHORT_MS);
  assert.ok(awake > 950, `${awake} of 1000`);
});
