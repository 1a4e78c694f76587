// Core. Each node in turn, heavier ones more often and evenly spread.

import type { Host } from "../host.ts";
import type { PickContext, PickPolicy } from "./pick_policy.ts";
import { turnByChance, WeightedTurns } from "./weighted_turns.ts";

/**
 * {@linkcode WeightedTurns}. A node that joins gets a random first deadline within one turn, so that
 * agents which learn of it together do not call it together. With equal weights it is plain round
 * robin.
 */
export class SmoothWeightedRoundRobinPolicy implements PickPolicy {
  readonly name = "smooth_weighted_round_robin";
  readonly followsCalls = false;
  readonly inTurn = new WeightedTurns();
  readonly #dice: PickContext["dice"];

  constructor({ dice }: Pick<PickContext, "dice">) {
    this.#dice = dice;
  }

  add(host: Host): void {
    this.inTurn.add(host, turnByChance(this.#dice));
  }

  remove(host: Host): void {
    this.inTurn.remove(host);
  }

  weightChanged(host: Host, before: number): void {
    this.inTurn.weightChanged(host, before);
  }

  turnsLeft(left: Map<Host, number>): void {
    this.inTurn.turnsLeft(left);
  }

  keepTurns(left: ReadonlyMap<Host, number>): void {
    this.inTurn.keepTurns(left);
  }

  pick(): Host | undefined {
    return this.inTurn.pick();
  }
}
