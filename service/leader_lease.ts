// Core. One of several services on one database does what only one may do: who holds the lease.

import { messageOf } from "../reactor/errors.ts";
import type { Logger } from "../reactor/log.ts";
import { type Clock, setRepeating, type Timer } from "../reactor/time/clock.ts";

/** Time a lease holds; another service takes over when it was not renewed. Milliseconds. */
export const LEASE_MS = 10_000;

/** Where leases are kept; the store of the console. */
export interface LeaseStore {
  /**
   * Takes or keeps the lease `name` until `untilMs`, unless another holder has it at `nowMs`.
   *
   * @returns true when `holder` has it.
   */
  takeLease(name: string, holder: string, nowMs: number, untilMs: number): Promise<boolean>;
}

/** What {@linkcode LeaderLease} is given. */
export interface LeaderLeaseOptions {
  readonly store: LeaseStore;
  readonly clock: Clock;
  readonly log: Logger;
  /** What is led: `alerts`. */
  readonly name: string;
  /** Tells services on one database apart. */
  readonly holder: string;
  /**
   * This service is about to lead: it takes over what the one before has left. While it fails the
   * lease is kept and `leads` stays false; it is tried again with the next renewal.
   */
  onLead(): Promise<void>;
}

/** Renews the lease three times as often as it runs out. Never throws. */
export class LeaderLease {
  readonly #options: LeaderLeaseOptions;
  #leads = false;
  #isRenewing = false;
  #timer: Timer | undefined;

  constructor(options: LeaderLeaseOptions) {
    this.#options = options;
  }

  /** True while this service leads, as far as it knows. */
  get leads(): boolean {
    return this.#leads;
  }

  /** Tries to take the lease now, and again on time. */
  async start(): Promise<void> {
    await this.#renew();
    this.#timer = setRepeating(this.#options.clock, LEASE_MS / 3, () => void this.#renew());
  }

  /** Renews no more: the lease runs out by itself. */
  stop(): void {
    this.#timer?.cancel();
  }

  async #renew(): Promise<void> {
    const { store, clock, log, name, holder, onLead } = this.#options;
    if (this.#isRenewing) return;
    this.#isRenewing = true;
    try {
      const nowMs = Math.trunc(clock.wallMs());
      const leads = await store.takeLease(name, holder, nowMs, nowMs + LEASE_MS);
      if (leads && !this.#leads) await onLead();
      this.#leads = leads;
    } catch (error) {
      // Without the database nothing can be led either; the lease runs out by itself.
      log.debug(`The lead of ${name} could not be renewed`, { error: messageOf(error) });
    } finally {
      this.#isRenewing = false;
    }
  }
}
