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

/** Wait of an address that has as many logins under way as it may fail, in seconds. */
const UNDER_WAY_WAIT_S = 1;

/** Counts failures and says who has to wait. */
export class LoginRateLimiter {
  readonly #clock: Clock;
  readonly #failures = new Map<string, { count: number; untilMs: number }>();
  /** Logins that may yet fail, by address; as many as there are requests at most. */
  readonly #underWay = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Seconds that a login from this address has to wait; 0: none. */
  waitS(address: string): number {
    const known = this.#failures.get(address);
    if (known === undefined || known.count < LOGIN_FAILURES_PER_ADDRESS_MAX) return 0;
    return Math.ceil(Math.max(0, known.untilMs - this.#clock.nowMs()) / 1000);
  }

  /**
   * Takes a place for a login whose end is known only later, unless all that the address may fail
   * are failed or under way. With the result 0, `ended` gives the place back.
   *
   * @returns seconds that the login has to wait; 0: it may begin.
   */
  begin(address: string): number {
    const waitS = this.waitS(address);
    if (waitS > 0) return waitS;
    const known = this.#failures.get(address);
    const isOld = known === undefined || known.untilMs <= this.#clock.nowMs();
    const underWay = this.#underWay.get(address) ?? 0;
    if ((isOld ? 0 : known.count) + underWay >= LOGIN_FAILURES_PER_ADDRESS_MAX) {
      return UNDER_WAY_WAIT_S;
    }
    this.#underWay.set(address, underWay + 1);
    return 0;
  }

  /** A login that had begun has ended; a wrong one is noted by `failed` before. */
  ended(address: string): void {
    const left = (this.#underWay.get(address) ?? 1) - 1;
    if (left > 0) this.#underWay.set(address, left);
    else this.#underWay.delete(address);
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
