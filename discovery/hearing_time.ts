// Core. Time as far as this process could hear its peers: it stands still while the process does.

import type { Clock } from "../reactor/time/clock.ts";

/** Time between two ticks. */
export const HEARING_TICK_MS = 100;

/** Longest time that one tick adds; a tick that comes later was held up. */
const TICK_COUNTS_MS_MAX = 400;

/** A tick that is late by more is a stall: what came meanwhile has not been read yet. */
export const STALL_MS = 1_000;

/** Longest time that peers are given after a stall, before anything is held against them. */
export const STALL_SETTLE_MS_MAX = 5_000;

/**
 * Leases are measured in this time. A process that was stopped, starved or suspended heard nobody:
 * so its time did not pass, and after a longer stall it stands still a while more, as what peers
 * said meanwhile waits in sockets and some have to connect again.
 */
export class HearingTime {
  readonly #clock: Clock;
  #heardMs = 0;
  #tickAtMs: number;
  #settleUntilMs = -Infinity;
  #stallCount = 0;
  #stalledMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#tickAtMs = clock.nowMs();
  }

  /** Milliseconds that could be heard, since the start. */
  nowMs(): number {
    const nowMs = this.#clock.nowMs();
    if (nowMs < this.#settleUntilMs) return this.#heardMs;
    return this.#heardMs + Math.min(nowMs - this.#tickAtMs, TICK_COUNTS_MS_MAX);
  }

  /** True from a stall on until peers have had time to be heard again. */
  get isSettling(): boolean {
    const nowMs = this.#clock.nowMs();
    return nowMs < this.#settleUntilMs || nowMs - this.#tickAtMs > STALL_MS;
  }

  /** Stalls since the start, and how long they were together. */
  get stalls(): { readonly count: number; readonly ms: number } {
    return { count: this.#stallCount, ms: this.#stalledMs };
  }

  /** To be called every {@linkcode HEARING_TICK_MS}. @returns how long this one was held up, if it stalled. */
  tick(): number {
    const nowMs = this.#clock.nowMs();
    const elapsedMs = nowMs - this.#tickAtMs;
    this.#heardMs = this.nowMs();
    this.#tickAtMs = nowMs;
    if (elapsedMs <= STALL_MS) return 0;
    this.#stallCount++;
    this.#stalledMs += elapsedMs;
    this.#settleUntilMs = nowMs + Math.min(STALL_SETTLE_MS_MAX, elapsedMs);
    return elapsedMs;
  }
}
