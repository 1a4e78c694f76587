// Core. The original policy: idle nodes in turn, overload nodes by probes.

import { RetCode } from "../proto/message_ids.ts";
import type { Host } from "./host.ts";
import type { PickLists, PickPolicy } from "./pick_policy.ts";

/**
 * Round robin over the idle nodes; while overload nodes exist, after `probeNum` ordinary picks the
 * next one goes to the head of the overload list. With no idle node, `probeNum` picks are refused
 * with Overload, then one probes.
 */
export class LarsPolicy implements PickPolicy {
  readonly name = "lars";
  /** Ordinary picks or refusals since the last probe; stands still while no node is overload. */
  #accessCount = 0;

  pick(lists: PickLists, probeNum: number): Host | number {
    const { idle, overload } = lists;
    if (overload.count === 0) return idle.rotate() ?? RetCode.NoExist;
    if (this.#accessCount >= probeNum) {
      this.#accessCount = 0;
      return overload.rotate() ?? RetCode.NoExist;
    }
    this.#accessCount++;
    return idle.rotate() ?? RetCode.Overload;
  }
}
