// Core. Chooses by weight in O(log n), with weights that change.

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
