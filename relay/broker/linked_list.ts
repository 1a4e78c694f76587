// Core. A list that items leave from anywhere at no cost: of requests that wait, or are due together.

/** The place of an item in a list; it can be used again once removed. */
export class ListPlace<T> {
  readonly item: T;
  /** Undefined while it is in none. */
  list: LinkedList<T> | undefined = undefined;
  previous: ListPlace<T> | undefined = undefined;
  next: ListPlace<T> | undefined = undefined;

  constructor(item: T) {
    this.item = item;
  }

  /** Takes the item out of its list. Harmless when repeated. */
  remove(): void {
    this.list?.take(this);
    this.list = undefined;
  }
}

/** Items in order of their coming. Who adds to one bounds it. */
export class LinkedList<T> {
  #first: ListPlace<T> | undefined;
  #last: ListPlace<T> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The item that came first. */
  get first(): T | undefined {
    return this.#first?.item;
  }

  /** Adds an item behind the others. */
  add(item: T): ListPlace<T> {
    const place = new ListPlace(item);
    this.put(place);
    return place;
  }

  /** Adds the item of a place that is in no list behind the others. */
  put(place: ListPlace<T>): void {
    place.list = this;
    place.previous = this.#last;
    if (this.#last === undefined) this.#first = place;
    else this.#last.next = place;
    this.#last = place;
    this.#size++;
  }

  /** Takes the item out that came first. */
  shift(): T | undefined {
    const place = this.#first;
    place?.remove();
    return place?.item;
  }

  /** Called by {@linkcode ListPlace.remove}. */
  take(place: ListPlace<T>): void {
    if (place.previous === undefined) this.#first = place.next;
    else place.previous.next = place.next;
    if (place.next === undefined) this.#last = place.previous;
    else place.next.previous = place.previous;
    place.previous = undefined;
    place.next = undefined;
    this.#size--;
  }

  /** The items now; they may leave meanwhile. */
  items(): T[] {
    const items: T[] = [];
    for (let place = this.#first; place !== undefined; place = place.next) items.push(place.item);
    return items;
  }
}
