import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CallsUnderWay, decay, MeanTime, PeakEwma } from "../detection/node_statistics.ts";

test("CallsUnderWay counts what began and did not end, and is never below 0", () => {
  const calls = new CallsUnderWay();
  calls.end();
  assert.equal(calls.count, 0);
  for (let i = 0; i < 3; i++) calls.begin(i, 1000);
  calls.end();
  assert.equal(calls.count, 2);
});

test("CallsUnderWay forgets calls nobody reports, between timeout and an eighth more", () => {
  fc.assert(fc.property(fc.nat(100_000), fc.integer({ min: 100, max: 30_000 }), (atMs, timeout) => {
    const calls = new CallsUnderWay();
    calls.begin(atMs, timeout);
    calls.expire(atMs + timeout * 7 / 8 - 1, timeout);
    assert.equal(calls.count, 1);
    calls.expire(atMs + timeout * 9 / 8 + 1, timeout);
    assert.equal(calls.count, 0);
    calls.end();
    assert.equal(calls.count, 0);
  }));
});

test("CallsUnderWay ends the oldest calls first, so that later ones are not forgotten early", () => {
  const calls = new CallsUnderWay();
  calls.begin(0, 800);
  calls.begin(700, 800);
  calls.end();
  calls.expire(1000, 800);
  assert.equal(calls.count, 1);
  calls.expire(1700, 800);
  assert.equal(calls.count, 0);
});

test("decay() falls like e^-x", () => {
  assert.equal(decay(0), 1);
  for (const x of [0.1, 0.5, 1, 2, 3]) {
    assert.ok(Math.abs(decay(x) - Math.exp(-x)) < 0.06, `${x}: ${decay(x)}`);
  }
});

test("PeakEwma follows a rise at once, a fall slowly, and falls while nobody calls", () => {
  const ewma = new PeakEwma();
  assert.equal(ewma.known, false);
  ewma.observe(10, 0, 1000);
  assert.equal(ewma.at(0, 1000), 10);
  ewma.observe(100, 10, 1000);
  assert.equal(ewma.at(10, 1000), 100);
  ewma.observe(10, 20, 1000);
  const soon = ewma.at(20, 1000);
  assert.ok(soon > 98 && soon < 100, `${soon}`);
  const later = ewma.at(1020, 1000);
  assert.ok(later > 0.3 * soon && later < 0.45 * soon, `${later}`);
  ewma.restart(0, 2000);
  assert.deepEqual([ewma.known, ewma.at(2000, 1000)], [false, 0]);
});

test("MeanTime weighs the first calls evenly and later ones by a sixteenth", () => {
  const mean = new MeanTime();
  for (const ms of [10, 20, 30]) mean.observe(ms);
  assert.equal(mean.ms, 20);
  for (let i = 0; i < 1000; i++) mean.observe(160);
  mean.observe(0);
  assert.ok(Math.abs(mean.ms - 150) < 1e-6);
});
