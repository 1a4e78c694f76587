// Core. Events in the order of their virtual time.

/**
 * A heap of events. Events of one time come out in the order in which they went in, so that a run
 * does not depend on how the heap is built.
 *
 * Bounded by its user: a simulation has one waiting event for each caller, agent and change, and
 * one for each call that is under way.
 */
export class EventQueue<T> {
  readonly #times: number[] = [];
  readonly #orders: number[] = [];
  readonly #items: T[] = [];
  #added = 0;
  #nowMs = 0;

  /** Number of events that wait. */
  get count(): number {
    return this.#items.length;
  }

  /** Time of the event that was taken last; 0 before the first. Milliseconds. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Time of the next event; Infinity when there is none. Milliseconds. */
  get nextMs(): number {
    return this.#times.length === 0 ? Infinity : this.#times[0];
  }

  /** Puts an event in. O(log n). */
  add(atMs: number, item: T): void {
    let at = this.#items.length;
    const order = this.#added++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#times[parent] <= atMs) break;
      this.#copy(parent, at);
      at = parent;
    }
    this.#put(at, atMs, order, item);
  }

  /** Takes the next event out; undefined when there is none. O(log n). */
  take(): T | undefined {
    const first = this.#items[0];
    const length = this.#items.length - 1;
    const atMs = this.#times.pop();
    const order = this.#orders.pop();
    const item = this.#items.pop();
    if (atMs === undefined || order === undefined || item === undefined) return undefined;
    this.#nowMs = length === 0 ? atMs : this.#times[0];
    if (length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= length) break;
      if (child + 1 < length && this.#before(child + 1, this.#times[child], this.#orders[child])) {
        child++;
      }
      if (!this.#before(child, atMs, order)) break;
      this.#copy(child, at);
      at = child;
    }
    this.#put(at, atMs, order, item);
    return first;
  }

  #before(index: number, atMs: number, order: number): boolean {
    const time = this.#times[index];
    return time < atMs || (time === atMs && this.#orders[index] < order);
  }

  #copy(from: number, to: number): void {
    this.#put(to, this.#times[from], this.#orders[from], this.#items[from]);
  }

  #put(at: number, atMs: number, order: number, item: T): void {
    this.#times[at] = atMs;
    this.#orders[at] = order;
    this.#items[at] = item;
  }
}
