// Core. A key keeps its node, found in one step and with very even shares.

import type { Host } from "../host.ts";
import { ENTRIES_SEEN_MAX, KeyedPolicy } from "./keyed_policy.ts";
import { MaglevTable } from "./maglev_table.ts";
import { tableKeyOf } from "./murmur3.ts";

/**
 * Maglev hashing (Eisenbud and others, Maglev: A Fast and Reliable Software Network Load Balancer,
 * 2016): a table in which each node owns entries in proportion to its weight; a few keys of others
 * move too when the route changes. Nodes that are out keep their entries, and their keys go to
 * entries further on, other ones for each key. A call without a key takes a random entry. O(1);
 * a changed route costs O(entries) once.
 */
export class MaglevPolicy extends KeyedPolicy {
  readonly name = "maglev";
  #table = new MaglevTable([]);

  protected makeTable(hosts: readonly Host[]): void {
    this.#table = new MaglevTable(hosts);
  }

  protected find(key: number): Host | undefined {
    const table = this.#table;
    const { size } = table;
    let entry = key % size;
    const first = table.hostAt(entry);
    if (first.slot >= 0) return first;
    // The size is prime, so any step reaches every entry. 31 bits: a number of 32 would be allocated.
    const step = tableKeyOf(key) % (size - 1) + 1;
    for (let seen = 1; seen < ENTRIES_SEEN_MAX; seen++) {
      entry = (entry + step) % size;
      const host = table.hostAt(entry);
      if (host.slot >= 0) return host;
    }
    return undefined;
  }
}
