// Core. Nodes in numbered slots without gaps, to be chosen by number or by weight.

import type { Dice } from "./dice.ts";
import type { Host } from "../host.ts";
import { WeightTree } from "./weight_tree.ts";

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
