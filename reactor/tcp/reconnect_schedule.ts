// Core. When a client that lost its server tries again, and where.

import type { Rng } from "../time/rng.ts";

/** A connection must have lived this long to count as a success that resets the back-off. */
export const STABLE_CONNECTION_MS = 1000;

/**
 * Pause before a connection attempt: full jitter, uniform from 0 up to a bound that doubles from
 * `minMs` with each full round over the addresses, up to `maxMs`. Full jitter keeps a thousand
 * clients of a restarted server apart; counting rounds lets a client try every address before it
 * slows down.
 *
 * @param failures attempts in a row that failed or did not last, 0 for the first attempt ever (no
 * pause).
 */
export function reconnectDelayMs(
  failures: number,
  addressCount: number,
  minMs: number,
  maxMs: number,
  rng: Rng,
): number {
  if (failures <= 0) return 0;
  const round = Math.floor((failures - 1) / Math.max(1, addressCount));
  // 2 ** 30 is beyond every maximum in use and far from losing precision.
  const boundMs = Math.min(maxMs, minMs * 2 ** Math.min(round, 30));
  return rng.next() * boundMs;
}
