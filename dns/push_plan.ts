// Core. Whom to send what and when: answers, pushes, and the latest only for those who read slowly.

import { type ModuleId, moduleId } from "../model/module.ts";
import type { RouteFrames } from "./route_frames.ts";
import { type SubscriptionLimits, Subscriptions } from "../feed/subscriptions.ts";

/**
 * Answers one connection may wait for without a subscription (its limit is reached, or the routes
 * are not loaded yet); further requests are dropped and counted.
 */
export const WAITING_PER_PEER_MAX = 1_000;

/** What the plan needs of its surroundings. */
export interface PushPort<P> {
  /** Sends the form of the route that the peer understands. */
  send(peer: P, frames: RouteFrames): void;
  /** True while the peer has more output waiting than it should. */
  isBusy(peer: P): boolean;
  /** Asks for the frames of a module now and after each change; the answer is `deliver`. */
  want(modId: number, cmdId: number): void;
  /** Nobody here needs these modules any more. */
  drop(keys: readonly ModuleId[]): void;
}

/**
 * Serves the connections of one loop. A request subscribes and is answered as soon as the frames
 * are here. A busy peer has its module marked and is sent the latest route once it has read what
 * was waiting: never a queue, never an old route after a new one.
 */
export class PushPlan<P> {
  readonly #port: PushPort<P>;
  readonly #subscriptions: Subscriptions<P>;
  /** Frames of modules with subscribers; undefined while they are on their way. */
  readonly #frames = new Map<ModuleId, RouteFrames | undefined>();
  /** Subscribed modules that a peer must still be sent; no more than it has subscriptions. */
  readonly #marked = new Map<P, Set<ModuleId>>();
  /** Modules asked for without a subscription, by peer and by module. */
  readonly #waitingByPeer = new Map<P, Set<ModuleId>>();
  readonly #waitingByKey = new Map<ModuleId, Set<P>>();
  #answeredCount = 0;
  #pushedCount = 0;
  #heldBackCount = 0;
  #droppedCount = 0;

  constructor(port: PushPort<P>, limits: SubscriptionLimits = {}) {
    this.#port = port;
    this.#subscriptions = new Subscriptions(limits);
  }

  /** Live counts and totals since start. */
  get counts(): Readonly<PushCounts> {
    return {
      subscriptions: this.#subscriptions.count,
      subscribedModules: this.#subscriptions.keyCount,
      subscriptionsRefused: this.#subscriptions.refusedCount,
      answered: this.#answeredCount,
      pushed: this.#pushedCount,
      pushesHeldBack: this.#heldBackCount,
      requestsDropped: this.#droppedCount,
    };
  }

  /** A peer asked for a route. */
  request(peer: P, modId: number, cmdId: number): void {
    const key = moduleId(modId, cmdId);
    const subscribed = this.#subscriptions.subscribe(peer, key) !== "refused";
    const frames = this.#frames.get(key);
    if (frames !== undefined) {
      this.#answeredCount++;
      if (subscribed) this.#offer(peer, key, frames);
      else this.#port.send(peer, frames);
      return;
    }
    if (subscribed) this.#mark(peer, key);
    else if (!this.#wait(peer, key)) {
      this.#droppedCount++;
      return;
    }
    if (this.#frames.has(key)) return;
    this.#frames.set(key, undefined);
    this.#port.want(modId, cmdId);
  }

  /** Peers that are subscribed to a module. */
  subscribers(modId: number, cmdId: number): ReadonlySet<P> {
    return this.#subscriptions.subscribers(moduleId(modId, cmdId));
  }

  /** Frames of a wanted module, the first time or after a change. */
  deliver(modId: number, cmdId: number, frames: RouteFrames): void {
    const key = moduleId(modId, cmdId);
    const first = this.#frames.get(key) === undefined;
    if (!this.#frames.has(key)) return;
    this.#frames.set(key, frames);
    for (const peer of this.#subscriptions.subscribers(key)) {
      if (first) this.#answeredCount++;
      else this.#pushedCount++;
      this.#offer(peer, key, frames);
    }
    for (const peer of this.#waitingByKey.get(key) ?? []) {
      this.#answeredCount++;
      this.#endWait(peer, key);
      this.#port.send(peer, frames);
    }
    this.#dropUnneeded([key]);
  }

  /** A peer has read all that was waiting for it. */
  drained(peer: P): void {
    const marked = this.#marked.get(peer);
    if (marked === undefined) return;
    for (const key of marked) {
      if (this.#port.isBusy(peer)) return;
      const frames = this.#frames.get(key);
      if (frames === undefined) continue;
      marked.delete(key);
      this.#port.send(peer, frames);
    }
    if (marked.size === 0) this.#marked.delete(peer);
  }

  /** A peer is gone. */
  closed(peer: P): void {
    this.#marked.delete(peer);
    const keys = this.#subscriptions.removePeer(peer);
    for (const key of this.#waitingByPeer.get(peer) ?? []) {
      this.#endWait(peer, key);
      keys.push(key);
    }
    this.#dropUnneeded(keys);
  }

  #offer(peer: P, key: ModuleId, frames: RouteFrames): void {
    if (this.#port.isBusy(peer)) {
      this.#heldBackCount++;
      this.#mark(peer, key);
      return;
    }
    const marked = this.#marked.get(peer);
    if (marked?.delete(key) === true && marked.size === 0) this.#marked.delete(peer);
    this.#port.send(peer, frames);
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
      this.#frames.has(key) && this.#subscriptions.subscribers(key).size === 0 &&
      !this.#waitingByKey.has(key)
    );
    if (unneeded.length === 0) return;
    for (const key of unneeded) this.#frames.delete(key);
    this.#port.drop(unneeded);
  }
}

/** Counts of {@linkcode PushPlan}; the last five since start. */
export interface PushCounts {
  subscriptions: number;
  subscribedModules: number;
  /** Requests answered without a subscription because a limit was reached. */
  subscriptionsRefused: number;
  answered: number;
  pushed: number;
  /** Answers and pushes that waited because the peer read slowly. */
  pushesHeldBack: number;
  /** Requests without any answer: {@linkcode WAITING_PER_PEER_MAX} was reached. */
  requestsDropped: number;
}
