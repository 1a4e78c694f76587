// Shell. For how long the machine held up who took part in an exchange: it may tell more of that than of the client.

import { readdirSync, readFileSync } from "node:fs";
import { setRepeating, type Timer } from "../../reactor/time/clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";

/** From here on a deadline of an exchange may be over before anybody did anything: half of the shortest. */
export const HELD_UP_MS = 25;

const TICK_MS = 10;

/** For how long the threads of a process have waited for a processor, in milliseconds; 0 where that is not told. */
function waitedMs(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => {
      const [, waitedNs] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ");
      return sum + Number(waitedNs) / 1e6;
    }, 0);
  } catch {
    return 0;
  }
}

/** Watches this process and that of a driver. */
export class HeldUp {
  readonly #pid: number | undefined;
  #timer: Timer | undefined;
  #startMs = 0;
  #tickMs = 0;
  #longestMs = 0;

  /** `pid`: the driver's. */
  constructor(pid: number | undefined) {
    this.#pid = pid;
  }

  begin(): void {
    this.#startMs = this.#driverMs;
    this.#tickMs = systemClock.nowMs();
    this.#longestMs = 0;
    this.#timer = setRepeating(systemClock, TICK_MS, () => this.#tick());
  }

  /**
   * @returns the longest time for which this process did nothing since the begin, or all for which the
   * driver waited for a processor, in milliseconds.
   */
  end(): number {
    this.#timer?.cancel();
    this.#tick();
    return Math.max(this.#longestMs, this.#driverMs - this.#startMs);
  }

  get #driverMs(): number {
    return this.#pid === undefined ? 0 : waitedMs(this.#pid);
  }

  #tick(): void {
    const nowMs = systemClock.nowMs();
    this.#longestMs = Math.max(this.#longestMs, nowMs - this.#tickMs - TICK_MS);
    this.#tickMs = nowMs;
  }
}
