// Core. When a client of a server whose data is behind looks for another one: after a time by chance,
// at its place among all clients of that server, and ever more seldom while nobody does better.

import type { Pong } from "../proto/codec.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";
import type { Rng } from "../reactor/time/rng.ts";

/** Most times that the first pause doubles: from ten seconds to more than five minutes. */
const DOUBLINGS_MAX = 5;

/**
 * Clients of a server that is behind look at so many times the pace at which they would come again
 * after its death: five a second instead of two hundred, because they have a server meanwhile.
 */
const PLACE_FACTOR = 40;

/** Over how long the clients of one server spread, however many they are, in milliseconds. */
export const BEHIND_SPREAD_MS_MAX = 300_000;

/** What a {@linkcode BehindServer} is given. */
export interface BehindServerOptions {
  readonly clock: Clock;
  readonly rng: Rng;
  /** First pause on average, in milliseconds; it doubles with each vain search. */
  readonly pauseMs: number;
  /** Looks for a server that is not behind. */
  search(): void;
}

/** What the server in use says of its data, and when another one is looked for. */
export class BehindServer {
  readonly #options: BehindServerOptions;
  #timer: Timer | undefined;
  #vainSearches = 0;
  #behindMs: number | undefined;

  constructor(options: BehindServerOptions) {
    this.#options = options;
  }

  /** For how long the server in use has not had new data, in milliseconds; undefined: it has it. */
  get behindMs(): number | undefined {
    return this.#behindMs;
  }

  /** The server in use has answered a ping. */
  told({ behindMs, spreadMs = 0, placeMs = 0 }: Pong): void {
    this.#behindMs = behindMs;
    if (behindMs === undefined) return this.reset();
    if (this.#timer !== undefined) return;
    const { clock, rng, pauseMs, search } = this.#options;
    const factor = Math.min(PLACE_FACTOR, BEHIND_SPREAD_MS_MAX / Math.max(1, spreadMs));
    const ownMs = pauseMs * 2 ** Math.min(this.#vainSearches, DOUBLINGS_MAX) * (0.5 + rng.next());
    // What is told from outside is no time to wait for ever.
    const delayMs = ownMs + Math.min(placeMs * factor, BEHIND_SPREAD_MS_MAX);
    this.#timer = clock.setTimer(delayMs, () => {
      this.#timer = undefined;
      search();
    });
  }

  /** A search has found nobody that does better. */
  searchedInVain(): void {
    this.#vainSearches++;
  }

  /** There is another server, or this one has its data. */
  reset(): void {
    this.pause();
    this.#vainSearches = 0;
  }

  /** The server in use is lost: what it said says nothing of the next one. */
  pause(): void {
    this.#behindMs = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
