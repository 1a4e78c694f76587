// Core. Who wants to hear of which module, and what he is sent: answers, pushes, and the latest only
// for those who read slowly.

import { type ModuleId, moduleId, type ModuleKey, moduleOf } from "../model/module.ts";
import { PeersByModule } from "./peers_by_module.ts";

/** Most modules one peer may subscribe to; further ones are answered but not subscribed. */
export const SUBSCRIPTIONS_PER_PEER_MAX = 20_000;

/**
 * Most subscriptions of all peers together, about 200 bytes each: at most 400 MB. Beyond it the peer
 * that has the most gives way to one that has less; who has the most is answered but not subscribed.
 */
export const SUBSCRIPTIONS_MAX = 2_000_000;

/**
 * Subscriptions of one peer to modules without nodes: what is made up has none. Beyond it the one of
 * them ends that was not asked for again for longest.
 */
export const NODELESS_PER_PEER_MAX = 1_000;

/**
 * The same of all peers together, about 600 bytes each as nobody else asks for such a module: at most
 * 20 MB. Beyond it the oldest of the peer that has the most of them end.
 */
export const NODELESS_MAX = 30_000;

/** What a subscription costs in memory, by estimate: its places in two tables. */
export const SUBSCRIPTION_BYTES = 200;

/** What one to a module without nodes costs beside that: often nobody else has asked for it. */
export const NODELESS_BYTES = 400;

/**
 * Bytes that the subscriptions of one peer may cost: all of them to modules with nodes, or fewer where
 * some have none. Beyond it its oldest to modules without nodes end, then it is refused.
 */
export const SUBSCRIPTION_BYTES_PER_PEER_MAX = 4 * 1024 * 1024;

/** The share that a peer gives up at once, so that one is not looked for again at once. */
const GIVEN_UP_SHARE = 1 / 64;

/** Peers that may have to give way for one subscription. */
const GIVE_WAY_TRIES = 16;

/**
 * Answers one peer may wait for without a subscription (its limit is reached, or the routes are not
 * loaded yet); further requests are dropped and counted.
 */
export const WAITING_PER_PEER_MAX = 1_000;

/** Modules looked at between two yields of {@linkcode Publisher.publishEach}. */
const STEP_MODULES = 64;

/** Modules of one peer, the oldest first. */
type ModuleKeys = Pick<ReadonlySet<ModuleId>, "size" | "keys">;

/** What {@linkcode Publisher.subscribe} did. */
export type SubscribeResult = "added" | "known" | "refused";

/** Limits of a {@linkcode Publisher}. */
export interface SubscriptionLimits {
  /** @default {SUBSCRIPTIONS_PER_PEER_MAX} */
  readonly perPeerMax?: number;
  /** @default {SUBSCRIPTIONS_MAX} */
  readonly totalMax?: number;
  /** Modules with a subscriber. @default {Infinity} */
  readonly modulesMax?: number;
  /** @default {SUBSCRIPTION_BYTES_PER_PEER_MAX}, or more where `perPeerMax` needs it */
  readonly bytesPerPeerMax?: number;
  /** @default {NODELESS_PER_PEER_MAX} */
  readonly nodelessPerPeerMax?: number;
  /** @default {NODELESS_MAX} */
  readonly nodelessMax?: number;
}

/** Where a {@linkcode Publisher} has its routes from, in the form `F` in which they are sent. */
export interface RouteSource<F> {
  /**
   * The module as it is now, encoded once for all; undefined: not known yet. Whoever changes it, or
   * comes to know it, calls {@linkcode Publisher.publish}.
   *
   * @param key The module's `moduleId`, for a source that looks it up.
   */
  frames(modId: number, cmdId: number, key: ModuleId): F | undefined;
  /** Somebody waits for a module that is not known yet. */
  want?(modId: number, cmdId: number): void;
  /** Nobody needs these modules any more. */
  drop?(keys: readonly ModuleId[]): void;
}

/** A source behind a queue: asks for what is needed here, and keeps what comes for as long. */
export class RemoteSource<F> implements RouteSource<F> {
  readonly #frames = new Map<ModuleId, F | undefined>();
  readonly #ask: Required<Pick<RouteSource<F>, "want" | "drop">>;

  /** `ask` puts into the queue; the answers are given to {@linkcode take}. */
  constructor(ask: Required<Pick<RouteSource<F>, "want" | "drop">>) {
    this.#ask = ask;
  }

  frames(_modId: number, _cmdId: number, key: ModuleId): F | undefined {
    return this.#frames.get(key);
  }

  want(modId: number, cmdId: number): void {
    this.#frames.set(moduleId(modId, cmdId), undefined);
    this.#ask.want(modId, cmdId);
  }

  drop(keys: readonly ModuleId[]): void {
    for (const key of keys) this.#frames.delete(key);
    this.#ask.drop(keys);
  }

  /** Frames have come, the first time or after a change; false: nobody needs them any more. */
  take(modId: number, cmdId: number, frames: F): boolean {
    const key = moduleId(modId, cmdId);
    if (!this.#frames.has(key)) return false;
    this.#frames.set(key, frames);
    return true;
  }
}

/** How a {@linkcode Publisher} reaches its peers. */
export interface PublisherPort<P, F> {
  /** Sends the form of the route that the peer understands. */
  send(peer: P, frames: F, modId: number, cmdId: number): void;
  /** True while the peer has more output waiting than it should. @default {never} */
  isBusy?(peer: P): boolean;
  /** True for the form of a route without nodes. @default {never} */
  isNodeless?(frames: F): boolean;
  /** The peer asked for this module and will not hear of its changes, because a limit is reached. */
  ended?(peer: P, modId: number, cmdId: number): void;
  /**
   * The answer to a question of this peer was that the module has no nodes; not called for repeats
   * while it is subscribed, nor for modules that have lost their nodes. False: its subscription to
   * this one ends at once. @default {true}
   */
  mayFollowNodeless?(peer: P): boolean;
  /** By the monotonic clock, for {@linkcode Publisher.endNodeless}. @default {0} */
  nowMs?(): number;
}

/** Counts of a {@linkcode Publisher}; the last six since start. */
export interface PublisherCounts {
  readonly subscriptions: number;
  readonly subscribedModules: number;
  /** Peers with a subscription. */
  readonly subscribers: number;
  /** Subscriptions to modules without nodes. */
  readonly nodelessSubscriptions: number;
  /** What all subscriptions cost in memory, by estimate. */
  readonly subscriptionBytes: number;
  /** Requests that found a limit of subscriptions reached. */
  readonly subscriptionsRefused: number;
  /** Subscriptions that had to give way. */
  readonly subscriptionsEnded: number;
  readonly answered: number;
  readonly pushed: number;
  /** Answers and pushes that waited because the peer read slowly. */
  readonly pushesHeldBack: number;
  /** Requests without any answer: {@linkcode WAITING_PER_PEER_MAX} was reached. */
  readonly requestsDropped: number;
}

/**
 * Serves peers `P` (connections, or whole loops) with the routes of one source. A subscriber is
 * answered as soon as the route is known. A busy peer has its module marked and is sent the latest
 * route once it has read what was waiting: never a queue, never an old route after a new one.
 */
export class Publisher<P, F> {
  readonly #source: RouteSource<F>;
  readonly #port: PublisherPort<P, F>;
  readonly #perPeerMax: number;
  readonly #bytesPerPeerMax: number;
  readonly #totalMax: number;
  readonly #modulesMax: number;
  readonly #nodelessPerPeerMax: number;
  readonly #nodelessMax: number;
  readonly #peersByKey = new PeersByModule<P>();
  readonly #keysByPeer = new Map<P, Set<ModuleId>>();
  /** Those of them that have no nodes, and when each was asked for last: the latest last. */
  readonly #nodelessByPeer = new Map<P, Map<ModuleId, number>>();
  /** Modules that somebody waits for and that the source does not know yet. */
  readonly #unknown = new Set<ModuleId>();
  /** Subscribed modules that a peer must still be sent; no more than it has subscriptions. */
  readonly #marked = new Map<P, Set<ModuleId>>();
  /** Modules asked for without a subscription, by peer and by module. */
  readonly #waitingByPeer = new Map<P, Set<ModuleId>>();
  readonly #waitingByKey = new Map<ModuleId, Set<P>>();
  readonly #counts = { refused: 0, answered: 0, pushed: 0, heldBack: 0, dropped: 0, ended: 0 };
  #count = 0;
  #nodelessCount = 0;

  constructor(
    source: RouteSource<F>,
    port: PublisherPort<P, F>,
    limits: SubscriptionLimits = {},
  ) {
    this.#source = source;
    this.#port = port;
    this.#perPeerMax = limits.perPeerMax ?? SUBSCRIPTIONS_PER_PEER_MAX;
    this.#bytesPerPeerMax = limits.bytesPerPeerMax ??
      Math.max(SUBSCRIPTION_BYTES_PER_PEER_MAX, this.#perPeerMax * SUBSCRIPTION_BYTES);
    this.#totalMax = limits.totalMax ?? SUBSCRIPTIONS_MAX;
    this.#modulesMax = limits.modulesMax ?? Infinity;
    this.#nodelessPerPeerMax = limits.nodelessPerPeerMax ?? NODELESS_PER_PEER_MAX;
    this.#nodelessMax = limits.nodelessMax ?? NODELESS_MAX;
  }

  /** Live counts and totals since start. */
  get counts(): PublisherCounts {
    return {
      subscriptions: this.#count,
      subscribedModules: this.#peersByKey.size,
      subscribers: this.#keysByPeer.size,
      nodelessSubscriptions: this.#nodelessCount,
      subscriptionBytes: this.#count * SUBSCRIPTION_BYTES + this.#nodelessCount * NODELESS_BYTES,
      subscriptionsRefused: this.#counts.refused,
      subscriptionsEnded: this.#counts.ended,
      answered: this.#counts.answered,
      pushed: this.#counts.pushed,
      pushesHeldBack: this.#counts.heldBack,
      requestsDropped: this.#counts.dropped,
    };
  }

  /** Modules somebody is subscribed to. */
  modules(): ModuleKey[] {
    return Array.from(this.#peersByKey.keys(), moduleOf);
  }

  /** Peers that are subscribed to a module now. */
  subscribers(modId: number, cmdId: number): ReadonlySet<P> {
    return new Set(this.#peersByKey.of(moduleId(modId, cmdId)));
  }

  /** Subscribers of a module that have not been sent its latest route yet. */
  behindCount(modId: number, cmdId: number): number {
    const key = moduleId(modId, cmdId);
    // What is not known has not changed.
    if (this.#unknown.has(key)) return 0;
    let count = 0;
    for (const peer of this.#peersByKey.of(key)) if (this.#marked.get(peer)?.has(key)) count++;
    return count;
  }

  /**
   * A peer wants a module, now and after each change; `refused`: a limit is reached, and the peer is
   * told so, but sent nothing.
   */
  subscribe(peer: P, modId: number, cmdId: number): SubscribeResult {
    const key = moduleId(modId, cmdId);
    const result = this.#add(peer, key);
    if (result === "refused") {
      this.#port.ended?.(peer, modId, cmdId);
      return result;
    }
    const frames = this.#source.frames(modId, cmdId, key);
    if (frames === undefined) {
      this.#mark(peer, key);
      this.#want(key, modId, cmdId);
    } else {
      this.#counts.answered++;
      this.#offer(peer, key, frames, modId, cmdId);
      if (result === "known") this.#renewNodeless(peer, key);
      else if (this.#port.isNodeless?.(frames) === true) this.#newNodeless(peer, key);
    }
    return result;
  }

  /** As {@linkcode subscribe}, but a peer that is refused is answered once. */
  request(peer: P, modId: number, cmdId: number): void {
    if (this.subscribe(peer, modId, cmdId) !== "refused") return;
    const key = moduleId(modId, cmdId);
    const frames = this.#source.frames(modId, cmdId, key);
    if (frames !== undefined) {
      this.#counts.answered++;
      this.#port.send(peer, frames, modId, cmdId);
      if (this.#port.isNodeless?.(frames) === true) this.#port.mayFollowNodeless?.(peer);
      return;
    }
    if (this.#wait(peer, key)) this.#want(key, modId, cmdId);
    else this.#counts.dropped++;
  }

  /** A peer wants these modules no more. */
  unsubscribe(peer: P, keys: readonly ModuleId[]): void {
    const own = this.#keysByPeer.get(peer);
    const marked = this.#marked.get(peer);
    const lost: ModuleId[] = [];
    for (const key of keys) {
      if (own?.delete(key) !== true) continue;
      marked?.delete(key);
      this.#removeFrom(key, peer);
      this.#forgetNodeless(peer, key);
      lost.push(key);
    }
    if (own?.size === 0) this.#keysByPeer.delete(peer);
    if (marked?.size === 0) this.#marked.delete(peer);
    this.#dropUnneeded(lost);
  }

  /**
   * The source has a module's route, the first time or after a change.
   *
   * @param changed False: it is that of before, so only those who wait for the first one are sent it.
   */
  publish(modId: number, cmdId: number, changed = true): void {
    const key = moduleId(modId, cmdId);
    if (!changed && !this.#unknown.has(key)) return;
    const count = this.#peersByKey.countOf(key);
    const waiting = this.#waitingByKey.get(key);
    if (count === 0 && waiting === undefined) return;
    const frames = this.#source.frames(modId, cmdId, key);
    if (frames === undefined) return;
    const first = this.#unknown.delete(key);
    this.#counts[first ? "answered" : "pushed"] += count;
    const isNodeless = this.#port.isNodeless?.(frames) === true;
    for (const peer of this.#peersByKey.of(key)) {
      this.#offer(peer, key, frames, modId, cmdId);
      if (!isNodeless) this.#forgetNodeless(peer, key);
      else if (first) this.#newNodeless(peer, key);
      else this.#noteNodeless(peer, key);
    }
    for (const peer of waiting ?? []) {
      this.#counts.answered++;
      this.#endWait(peer, key);
      this.#port.send(peer, frames, modId, cmdId);
      if (isNodeless) this.#port.mayFollowNodeless?.(peer);
    }
    if (waiting !== undefined) this.#dropUnneeded([key]);
  }

  /** Publishes many modules, as each is when its turn comes; pauses between steps of about 0.1 ms. */
  *publishEach(modules: readonly ModuleKey[]): Generator<void, void> {
    for (let i = 0; i < modules.length; i++) {
      if (i % STEP_MODULES === STEP_MODULES - 1) yield;
      this.publish(modules[i].modId, modules[i].cmdId);
    }
  }

  /** A peer has read all that was waiting for it. */
  drained(peer: P): void {
    const marked = this.#marked.get(peer);
    if (marked === undefined) return;
    for (const key of marked) {
      if (this.#port.isBusy?.(peer)) return;
      const { modId, cmdId } = moduleOf(key);
      const frames = this.#source.frames(modId, cmdId, key);
      if (frames === undefined) continue;
      marked.delete(key);
      this.#port.send(peer, frames, modId, cmdId);
    }
    if (marked.size === 0) this.#marked.delete(peer);
  }

  /**
   * Ends subscriptions to modules without nodes that their peers have not asked for since a time, as
   * nobody may want them any more. Who does is told, and asks.
   *
   * @param most Only so many at once, so that others are served in between.
   */
  endNodeless(askedBeforeMs: number, most: number): void {
    let left = most;
    for (const [peer, keys] of this.#nodelessByPeer) {
      const old: ModuleId[] = [];
      for (const [key, askedAtMs] of keys) {
        if (askedAtMs >= askedBeforeMs || old.length === left) break;
        old.push(key);
      }
      if (old.length > 0) this.#end(peer, old);
      left -= old.length;
      if (left === 0) return;
    }
  }

  /** A peer is gone. */
  closed(peer: P): void {
    this.#marked.delete(peer);
    const keys = [...this.#keysByPeer.get(peer) ?? []];
    this.#keysByPeer.delete(peer);
    this.#nodelessCount -= this.#nodelessByPeer.get(peer)?.size ?? 0;
    this.#nodelessByPeer.delete(peer);
    for (const key of keys) this.#removeFrom(key, peer);
    for (const key of this.#waitingByPeer.get(peer) ?? []) {
      this.#endWait(peer, key);
      keys.push(key);
    }
    this.#dropUnneeded(keys);
  }

  #add(peer: P, key: ModuleId): SubscribeResult {
    const keys = this.#keysByPeer.get(peer);
    if (keys?.has(key) === true) return "known";
    const ownCount = keys?.size ?? 0;
    const fits = ownCount < this.#perPeerMax && this.#hasBytes(peer) &&
      this.#hasRoom(key, ownCount);
    if (!fits) {
      this.#counts.refused++;
      return "refused";
    }
    this.#peersByKey.add(key, peer);
    if (keys === undefined) this.#keysByPeer.set(peer, new Set([key]));
    else keys.add(key);
    this.#count++;
    return "added";
  }

  #bytesOf(peer: P): number {
    return (this.#keysByPeer.get(peer)?.size ?? 0) * SUBSCRIPTION_BYTES +
      (this.#nodelessByPeer.get(peer)?.size ?? 0) * NODELESS_BYTES;
  }

  /** True when a peer may cost one more subscription; its oldest without nodes make room for it. */
  #hasBytes(peer: P): boolean {
    while (this.#bytesOf(peer) + SUBSCRIPTION_BYTES > this.#bytesPerPeerMax) {
      const oldest = this.#nodelessByPeer.get(peer)?.keys().take(1).toArray() ?? [];
      if (oldest.length === 0) return false;
      this.#end(peer, oldest);
    }
    return true;
  }

  /** Makes room, if there is a peer that has more than who asks and so gives way. */
  #hasRoom(key: ModuleId, ownCount: number): boolean {
    const isFull = (): boolean =>
      this.#count >= this.#totalMax ||
      (this.#peersByKey.size >= this.#modulesMax && !this.#peersByKey.has(key));
    for (let tries = 0; tries < GIVE_WAY_TRIES && isFull(); tries++) {
      if (!this.#giveWay(this.#keysByPeer, ownCount + 1)) break;
    }
    return !isFull();
  }

  /** Ends the oldest subscriptions of the peer that has the most, if those are more than `least`. */
  #giveWay(keysByPeer: ReadonlyMap<P, ModuleKeys>, least: number): boolean {
    let most: [P, ModuleKeys] | undefined;
    for (const entry of keysByPeer) {
      if (entry[1].size > (most?.[1].size ?? least)) most = entry;
    }
    if (most === undefined) return false;
    const [peer, keys] = most;
    const oldest = keys.keys().take(Math.ceil((keys.size - least) * GIVEN_UP_SHARE)).toArray();
    this.#end(peer, oldest);
    return true;
  }

  #end(peer: P, keys: readonly ModuleId[]): void {
    this.#counts.ended += keys.length;
    this.unsubscribe(peer, keys);
    for (const { modId, cmdId } of keys.map(moduleOf)) this.#port.ended?.(peer, modId, cmdId);
  }

  /** A peer has asked for this one, and it has no nodes. */
  #newNodeless(peer: P, key: ModuleId): void {
    const mayFollow = this.#port.mayFollowNodeless?.(peer) !== false;
    // One that is busy has still to be sent the answer.
    const isSent = this.#marked.get(peer)?.has(key) !== true;
    if (!mayFollow && isSent) this.#end(peer, [key]);
    else this.#noteNodeless(peer, key);
  }

  #noteNodeless(peer: P, key: ModuleId): void {
    // What it was sent may have been the end of it.
    if (this.#keysByPeer.get(peer)?.has(key) !== true) return;
    const keys = this.#nodelessByPeer.get(peer) ?? new Map<ModuleId, number>();
    if (keys.has(key)) return;
    this.#nodelessByPeer.set(peer, keys.set(key, this.#port.nowMs?.() ?? 0));
    this.#nodelessCount++;
    if (keys.size > this.#nodelessPerPeerMax || this.#bytesOf(peer) > this.#bytesPerPeerMax) {
      this.#end(peer, keys.keys().take(1).toArray());
    }
    if (this.#nodelessCount > this.#nodelessMax) this.#giveWay(this.#nodelessByPeer, 0);
  }

  /** A peer has asked for it again: it is the last that ends. */
  #renewNodeless(peer: P, key: ModuleId): void {
    const keys = this.#nodelessByPeer.get(peer);
    if (keys?.delete(key) === true) keys.set(key, this.#port.nowMs?.() ?? 0);
  }

  #forgetNodeless(peer: P, key: ModuleId): void {
    const keys = this.#nodelessByPeer.get(peer);
    if (keys?.delete(key) !== true) return;
    this.#nodelessCount--;
    if (keys.size === 0) this.#nodelessByPeer.delete(peer);
  }

  #removeFrom(key: ModuleId, peer: P): void {
    this.#count--;
    this.#peersByKey.remove(key, peer);
  }

  #want(key: ModuleId, modId: number, cmdId: number): void {
    if (this.#unknown.has(key)) return;
    this.#unknown.add(key);
    this.#source.want?.(modId, cmdId);
  }

  #offer(peer: P, key: ModuleId, frames: F, modId: number, cmdId: number): void {
    if (this.#port.isBusy?.(peer)) {
      this.#counts.heldBack++;
      this.#mark(peer, key);
      return;
    }
    const marked = this.#marked.get(peer);
    if (marked?.delete(key) === true && marked.size === 0) this.#marked.delete(peer);
    this.#port.send(peer, frames, modId, cmdId);
  }

  #mark(peer: P, key: ModuleId): void {
    const marked = this.#marked.get(peer);
    if (marked === undefined) this.#marked.set(peer, new Set([key]));
    else marked.add(key);
  }

  #wait(peer: P, key: ModuleId): boolean {
    const keys = this.#waitingByPeer.get(peer) ?? new Set<ModuleId>();
    if (keys.has(key)) return true;
    if (keys.size >= WAITING_PER_PEER_MAX) return false;
    this.#waitingByPeer.set(peer, keys.add(key));
    const peers = this.#waitingByKey.get(key) ?? new Set();
    this.#waitingByKey.set(key, peers.add(peer));
    return true;
  }

  #endWait(peer: P, key: ModuleId): void {
    const keys = this.#waitingByPeer.get(peer);
    if (keys?.delete(key) === true && keys.size === 0) this.#waitingByPeer.delete(peer);
    const peers = this.#waitingByKey.get(key);
    if (peers?.delete(peer) === true && peers.size === 0) this.#waitingByKey.delete(key);
  }

  #dropUnneeded(keys: readonly ModuleId[]): void {
    const unneeded = keys.filter((key) =>
      !this.#peersByKey.has(key) && !this.#waitingByKey.has(key)
    );
    if (unneeded.length === 0) return;
    for (const key of unneeded) this.#unknown.delete(key);
    this.#source.drop?.(unneeded);
  }
}
