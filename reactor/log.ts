// Core. What this project needs of a logger, a silent one, and a rate limiter for repeated lines.

import type { Clock } from "./time/clock.ts";

/** Values shown beside a message; keep them short and free of secrets. */
export type LogFields = Record<string, unknown>;

/** Where a service writes what an operator should know. Never throws. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Writes nothing. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** Distinct kinds a {@linkcode LogRateLimiter} keeps apart; further kinds share one counter. */
export const LOG_KINDS_MAX = 256;

/**
 * Lets through at most so many lines of each kind in a window of time, a second unless told otherwise,
 * and counts the rest, so that a hostile peer cannot fill the disk with complaints about its own bad
 * packets, nor something that is away for long.
 */
export class LogRateLimiter {
  readonly #clock: Clock;
  readonly #linesMax: number;
  readonly #windowMs: number;
  readonly #kinds = new Map<string, { windowStartMs: number; lines: number; dropped: number }>();

  constructor(clock: Clock, linesMax = 10, windowMs = 1000) {
    this.#clock = clock;
    this.#linesMax = linesMax;
    this.#windowMs = windowMs;
  }

  /**
   * Asks whether a line of this kind may be written now.
   *
   * @returns undefined to stay silent, else what to show with the line: how many lines of the kind
   * were held back since the last one written, if any were.
   */
  admit(kind: string): { heldBack?: number } | undefined {
    const key = this.#kinds.has(kind) || this.#kinds.size < LOG_KINDS_MAX ? kind : "";
    const nowMs = this.#clock.nowMs();
    let state = this.#kinds.get(key);
    if (state === undefined) {
      state = { windowStartMs: nowMs, lines: 0, dropped: 0 };
      this.#kinds.set(key, state);
    }
    if (nowMs - state.windowStartMs >= this.#windowMs) {
      state.windowStartMs = nowMs;
      state.lines = 0;
    }
    if (state.lines >= this.#linesMax) {
      state.dropped++;
      return undefined;
    }
    state.lines++;
    const dropped = state.dropped;
    state.dropped = 0;
    return dropped === 0 ? {} : { heldBack: dropped };
  }
}
