// Core. Points of nodes on a circle of 31-bit numbers: the ring of the keyed policies.

import type { Host } from "../host.ts";
import { hashWords } from "./murmur3.ts";

/** Most points of one ring; with more nodes each gets fewer. */
export const HASH_POINTS_MAX = 1_000_000;

/** A hash and the number of its node fit one exact number: 31 and 17 bits. */
const HOSTS_MAX = 131_072;

/** The points in order. Takes 8 bytes a point. */
export class HashPoints {
  readonly #hosts: readonly Host[];
  /** hash * HOSTS_MAX + number of the node, ascending. */
  readonly #points: Float64Array;

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
}
