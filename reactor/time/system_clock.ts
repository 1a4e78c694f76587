// Shell. The real clock; the only file that reads the time of the machine.

import type { Clock, Timer } from "./clock.ts";

/** The clock of this process: monotonic for waiting, wall time for stamps. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer(delayMs, action): Timer {
    const handle = setTimeout(action, delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
};

/**
 * Resolves when everything else of the process has had its turn, connections too. By a timer: work
 * that goes on by `setImmediate` again and again keeps Deno from reading its sockets for seconds.
 */
export function loopTurn(): Promise<void> {
  return new Promise((resolve) => void systemClock.setTimer(0, resolve));
}
