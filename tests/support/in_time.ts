// Shell. Promises about time, checked without failing on a machine that is merely busy.

import assert from "node:assert/strict";
import process from "node:process";

/** Set where promises about time are what is tried, as by `deno task faults`. */
export const JUDGE_TIMES_VARIABLE = "LARS_TEST_JUDGE_TIMES";

/**
 * How far over its promise a measured time may be where times are judged. A busy machine stalls a
 * process for tenths of a second; what hangs, or waits for a timer it should not need, takes longer.
 */
export const BUSY_MACHINE_FACTOR = 5;
const STALL_MS = 500;

/**
 * The same where all tests run, on machines that others use too: there a time says little of the code,
 * and a test that fails by it says nothing. Only what hangs is found.
 */
const ANY_MACHINE_FACTOR = 30;
const ANY_STALL_MS = 10_000;

/** The longest that something may take, in milliseconds, of which `promisedMs` is promised. */
export function toleratedMs(promisedMs: number): number {
  return (process.env[JUDGE_TIMES_VARIABLE] ?? "") === ""
    ? Math.max(promisedMs * ANY_MACHINE_FACTOR, ANY_STALL_MS)
    : Math.max(promisedMs * BUSY_MACHINE_FACTOR, STALL_MS);
}

/**
 * Prints a measured time next to what is promised, and fails when it is far over it.
 *
 * @param what the thing that took the time: `push of a change`.
 * @throws {assert.AssertionError} when `tookMs` is over {@linkcode toleratedMs}.
 */
export function assertInTime(what: string, tookMs: number, promisedMs: number): void {
  const text = `${what}: ${tookMs.toFixed(1)} ms (promised: ${promisedMs} ms)`;
  if (tookMs > promisedMs) console.log(`Slow machine? ${text}`);
  assert.ok(tookMs <= toleratedMs(promisedMs), text);
}

/** Set to have tests run that take minutes, or whose subject is a time: not for each change. */
const LONG_VARIABLE = "LARS_TEST_LONG";

/** Why such a test is skipped, or false. */
export function skipUnlessLong(): string | false {
  const names = [LONG_VARIABLE, JUDGE_TIMES_VARIABLE];
  const isAsked = names.some((name) => (process.env[name] ?? "") !== "");
  return isAsked ? false : `takes minutes: ${LONG_VARIABLE}=1 has it run`;
}
