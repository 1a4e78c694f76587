// Core. A key keeps its node, found in one step and with very even shares.

import type { Host } from "../host.ts";
import { ENTRIES_SEEN_MAX, KeyedMembers } from "./keyed_members.ts";
import { MaglevTable } from "./maglev_table.ts";
import { tableKeyOf } from "./murmur3.ts";
import { NO_KEY, type PickContext, type PickPolicy } from "./pick_policy.ts";

/**
 * Maglev hashing (Eisenbud and others, Maglev: A Fast and Reliable Software Network Load Balancer,
 * 2016): a table in which each node owns entries in proportion to its weight; a few keys of others
 * move too when the route changes. Nodes that are out keep their entries, and their keys go to
 * entries further on, other ones for each key. A call without a key takes a random entry. O(1);
 * a changed route costs O(entries) once.
 */
export class MaglevPolicy implements PickPolicy {
  readonly name = "maglev";
  readonly followsCalls = false;
  readonly #context: Pick<PickContext, "dice" | "usable">;
  readonly #members = new KeyedMembers();
  #table = new MaglevTable([]);

  constructor(context: Pick<PickContext, "dice" | "usable">) {
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
    const { dice, usable } = this.#context;
    if (this.#members.stale) this.#table = new MaglevTable(this.#members.sorted());
    const { size } = this.#table;
    const hash = key === NO_KEY ? dice.throw() : key;
    let entry = hash % size;
    const first = this.#table.hostAt(entry);
    if (first.slot >= 0) return first;
    // The size is prime, so any step reaches every entry. 31 bits: a number of 32 would be allocated.
    const step = tableKeyOf(hash) % (size - 1) + 1;
    for (let seen = 1; seen < ENTRIES_SEEN_MAX; seen++) {
      entry = (entry + step) % size;
      const host = this.#table.hostAt(entry);
      if (host.slot >= 0) return host;
    }
    return usable.rotate();
  }
}
