// Core. Each node in turn, heavier ones more often and evenly spread.

import { DICE_LIMIT } from "./dice.ts";
import type { Host } from "../host.ts";
import { HostHeap } from "./host_heap.ts";
import type { PickContext, PickPolicy } from "./pick_policy.ts";

/**
 * Weighted round robin that never sends a burst to a heavy node, as nginx's smooth weighted round
 * robin does, but in O(log n) instead of O(n): each node has a deadline 1 / weight after its last
 * pick, and the earliest is next. (Earliest deadline first, as in Envoy's `EdfScheduler`; the shares
 * are those of weighted fair queueing, Demers, Keshav, Shenker 1989.)
 *
 * A node that joins gets a random first deadline within one turn, so that agents which learn of it
 * together do not call it together. With equal weights it is plain round robin.
 */
export class SmoothWeightedRoundRobinPolicy implements PickPolicy {
  readonly name = "smooth_weighted_round_robin";
  readonly followsCalls = false;
  readonly #heap = new HostHeap();
  readonly #dice: PickContext["dice"];
  /** Deadline of the latest pick: what time is to this policy. An array keeps fractions in place. */
  readonly #now = new Float64Array(1);

  constructor({ dice }: Pick<PickContext, "dice">) {
    this.#dice = dice;
  }

  add(host: Host): void {
    this.#heap.add(host, this.#now[0] + this.#dice.throw() / DICE_LIMIT / host.pickWeight);
  }

  remove(host: Host): void {
    this.#heap.remove(host);
  }

  weightChanged(host: Host): void {
    // The rest of the turn shrinks or grows with the weight; at most one whole turn is left.
    const deadline = this.#heap.keyOf(host);
    const turn = 1 / host.pickWeight;
    if (deadline - this.#now[0] > turn) this.#heap.change(host, this.#now[0] + turn);
  }

  pick(): Host | undefined {
    const host = this.#heap.least;
    if (host === undefined) return undefined;
    const now = this.#heap.keyOf(host);
    this.#now[0] = now;
    this.#heap.change(host, now + 1 / host.pickWeight, true);
    return host;
  }
}
