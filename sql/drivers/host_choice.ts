// Core. Which host of a url is asked: the one that served last, and earlier ones again when they serve again.

/** An earlier host is looked at again this often while a later one serves, in milliseconds. */
export const LOOK_BACK_MS = 2_000;
/** A host that lacked what was read before is left alone this long: it would be left again at once. */
export const BEHIND_REST_MS = 60_000;

/**
 * Remembers which host of a url serves. The order of the url is a wish: the node of the own zone
 * first, so that a cut between two zones does not stop who writes in either.
 */
export class HostChoice {
  readonly #count: number;
  #current = 0;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  readonly #restUntilMs = new Map<number, number>();

  /** @param count hosts of the url, 1 or more. */
  constructor(count: number) {
    this.#count = count;
  }

  /** Index of the host that served last. */
  get current(): number {
    return this.#current;
  }

  /** All hosts in the order in which they are to be tried: the one that served last, then that of the url. */
  get order(): readonly number[] {
    const others = Array.from({ length: this.#count }, (_, index) => index)
      .filter((index) => index !== this.#current);
    return [this.#current, ...others];
  }

  /** That host serves. @returns whether another one did before. */
  use(index: number): boolean {
    if (index === this.#current) return false;
    this.#current = index;
    return true;
  }

  /** The host that serves cannot any more: the next one is to be tried first. */
  leave(isBehind: boolean, nowMs: number): void {
    if (isBehind) this.#restUntilMs.set(this.#current, nowMs + BEHIND_REST_MS);
    this.#current = (this.#current + 1) % this.#count;
  }

  /**
   * Hosts before the one that serves which are to be looked at now, in the order of the url. Asking
   * counts as looking: none for {@linkcode LOOK_BACK_MS} after it.
   */
  toLookAt(nowMs: number): readonly number[] {
    if (this.#current === 0 || nowMs - this.#lookedAtMs < LOOK_BACK_MS) return [];
    this.#lookedAtMs = nowMs;
    return Array.from({ length: this.#current }, (_, index) => index)
      .filter((index) => nowMs >= (this.#restUntilMs.get(index) ?? nowMs));
  }
}
