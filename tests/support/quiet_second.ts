// Shell. How much of a processor another process uses, on Linux.

import { readFileSync } from "node:fs";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { until } from "./until.ts";

/** Processor time of a process so far, in ticks of 10 ms. */
function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

/**
 * Waits for a second in which a process uses at most so much of a processor. Compilers may still be
 * at work in its first moments: any quiet second will do.
 *
 * @param percentMax 0 to 100.
 */
export async function untilQuietSecond(
  pid: number,
  percentMax: number,
  timeoutMs: number,
): Promise<void> {
  let before = ticksOf(pid);
  let sinceMs = systemClock.nowMs();
  const what = `a second with at most ${percentMax} % of a processor`;
  await until(() => {
    if (systemClock.nowMs() - sinceMs < 1000) return false;
    const used = ticksOf(pid) - before;
    [before, sinceMs] = [ticksOf(pid), systemClock.nowMs()];
    return used <= percentMax;
  }, { timeoutMs, intervalMs: 100, what });
}
