// Shell. The clock of the machine, with timers that do not keep a program alive.

import { clearTimeout as endTimer, setTimeout as startTimer } from "node:timers";
import type { Clock, Timer } from "./clock.ts";
import { systemClock } from "./system_clock.ts";

/** For work beside a program's own, as a client's: a program that has nothing else to do ends. */
export const backgroundClock: Clock = {
  nowMs: () => systemClock.nowMs(),
  wallMs: () => systemClock.wallMs(),
  setTimer(delayMs, action): Timer {
    // Those of node:timers, because the global ones can be let go of in some runtimes only.
    const handle = startTimer(action, delayMs);
    handle.unref();
    return { cancel: () => endTimer(handle) };
  },
};
