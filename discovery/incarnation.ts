// Core. The numbers of discoveries, and those of registrations, of which a later one has the greater one.

import type { Clock } from "../reactor/time/clock.ts";
import { nextInt, type Rng } from "../reactor/time/rng.ts";

/** Half of the digits of a discovery's number: both halves are drawn. */
const HALF_HOLDER = 2 ** 26;

/** Registrations of a node within one second are told apart by chance: one of so many. */
const CHANCES = 2 ** 20;

/** The greatest that is given: 2^52 holds seconds until the year 2106. */
const INCARNATION_MAX = 2 ** 52;

/**
 * A number for a new registration, from 1 to 2^52: seconds, then chance. Discoveries need not agree on
 * the time: see {@linkcode incarnationAfter}.
 */
export function newIncarnation(clock: Clock, rng: Rng): number {
  const seconds = Math.floor(clock.wallMs() / 1000);
  return Math.min(INCARNATION_MAX, seconds * CHANCES + nextInt(rng, CHANCES) + 1);
}

/**
 * The number of a registration that takes the place of another: greater than that, whoever's clock
 * gave it. So a database that was set back is known by a node whose number is greater than the one
 * that is stored.
 *
 * @param before Of the registration that is stored; undefined: none is.
 */
export function incarnationAfter(before: number | undefined, wished: number): number {
  const isAbove = before === undefined || before < wished || before >= INCARNATION_MAX;
  return isAbove ? wished : before + 1;
}

/** The number of a discovery, as long as it runs: from 1 to 2^52, by chance. */
export function newHolder(rng: Rng): number {
  return nextInt(rng, HALF_HOLDER) * HALF_HOLDER + nextInt(rng, HALF_HOLDER) + 1;
}
