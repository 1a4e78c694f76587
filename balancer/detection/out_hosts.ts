// Core. The nodes that are out: they are told of again and again, also while no call goes to them.

import type { Host } from "../host.ts";

/**
 * A node that is out is reported again after so long, so that nobody takes it for one that is not
 * called any more. Half of the shortest step of the history, whose every step then has it.
 */
export const OUT_REPORT_MS = 5000;

/** What is out in a module that nobody has used for so long is not told of again. */
export const OUT_USED_MS = 60_000;

/** Nodes that one tick tells of again; the others wait for the next one. */
export const OUT_REPORTS_PER_TICK_MAX = 2000;

/**
 * All nodes that are out, the next to be told of first: the time between is the same for all, so the
 * order in which they came is that of their times. Bounded by the number of nodes the agent knows.
 */
export class OutHosts {
  readonly #dueMs = new Map<Host, number>();
  #nowMs = 0;

  /** Number of nodes that are watched. */
  get count(): number {
    return this.#dueMs.size;
  }

  /** A node is out from now on; does nothing when it is watched already. O(1). */
  add(host: Host): void {
    if (!this.#dueMs.has(host)) this.#dueMs.set(host, this.#nowMs + OUT_REPORT_MS);
  }

  /** Forgets a node; does nothing when it is not watched. O(1). */
  remove(host: Host): void {
    this.#dueMs.delete(host);
  }

  /** Tells the owners of the nodes whose time has come, and forgets those that are back in use. */
  tick(nowMs: number): void {
    this.#nowMs = nowMs;
    let left = OUT_REPORTS_PER_TICK_MAX;
    for (const [host, dueMs] of this.#dueMs) {
      if (nowMs < dueMs || left-- === 0) return;
      this.#dueMs.delete(host);
      // One that the operator took out of use stands in no list.
      if (!host.overload || host.list === undefined) continue;
      this.#dueMs.set(host, nowMs + OUT_REPORT_MS);
      host.owner.stillOut(host, nowMs);
    }
  }
}
