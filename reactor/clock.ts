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

/**
 * As {@linkcode setRepeating}, but at the whole multiples of `intervalMs` on the clock's own scale,
 * so that several timers of one interval wake a process that is otherwise at rest only once.
 */
export function setAligned(clock: Clock, intervalMs: number, action: () => void): Timer {
  let timer: Timer;
  let cancelled = false;
  const arm = (shortestMs: number): void => {
    const delayMs = intervalMs - clock.nowMs() % intervalMs;
    timer = clock.setTimer(delayMs < shortestMs ? delayMs + intervalMs : delayMs, () => {
      action();
      // A timer may fire a moment early; its own multiple must not come again.
      if (!cancelled) arm(intervalMs / 4);
    });
  };
  arm(0);
  return {
    cancel(): void {
      cancelled = true;
      timer.cancel();
    },
  };
}

/** Resolves after `delayMs` by `clock`. */
export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => void clock.setTimer(delayMs, resolve));
}
