import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRng } from "../reactor/time/rng.ts";
import { exponential, SERVICE_TAIL_MAX, serviceTime } from "./chance.ts";

const COUNT = 100_000;

function draw(next: (rng: ReturnType<typeof seededRng>) => number): number[] {
  const rng = seededRng(3);
  return Array.from({ length: COUNT }, () => next(rng)).sort((a, b) => a - b);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

test("exponential() has mean 1 and the quantiles of the exponential distribution", () => {
  const values = draw(exponential);
  // Four standard errors of a mean of 100,000 are 4 / sqrt(100,000) = 0.013.
  assert.ok(Math.abs(mean(values) - 1) < 0.013);
  // Share below x is 1 - exp(-x); the standard error of a share is at most 0.0016.
  for (const x of [0.1, 0.5, 1, 2, 3]) {
    const below = values.filter((value) => value < x).length / COUNT;
    assert.ok(Math.abs(below - (1 - Math.exp(-x))) < 0.0064, `share below ${x}: ${below}`);
  }
});

test("serviceTime() has mean 1, the quantiles it tells of, and an end", () => {
  const values = draw(serviceTime);
  assert.ok(Math.abs(mean(values) - 1) < 0.01);
  // 0.75 * 2^(1/4) = 0.892 and 0.75 * 100^(1/4) = 2.372.
  assert.ok(Math.abs(values[COUNT / 2] - 0.892) < 0.01);
  assert.ok(Math.abs(values[COUNT * 0.99] - 2.372) < 0.1);
  assert.ok(values[0] >= 0.75 && values[COUNT - 1] <= SERVICE_TAIL_MAX);
});
