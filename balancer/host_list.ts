// Core. Intrusive circular lists: the links live in the items, so every step is O(1) without memory.

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
