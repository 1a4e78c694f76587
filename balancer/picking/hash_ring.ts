// Core. A consistent hash ring: a key keeps its node when other nodes come and go.

import murmur from "murmurhash3js";

const hash32: (text: string) => number = murmur.x86.hash32;

/** Most points of one ring: nodes times virtual nodes. */
export const RING_POINTS_MAX = 4_000_000;

/**
 * Points of every node on a circle of 32-bit numbers (MurmurHash3, x86, 32 bits); a key belongs to
 * the first point at or after its own hash.
 *
 * With 160 points for a node, shares of 10 nodes stay within about a fifth of even; when a node
 * leaves, only its own keys move.
 *
 * @example
 * ```ts
 * import { HashRing } from "./hash_ring.ts";
 * const ring = new HashRing(["10.0.0.1:80", "10.0.0.2:80"]);
 * console.assert(ring.pick("user 7") === ring.pick("user 7"));
 * ```
 */
export class HashRing {
  readonly #points: Uint32Array;
  readonly #owners: Uint32Array;

  /**
   * @param nodeNames At least one; names should differ. Their order only decides what index means.
   * @param virtualNodes Points for each node, from 1. More make shares more even and the ring
   * larger (8 bytes a point).
   * @throws {RangeError} when there is no node, or no or too many points.
   */
  constructor(nodeNames: readonly string[], virtualNodes = 160) {
    const count = nodeNames.length * virtualNodes;
    if (nodeNames.length === 0) throw new RangeError("Ring must have at least one node");
    if (!Number.isInteger(virtualNodes) || virtualNodes < 1 || count > RING_POINTS_MAX) {
      throw new RangeError(
        `Virtual nodes must be a whole number from 1 and at most ${RING_POINTS_MAX} with all ` +
          `nodes: current value is ${virtualNodes}`,
      );
    }
    const points = nodeNames.flatMap((name, owner) =>
      Array.from(
        { length: virtualNodes },
        (_, i) => ({ hash: hash32(`${name}#${i}`), owner, name }),
      )
    );
    // Equal hashes are ordered by name, so that the ring does not depend on the order of nodes.
    points.sort((a, b) => a.hash - b.hash || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    this.#points = Uint32Array.from(points, (point) => point.hash);
    this.#owners = Uint32Array.from(points, (point) => point.owner);
  }

  /** Index into `nodeNames` of the node a key belongs to. O(log points). */
  pick(key: string): number {
    const hash = hash32(key);
    let low = 0;
    let high = this.#points.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#points[middle] < hash) low = middle + 1;
      else high = middle;
    }
    return this.#owners[low === this.#points.length ? 0 : low];
  }
}
