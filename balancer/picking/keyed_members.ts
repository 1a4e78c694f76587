// Core. The nodes of a keyed policy: those of its table, and which of them are usable.

import { type Host } from "../host.ts";
import { addressId } from "../../model/node.ts";

/**
 * A table of keys is made of all nodes of the route, and a pick goes on to the next entry while it
 * meets a node that is out. So a node that goes out moves its own keys only, and takes them back
 * when it returns; the table is made anew only when the route changes.
 */
export class KeyedMembers {
  /** True while the table is older than the members. */
  stale = true;
  /** Number of usable nodes. */
  usable = 0;
  readonly #hosts = new Set<Host>();

  /** A node is usable. */
  add(host: Host): void {
    host.slot = 0;
    this.usable++;
    if (this.#hosts.has(host)) return;
    this.#hosts.add(host);
    this.stale = true;
  }

  /** It is not, for a while. */
  remove(host: Host): void {
    host.slot = -1;
    this.usable--;
  }

  /** It is no longer of the route. */
  forget(host: Host): void {
    if (this.#hosts.delete(host)) this.stale = true;
  }

  /** The members in an order that is the same for every agent. */
  sorted(): Host[] {
    this.stale = false;
    return [...this.#hosts].sort((a, b) => addressId(a.ip, a.port) - addressId(b.ip, b.port));
  }
}

/** Entries a pick looks at before it takes any usable node: so far only if nearly all are out. */
export const ENTRIES_SEEN_MAX = 1024;
