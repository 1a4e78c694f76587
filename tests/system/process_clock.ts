// Core. The clock of one simulated process: it stands still with the process, and ends with it.

import type { Clock, Timer } from "../../reactor/time/clock.ts";
import type { ManualClock } from "../../reactor/time/manual_clock.ts";

const NO_TIMER: Timer = { cancel: () => {} };

/** Timers of a process that is paused fire when it goes on, those of one that was killed never. */
export class ProcessClock implements Clock {
  readonly #world: ManualClock;
  readonly #wallAheadMs: number;
  #isPaused = false;
  #isDead = false;
  /** What fell due meanwhile, in order. */
  #late: (() => void)[] = [];

  /** @param wallAheadMs How far its wall clock is ahead of the world's. */
  constructor(world: ManualClock, wallAheadMs = 0) {
    this.#world = world;
    this.#wallAheadMs = wallAheadMs;
  }

  nowMs(): number {
    return this.#world.nowMs();
  }

  wallMs(): number {
    return this.#world.wallMs() + this.#wallAheadMs;
  }

  setTimer(delayMs: number, action: () => void): Timer {
    if (this.#isDead) return NO_TIMER;
    let isOver = false;
    const fire = (): void => {
      if (isOver || this.#isDead) return;
      if (this.#isPaused) return void this.#late.push(fire);
      isOver = true;
      action();
    };
    const timer = this.#world.setTimer(delayMs, fire);
    return {
      cancel: (): void => {
        isOver = true;
        timer.cancel();
      },
    };
  }

  pause(): void {
    this.#isPaused = true;
  }

  /** Goes on, with all that fell due meanwhile, one after the other. */
  resume(): void {
    this.#isPaused = false;
    for (const fire of this.#late.splice(0)) this.#world.setTimer(0, fire);
  }

  kill(): void {
    this.#isDead = true;
    this.#late = [];
  }
}
