// Core. Work that is done when it is due: what is due sooner wins, and never twice at a time.

import type { Clock, Timer } from "../reactor/time/clock.ts";

/** What comes while the work is under way is due so much later, to be looked at when it is over. */
const AGAIN_MS = 20;

/** One kind of work. */
export class DueWork {
  readonly #clock: Clock;
  readonly #work: () => Promise<void>;
  #timer: Timer | undefined;
  #dueMs = Infinity;
  #running: Promise<void> | undefined;
  #isStopped = false;

  /** @param work Catches its own faults; it may ask to be due again. */
  constructor(clock: Clock, work: () => Promise<void>) {
    this.#clock = clock;
    this.#work = work;
  }

  /** True once it is to end: no further step should begin. */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** The work is due after so many milliseconds, unless it is due before. */
  due(delayMs: number): void {
    const dueMs = this.#clock.nowMs() + delayMs;
    if (this.#isStopped || dueMs >= this.#dueMs) return;
    this.#dueMs = dueMs;
    this.#timer?.cancel();
    this.#timer = this.#clock.setTimer(delayMs, () => {
      this.#dueMs = Infinity;
      if (this.#running !== undefined) return this.due(AGAIN_MS);
      this.#running = this.#work().finally(() => (this.#running = undefined));
    });
  }

  /** Begins nothing any more, and waits for what is under way. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#running;
  }
}
