// Core. Nodes in numbered slots without gaps, to be chosen by number or by weight.

import type { Host } from "../host.ts";
import { type Dice, DICE_LIMIT } from "./dice.ts";

/**
 * A complete binary tree of sums over numbered slots. A parent is always made anew from its two
 * children, so that sums of fractions do not drift.
 */
export class WeightTree {
  /** Sums: node i has the children 2 i and 2 i + 1; the slots begin at `#size`. */
  #sums = new Float64Array(2);
  #size = 1;

  /** Sum of all weights. */
  get total(): number {
    return this.#sums[1];
  }

  /** Sets the weight of a slot; slots without one have 0. O(log n), and O(n) when it grows. */
  set(slot: number, weight: number): void {
    if (slot >= this.#size) this.#grow(slot + 1);
    let at = this.#size + slot;
    this.#sums[at] = weight;
    for (at >>= 1; at >= 1; at >>= 1) {
      this.#sums[at] = this.#sums[2 * at] + this.#sums[2 * at + 1];
    }
  }

  /** A slot, each as likely as its weight; -1 when all weights are 0. O(log n). */
  sample(dice: Pick<Dice, "throw">): number {
    const sums = this.#sums;
    const total = sums[1];
    if (!(total > 0)) return -1;
    let left = dice.throw() / DICE_LIMIT * total;
    let at = 1;
    while (at < this.#size) {
      at *= 2;
      // Rounding may leave a rest beyond the last weight; a slot without weight is never taken.
      if (left >= sums[at] && sums[at + 1] > 0) {
        left -= sums[at];
        at++;
      }
    }
    return at - this.#size;
  }

  #grow(slots: number): void {
    const old = this.#sums.subarray(this.#size, 2 * this.#size);
    let size = this.#size;
    while (size < slots) size *= 2;
    this.#sums = new Float64Array(2 * size);
    this.#sums.set(old, size);
    this.#size = size;
    for (let at = size - 1; at >= 1; at--) {
      this.#sums[at] = this.#sums[2 * at] + this.#sums[2 * at + 1];
    }
  }
}

/**
 * The last node takes the slot of one that leaves. A node's slot is kept in its `slot`, so a policy
 * that uses slots must be the only one that writes it.
 */
export class HostSlots {
  readonly #hosts: Host[] = [];
  readonly #weights = new WeightTree();

  /** Number of nodes. */
  get count(): number {
    return this.#hosts.length;
  }

  /** Puts a node in with its `pickWeight`. O(log n). */
  add(host: Host): void {
    host.slot = this.#hosts.length;
    this.#hosts.push(host);
    this.#weights.set(host.slot, host.pickWeight);
  }

  /** Takes a node out that is in. O(log n). */
  remove(host: Host): void {
    const { slot } = host;
    const last = this.#hosts.pop();
    host.slot = -1;
    if (last === undefined) return;
    this.#weights.set(this.#hosts.length, 0);
    if (last === host) return;
    this.#hosts[slot] = last;
    last.slot = slot;
    this.#weights.set(slot, last.pickWeight);
  }

  /** Heeds a changed `pickWeight`. O(log n). */
  weightChanged(host: Host): void {
    this.#weights.set(host.slot, host.pickWeight);
  }

  /** A node, each as likely as its weight; undefined when there is none. O(log n). */
  sample(dice: Dice): Host | undefined {
    const slot = this.#weights.sample(dice);
    return slot < 0 ? undefined : this.#hosts[slot];
  }

  /** The node after another one, in the order of slots. */
  after(host: Host): Host {
    return this.#hosts[(host.slot + 1) % this.#hosts.length];
  }
}
