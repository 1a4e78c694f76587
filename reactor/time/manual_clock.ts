// Core. A clock that stands still until it is told to move: tests and simulations run on it.

import type { Clock, Timer } from "./clock.ts";

interface PendingTimer {
  readonly dueMs: number;
  readonly order: number;
  readonly action: () => void;
  /** It has fired, or was cancelled; then it may still be in the heap. */
  isOver: boolean;
}

/** Cancelled timers are thrown out of the heap once they are this many times those that wait. */
const CANCELLED_SHARE_MAX = 2;

/** Below this length of the heap nothing is thrown out. */
const SWEEP_TIMERS_MIN = 64;

/**
 * Virtual time. Timers fire inside `advance`, in order of due time, then of creation. Setting and
 * firing one cost O(log n).
 *
 * @example
 * ```ts
 * import { ManualClock } from "./manual_clock.ts";
 * const clock = new ManualClock();
 * let fired = false;
 * clock.setTimer(100, () => (fired = true));
 * clock.advance(99);
 * console.assert(!fired);
 * clock.advance(1);
 * console.assert(fired);
 * ```
 */
export class ManualClock implements Clock {
  #nowMs: number;
  readonly #wallOffsetMs: number;
  /** A binary heap: the timer that is due first comes first. */
  #heap: PendingTimer[] = [];
  #pendingCount = 0;
  #order = 0;

  /** `startMs` is the first reading of `nowMs`; the wall clock starts at `wallStartMs`. */
  constructor(startMs = 0, wallStartMs = 1_700_000_000_000) {
    this.#nowMs = startMs;
    this.#wallOffsetMs = wallStartMs - startMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs + this.#wallOffsetMs;
  }

  setTimer(delayMs: number, action: () => void): Timer {
    const dueMs = this.#nowMs + Math.max(0, delayMs);
    const timer = { dueMs, order: this.#order++, action, isOver: false };
    this.#push(timer);
    this.#pendingCount++;
    return {
      cancel: (): void => {
        if (timer.isOver) return;
        timer.isOver = true;
        this.#pendingCount--;
        this.#sweep();
      },
    };
  }

  /** Number of timers that have not fired yet. */
  get pendingCount(): number {
    return this.#pendingCount;
  }

  /** When the next timer is due, by `nowMs`; Infinity when there is none. */
  get nextDueMs(): number {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined) return Infinity;
      if (!first.isOver) return first.dueMs;
      this.#pop();
    }
  }

  /** Moves time forward by `byMs`, firing what falls due on the way. */
  advance(byMs: number): void {
    const endMs = this.#nowMs + byMs;
    while (this.nextDueMs <= endMs) this.fireNext();
    this.#nowMs = endMs;
  }

  /** Moves time forward to the next timer, and fires that one alone. @returns false: there is none. */
  fireNext(): boolean {
    // By asking for it what was cancelled is thrown out.
    if (this.nextDueMs === Infinity) return false;
    const next = this.#pop();
    next.isOver = true;
    this.#pendingCount--;
    this.#nowMs = Math.max(this.#nowMs, next.dueMs);
    next.action();
    return true;
  }

  #sweep(): void {
    const { length } = this.#heap;
    if (length < SWEEP_TIMERS_MIN) return;
    if (length - this.#pendingCount < CANCELLED_SHARE_MAX * this.#pendingCount) return;
    // What is in order is a heap.
    this.#heap = this.#heap.filter((one) => !one.isOver)
      .sort((one, other) => isBefore(one, other) ? -1 : 1);
  }

  #push(timer: PendingTimer): void {
    const heap = this.#heap;
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (isBefore(heap[parent], timer)) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = timer;
  }

  /** The first one, which must be there. */
  #pop(): PendingTimer {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || last === first) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++;
      if (isBefore(last, heap[child])) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(one: PendingTimer, other: PendingTimer): boolean {
  return one.dueMs < other.dueMs || (one.dueMs === other.dueMs && one.order < other.order);
}
