// Core. The original policy: usable nodes in turn.

import type { Host } from "../host.ts";
import type { PickContext, PickPolicy } from "./pick_policy.ts";

/**
 * Round robin over the usable nodes: the head of their list, which becomes its tail. The original's
 * `load_balance::choice_one_host`; its second list, of overload nodes, is the business of
 * `load_balance.ts`. Heeds no weights but 0. O(1).
 */
export class LarsPolicy implements PickPolicy {
  readonly name = "lars";
  readonly followsCalls = false;
  readonly inTurn: PickContext["usable"];

  constructor({ usable }: Pick<PickContext, "usable">) {
    this.inTurn = usable;
  }

  add(): void {}

  remove(): void {}

  pick(): Host | undefined {
    return this.inTurn.rotate();
  }
}
