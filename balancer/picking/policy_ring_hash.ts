// Core. A key keeps its node while others come and go.

import { HashPoints } from "./hash_points.ts";
import type { Host } from "../host.ts";
import { ENTRIES_SEEN_MAX, KeyedMembers } from "./keyed_members.ts";
import { NO_KEY, type PickContext, type PickPolicy } from "./pick_policy.ts";

/**
 * Consistent hashing with virtual nodes (Karger and others 1997; libketama): a key belongs to the
 * first usable node at or after its hash (MurmurHash3). When a node goes only its own keys move.
 * A node's points follow the weight of the route, not the growing share of a returned node, as keys
 * would wander. A call without a key goes to a random point. O(log n).
 */
export class RingHashPolicy implements PickPolicy {
  readonly name: "ring_hash" | "bounded_ring_hash" = "ring_hash";
  readonly followsCalls: boolean = false;
  readonly #context: PickContext;
  readonly #members = new KeyedMembers();
  #points = new HashPoints([], 1);

  constructor(context: PickContext) {
    this.#context = context;
  }

  add(host: Host): void {
    this.#members.add(host);
  }

  remove(host: Host): void {
    this.#members.remove(host);
  }

  forget(host: Host): void {
    this.#members.forget(host);
  }

  pick(_nowMs: number, key: number): Host | undefined {
    if (this.#members.usable === 0) return undefined;
    const { dice, settings, usable } = this.#context;
    if (this.#members.stale) {
      this.#points = new HashPoints(this.#members.sorted(), settings.virtualNodes);
    }
    const points = this.#points;
    const hash = key === NO_KEY ? dice.throw() : key;
    let index = points.indexOf(hash);
    const seenMax = Math.min(points.count, ENTRIES_SEEN_MAX);
    for (let seen = 0; seen < seenMax; seen++) {
      const host = points.hostAt(index);
      if (host.slot >= 0 && this.hasRoom(host, this.#context)) return host;
      if (++index === points.count) index = 0;
    }
    return usable.rotate();
  }

  /** True when a usable node may take one more call. */
  protected hasRoom(_host: Host, _context: PickContext): boolean {
    return true;
  }
}
