// Shell. Tells the database regularly that a service is alive.

import { type Clock, type Timer } from "../reactor/time/clock.ts";
import { messageOf, StoreError } from "../reactor/errors.ts";
import type { Logger } from "../reactor/log.ts";
import type { ServiceInstance, Store } from "../sql/store.ts";
import { endsWithin } from "./store_health.ts";

/** Time between two signs of life. */
export const HEARTBEAT_INTERVAL_MS = 5_000;

/** Time to the next try after a failure that will not go away by itself: no table, no grant. */
export const HEARTBEAT_REFUSED_MS = 60_000;

/** Time that a stop waits for the database. */
export const HEARTBEAT_STOP_MS = 500;

/** What {@linkcode InstanceHeartbeat} is given. */
export interface InstanceHeartbeatOptions {
  readonly store: Pick<Store, "heartbeat" | "forgetInstance">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly kind: ServiceInstance["kind"];
  /** `host:port` it listens on. */
  readonly address: string;
  readonly software: string;
  /** Counters to show, read at each beat. */
  detail(): ServiceInstance["detail"];
}

/** Keeps the row of a service in the list of instances fresh. Never throws. */
export class InstanceHeartbeat {
  readonly #options: InstanceHeartbeatOptions;
  readonly #startedAt: number;
  #timer: Timer | undefined;
  #refused = false;
  #stopped = false;
  #beat: Promise<void> = Promise.resolve();

  constructor(options: InstanceHeartbeatOptions) {
    this.#options = options;
    this.#startedAt = Math.floor(options.clock.wallMs() / 1000);
  }

  /** Sends the first sign of life now and the others on time. */
  start(): void {
    this.#beat = this.#send();
  }

  /** Stops, and takes the instance off the list if the database does so within half a second. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    const { clock, address, log } = this.#options;
    if (await endsWithin(clock, HEARTBEAT_STOP_MS, this.#forget())) return;
    log.debug("Instance stays on the list until it is too old", { address });
  }

  async #forget(): Promise<void> {
    await this.#beat;
    const { store, kind, address } = this.#options;
    if (!this.#refused) await store.forgetInstance(kind, address);
  }

  async #send(): Promise<void> {
    const { store, kind, address, software, clock, log } = this.#options;
    let delayMs = HEARTBEAT_INTERVAL_MS;
    try {
      const seenAt = Math.floor(clock.wallMs() / 1000);
      const detail = this.#options.detail();
      await store.heartbeat({
        kind,
        address,
        software,
        startedAt: this.#startedAt,
        seenAt,
        detail,
      });
      this.#refused = false;
    } catch (error) {
      const transient = error instanceof StoreError && error.transient;
      if (!transient) {
        delayMs = HEARTBEAT_REFUSED_MS;
        if (!this.#refused) {
          log.warn("Database does not take signs of life: is it migrated?", {
            reason: messageOf(error),
          });
        }
        this.#refused = true;
      }
    }
    if (this.#stopped) return;
    this.#timer = clock.setTimer(delayMs, () => void (this.#beat = this.#send()));
  }
}
