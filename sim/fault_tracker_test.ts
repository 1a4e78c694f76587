import assert from "node:assert/strict";
import { test } from "node:test";
import { FaultTracker } from "./fault_tracker.ts";

test("FaultTracker counts failures up to the verdict, and those under way at it", () => {
  const faults = new FaultTracker(2, 3);
  faults.callFailed(0, 1, 5);
  faults.faultBegins(1, 10);
  faults.callFailed(0, 1, 11);
  faults.callFailed(0, 1, 12);
  faults.nodeOut(0, 1, 13, false);
  faults.callFailed(0, 1, 12.5);
  faults.callFailed(0, 1, 14);
  faults.callFailed(1, 1, 14);
  faults.faultEnds(1, 20);
  assert.deepEqual(faults.views, [
    { node: 1, agent: 0, startMs: 10, outMs: 13, failed: 3 },
    { node: 1, agent: 1, startMs: 10, outMs: NaN, failed: 1 },
  ]);
  assert.equal(faults.missed, 1);
  assert.equal(faults.notBack, 1);
  faults.nodeBack(0, 1, 26);
  assert.deepEqual(faults.recoveriesMs, [6]);
  assert.equal(faults.notBack, 0);
});

test("FaultTracker takes no detection from a node that was out before the fault", () => {
  const faults = new FaultTracker(1, 1);
  faults.nodeOut(0, 0, 1, true);
  faults.faultBegins(0, 10);
  faults.faultEnds(0, 20);
  faults.nodeBack(0, 0, 21);
  assert.deepEqual([faults.views.length, faults.missed, faults.falseOuts], [0, 0, 1]);
  assert.deepEqual(faults.recoveriesMs, [1]);
});

test("FaultTracker takes a node that is judged and stays in use for noticed, not for out", () => {
  const faults = new FaultTracker(1, 1);
  faults.faultBegins(0, 10);
  faults.nodeJudged(0, 0, 15);
  faults.faultEnds(0, 20);
  assert.equal(faults.views[0].outMs, 15);
  assert.deepEqual([faults.missed, faults.notBack, faults.falseOuts], [0, 0, 0]);
});

test("FaultTracker forgets a node that leaves the route", () => {
  const faults = new FaultTracker(1, 1);
  faults.faultBegins(0, 10);
  faults.nodeOut(0, 0, 11, false);
  faults.forget(0, 0);
  faults.faultEnds(0, 20);
  assert.deepEqual([faults.missed, faults.notBack, faults.recoveriesMs.length], [0, 0, 0]);
});
