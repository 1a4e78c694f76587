import { test } from "node:test";
import assert from "node:assert/strict";
import { reconnectDelayMs } from "./tcp_client.ts";
import { seededRng } from "../time/rng.ts";

/** The largest value the schedule can give, to three digits. */
const top = { next: (): number => 0.9999 };

// failures, addresses -> upper bound of the pause with 100 ms and 5000 ms
const bounds = [
  [0, 1, 0],
  [1, 1, 100],
  [2, 1, 200],
  [3, 1, 400],
  [6, 1, 3200],
  [7, 1, 5000],
  [8, 1, 5000],
  [1000, 1, 5000],
  [1, 3, 100],
  [3, 3, 100],
  [4, 3, 200],
  [6, 3, 200],
  [7, 3, 400],
] as const;

for (const [failures, addresses, boundMs] of bounds) {
  test(`reconnectDelayMs() stays below ${boundMs} ms after ${failures} failures of ${addresses}`, () => {
    assert.equal(Math.round(reconnectDelayMs(failures, addresses, 100, 5000, top)), boundMs);
    assert.equal(reconnectDelayMs(failures, addresses, 100, 5000, { next: () => 0 }), 0);
  });
}

test("reconnectDelayMs() spreads a thousand clients evenly over the bound", () => {
  const rng = seededRng(42);
  const buckets = new Array<number>(10).fill(0);
  for (let client = 0; client < 1000; client++) {
    buckets[Math.floor(reconnectDelayMs(20, 1, 100, 5000, rng) / 500)]++;
  }
  // Mean 100 a bucket, standard deviation 9.5: five of them are far outside chance.
  for (const count of buckets) assert.ok(Math.abs(count - 100) < 48, `${buckets}`);
});
