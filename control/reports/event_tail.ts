// Shell. The newest events, read once for all who follow them, each given to everybody once.

import type { Clock } from "../../reactor/time/clock.ts";
import { type EventRecord, EVENTS_READ_MAX } from "../../sql/results/event.ts";
import type { Store } from "../../sql/store.ts";
import { EventFollower } from "./event_follower.ts";

/** Events that are kept; who falls further behind misses the oldest. */
export const TAIL_EVENTS_MAX = 2000;
/** Who asks within this time after a reading is given what it found, in milliseconds. */
const AGE_MAX_MS = 500;
/** Nobody asked for so long: what came meanwhile is not followed up, in milliseconds. */
const IDLE_MAX_MS = 30_000;

/** Some events, and where to go on. */
export interface TailPart {
  readonly events: readonly EventRecord[];
  /** Give it to {@linkcode EventTail.after} next time. */
  readonly mark: number;
}

/** What the tail works with. */
export interface EventTailOptions {
  readonly store: Pick<Store, "readEvents">;
  readonly clock: Clock;
}

/** Follows the events of a database while somebody asks. */
export class EventTail {
  readonly #store: EventTailOptions["store"];
  readonly #clock: Clock;
  readonly #follower = new EventFollower();
  /** In the order in which they were found. */
  #events: EventRecord[] = [];
  /** How many were found before the first of those. */
  #dropped = 0;
  #readAtMs = -Infinity;
  #reading: Promise<void> | undefined;

  constructor({ store, clock }: EventTailOptions) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Where those begin that are found from now on. */
  async mark(): Promise<number> {
    await this.#refresh();
    return this.#dropped + this.#events.length;
  }

  /** At most `limit` events that were found after a mark, in the order in which they were. */
  async after(mark: number, limit: number): Promise<TailPart> {
    await this.#refresh();
    const from = Math.max(0, mark - this.#dropped);
    const events = this.#events.slice(from, from + limit);
    return { events, mark: this.#dropped + from + events.length };
  }

  async #refresh(): Promise<void> {
    if (this.#clock.nowMs() - this.#readAtMs < AGE_MAX_MS) return;
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    await this.#reading;
  }

  async #read(): Promise<void> {
    const nowMs = this.#clock.nowMs();
    const isBegin = nowMs - this.#readAtMs > IDLE_MAX_MS;
    const query = isBegin
      ? { limit: TAIL_EVENTS_MAX }
      : { afterId: this.#follower.afterId, limit: EVENTS_READ_MAX };
    const found = this.#follower.take(await this.#store.readEvents(query));
    this.#readAtMs = nowMs;
    this.#events.push(...found);
    // What there was when the following began is news to nobody.
    const tooMany = isBegin ? this.#events.length : this.#events.length - TAIL_EVENTS_MAX;
    if (tooMany <= 0) return;
    this.#events = this.#events.slice(tooMany);
    this.#dropped += tooMany;
  }
}
