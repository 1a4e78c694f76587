// Core. When a client that has lost its server comes again: at its own place in line, so that those
// who lost it with this one do not come at once.

import { reconnectDelayMs } from "../reactor/tcp/tcp_client.ts";
import type { Rng } from "../reactor/time/rng.ts";

/** Connects a second that clients of one server spread their coming to. */
export const CONNECTS_PER_SECOND_MAX = 200;

/** Longest time over which clients spread: a larger fleet comes faster than the rate above. */
export const SPREAD_MS_MAX = 60_000;

/** Time in which a client that knows another server has tried it: whoever waits hears no changes. */
export const FAIL_OVER_MS = 800;

/**
 * The same for one whose server fell silent. Each has found that out at a time of its own, within
 * that from one ping to the next, so that they come spread already.
 */
export const SILENT_FAIL_OVER_MS = 100;

/** First and longest round of attempts while nobody answers, unless the fleet needs longer ones. */
export const ROUND_MS_MIN = 100;
export const ROUND_MS_MAX = 2_000;

/**
 * The pauses of one client. All clients that lost a server together make their attempts in the same
 * rounds, each at its place in each: so they come evenly, however many there are and whenever the
 * server is back. Without a place the pauses are random ones, see {@linkcode reconnectDelayMs}.
 */
export class ReconnectPace {
  readonly #rng: Rng;
  #spreadMs = 0;
  /** 0 to 1: the place in each round; undefined: nothing was told. */
  #place: number | undefined;
  #wasSilent = false;

  constructor(rng: Rng) {
    this.#rng = rng;
  }

  /** The server told over how long its clients spread, and the place of this one. */
  told(spreadMs: number, placeMs: number): void {
    if (spreadMs < 1) return;
    this.#spreadMs = Math.min(spreadMs, SPREAD_MS_MAX);
    this.#place = Math.min(placeMs / spreadMs, 1);
  }

  /** The next pause follows a server that fell silent. */
  notedSilence(): void {
    this.#wasSilent = true;
  }

  /** Time until the place of this client in a round of `spreadMs`. */
  placeMs(spreadMs: number): number {
    return Math.min(spreadMs, SPREAD_MS_MAX) * (this.#place ?? this.#rng.next());
  }

  /**
   * Pause before the next attempt.
   *
   * @param failures Attempts in a row that failed or did not last, at least 1.
   * @param serverCount Servers that are tried in turn.
   */
  pauseMs(failures: number, serverCount: number): number {
    const wasSilent = this.#wasSilent;
    this.#wasSilent = false;
    if (this.#place === undefined) {
      return reconnectDelayMs(failures, serverCount, ROUND_MS_MIN, ROUND_MS_MAX, this.#rng);
    }
    if (wasSilent && failures === 1 && serverCount > 1) {
      return Math.min(this.#spreadMs, SILENT_FAIL_OVER_MS) * this.#place;
    }
    const before = failures > 1 ? this.#roundMs(failures - 1, serverCount) : 0;
    return before * (1 - this.#place) + this.#roundMs(failures, serverCount) * this.#place;
  }

  #roundMs(failures: number, serverCount: number): number {
    if (failures < serverCount) return Math.min(this.#spreadMs, FAIL_OVER_MS);
    const round = Math.min(Math.floor((failures - 1) / serverCount), 30);
    return Math.max(this.#spreadMs, Math.min(ROUND_MS_MIN * 2 ** round, ROUND_MS_MAX));
  }
}
