// Core. Nodes in the order of a number that changes: the least first, each step O(log n).

import type { Host } from "../host.ts";

/**
 * A binary heap over nodes. A node's place is kept in its `slot`, so a policy that uses a heap must
 * be the only one that writes it. Of equal keys the one that waits longest comes first.
 */
export class HostHeap {
  readonly #hosts: Host[] = [];
  readonly #keys: number[] = [];
  readonly #turns: number[] = [];
  #turn = 0;

  /** Number of nodes. */
  get count(): number {
    return this.#hosts.length;
  }

  /** The node with the least key, or undefined. */
  get least(): Host | undefined {
    return this.#hosts[0];
  }

  /** The nodes, in no order. */
  [Symbol.iterator](): IterableIterator<Host> {
    return this.#hosts.values();
  }

  /** The key of a node that is in the heap. */
  keyOf(host: Host): number {
    return this.#keys[host.slot];
  }

  /** Puts a node in; of equal keys the one with the least `turn` comes first. */
  add(host: Host, key: number, turn: number = this.#turn++): void {
    const at = this.#hosts.length;
    this.#hosts.push(host);
    this.#keys.push(key);
    this.#turns.push(turn);
    host.slot = at;
    this.#rise(at);
  }

  /** Takes a node out that is in the heap. */
  remove(host: Host): void {
    const at = host.slot;
    const last = this.#hosts.length - 1;
    if (at !== last) this.#swap(at, last);
    this.#hosts.pop();
    this.#keys.pop();
    this.#turns.pop();
    host.slot = -1;
    if (at === last) return;
    this.#rise(at);
    this.#sink(at);
  }

  /** Gives a node that is in the heap another key; `last` puts it behind its equals. */
  change(host: Host, key: number, last = false): void {
    // Small, so that engines put it where it is called and no fraction goes by way of the heap.
    this.#keys[host.slot] = key;
    this.#settle(host, last);
  }

  /** The number that decides among equal keys. */
  turnOf(host: Host): number {
    return this.#turns[host.slot];
  }

  /** Gives a node that is in the heap another key and another place among equal keys. */
  changeTurn(host: Host, key: number, turn: number): void {
    this.#keys[host.slot] = key;
    this.#turns[host.slot] = turn;
    this.#settle(host, false);
  }

  #settle(host: Host, last: boolean): void {
    if (last) this.#turns[host.slot] = this.#turn++;
    this.#rise(host.slot);
    this.#sink(host.slot);
  }

  #before(a: number, b: number): boolean {
    const keyA = this.#keys[a];
    const keyB = this.#keys[b];
    return keyA < keyB || (keyA === keyB && this.#turns[a] < this.#turns[b]);
  }

  #rise(at: number): void {
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(at, parent)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #sink(at: number): void {
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.#hosts.length) return;
      if (child + 1 < this.#hosts.length && this.#before(child + 1, child)) child++;
      if (!this.#before(child, at)) return;
      this.#swap(child, at);
      at = child;
    }
  }

  #swap(a: number, b: number): void {
    const host = this.#hosts[a];
    const key = this.#keys[a];
    const turn = this.#turns[a];
    this.#hosts[a] = this.#hosts[b];
    this.#keys[a] = this.#keys[b];
    this.#turns[a] = this.#turns[b];
    this.#hosts[b] = host;
    this.#keys[b] = key;
    this.#turns[b] = turn;
    this.#hosts[a].slot = a;
    host.slot = b;
  }
}
