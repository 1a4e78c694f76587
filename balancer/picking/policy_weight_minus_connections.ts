// Core. The node with the largest weight minus calls under way, the weight following outcomes.

import { CallOutcome } from "../detection/call_outcome.ts";
import { EARNED_WEIGHT_FIRST } from "../detection/node_statistics.ts";
import type { Host } from "../host.ts";
import { WEIGHT_DEFAULT } from "../../model/node.ts";
import { HostHeap } from "./host_heap.ts";
import type { PickContext, PickPolicy } from "./pick_policy.ts";
import { TieTurns } from "./weighted_turns.ts";

/** Least weight a node falls to. */
export const EARNED_WEIGHT_MIN = 1;

/** One pick in so many goes round all nodes. */
export const TURN_EVERY_PICKS = 20;

/** Largest weight, with which a node begins. */
export const EARNED_WEIGHT_MAX = EARNED_WEIGHT_FIRST;

/** The weight after one more outcome: doubled as far as it goes, or halved. */
export function earnedWeight(weight: number, isSuccess: boolean): number {
  return isSuccess
    ? Math.min(EARNED_WEIGHT_MAX, weight * 2)
    : Math.max(EARNED_WEIGHT_MIN, Math.floor(weight / 2));
}

/**
 * The rule of a discovery server that "simply takes the largest weight minus connections" (learning
 * notes on servers with high concurrency, part 11: cluster architecture, 2018; `WEIGHT_ADD`,
 * `WEIGHT_SUB`): the weight doubles with each call that went well, up to 1024, and halves with each
 * that failed, down to 1. O(log n).
 *
 * Two things are ours. The weight of the route scales connections, 100 being 1, and equals go by
 * turns of that weight: were it the earned weight that is scaled, the heaviest of idle nodes would
 * take every call. And one pick in 20 goes to the nodes in turn, as by the rule alone a node that
 * fell to 1 while others stand at 1024 is never tried again.
 */
export class WeightMinusConnectionsPolicy implements PickPolicy {
  readonly name = "weight_minus_connections";
  readonly followsCalls = true;
  readonly #heap = new HostHeap();
  readonly #usable: PickContext["usable"];
  readonly #ties: TieTurns;
  #picks = 0;

  constructor(context: Pick<PickContext, "usable" | "dice" | "totals">) {
    this.#usable = context.usable;
    this.#ties = new TieTurns(context);
  }

  add(host: Host): void {
    this.#heap.add(host, this.#keyOf(host), this.#ties.first(host));
  }

  remove(host: Host): void {
    this.#heap.remove(host);
  }

  weightChanged(host: Host, before: number): void {
    const turn = this.#ties.reweighed(host, this.#heap.turnOf(host), before);
    this.#heap.changeTurn(host, this.#keyOf(host), turn);
  }

  turnsLeft(left: Map<Host, number>): void {
    this.#ties.turnsLeft(this.#heap, left);
  }

  keepTurns(left: ReadonlyMap<Host, number>): void {
    this.#ties.keepTurns(this.#heap, left);
  }

  pick(): Host | undefined {
    if (++this.#picks % TURN_EVERY_PICKS === 0) return this.#usable.rotate();
    return this.#heap.least;
  }

  began(host: Host): void {
    const turn = this.#ties.next(host, this.#heap.turnOf(host));
    this.#heap.changeTurn(host, this.#keyOf(host), turn);
  }

  ended(host: Host, outcome: number): void {
    const { stats } = host;
    if (stats !== undefined && outcome !== CallOutcome.Unknown) {
      stats.earnedWeight = earnedWeight(stats.earnedWeight, outcome === CallOutcome.Success);
    }
    this.#heap.change(host, this.#keyOf(host));
  }

  /** The least key is next, so the difference is turned round. */
  #keyOf(host: Host): number {
    const { stats } = host;
    if (stats === undefined) return -EARNED_WEIGHT_MAX;
    return stats.underWay.count * WEIGHT_DEFAULT / host.pickWeight - stats.earnedWeight;
  }
}
