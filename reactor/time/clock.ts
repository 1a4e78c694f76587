// Core. Time as an argument: the interface that everything with a sense of time is given.

/** A pending timer. */
export interface Timer {
  /** Stops the timer; does nothing when it has fired or was cancelled before. */
  cancel(): void;
}

/** Source of time. Pass one to every object that waits or measures; never read the global clocks. */
export interface Clock {
  /** Milliseconds of a clock that only moves forward; its zero has no meaning. */
  nowMs(): number;
  /** Milliseconds since 1970 by the wall clock; may jump. Only for time stamps shown to people. */
  wallMs(): number;
  /** Calls `action` once, `delayMs` milliseconds from now (0 = as soon as possible). */
  setTimer(delayMs: number, action: () => void): Timer;
}

/** Calls `action` every `intervalMs`, the first time one interval from now, until cancelled. */
export function setRepeating(clock: Clock, intervalMs: number, action: () => void): Timer {
  let timer: Timer;
  let cancelled = false;
  const arm = (): void => {
    timer = clock.setTimer(intervalMs, () => {
      action();
      if (!cancelled) arm();
    });
  };
  arm();
  return {
    cancel(): void {
      cancelled = true;
      timer.cancel();
    },
  };
}

/** Actions that share one timer. */
class Beat {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #actions = new Set<{ run(): void }>();
  #timer: Timer | undefined;

  constructor(clock: Clock, intervalMs: number) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
  }

  add(run: () => void): Timer {
    const action = { run };
    this.#actions.add(action);
    if (this.#timer === undefined) this.#arm(0);
    return {
      cancel: (): void => {
        this.#actions.delete(action);
        if (this.#actions.size > 0) return;
        this.#timer?.cancel();
        this.#timer = undefined;
      },
    };
  }

  #arm(shortestMs: number): void {
    const delayMs = this.#intervalMs - this.#clock.nowMs() % this.#intervalMs;
    const waitMs = delayMs < shortestMs ? delayMs + this.#intervalMs : delayMs;
    this.#timer = this.#clock.setTimer(waitMs, () => {
      // A timer may fire a moment early; its own multiple must not come again.
      this.#arm(this.#intervalMs / 4);
      for (const action of [...this.#actions]) if (this.#actions.has(action)) action.run();
    });
  }
}

const beats = new WeakMap<Clock, Map<number, Beat>>();

/**
 * As {@linkcode setRepeating}, but at the whole multiples of `intervalMs` on the clock's own scale,
 * by one timer for all that have this interval: so they wake a process that is otherwise at rest
 * only once.
 */
export function setAligned(clock: Clock, intervalMs: number, action: () => void): Timer {
  const ofClock = beats.get(clock) ?? new Map<number, Beat>();
  beats.set(clock, ofClock);
  const beat = ofClock.get(intervalMs) ?? new Beat(clock, intervalMs);
  ofClock.set(intervalMs, beat);
  return beat.add(action);
}

/** Resolves after `delayMs` by `clock`. */
export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => void clock.setTimer(delayMs, resolve));
}
