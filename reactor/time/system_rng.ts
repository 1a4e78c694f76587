// Shell. Randomness of the machine; the only file that asks for it.

import type { Rng } from "./rng.ts";

/** Unseeded generator, for jitter and for spreading load. Not for secrets. */
export const systemRng: Rng = { next: () => Math.random() };
