// Core. Who wants to hear of which module, in both directions.

import type { ModuleId } from "../model/module.ts";

/** Most modules one connection may subscribe to; further ones are answered but not subscribed. */
export const SUBSCRIPTIONS_PER_PEER_MAX = 20_000;

/**
 * Most subscriptions of all connections together, about 200 bytes each: at most 400 MB. Beyond it
 * requests are answered but not subscribed.
 */
export const SUBSCRIPTIONS_MAX = 2_000_000;

/** What {@linkcode Subscriptions.subscribe} did. */
export type SubscribeResult = "added" | "known" | "refused";

/** Limits of {@linkcode Subscriptions}. */
export interface SubscriptionLimits {
  /** @default {SUBSCRIPTIONS_PER_PEER_MAX} */
  readonly perPeerMax?: number;
  /** @default {SUBSCRIPTIONS_MAX} */
  readonly totalMax?: number;
}

/** Subscriptions of peers `P` (connections, or whole loops) to modules. */
export class Subscriptions<P> {
  readonly #perPeerMax: number;
  readonly #totalMax: number;
  readonly #peersByKey = new Map<ModuleId, Set<P>>();
  readonly #keysByPeer = new Map<P, Set<ModuleId>>();
  #count = 0;
  #refusedCount = 0;

  constructor(limits: SubscriptionLimits = {}) {
    this.#perPeerMax = limits.perPeerMax ?? SUBSCRIPTIONS_PER_PEER_MAX;
    this.#totalMax = limits.totalMax ?? SUBSCRIPTIONS_MAX;
  }

  /** Subscriptions of all peers. */
  get count(): number {
    return this.#count;
  }

  /** Modules with at least one subscriber. */
  get keyCount(): number {
    return this.#peersByKey.size;
  }

  /** Peers with at least one subscription. */
  get peerCount(): number {
    return this.#keysByPeer.size;
  }

  /** Requests that found a limit reached, since start. */
  get refusedCount(): number {
    return this.#refusedCount;
  }

  /** Modules somebody is subscribed to. */
  keys(): IterableIterator<ModuleId> {
    return this.#peersByKey.keys();
  }

  /** Adds a subscription; `refused` when a limit is reached, and nothing changes. */
  subscribe(peer: P, key: ModuleId): SubscribeResult {
    const keys = this.#keysByPeer.get(peer);
    if (keys?.has(key) === true) return "known";
    if ((keys?.size ?? 0) >= this.#perPeerMax || this.#count >= this.#totalMax) {
      this.#refusedCount++;
      return "refused";
    }
    const peers = this.#peersByKey.get(key);
    if (peers === undefined) this.#peersByKey.set(key, new Set([peer]));
    else peers.add(peer);
    if (keys === undefined) this.#keysByPeer.set(peer, new Set([key]));
    else keys.add(key);
    this.#count++;
    return "added";
  }

  /** Subscribers of a module; empty when there are none. Lives: it follows later changes. */
  subscribers(key: ModuleId): ReadonlySet<P> {
    return this.#peersByKey.get(key) ?? NOBODY;
  }

  /**
   * Takes one subscription back.
   *
   * @returns true when it was the last one of the module.
   */
  unsubscribe(peer: P, key: ModuleId): boolean {
    const keys = this.#keysByPeer.get(peer);
    if (keys === undefined || !keys.delete(key)) return false;
    if (keys.size === 0) this.#keysByPeer.delete(peer);
    return this.#removeFrom(key, peer);
  }

  /**
   * Forgets a peer.
   *
   * @returns the modules that lost their last subscriber.
   */
  removePeer(peer: P): ModuleId[] {
    const keys = this.#keysByPeer.get(peer);
    if (keys === undefined) return [];
    this.#keysByPeer.delete(peer);
    const lost: ModuleId[] = [];
    for (const key of keys) if (this.#removeFrom(key, peer)) lost.push(key);
    return lost;
  }

  #removeFrom(key: ModuleId, peer: P): boolean {
    this.#count--;
    const peers = this.#peersByKey.get(key);
    if (peers === undefined) return false;
    peers.delete(peer);
    if (peers.size > 0) return false;
    this.#peersByKey.delete(key);
    return true;
  }
}

const NOBODY: ReadonlySet<never> = new Set<never>();
