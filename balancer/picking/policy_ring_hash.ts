// Core. A key keeps its node while others come and go.

import { HashPoints } from "./hash_points.ts";
import type { Host } from "../host.ts";
import { ENTRIES_SEEN_MAX, KeyedPolicy } from "./keyed_policy.ts";

/**
 * Consistent hashing with virtual nodes (Karger and others 1997; libketama): a key belongs to the
 * first usable node at or after its hash (MurmurHash3). When a node goes only its own keys move.
 * A node's points follow the weight of the route, not the growing share of a returned node, as keys
 * would wander. A call without a key goes to a random point. O(log n).
 */
export class RingHashPolicy extends KeyedPolicy {
  readonly name: "ring_hash" | "bounded_ring_hash" = "ring_hash";
  #points = new HashPoints([], 1);

  protected makeTable(hosts: readonly Host[]): void {
    this.#points = new HashPoints(hosts, this.context.settings.virtualNodes);
  }

  protected find(key: number): Host | undefined {
    const points = this.#points;
    let index = points.indexOf(key);
    const seenMax = Math.min(points.count, ENTRIES_SEEN_MAX);
    for (let seen = 0; seen < seenMax; seen++) {
      const host = points.hostAt(index);
      if (host.slot >= 0 && this.hasRoom(host)) return host;
      if (++index === points.count) index = 0;
    }
    return undefined;
  }

  /** True when a usable node may take one more call. */
  protected hasRoom(_host: Host): boolean {
    return true;
  }
}
