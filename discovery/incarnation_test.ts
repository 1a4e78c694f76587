import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { incarnationAfter, newHolder, newIncarnation } from "./incarnation.ts";

test("incarnation: from 1 to 2^52, one of a later second is greater, whatever chance says", () => {
  const seconds = fc.integer({ min: 0, max: 2 ** 32 });
  fc.assert(
    fc.property(seconds, fc.integer({ min: 1, max: 1e6 }), fc.nat(), (first, more, seed) => {
      const rng = seededRng(seed);
      const [before, after] = [first, first + more].map((at) =>
        newIncarnation(new ManualClock(0, at * 1000), rng)
      );
      for (const one of [before, after]) assert.ok(one >= 1 && one <= 2 ** 52, `${one}`);
      assert.ok(after > before || after === 2 ** 52, `${after} after ${before}`);
    }),
  );
  const holders = Array.from({ length: 100 }, (_, seed) => newHolder(seededRng(seed)));
  assert.equal(new Set(holders).size, 100);
});

test("incarnation: what takes a place is greater than what was there, though a clock is behind", () => {
  assert.equal(incarnationAfter(undefined, 5), 5);
  assert.equal(incarnationAfter(4, 5), 5);
  assert.equal(incarnationAfter(5, 5), 6);
  assert.equal(incarnationAfter(900, 5), 901);
  assert.equal(incarnationAfter(2 ** 52, 5), 5, "nothing is above it that all could carry");
  assert.equal(incarnationAfter(Number.MAX_SAFE_INTEGER, 5), 5);
});
