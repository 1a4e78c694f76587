// Core. Following a table by its ids, although writers at once store them out of order.

/** Ids before the last one that a follower asks for again. */
export const FOLLOW_OVERLAP = 200;

/**
 * Passes rows on once each, although they are asked for more than once. Ids are given when a row is
 * written and seen when its transaction ends: one that ends late shows a smaller id than those seen
 * before, so whoever asks for "larger than the last" never sees it.
 */
export class EventFollower {
  readonly #seen = new Set<number>();
  #lastId = 0;
  #firstId = 0;

  /** Where to ask from. */
  get afterId(): number {
    return Math.max(0, this.#firstId - 1, this.#lastId - FOLLOW_OVERLAP);
  }

  /** Rows with an id below `id` are old, whether they were seen or not. */
  skipBefore(id: number): void {
    this.#firstId = id;
  }

  /** Those that are new. */
  take<Row extends { readonly id: number }>(rows: readonly Row[]): Row[] {
    const fresh = rows.filter(({ id }) => id >= this.#firstId && !this.#seen.has(id));
    for (const { id } of fresh) {
      this.#seen.add(id);
      this.#lastId = Math.max(this.#lastId, id);
    }
    for (const id of this.#seen) if (id < this.#lastId - 2 * FOLLOW_OVERLAP) this.#seen.delete(id);
    return fresh;
  }
}
