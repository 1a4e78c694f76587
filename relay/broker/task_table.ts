// Core. Requests that workers have, by number: a table that costs nothing for each of them.

import type { BrokerRequest } from "./broker_parts.ts";

/** Places at first, and again when none is taken of more than {@linkcode PLACES_KEPT_MAX}. */
const PLACES_MIN = 1_024;
const PLACES_KEPT_MAX = 16_384;

/**
 * Requests by their numbers, which go up one by one and come round after 2^32. Each has the place that
 * the lower bits of its number say, so numbers whose place is taken are passed over; that keeps them
 * apart without a chain, and the places are used in a row.
 */
export class TaskTable {
  #places: (BrokerRequest | undefined)[] = newPlaces(PLACES_MIN);
  #last = 0;
  #size = 0;

  /** Requests that are in it. */
  get size(): number {
    return this.#size;
  }

  /** A number that none has, for a request that is added before the next one is asked for. */
  next(): number {
    const places = this.#places;
    do {
      this.#last = (this.#last + 1) >>> 0;
    } while (this.#last === 0 || places[this.#last & places.length - 1] !== undefined);
    return this.#last;
  }

  get(task: number): BrokerRequest | undefined {
    const request = this.#places[task & this.#places.length - 1];
    return request?.task === task ? request : undefined;
  }

  /** Adds a request under its number, which comes from {@linkcode TaskTable.next}. */
  add(request: BrokerRequest): void {
    while (this.#places[request.task & this.#places.length - 1] !== undefined) this.#grow();
    this.#places[request.task & this.#places.length - 1] = request;
    this.#size++;
    // Half of them free: the next number is one of the next few.
    if (this.#size * 2 > this.#places.length) this.#grow();
  }

  /** Harmless when it is not there. */
  remove(task: number): void {
    if (this.get(task) === undefined) return;
    this.#places[task & this.#places.length - 1] = undefined;
    this.#size--;
    if (this.#size === 0 && this.#places.length > PLACES_KEPT_MAX) {
      this.#places = newPlaces(PLACES_MIN);
    }
  }

  #grow(): void {
    const places = newPlaces(this.#places.length * 2);
    for (const request of this.#places) {
      if (request !== undefined) places[request.task & places.length - 1] = request;
    }
    this.#places = places;
  }
}

function newPlaces(count: number): (BrokerRequest | undefined)[] {
  return new Array<BrokerRequest | undefined>(count).fill(undefined);
}
