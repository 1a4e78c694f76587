// Core. How many different addresses have asked something lately.

import type { Clock } from "../reactor/time/clock.ts";

/** An address counts for one to two of these after its last question. */
const SPAN_MS = 60_000;

/** Addresses that are told apart; further ones are not counted. */
export const RECENT_ASKERS_MAX = 100_000;

/** Counts addresses. */
export class RecentAskers {
  readonly #clock: Clock;
  #now = new Set<string>();
  #before = new Set<string>();
  #sinceMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#sinceMs = clock.nowMs();
  }

  /** Addresses that have asked within the last minute, or the one before it. */
  get count(): number {
    this.#turn();
    let count = this.#now.size;
    for (const host of this.#before) count += Number(!this.#now.has(host));
    return count;
  }

  /** Somebody has asked. */
  heard(host: string): void {
    if (this.#now.has(host) || this.#now.size >= RECENT_ASKERS_MAX) return;
    this.#turn();
    this.#now.add(host);
  }

  #turn(): void {
    const spans = Math.floor((this.#clock.nowMs() - this.#sinceMs) / SPAN_MS);
    if (spans === 0) return;
    this.#before = spans === 1 ? this.#now : new Set();
    this.#now = new Set();
    this.#sinceMs += spans * SPAN_MS;
  }
}
