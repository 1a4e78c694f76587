// Shell. Ctrl-C and its like, for commands that go on until then, and what may be tried again.

import { untilStopSignal } from "../daemon/daemon.ts";
import { sleep } from "../reactor/time/clock.ts";
import { StoreError } from "../reactor/errors.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { isOutputOver } from "../daemon/output.ts";
import { ConsoleAwayError } from "./console_client.ts";

/** True when a database or a console does not answer just now, and may do so later. */
export function isAway(error: unknown): error is StoreError | ConsoleAwayError {
  return error instanceof ConsoleAwayError || error instanceof StoreError && error.transient;
}

/** Listens for the first SIGINT or SIGTERM; a second one ends the process. */
export class StopSignal {
  #given = false;
  readonly #stop = untilStopSignal().then(() => {
    this.#given = true;
  });

  /** True once it was given, or when nobody reads what is printed any more. */
  get given(): boolean {
    return this.#given || isOutputOver();
  }

  /** Waits, but not beyond the signal. */
  async sleep(delayMs: number): Promise<void> {
    if (this.given) return;
    await Promise.race([sleep(systemClock, delayMs), this.#stop]);
  }

  /** What `work` gives, or undefined when the signal comes first; nobody hears of it then. */
  async orStop<T>(work: Promise<T>): Promise<T | undefined> {
    work.catch(() => {});
    return await Promise.race([work, this.#stop.then(() => undefined)]);
  }
}
