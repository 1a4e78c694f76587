// Core. Brings what the balancers decide into the table of picks, as soon as they do.

import type { PickPlan, RouteLb } from "../../balancer/mod.ts";
import { agentPortIndex } from "../../proto/message_ids.ts";

/** Plans that are made between two batches of datagrams; further ones wait for the next. */
export const PLANS_PER_TURN_MAX = 64;

/** What a {@linkcode TableKeeper} writes to. */
export interface PlanTable {
  put(modId: number, cmdId: number, plan: PickPlan | undefined, nowMs: number): void;
  turn(nowMs: number, again: (modId: number, cmdId: number) => void): void;
}

/** Of one thread, with the balancers of all ports: a module is told by that of its port alone. */
export class TableKeeper {
  readonly #table: PlanTable;
  readonly #shards: readonly { readonly index: number; readonly lb: RouteLb }[];

  constructor(
    table: PlanTable,
    shards: readonly { readonly index: number; readonly lb: RouteLb }[],
  ) {
    this.#table = table;
    this.#shards = shards;
  }

  /**
   * Writes what changed; to be called between batches, and once a second at least.
   *
   * @returns true when there is more.
   */
  turn(nowMs: number): boolean {
    this.#table.turn(nowMs, (modId, cmdId) => this.#again(modId, cmdId));
    let left = PLANS_PER_TURN_MAX;
    for (const { index, lb } of this.#shards) {
      const { plans } = lb;
      if (plans === undefined || plans.changedCount === 0) continue;
      if (left <= 0) return true;
      const most = Math.min(left, plans.changedCount);
      left -= most;
      plans.take(most, (modId, cmdId, plan) => {
        if (agentPortIndex(modId, cmdId) === index) this.#table.put(modId, cmdId, plan, nowMs);
      });
      if (plans.changedCount > 0) return true;
    }
    return false;
  }

  #again(modId: number, cmdId: number): void {
    const home = agentPortIndex(modId, cmdId);
    this.#shards.find(({ index }) => index === home)?.lb.replan(modId, cmdId);
  }
}
