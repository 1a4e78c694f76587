// Core. A key keeps its node while others come and go, in one of the two policies unless it has too many calls.

import type { Host } from "../host.ts";
import { ENTRIES_SEEN_MAX, KeyedPolicy } from "./keyed_policy.ts";
import { hashWords } from "./murmur3.ts";
import type { KeyedTable } from "./pick_policy.ts";

/** Most points of one ring; with more nodes each gets fewer. */
export const HASH_POINTS_MAX = 1_000_000;

/** A hash and the number of its node fit one exact number: 31 and 17 bits. */
const HOSTS_MAX = 131_072;

/** The points in order. Takes 8 bytes a point. */
export class HashPoints {
  readonly #hosts: readonly Host[];
  /** hash * HOSTS_MAX + number of the node, ascending. */
  readonly #points: Float64Array;
  #entries: KeyedTable | undefined;

  /**
   * @param hosts In an order that is the same for every agent; at most 131,072.
   * @param virtualNodes Points of a node of weight 100; others get theirs in proportion.
   */
  constructor(hosts: readonly Host[], virtualNodes: number) {
    this.#hosts = hosts;
    const weights = hosts.reduce((sum, { weight }) => sum + weight, 0);
    const each = Math.min(virtualNodes / 100, HASH_POINTS_MAX / weights);
    const counts = hosts.map(({ weight }) => Math.max(1, Math.round(weight * each)));
    this.#points = new Float64Array(counts.reduce((sum, count) => sum + count, 0));
    let at = 0;
    hosts.forEach(({ ip, port }, index) => {
      for (let i = 0; i < counts[index]; i++) {
        this.#points[at++] = (hashWords(ip, port, i) >>> 1) * HOSTS_MAX + index;
      }
    });
    this.#points.sort();
  }

  /** Number of points. */
  get count(): number {
    return this.#points.length;
  }

  /** The first point at or after a hash; the circle closes. O(log points). */
  indexOf(hash: number): number {
    const wanted = hash * HOSTS_MAX;
    let low = 0;
    let high = this.#points.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#points[middle] < wanted) low = middle + 1;
      else high = middle;
    }
    return low === this.#points.length ? 0 : low;
  }

  /** The node of a point. */
  hostAt(index: number): Host {
    return this.#hosts[this.#points[index] % HOSTS_MAX];
  }

  /** All points; made at the first call. */
  get entries(): KeyedTable {
    return this.#entries ??= {
      kind: "ring",
      hosts: this.#hosts,
      owners: Int32Array.from(this.#points, (point) => point % HOSTS_MAX),
      hashes: Uint32Array.from(this.#points, (point) => Math.floor(point / HOSTS_MAX)),
    };
  }
}

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

  protected entries(): KeyedTable {
    return this.#points.entries;
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
