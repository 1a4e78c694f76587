// Shell. Promises about time, checked without failing on a machine that is merely busy.

import assert from "node:assert/strict";

/**
 * How far over its promise a measured time may be. A busy machine stalls a process for tenths of
 * a second; what hangs, or waits for a timer it should not need, takes longer than this.
 */
export const BUSY_MACHINE_FACTOR = 5;

/**
 * Prints a measured time next to what is promised, and fails when it is far over it.
 *
 * @param what the thing that took the time: `push of a change`.
 * @throws {assert.AssertionError} when `tookMs` is over `promisedMs` times
 *   {@linkcode BUSY_MACHINE_FACTOR}.
 */
export function assertInTime(what: string, tookMs: number, promisedMs: number): void {
  const text = `${what}: ${tookMs.toFixed(1)} ms (promised: ${promisedMs} ms)`;
  if (tookMs > promisedMs) console.log(`Slow machine? ${text}`);
  assert.ok(tookMs <= promisedMs * BUSY_MACHINE_FACTOR, text);
}
