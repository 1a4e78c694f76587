// Core. Warnings of something that is tried again and again: each kind once, then once a minute.

import { messageOf } from "../../reactor/errors.ts";
import type { Logger } from "../../reactor/log.ts";
import type { Clock } from "../../reactor/time/clock.ts";

/** A warning is said again after this, with how often it was held back. */
export const WARNING_AGAIN_MS = 60_000;

/** Kinds that are told apart; a further one is told each time. */
const KINDS_MAX = 100;

/** Where such warnings go. */
export class RareWarnings {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #kinds = new Map<string, { saidAtMs: number; held: number }>();

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Says what does not work, and why. What differs from one time to the next belongs into `error`. */
  warn(what: string, error: unknown): void {
    const nowMs = this.#clock.nowMs();
    const known = this.#kinds.get(what);
    if (known !== undefined && nowMs - known.saidAtMs < WARNING_AGAIN_MS) {
      known.held++;
      return;
    }
    if (known !== undefined || this.#kinds.size < KINDS_MAX) {
      this.#kinds.set(what, { saidAtMs: nowMs, held: 0 });
    }
    const held = known === undefined || known.held === 0 ? {} : { heldBack: known.held };
    this.#log.warn(what, { error: messageOf(error), ...held });
  }

  /** It works again: the next warning is said at once. */
  clear(): void {
    this.#kinds.clear();
  }
}
