// Core. Very many deadlines by one timer: what is due within the same 50 ms is due together.

import type { Clock, Timer } from "../../reactor/time/clock.ts";
import { LinkedList, ListPlace } from "./linked_list.ts";

/** Deadlines are kept to this: never early, and late by this much at most, in milliseconds. */
export const DEADLINE_STEP_MS = 50;

/** Items that fall due, unless they are removed before. Bounded by who adds them. */
export class Deadlines<T> {
  readonly #clock: Clock;
  readonly #onDue: (item: T) => void;
  /** By the number of the step at whose start they are due. */
  readonly #steps = new Map<number, LinkedList<T>>();
  #timer: Timer | undefined;
  #timerStep = Infinity;
  /** What was added to last: most deadlines come one after the other. */
  #lastStep = -1;
  #lastItems = new LinkedList<T>();

  constructor(clock: Clock, onDue: (item: T) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  /** Adds an item that is due in `delayMs`; to be removed from its list when it is not wanted. */
  add(item: T, delayMs: number): ListPlace<T> {
    const place = new ListPlace(item);
    this.put(place, this.#clock.nowMs() + Math.max(0, delayMs));
    return place;
  }

  /** The same for a place that is in no list, due at a time of the clock. */
  put(place: ListPlace<T>, dueMs: number): void {
    const step = Math.ceil(dueMs / DEADLINE_STEP_MS);
    if (step !== this.#lastStep) {
      this.#lastStep = step;
      this.#lastItems = this.#itemsOf(step);
    }
    this.#lastItems.put(place);
  }

  #itemsOf(step: number): LinkedList<T> {
    let items = this.#steps.get(step);
    if (items === undefined) {
      items = new LinkedList();
      this.#steps.set(step, items);
      if (step < this.#timerStep) this.#arm(step);
    }
    return items;
  }

  /** Nothing is due any more. */
  clear(): void {
    this.#timer?.cancel();
    this.#timerStep = Infinity;
    this.#lastStep = -1;
    this.#steps.clear();
  }

  #arm(step: number): void {
    this.#timer?.cancel();
    this.#timerStep = step;
    const delayMs = step * DEADLINE_STEP_MS - this.#clock.nowMs();
    this.#timer = this.#clock.setTimer(Math.max(0, delayMs), () => this.#fire());
  }

  #fire(): void {
    const nowMs = this.#clock.nowMs();
    this.#timerStep = Infinity;
    const due = [...this.#steps.keys()].filter((step) => step * DEADLINE_STEP_MS <= nowMs)
      .sort((a, b) => a - b);
    for (const step of due) {
      const items = this.#steps.get(step);
      this.#steps.delete(step);
      this.#lastStep = -1;
      // One by one, because what is done for one may remove others.
      while (items !== undefined && items.size > 0) {
        const item = items.shift();
        if (item !== undefined) this.#onDue(item);
      }
    }
    let next = Infinity;
    for (const step of this.#steps.keys()) next = Math.min(next, step);
    if (next < this.#timerStep) this.#arm(next);
  }
}
