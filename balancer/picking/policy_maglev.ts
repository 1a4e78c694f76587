// Core. A key keeps its node, found in one step and with very even shares.

import type { Host } from "../host.ts";
import { ENTRIES_SEEN_MAX, KeyedPolicy } from "./keyed_policy.ts";
import { hashWords, tableKeyOf } from "./murmur3.ts";
import type { KeyedTable } from "./pick_policy.ts";

/** Sizes of tables: primes, each about twice the one before. */
const SIZES = [
  251,
  509,
  1021,
  2039,
  4093,
  8191,
  16_381,
  32_749,
  65_521,
  131_071,
  262_139,
  524_287,
  1_048_573,
];

/** Entries for each node, at least, as far as the largest table reaches. */
const ENTRIES_PER_NODE = 100;

function sizeFor(hosts: number): number {
  return SIZES.find((size) => size >= hosts * ENTRIES_PER_NODE) ?? SIZES[SIZES.length - 1];
}

/** Entries each node gets: in proportion to its weight, one at least, all of them together. */
function entriesOf(hosts: readonly Host[], size: number): number[] {
  const weights = hosts.reduce((sum, { weight }) => sum + weight, 0);
  const exact = hosts.map(({ weight }) => weight / weights * (size - hosts.length));
  const entries = exact.map((share) => 1 + Math.floor(share));
  let left = size - entries.reduce((sum, count) => sum + count, 0);
  const byRest = exact.map((share, index) => ({ rest: share % 1, index }));
  byRest.sort((a, b) => b.rest - a.rest || a.index - b.index);
  for (let i = 0; left > 0; i = (i + 1) % byRest.length, left--) entries[byRest[i].index]++;
  return entries;
}

/** The table; 4 bytes an entry. Making one takes some tens of nanoseconds an entry. */
export class MaglevTable {
  /** Number of entries, a prime; 0 without nodes. */
  readonly size: number;
  readonly entries: KeyedTable;
  readonly #hosts: readonly Host[];
  readonly #owners: Int32Array;

  /** @param hosts In an order that is the same for every agent. */
  constructor(hosts: readonly Host[]) {
    this.#hosts = hosts;
    this.size = hosts.length === 0 ? 0 : sizeFor(hosts.length);
    this.#owners = new Int32Array(this.size).fill(-1);
    this.entries = { kind: "maglev", hosts, owners: this.#owners, hashes: undefined };
    if (this.size > 0) this.#fill();
  }

  /** The node of an entry. */
  hostAt(entry: number): Host {
    return this.#hosts[this.#owners[entry]];
  }

  /** Each node in turn takes the next entry of its own order that is free (section 3.4). */
  #fill(): void {
    const { size } = this;
    const left = entriesOf(this.#hosts, size);
    const places = this.#hosts.map(({ ip, port }) => hashWords(ip, port, 0) % size);
    const skips = this.#hosts.map(({ ip, port }) => hashWords(ip, port, 1) % (size - 1) + 1);
    let turns = this.#hosts.map((_, index) => index);
    while (turns.length > 0) {
      for (const index of turns) {
        let place = places[index];
        while (this.#owners[place] >= 0) place = (place + skips[index]) % size;
        this.#owners[place] = index;
        places[index] = place;
        left[index]--;
      }
      turns = turns.filter((index) => left[index] > 0);
    }
  }
}

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

  protected entries(): KeyedTable {
    return this.#table.entries;
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
