// Core. Chance for picks: as fast as they are, and without memory.

import type { Rng } from "../../reactor/time/rng.ts";

/** Throws are below this. */
export const DICE_LIMIT = 2 ** 31;

/**
 * Xorshift of 32 bits (Marsaglia, Xorshift RNGs, 2003), started from another generator at the first
 * throw. Its numbers are whole and fit what engines keep in place, so a throw allocates nothing,
 * which a generator of fractions cannot promise. For picks only: it is easily foreseen.
 */
export class Dice {
  readonly #source: Rng;
  #state = 0;

  constructor(source: Rng) {
    this.#source = source;
  }

  /** A whole number from 0 to 2^31 - 1, each as likely as the others. */
  throw(): number {
    let state = this.#state;
    // 0 is the one state the generator never leaves, and so free to say that it has not begun.
    if (state === 0) state = Math.floor(this.#source.next() * 4294967295) + 1;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state;
    return state >>> 1;
  }
}
