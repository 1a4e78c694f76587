// Core. Which peers want which module: small for the many modules that one peer alone wants.

import type { ModuleId } from "../model/module.ts";

/** Peers `P`, which are no sets themselves, by module. */
export class PeersByModule<P> {
  /** One peer stands for itself: a set for each module would cost three times as much as all else. */
  readonly #peers = new Map<ModuleId, P | Set<P>>();

  /** Modules that somebody wants. */
  get size(): number {
    return this.#peers.size;
  }

  /** These modules, those wanted for longest first. */
  keys(): IterableIterator<ModuleId> {
    return this.#peers.keys();
  }

  has(key: ModuleId): boolean {
    return this.#peers.has(key);
  }

  /** The peers that want a module now. */
  of(key: ModuleId): Iterable<P> {
    const peers = this.#peers.get(key);
    if (peers instanceof Set) return peers;
    return peers === undefined ? NOBODY : [peers];
  }

  /** How many these are. */
  countOf(key: ModuleId): number {
    const peers = this.#peers.get(key);
    if (peers instanceof Set) return peers.size;
    return peers === undefined ? 0 : 1;
  }

  /** A peer wants a module too. */
  add(key: ModuleId, peer: P): void {
    const peers = this.#peers.get(key);
    if (peers === undefined) this.#peers.set(key, peer);
    else if (peers instanceof Set) peers.add(peer);
    else if (peers !== peer) this.#peers.set(key, new Set([peers, peer]));
  }

  /** A peer does not want it any more. */
  remove(key: ModuleId, peer: P): void {
    const peers = this.#peers.get(key);
    if (!(peers instanceof Set)) {
      if (peers === peer) this.#peers.delete(key);
      return;
    }
    peers.delete(peer);
    const [first] = peers;
    if (peers.size === 1) this.#peers.set(key, first);
  }
}

const NOBODY: readonly never[] = [];
