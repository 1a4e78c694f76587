// Core. Which hosts have been refused lately, for those who look at the state of a service.

import type { Clock } from "../reactor/time/clock.ts";

/** For how long a host counts as refused lately, in milliseconds. */
export const REFUSED_LATELY_MS = 60_000;

/** Hosts that are remembered; of more the oldest are forgotten. */
export const REFUSED_HOSTS_MAX = 1000;

/** The hosts that were refused within {@linkcode REFUSED_LATELY_MS}. */
export class RefusedHosts {
  readonly #clock: Clock;
  /** When each was refused last, the latest at the end. */
  readonly #atMs = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** One of this host was refused now. */
  add(hostname: string): void {
    this.#atMs.delete(hostname);
    this.#atMs.set(hostname, this.#clock.nowMs());
    if (this.#atMs.size <= REFUSED_HOSTS_MAX) return;
    const [oldest] = this.#atMs.keys();
    this.#atMs.delete(oldest);
  }

  /** How many there are. */
  get count(): number {
    const sinceMs = this.#clock.nowMs() - REFUSED_LATELY_MS;
    for (const [hostname, atMs] of this.#atMs) {
      if (atMs > sinceMs) break;
      this.#atMs.delete(hostname);
    }
    return this.#atMs.size;
  }
}
