// Core. Tells which NATS servers have been behind in their stream for long: one more that fails stops it.

import type { Logger } from "../../reactor/log.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import { RareWarnings } from "./rare_warnings.ts";

/** A server that is behind whenever it is looked at is told after this, in milliseconds. */
export const REPLICA_BEHIND_MS = 60_000;

/** What the server that leads says of another one. */
export interface ReplicaState {
  readonly name: string;
  /** It has what the one that leads has. */
  readonly current: boolean;
  /** It is not heard of. */
  readonly offline?: boolean;
}

/** Tells in the log of servers that do not come back by themselves. */
export class ReplicaWatch {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #warnings: RareWarnings;
  /** Since when each that is behind now was found so. */
  readonly #sinceMs = new Map<string, number>();
  /** Those that the log says are behind. */
  #told = "";

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
    this.#warnings = new RareWarnings(clock, log);
  }

  /** What is said of the others now; to be called every few seconds. */
  look(replicas: readonly ReplicaState[]): void {
    const nowMs = this.#clock.nowMs();
    const behind = new Set(
      replicas.filter(({ current, offline }) => !current || offline === true)
        .map(({ name }) => name),
    );
    for (const name of this.#sinceMs.keys()) if (!behind.has(name)) this.#sinceMs.delete(name);
    for (const name of behind) if (!this.#sinceMs.has(name)) this.#sinceMs.set(name, nowMs);
    const late = [...this.#sinceMs].filter(([, sinceMs]) => nowMs - sinceMs >= REPLICA_BEHIND_MS)
      .map(([name]) => name).sort().join(", ");
    if (late !== "") {
      const what =
        "A NATS server has been away from the stream of messages, or behind in it, for a minute: when " +
        "one more fails nothing is kept any more. Restart it, and no other before it is current";
      this.#warnings.warn(what, `behind or away: ${late}`);
    } else if (this.#told !== "") {
      this.#warnings.clear();
      this.#log.info("All NATS servers have the stream of messages again", { were: this.#told });
    }
    this.#told = late;
  }
}
