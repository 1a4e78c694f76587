// Core. Chance as an argument, with a seeded generator for tests and simulations.

/** Source of random numbers. */
export interface Rng {
  /** Uniform in [0, 1). */
  next(): number;
}

/** Uniform integer in [0, n). */
export function nextInt(rng: Rng, n: number): number {
  return Math.floor(rng.next() * n);
}

/**
 * Repeatable generator: the same seed gives the same numbers on every machine.
 * Algorithm: mulberry32 by Tommy Ettinger (public domain), 32 bits of state.
 */
export function seededRng(seed: number): Rng {
  let state = seed >>> 0;
  return {
    next(): number {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    },
  };
}
