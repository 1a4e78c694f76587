// Core. A key keeps its node unless that node has too many calls under way.

import type { Host } from "../host.ts";
import { RingHashPolicy } from "./policy_ring_hash.ts";

/**
 * Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2016; HAProxy
 * `hash-balance-factor`): no node has more calls under way than `boundedLoad` times its fair share,
 * rounded up; what is above goes on to the next node of the ring. So a hot key cannot melt one node.
 */
export class BoundedRingHashPolicy extends RingHashPolicy {
  override readonly name = "bounded_ring_hash";
  override readonly followsCalls = true;

  protected override hasRoom(host: Host): boolean {
    const { settings, totals } = this.context;
    const share = host.pickWeight / totals.pickWeight;
    const most = Math.ceil(settings.boundedLoad * (totals.underWay + 1) * share);
    return (host.stats?.underWay.count ?? 0) < most;
  }
}
