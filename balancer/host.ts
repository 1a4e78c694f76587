// Core. One node of a module: its counters, its state, and the lists it stands in.

import type { NodeStatistics } from "./detection/node_statistics.ts";
import { type NodeState, WEIGHT_DEFAULT } from "../model/node.ts";

/** What an item carries to be a member of one {@linkcode HostList} at a time. */
export interface Linked<T extends Linked<T>> {
  /** Next item of the ring; meaningless while `list` is undefined. */
  next: T;
  /** Item before this one in the ring; meaningless while `list` is undefined. */
  prev: T;
  /** The list the item stands in, or undefined. */
  list: HostList<T> | undefined;
}

/**
 * A ring with a head. Nodes stand in an idle or an overload list; modules that never had a node
 * stand in one by age.
 *
 * An item is in at most one list: adding it to a second is a programming error and throws.
 */
export class HostList<T extends Linked<T>> {
  #head: T | undefined = undefined;
  #count = 0;

  /** First item, or undefined when the list is empty. */
  get head(): T | undefined {
    return this.#head;
  }

  /** Number of items. */
  get count(): number {
    return this.#count;
  }

  /**
   * Adds an item at the tail.
   *
   * @throws {Error} when it is in a list already.
   */
  pushTail(item: T): void {
    if (item.list !== undefined) throw new Error("Item is in a list already");
    const head = this.#head;
    if (head === undefined) {
      item.next = item;
      item.prev = item;
      this.#head = item;
    } else {
      const tail = head.prev;
      item.prev = tail;
      item.next = head;
      tail.next = item;
      head.prev = item;
    }
    item.list = this;
    this.#count++;
  }

  /**
   * Takes an item out.
   *
   * @throws {Error} when it is not in this list.
   */
  remove(item: T): void {
    if (item.list !== this) throw new Error("Item is not in this list");
    if (this.#count === 1) {
      this.#head = undefined;
    } else {
      item.prev.next = item.next;
      item.next.prev = item.prev;
      if (this.#head === item) this.#head = item.next;
    }
    item.next = item;
    item.prev = item;
    item.list = undefined;
    this.#count--;
  }

  /** Returns the head and makes it the tail; undefined when the list is empty. */
  rotate(): T | undefined {
    const head = this.#head;
    // In a ring the head becomes the tail by letting the next one be the head.
    if (head !== undefined) this.#head = head.next;
    return head;
  }

  /**
   * Makes an item the head; the others follow as before.
   *
   * @throws {Error} when it is not in this list.
   */
  turnTo(item: T): void {
    if (item.list !== this) throw new Error("Item is not in this list");
    this.#head = item;
  }

  /** Items from head to tail. The list must not change meanwhile. */
  *[Symbol.iterator](): IterableIterator<T> {
    const head = this.#head;
    if (head === undefined) return;
    let item = head;
    do {
      yield item;
      item = item.next;
    } while (item !== head);
  }
}

/** Who judges a node, and is told when time has come for it. */
export interface HostOwner {
  /** Brings the node up to `nowMs`. */
  settle(host: Host, nowMs: number): void;
  /** The node has been out for a while since it was last told so. */
  stillOut(host: Host, nowMs: number): void;
}

/** What a node is picked from; `picking/zone_router.ts`. */
export interface HostPool {
  /** The node is no longer usable. */
  remove(host: Host): void;
  /** It is picked by another weight from now on, and keeps its place. */
  setWeight(host: Host, pickWeight: number): void;
  /** A call of the node began; its `stats` knows already. */
  began(host: Host, nowMs: number): void;
  /** `count` calls of the node ended; its `stats` knows already. */
  ended(host: Host, count: number, outcome: number, nowMs: number): void;
}

/**
 * A node. Plain mutable fields, because the hot path reads and writes them millions of times a
 * second; only `detection/` and the module write them.
 */
export class Host implements Linked<Host> {
  // What calls read and write stands first, together: with many nodes each call meets a node that is
  // in no cache of the processor, and pays for each piece of 64 bytes. First picks, then outcomes.
  /** `ip` as the signed number of the same bits, which engines keep in place. */
  readonly signedIp: number;
  readonly port: number;
  /** True when the node is out: it is given probes only, or nothing. */
  overload = false;
  /** Whatever the program around the balancer keeps with the node; the balancer leaves it alone. */
  attached: unknown = undefined;
  next: Host = this;

  /** True when the rules hold the node for overload; it may be in use all the same. */
  judged = false;
  /** When time alone changes something: the end of the window or of overload; Infinity = never. */
  dueMs = Infinity;
  /** What the original rules do not need; made when the module asks for it. */
  stats: NodeStatistics | undefined = undefined;
  /** `stats.callers` is there. */
  hasCallers = false;
  /** True while something waits to be reported. */
  dirty = false;
  /** Place in its bucket of {@linkcode ActiveHosts}; -1 = not there. */
  activeIndex = -1;
  // A call that goes well touches nothing of `stats`, for what it costs to fetch it from memory: it is
  // counted here until the piece of time ends, or a call shows more.
  /** Calls that went well in the piece of `evidencePiece` and are not yet in the evidence. */
  evidenceCalls = 0;
  evidencePiece = 0;
  /** Virtual successes: with `verr`, what decides. */
  vsucc = 0;
  /** Real successes of this window or state: what is reported. */
  rsucc = 0;
  /** Real failures of this window or state. */
  rerr = 0;
  /** Successes in a row. */
  continSucc = 0;
  /** Failures in a row. */
  continErr = 0;
  /** Successes since the agent knows the node; never falls. */
  succTotal = 0;
  /** Calls of both kinds whose time was told; never falls. */
  timedTotal = 0;
  /** What those calls took together; never falls. Milliseconds. */
  timeMsTotal = 0;
  /** `rsucc` as it was at the last counted call, before a reset could hide it. */
  reportSucc = 0;
  /** `rerr` as it was at the last counted call. */
  reportErr = 0;
  /** Failures since the agent knows the node; never falls. */
  errTotal = 0;

  readonly ip: number;
  prev: Host = this;
  list: HostList<Host> | undefined = undefined;
  readonly owner: HostOwner;
  /** As the route says. */
  weight = WEIGHT_DEFAULT;
  zone = "";
  state: NodeState = "on";
  /** Weight that policies go by now: less than `weight` while the node's share grows. */
  pickWeight = WEIGHT_DEFAULT;
  /** The pool the node is picked from; undefined while it gets probes only, or nothing. */
  pool: HostPool | undefined = undefined;
  /** Place in the tables of the pool's policy; -1 = in none. Written by policies only. */
  slot = -1;
  /** Virtual failures, each counted by its weight. */
  verr = 0;
  /** When the present state began; windows are counted from here. Milliseconds. */
  sinceMs: number;
  /** Small windows running that were bad. */
  badWindows = 0;
  activeBucket = 0;

  constructor(ip: number, port: number, owner: HostOwner, sinceMs: number) {
    this.signedIp = ip | 0;
    this.ip = ip;
    this.port = port;
    this.owner = owner;
    this.sinceMs = sinceMs;
  }
}

/** Nodes whose time runs out within one such piece of time are looked at together. Milliseconds. */
const BUCKET_MS = 100;

/**
 * The nodes that time can change: those that are overload, or have calls in their window. They wait
 * in buckets by the time that is due, so that a tick looks at those alone whose time has come:
 * looking at each of many thousands would cost more than all picks.
 *
 * Bounded by the number of nodes the agent knows.
 */
export class ActiveHosts {
  readonly #buckets = new Map<number, Host[]>();
  #count = 0;

  /** Number of nodes that are watched. */
  get count(): number {
    return this.#count;
  }

  /** Watches a node until its `dueMs`; to be called again when that comes to be earlier. O(1). */
  add(host: Host): void {
    const bucket = Math.floor(host.dueMs / BUCKET_MS);
    if (host.activeIndex >= 0) {
      if (bucket === host.activeBucket) return;
      this.#take(host);
    } else {
      this.#count++;
    }
    let hosts = this.#buckets.get(bucket);
    if (hosts === undefined) this.#buckets.set(bucket, hosts = []);
    host.activeBucket = bucket;
    host.activeIndex = hosts.length;
    hosts.push(host);
  }

  /** Forgets a node; does nothing when it is not watched. O(1): the last one takes its place. */
  remove(host: Host): void {
    if (host.activeIndex < 0) return;
    this.#take(host);
    host.activeIndex = -1;
    this.#count--;
  }

  /** Lets the owners bring every node up to `nowMs` whose time has run out. */
  settle(nowMs: number): void {
    const last = Math.floor(nowMs / BUCKET_MS);
    for (const [bucket, hosts] of this.#buckets) {
      if (bucket > last) continue;
      // Backwards, because a node that settles may leave, and the last one then takes its place.
      for (let i = hosts.length - 1; i >= 0; i--) {
        // Others may leave with it.
        if (i >= hosts.length) continue;
        const host = hosts[i];
        if (nowMs >= host.dueMs) host.owner.settle(host, nowMs);
        else this.add(host); // Its time was put off.
      }
    }
  }

  #take(host: Host): void {
    const hosts = this.#buckets.get(host.activeBucket);
    const last = hosts?.pop();
    if (hosts === undefined || last === undefined) return;
    if (hosts.length === 0) this.#buckets.delete(host.activeBucket);
    if (last === host) return;
    hosts[host.activeIndex] = last;
    last.activeIndex = host.activeIndex;
  }
}
