// Core. Whether the database answers, told once when it is lost and once when it is back.

import type { Clock, Timer } from "../reactor/time/clock.ts";
import { messageOf, StoreError } from "../reactor/errors.ts";
import type { Logger } from "../reactor/log.ts";

/** What {@linkcode StoreHealth} is given. */
export interface StoreHealthOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Url without the password. */
  readonly label: string;
  /** What the service does meanwhile, for the log line: "serving from memory". */
  readonly meanwhile: string;
}

/** Follows the outcome of every call of a service to its database. */
export class StoreHealth {
  readonly #options: StoreHealthOptions;
  #downSinceWallMs: number | undefined;
  #downSinceMs = 0;
  #lossCount = 0;
  #reason = "";
  #refuses = false;

  constructor(options: StoreHealthOptions) {
    this.#options = options;
  }

  /** False from a failed call to the next one that succeeds. */
  get up(): boolean {
    return this.#downSinceWallMs === undefined;
  }

  /** Times the database was lost, since start. */
  get lossCount(): number {
    return this.#lossCount;
  }

  /** Notes a call that succeeded. */
  succeeded(): void {
    if (this.#downSinceWallMs === undefined) return;
    const { clock, log, label } = this.#options;
    this.#downSinceWallMs = undefined;
    const awaySeconds = Math.round((clock.nowMs() - this.#downSinceMs) / 100) / 10;
    log.info("Database is back", { store: label, awaySeconds });
  }

  /** Notes a call that failed. */
  failed(error: unknown): void {
    this.#reason = messageOf(error);
    // One that answers and refuses is not away: somebody has to look at what it says.
    const refuses = error instanceof StoreError && !error.transient;
    const isDown = this.#downSinceWallMs !== undefined;
    if (isDown && (this.#refuses || !refuses)) return;
    const { clock, log, label, meanwhile } = this.#options;
    if (!isDown) {
      this.#downSinceWallMs = clock.wallMs();
      this.#downSinceMs = clock.nowMs();
      this.#lossCount++;
    }
    this.#refuses = refuses;
    const what = this.#refuses ? "Database refuses what is asked" : "Database is away";
    log.error(`${what}, ${meanwhile}`, { store: label, reason: this.#reason });
  }

  /** For the counters of a service: state, and since when and why when it is away. */
  stats(): Record<string, number | string> {
    const since = this.#downSinceWallMs;
    return {
      store: since === undefined ? "up" : this.#refuses ? "refuses" : "away",
      store_losses: this.#lossCount,
      ...(since === undefined
        ? {}
        : { store_away_since: new Date(since).toISOString(), store_reason: this.#reason }),
    };
  }
}

/**
 * Waits for something that a hanging database may hold up, but no longer than `limitMs`; a late
 * failure is dropped.
 *
 * @returns true when `work` ended well in time.
 */
export async function endsWithin(
  clock: Clock,
  limitMs: number,
  work: Promise<unknown>,
): Promise<boolean> {
  let limit: Timer | undefined;
  const late = new Promise<boolean>((resolve) => {
    limit = clock.setTimer(limitMs, () => resolve(false));
  });
  const ended = await Promise.race([late, work.then(() => true, () => false)]);
  limit?.cancel();
  return ended;
}
