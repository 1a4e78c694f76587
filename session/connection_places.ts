// Core. The place of each client of a server in the line in which they would come again.

import { CONNECTS_PER_SECOND_MAX, SPREAD_MS_MAX } from "./reconnect_pace.ts";

/** Milliseconds from one client to the next. */
const STEP_MS = 1000 / CONNECTS_PER_SECOND_MAX;

/** What is told to one client. */
export interface PlaceInLine {
  /** Over how long all come again, in milliseconds. */
  readonly spreadMs: number;
  /** When this one does, from its start. */
  readonly placeMs: number;
}

/** Numbers for those who are connected, each below the most that there were at once. Bounded by that. */
export class ConnectionPlaces<P> {
  readonly #numbers = new Map<P, number>();
  /** Free numbers below `#next`; the latest freed is given out first. */
  readonly #free: number[] = [];
  readonly #loopCount: number;
  #next = 0;

  /** `loopCount`: servers that share the clients of one address evenly. */
  constructor(loopCount = 1) {
    this.#loopCount = loopCount;
  }

  add(peer: P): void {
    if (!this.#numbers.has(peer)) this.#numbers.set(peer, this.#free.pop() ?? this.#next++);
  }

  delete(peer: P): void {
    const number = this.#numbers.get(peer);
    if (number === undefined) return;
    this.#numbers.delete(peer);
    this.#free.push(number);
    if (this.#numbers.size > 0) return;
    this.#next = 0;
    this.#free.length = 0;
  }

  /** Over how long those who are there would come again, in milliseconds. */
  get spreadMs(): number {
    return Math.min(SPREAD_MS_MAX, Math.ceil(this.#numbers.size * this.#loopCount * STEP_MS));
  }

  /** Where a client stands; undefined: it has no number. */
  placeOf(peer: P): PlaceInLine | undefined {
    const number = this.#numbers.get(peer);
    if (number === undefined) return undefined;
    const { spreadMs } = this;
    const share = (number % this.#numbers.size) / this.#numbers.size;
    return { spreadMs, placeMs: Math.floor(spreadMs * share) };
  }
}
