// Core. Waiting times and service times from uniform numbers, the same to the last bit everywhere.
//
// Engines may differ in the last bit of Math.log and Math.exp, and one bit changes everything that
// comes after. Comparison, the four operations and the square root are exact by their standard, so
// only these are used.

import type { Rng } from "../reactor/time/rng.ts";

/**
 * Exponential with mean 1: the gaps between calls that come independently of each other. By
 * von Neumann's comparison of uniform numbers: a falling run of odd length is taken, one of even
 * length adds 1 and starts again.
 */
export function exponential(rng: Rng): number {
  for (let whole = 0;; whole++) {
    const first = rng.next();
    let last = first;
    let length = 1;
    for (;;) {
      const next = rng.next();
      if (next >= last) break;
      last = next;
      length++;
    }
    if (length % 2 === 1) return whole + first;
  }
}

/** Longest service time, as a multiple of the mean. */
export const SERVICE_TAIL_MAX = 10;

/**
 * Service time with mean 1 and a long tail (Pareto with exponent 4): half of the calls take up to
 * 0.89, one in a hundred more than 2.4, and none more than {@linkcode SERVICE_TAIL_MAX}.
 */
export function serviceTime(rng: Rng): number {
  return Math.min(SERVICE_TAIL_MAX, 0.75 / Math.sqrt(Math.sqrt(1 - rng.next())));
}
