// Core. How many wrong logins one address may make.

import type { Clock } from "../../reactor/time/clock.ts";

/** Failures are counted over this time, in milliseconds. */
export const LOGIN_WINDOW_MS = 300_000;
/**
 * Failures of one address until further ones must wait. A name has no limit: whoever knows it could
 * lock its owner out.
 */
export const LOGIN_FAILURES_PER_ADDRESS_MAX = 20;
/** Addresses remembered; when full, the oldest are forgotten. */
const KEYS_MAX = 10_000;

/** Counts failures and says who has to wait. */
export class LoginRateLimiter {
  readonly #clock: Clock;
  readonly #failures = new Map<string, { count: number; untilMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Seconds that a login from this address has to wait; 0: none. */
  waitS(address: string): number {
    const known = this.#failures.get(address);
    if (known === undefined || known.count < LOGIN_FAILURES_PER_ADDRESS_MAX) return 0;
    return Math.ceil(Math.max(0, known.untilMs - this.#clock.nowMs()) / 1000);
  }

  /** Notes a wrong login. */
  failed(address: string): void {
    const nowMs = this.#clock.nowMs();
    const known = this.#failures.get(address);
    if (known !== undefined && known.untilMs > nowMs) {
      known.count++;
      return;
    }
    this.#failures.delete(address);
    if (this.#failures.size >= KEYS_MAX) {
      const [oldest] = this.#failures.keys();
      this.#failures.delete(oldest);
    }
    this.#failures.set(address, { count: 1, untilMs: nowMs + LOGIN_WINDOW_MS });
  }
}
