// Core. The node with the largest weight minus calls under way, the weight following outcomes.

import { CallOutcome } from "../detection/call_outcome.ts";
import type { Host } from "../host.ts";
import { HostHeap } from "./host_heap.ts";
import type { PickContext, PickPolicy } from "./pick_policy.ts";

/** Least weight a node falls to. */
export const EARNED_WEIGHT_MIN = 1;

/** One pick in so many goes round all nodes. */
export const TURN_EVERY_PICKS = 20;

/** Largest weight, with which a node begins. */
export const EARNED_WEIGHT_MAX = 1024;

/**
 * The rule of a discovery server that "simply takes the largest weight minus connections" (learning
 * notes on servers with high concurrency, part 11: cluster architecture, 2018; `WEIGHT_ADD`,
 * `WEIGHT_SUB`): the weight doubles with each call that went well, up to 1024, and halves with each
 * that failed, down to 1. Of equals the one that waits longest. O(log n).
 *
 * Two things are ours: the earned weight is scaled by the weight of the route, 100 being 1; and one
 * pick in 20 goes to the nodes in turn, as by the rule alone a node that fell to 1 while others
 * stand at 1024 is never tried again.
 */
export class WeightMinusConnectionsPolicy implements PickPolicy {
  readonly name = "weight_minus_connections";
  readonly followsCalls = true;
  readonly #heap = new HostHeap();
  readonly #earned = new WeakMap<Host, { weight: number }>();
  readonly #usable: PickContext["usable"];
  #picks = 0;

  constructor({ usable }: Pick<PickContext, "usable">) {
    this.#usable = usable;
  }

  add(host: Host): void {
    if (!this.#earned.has(host)) this.#earned.set(host, { weight: EARNED_WEIGHT_MAX });
    this.#heap.add(host, this.#keyOf(host));
  }

  remove(host: Host): void {
    this.#heap.remove(host);
  }

  weightChanged(host: Host): void {
    this.#heap.change(host, this.#keyOf(host));
  }

  pick(): Host | undefined {
    if (++this.#picks % TURN_EVERY_PICKS === 0) return this.#usable.rotate();
    return this.#heap.least;
  }

  began(host: Host): void {
    this.#heap.change(host, this.#keyOf(host), true);
  }

  ended(host: Host, outcome: number): void {
    const earned = this.#earned.get(host);
    if (earned !== undefined && outcome !== CallOutcome.Unknown) {
      earned.weight = outcome === CallOutcome.Success
        ? Math.min(EARNED_WEIGHT_MAX, earned.weight * 2)
        : Math.max(EARNED_WEIGHT_MIN, Math.floor(earned.weight / 2));
    }
    this.#heap.change(host, this.#keyOf(host));
  }

  /** The least key is next, so the difference is turned round. */
  #keyOf(host: Host): number {
    const earned = this.#earned.get(host)?.weight ?? EARNED_WEIGHT_MAX;
    return (host.stats?.underWay.count ?? 0) - earned * host.pickWeight / 100;
  }
}
