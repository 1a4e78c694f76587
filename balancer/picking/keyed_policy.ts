// Core. What the keyed policies have in common: the nodes of their table, and which are usable.

import { addressId } from "../../model/node.ts";
import type { Host } from "../host.ts";
import type { PolicyName } from "../module_policy.ts";
import { type KeyedTable, NO_KEY, type PickContext, type PickPolicy } from "./pick_policy.ts";

/** Entries a pick looks at before it takes any usable node: so far only if nearly all are out. */
export const ENTRIES_SEEN_MAX = 1024;

/**
 * A table of keys is made of all nodes of the route, and a pick goes on to the next entry while it
 * meets a node that is out: one whose `slot` is negative. So a node that goes out moves its own keys
 * only, and takes them back when it returns; the table is made anew only when the route changes.
 */
export abstract class KeyedPolicy implements PickPolicy {
  abstract readonly name: PolicyName;
  readonly followsCalls: boolean = false;
  protected readonly context: PickContext;
  /** True while the table is older than the members. */
  #isStale = true;
  /** Number of usable nodes. */
  #usable = 0;
  readonly #hosts = new Set<Host>();

  constructor(context: PickContext) {
    this.context = context;
  }

  add(host: Host): void {
    host.slot = 0;
    this.#usable++;
    if (this.#hosts.has(host)) return;
    this.#hosts.add(host);
    this.#isStale = true;
  }

  remove(host: Host): void {
    host.slot = -1;
    this.#usable--;
  }

  forget(host: Host): void {
    if (this.#hosts.delete(host)) this.#isStale = true;
  }

  reweighed(host: Host): void {
    if (this.#hosts.has(host)) this.#isStale = true;
  }

  pick(_nowMs: number, key: number): Host | undefined {
    if (this.#usable === 0) return undefined;
    if (this.#isStale) this.#makeTable();
    return this.find(key === NO_KEY ? this.context.dice.throw() : key) ??
      this.context.usable.rotate();
  }

  keyedTable(): KeyedTable | undefined {
    if (this.#hosts.size === 0) return undefined;
    if (this.#isStale) this.#makeTable();
    return this.entries();
  }

  #makeTable(): void {
    this.#isStale = false;
    this.makeTable(
      [...this.#hosts].sort((a, b) => addressId(a.ip, a.port) - addressId(b.ip, b.port)),
    );
  }

  /** The entries of the table, the same object for one table. */
  protected abstract entries(): KeyedTable;

  /** Makes the table anew; the nodes come in an order that is the same for every agent. */
  protected abstract makeTable(hosts: readonly Host[]): void;

  /** The node of a key of 31 bits; undefined when there were too many entries of nodes that are out. */
  protected abstract find(key: number): Host | undefined;
}
