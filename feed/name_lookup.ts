// Shell. Names of servers, looked up as the system has them.

import { lookup, resolveSrv } from "node:dns/promises";
import { TimeoutError } from "../reactor/errors.ts";
import type { Clock } from "../reactor/time/clock.ts";
import type { ServerAddress, ServerLookup } from "./server_choice.ts";

/** Longest wait for an answer; what comes later counts for the next time. */
const LOOKUP_MS = 3_000;

/** Hosts as the system knows them (files and name servers), service records by name servers. */
export class SystemLookup implements ServerLookup {
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async hosts(name: string): Promise<readonly string[]> {
    const found = await this.#inTime(lookup(name, { all: true, verbatim: true }), name);
    return found.map(({ address }) => address);
  }

  async services(name: string): Promise<readonly ServerAddress[]> {
    const found = await this.#inTime(resolveSrv(name), name);
    return found.map(({ name: hostname, port, priority, weight }) => ({
      ...{ hostname: hostname.replace(/\.$/, ""), port, priority, weight },
    }));
  }

  #inTime<T>(work: Promise<T>, name: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(LOOKUP_MS, () => {
        reject(new TimeoutError(`${name} was not resolved within ${LOOKUP_MS} ms`, LOOKUP_MS));
      });
      work.then(resolve, reject).finally(() => timer.cancel());
    });
  }
}
