// Core. Who waits for which answer.

import { LimitError } from "../reactor/errors.ts";
import { type ModuleId, moduleId } from "../model/module.ts";

/** Questions under way at once; one more is refused with a LimitError. */
export const PENDING_MAX = 65_536;

const SEQ_COUNT = 4294967296;

interface HostEntry<W> {
  readonly modId: number;
  readonly cmdId: number;
  readonly waiter: W;
}

/**
 * Waiters for both kinds of answers. Answers about one host carry a seq and are matched by it and
 * by the module. Answers about a route carry no seq: the oldest waiter for that module gets it.
 */
export class PendingTable<W> {
  readonly #limit: number;
  readonly #hosts = new Map<number, HostEntry<W>>();
  readonly #routes = new Map<ModuleId, Set<W>>();
  #routeCount = 0;
  #nextSeq: number;

  /** `firstSeq` is the number of the first question; they wrap at 2^32. */
  constructor(limit = PENDING_MAX, firstSeq = 0) {
    this.#limit = limit;
    this.#nextSeq = firstSeq >>> 0;
  }

  /** Number of waiters. */
  get size(): number {
    return this.#hosts.size + this.#routeCount;
  }

  /**
   * Adds a waiter for a host.
   *
   * @returns the seq to send: the next one that nobody is waiting for.
   * @throws {LimitError} when too many questions are under way.
   */
  addHost(modId: number, cmdId: number, waiter: W): number {
    this.#checkLimit();
    while (this.#hosts.has(this.#nextSeq)) this.#advance();
    const seq = this.#nextSeq;
    this.#advance();
    this.#hosts.set(seq, { modId, cmdId, waiter });
    return seq;
  }

  /** Removes and returns the waiter an answer is for; undefined when it is late or foreign. */
  takeHost(seq: number, modId: number, cmdId: number): W | undefined {
    const entry = this.#hosts.get(seq);
    if (entry === undefined || entry.modId !== modId || entry.cmdId !== cmdId) return undefined;
    this.#hosts.delete(seq);
    return entry.waiter;
  }

  /** Removes a waiter that has given up. */
  dropHost(seq: number): void {
    this.#hosts.delete(seq);
  }

  /**
   * Adds a waiter for a route.
   *
   * @throws {LimitError} when too many questions are under way.
   */
  addRoute(modId: number, cmdId: number, waiter: W): void {
    this.#checkLimit();
    const key = moduleId(modId, cmdId);
    const queue = this.#routes.get(key);
    if (queue === undefined) this.#routes.set(key, new Set([waiter]));
    else queue.add(waiter);
    this.#routeCount++;
  }

  /** Removes and returns the oldest waiter for the module; undefined when nobody waits. */
  takeRoute(modId: number, cmdId: number): W | undefined {
    const queue = this.#routes.get(moduleId(modId, cmdId));
    if (queue === undefined) return undefined;
    for (const waiter of queue) {
      this.dropRoute(modId, cmdId, waiter);
      return waiter;
    }
    return undefined;
  }

  /** Removes a waiter that has given up. */
  dropRoute(modId: number, cmdId: number, waiter: W): void {
    const key = moduleId(modId, cmdId);
    const queue = this.#routes.get(key);
    if (queue === undefined || !queue.delete(waiter)) return;
    this.#routeCount--;
    if (queue.size === 0) this.#routes.delete(key);
  }

  /** Every waiter there is, in no order. */
  waiters(): W[] {
    const all = Array.from(this.#hosts.values(), (entry) => entry.waiter);
    for (const queue of this.#routes.values()) all.push(...queue);
    return all;
  }

  #advance(): void {
    this.#nextSeq = (this.#nextSeq + 1) % SEQ_COUNT;
  }

  #checkLimit(): void {
    if (this.size < this.#limit) return;
    throw new LimitError(
      "PENDING_MAX",
      `Questions under way must be at most ${this.#limit}: one more was refused`,
    );
  }
}
