// Core. The nodes of one zone that may be picked, with the policy that chooses among them.

import type { Dice } from "./dice.ts";
import type { Host, HostPool } from "../host.ts";
import { HostList } from "../host_list.ts";
import type { ModulePolicy } from "../module_policy.ts";
import { createPickPolicy } from "./pick_policies.ts";
import type { PickPolicy } from "./pick_policy.ts";

/** All usable nodes of a module, or those of one of its zones. */
export class NodePool implements HostPool {
  /** Name of the zone; "" when zones do not matter. */
  readonly zone: string;
  readonly usable = new HostList<Host>();
  readonly policy: PickPolicy;
  /** Sum of the weights the usable nodes are picked by. */
  pickWeight = 0;
  /** Calls of the usable nodes that are under way, as far as their `stats` is kept. */
  underWay = 0;

  constructor(zone: string, { policy, settings }: ModulePolicy, dice: Dice) {
    this.zone = zone;
    this.policy = createPickPolicy(policy, { usable: this.usable, totals: this, settings, dice });
  }

  /** A node becomes usable. */
  add(host: Host): void {
    this.usable.pushTail(host);
    this.pickWeight += host.pickWeight;
    this.underWay += host.stats?.underWay.count ?? 0;
    host.pool = this;
    this.policy.add(host);
  }

  /** A node is no longer usable. */
  remove(host: Host): void {
    this.policy.remove(host);
    host.pool = undefined;
    this.usable.remove(host);
    // Sums of fractions drift; an empty sum is known.
    this.pickWeight = this.usable.count === 0 ? 0 : this.pickWeight - host.pickWeight;
    this.underWay -= host.stats?.underWay.count ?? 0;
  }

  /** A usable node is picked by another weight from now on. */
  setWeight(host: Host, pickWeight: number): void {
    this.pickWeight += pickWeight - host.pickWeight;
    host.pickWeight = pickWeight;
    this.policy.weightChanged?.(host);
  }

  /** A call of a usable node began. */
  began(host: Host, nowMs: number): void {
    this.underWay++;
    this.policy.began?.(host, nowMs);
  }

  /** Calls of a usable node ended. */
  ended(host: Host, count: number, outcome: number, nowMs: number): void {
    this.underWay -= count;
    this.policy.ended?.(host, outcome, nowMs);
  }
}
