// Core. How many wrong logins one address or one name may make.

import type { Clock } from "../../reactor/time/clock.ts";

/** Failures are counted over this time, in milliseconds. */
export const LOGIN_WINDOW_MS = 300_000;
/** Failures of one address, and at one name from anywhere, until further ones must wait. */
export const LOGIN_FAILURES_PER_ADDRESS_MAX = 20;
export const LOGIN_FAILURES_PER_NAME_MAX = 50;
/** Addresses and names remembered; when full, the oldest are forgotten. */
const KEYS_MAX = 10_000;

/** Counts failures and says who has to wait. */
export class LoginRateLimiter {
  readonly #clock: Clock;
  readonly #failures = new Map<string, { count: number; untilMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Seconds that a login from this address at this name has to wait; 0: none. */
  waitS(address: string, name: string): number {
    const limits: [string, number][] = [
      [`address ${address}`, LOGIN_FAILURES_PER_ADDRESS_MAX],
      [`name ${name}`, LOGIN_FAILURES_PER_NAME_MAX],
    ];
    const waits = limits.map(([key, countMax]) => {
      const known = this.#failures.get(key);
      const leftMs = known === undefined ? 0 : known.untilMs - this.#clock.nowMs();
      return known !== undefined && known.count >= countMax && leftMs > 0 ? leftMs / 1000 : 0;
    });
    return Math.ceil(Math.max(...waits));
  }

  /** Notes a wrong login. */
  failed(address: string, name: string): void {
    for (const key of [`address ${address}`, `name ${name}`]) {
      const nowMs = this.#clock.nowMs();
      const known = this.#failures.get(key);
      if (known !== undefined && known.untilMs > nowMs) {
        known.count++;
        continue;
      }
      this.#failures.delete(key);
      if (this.#failures.size >= KEYS_MAX) {
        const [oldest] = this.#failures.keys();
        this.#failures.delete(oldest);
      }
      this.#failures.set(key, { count: 1, untilMs: nowMs + LOGIN_WINDOW_MS });
    }
  }
}
