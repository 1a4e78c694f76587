// Shell. The clock of the database, which all who write into it can go by, whatever a host's own says.

import type { Logger } from "../reactor/log.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";
import type { Store } from "../sql/store.ts";

/** The database is asked for its time this often, in milliseconds. */
const LOOK_INTERVAL_MS = 10_000;
/** What an answer may have been under way; one that took longer says too little, in milliseconds. */
const ROUND_TRIP_MAX_MS = 1_000;
/** A difference from here on is told, and one below half of it no more, in milliseconds. */
export const CLOCK_DIFFERENCE_TOLD_MS = 5_000;

/** What a {@linkcode DatabaseClock} works with. */
export interface DatabaseClockOptions {
  /** That of this host. */
  readonly clock: Clock;
  readonly store: Pick<Store, "wallMs" | "label">;
  readonly log: Logger;
}

/**
 * Tells the wall time of the database: ages of what others wrote there are right then, also on a
 * host whose own clock is wrong. Before the first answer, and while the database is away, it goes by
 * the clock of this host and the difference last seen.
 */
export class DatabaseClock implements Clock {
  readonly #options: DatabaseClockOptions;
  #aheadMs = 0;
  #isTold = false;
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(options: DatabaseClockOptions) {
    this.#options = options;
  }

  /** How far the clock of this host is ahead of the database's, in milliseconds. */
  get aheadMs(): number {
    return this.#aheadMs;
  }

  nowMs(): number {
    return this.#options.clock.nowMs();
  }

  wallMs(): number {
    return this.#options.clock.wallMs() - this.#aheadMs;
  }

  setTimer(delayMs: number, action: () => void): Timer {
    return this.#options.clock.setTimer(delayMs, action);
  }

  /** Looks now, and from then on again and again. Never fails. */
  async start(): Promise<void> {
    await this.#look();
    if (this.#isStopped) return;
    this.#timer = this.#options.clock.setTimer(LOOK_INTERVAL_MS, () => void this.start());
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  async #look(): Promise<void> {
    const { clock, store } = this.#options;
    const [askedMs, askedWallMs] = [clock.nowMs(), clock.wallMs()];
    let itsMs: number | undefined;
    try {
      itsMs = await store.wallMs();
    } catch {
      return; // It is away, which others say; what was seen last holds.
    }
    const tookMs = clock.nowMs() - askedMs;
    if (itsMs === undefined || tookMs > ROUND_TRIP_MAX_MS) return;
    const aheadMs = Math.round(askedWallMs + tookMs / 2 - itsMs);
    // Two clocks that are kept right differ a little; nothing is gained by following that.
    this.#aheadMs = Math.abs(aheadMs) < ROUND_TRIP_MAX_MS ? 0 : aheadMs;
    this.#tell();
  }

  #tell(): void {
    const { store, log } = this.#options;
    const off = Math.abs(this.#aheadMs);
    if (off >= CLOCK_DIFFERENCE_TOLD_MS && !this.#isTold) {
      log.warn("The clock of this host differs from the database's, by which times are judged", {
        aheadS: Math.round(this.#aheadMs / 1000),
        database: store.label,
      });
      this.#isTold = true;
    } else if (off < CLOCK_DIFFERENCE_TOLD_MS / 2 && this.#isTold) {
      log.info("The clocks of this host and of the database agree again");
      this.#isTold = false;
    }
  }
}
