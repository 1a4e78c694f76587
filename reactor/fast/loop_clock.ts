// Core. Timers for a thread that is blocked in the kernel, where those of the runtime never run.

import type { Clock, Timer } from "../time/clock.ts";

/** Cancelled timers that may lie among the others before they are all taken out. */
const CANCELLED_MAX = 64;

interface Entry {
  readonly dueMs: number;
  readonly order: number;
  /** Undefined once cancelled or fired. */
  action: (() => void) | undefined;
}

/**
 * A clock whose timers fire inside `turn`, in order of due time, then of creation; `waitMs` tells how
 * long the thread may sleep meanwhile. Setting one costs O(log n); memory is bounded by twice the timers that wait.
 *
 * @example
 * ```ts
 * import { LoopClock } from "./loop_clock.ts";
 * import { ManualClock } from "../time/manual_clock.ts";
 * const time = new ManualClock();
 * const clock = new LoopClock(time);
 * let fired = false;
 * clock.setTimer(100, () => (fired = true));
 * console.assert(clock.waitMs() === 100);
 * time.advance(100);
 * clock.turn();
 * console.assert(fired && clock.waitMs() === -1);
 * ```
 */
export class LoopClock implements Clock {
  readonly #time: Pick<Clock, "nowMs" | "wallMs">;
  /** A binary heap, the first due at its head. */
  #heap: Entry[] = [];
  #order = 0;
  #cancelled = 0;

  /** Tells the time by `time`. */
  constructor(time: Pick<Clock, "nowMs" | "wallMs">) {
    this.#time = time;
  }

  nowMs(): number {
    return this.#time.nowMs();
  }

  wallMs(): number {
    return this.#time.wallMs();
  }

  setTimer(delayMs: number, action: () => void): Timer {
    const dueMs = this.#time.nowMs() + Math.max(0, delayMs);
    const entry: Entry = { dueMs, order: this.#order++, action };
    this.#heap.push(entry);
    this.#rise(this.#heap.length - 1);
    return { cancel: () => this.#cancel(entry) };
  }

  /** Timers that wait. */
  get pendingCount(): number {
    return this.#heap.length - this.#cancelled;
  }

  /** Timers in memory, cancelled ones included. */
  get entryCount(): number {
    return this.#heap.length;
  }

  /** Fires what is due; a timer that is set meanwhile waits for the next call. */
  turn(): void {
    const nowMs = this.#time.nowMs();
    const newest = this.#order;
    for (let first = this.#first(); first !== undefined; first = this.#first()) {
      if (first.dueMs > nowMs || first.order >= newest) return;
      const { action } = first;
      first.action = undefined;
      this.#takeFirst();
      action?.();
    }
  }

  /** Whole milliseconds until the next timer, rounded up: 0 = it is due; -1 = there is none. */
  waitMs(): number {
    const first = this.#first();
    return first === undefined ? -1 : Math.ceil(Math.max(0, first.dueMs - this.#time.nowMs()));
  }

  /** The timer that is due first. */
  #first(): Entry | undefined {
    for (;;) {
      const first = this.#heap[0] as Entry | undefined;
      if (first === undefined || first.action !== undefined) return first;
      this.#cancelled--;
      this.#takeFirst();
    }
  }

  #cancel(entry: Entry): void {
    if (entry.action === undefined) return;
    entry.action = undefined;
    this.#cancelled++;
    if (this.#cancelled <= Math.max(CANCELLED_MAX, this.#heap.length / 2)) return;
    // A sorted array is a heap.
    this.#heap = this.#heap.filter(({ action }) => action !== undefined)
      .sort((a, b) => isBefore(a, b) ? -1 : 1);
    this.#cancelled = 0;
  }

  #takeFirst(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#sink();
  }

  #rise(index: number): void {
    const heap = this.#heap;
    for (let at = index; at > 0;) {
      const above = (at - 1) >> 1;
      if (!isBefore(heap[at], heap[above])) return;
      [heap[at], heap[above]] = [heap[above], heap[at]];
      at = above;
    }
  }

  #sink(): void {
    const heap = this.#heap;
    for (let at = 0;;) {
      let first = at;
      for (const below of [2 * at + 1, 2 * at + 2]) {
        if (below < heap.length && isBefore(heap[below], heap[first])) first = below;
      }
      if (first === at) return;
      [heap[at], heap[first]] = [heap[first], heap[at]];
      at = first;
    }
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);
}
