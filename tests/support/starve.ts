// Shell. Processes that get a fifth of a processor, in stalls of 80 ms, as a quota of cgroups does it.

import { sleep } from "../../reactor/time/clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import type { TestProcess } from "./processes.ts";

const RUN_MS = 20;
const PERIOD_MS = 100;

/** Starves processes for so long; they run on afterwards. `stallMs`: how long each stall is. */
export async function starve(
  all: readonly TestProcess[],
  forMs: number,
  stallMs = PERIOD_MS - RUN_MS,
): Promise<void> {
  const endMs = systemClock.nowMs() + forMs;
  while (systemClock.nowMs() < endMs) {
    for (const process of all) process.signal("SIGSTOP");
    await sleep(systemClock, stallMs);
    for (const process of all) process.signal("SIGCONT");
    await sleep(systemClock, stallMs * RUN_MS / (PERIOD_MS - RUN_MS));
  }
}
