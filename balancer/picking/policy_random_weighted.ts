// Core. Each pick at random, each node as likely as its weight.

import type { Host } from "../host.ts";
import { HostSlots } from "./host_slots.ts";
import type { PickContext, PickPolicy } from "./pick_policy.ts";

/**
 * Weighted random choice by a tree of sums (Wong and Easton, An Efficient Method for Weighted
 * Sampling Without Replacement, 1980, here with replacement): O(log n), also for a change of weight,
 * where an alias table would be made anew.
 */
export class RandomWeightedPolicy extends HostSlots implements PickPolicy {
  readonly name = "random_weighted";
  readonly followsCalls = false;
  readonly #dice: PickContext["dice"];

  constructor({ dice }: Pick<PickContext, "dice">) {
    super();
    this.#dice = dice;
  }

  pick(): Host | undefined {
    return this.sample(this.#dice);
  }
}
