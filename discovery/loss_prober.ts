// Shell. Asks the hosts of nodes that the guard holds back: one that refuses a connection is not there.

import { checkNode } from "../daemon/node_check.ts";
import { mayCheck } from "../daemon/node_check_rules.ts";
import { type Clock, setRepeating, type Timer } from "../reactor/time/clock.ts";
import type { Lease, LeaseTable } from "./lease_table.ts";
import type { LossGuard } from "./loss_guard.ts";

/** Between two rounds. */
const ROUND_MS = 500;
/** Longest wait for one host. One that says nothing proves nothing. */
const PROBE_TIMEOUT_MS = 1_000;
/** Hosts asked at once; the others come in the next rounds. */
const PROBES_MAX = 64;

/** What a {@linkcode LossProber} works with. */
export interface LossProberOptions {
  readonly clock: Clock;
  readonly table: LeaseTable;
  readonly guard: LossGuard;
}

/** Rests while nothing is held back. It connects to the registered address alone, and says nothing. */
export class LossProber {
  readonly #options: LossProberOptions;
  readonly #running = new Set<Lease>();
  /** Where the next round goes on, so that each has its turn. */
  #turn = 0;
  #timer: Timer | undefined;

  constructor(options: LossProberOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setRepeating(this.#options.clock, ROUND_MS, () => this.#round());
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #round(): void {
    const { guard, table } = this.#options;
    if (guard.held.length === 0) return;
    const held = new Set(guard.held.map(({ modId, cmdId }) => `${modId}/${cmdId}`));
    const lost = table.seemingLost().filter((lease) =>
      !lease.isProved && !this.#running.has(lease) && mayCheck(lease.row.ip) &&
      held.has(`${lease.row.modId}/${lease.row.cmdId}`)
    );
    const room = Math.min(lost.length, PROBES_MAX - this.#running.size);
    for (let count = 0; count < room; count++) void this.#probe(lost[this.#turn++ % lost.length]);
  }

  async #probe(lease: Lease): Promise<void> {
    if (this.#running.has(lease)) return;
    this.#running.add(lease);
    const { incarnation } = lease.row;
    const { clock } = this.#options;
    const { result } = await checkNode(lease.row, { kind: "tcp" }, clock, PROBE_TIMEOUT_MS);
    this.#running.delete(lease);
    if (result === "refused" && lease.row.incarnation === incarnation) lease.isProved = true;
  }
}
