// Core. How many questions may be on the wire to one port of the agent at the same time.

/**
 * Questions sent and not answered, for each port; further ones wait their turn. The answers to
 * more might not fit the receive buffer of a socket: Linux gives it 212,992 bytes and takes 832
 * for each small datagram, which makes 256. Some room is left for late and repeated answers.
 */
export const WINDOW_MAX = 200;

/** Who is on the wire, and who waits for a place. */
export class SendWindow<Q> {
  readonly #limit: number;
  readonly #active = new Set<Q>();
  readonly #queued = new Set<Q>();

  constructor(limit = WINDOW_MAX) {
    this.#limit = limit;
  }

  /** Questions on the wire. */
  get active(): ReadonlySet<Q> {
    return this.#active;
  }

  /** Questions that wait for a place. */
  get queuedCount(): number {
    return this.#queued.size;
  }

  /** Takes a question in. True: send it now; false: `remove` will name it when there is a place. */
  add(question: Q): boolean {
    if (this.#active.size >= this.#limit) {
      this.#queued.add(question);
      return false;
    }
    this.#active.add(question);
    return true;
  }

  /** Takes a question out, answered or not. Returns the one that may be sent in its place. */
  remove(question: Q): Q | undefined {
    this.#queued.delete(question);
    if (!this.#active.delete(question)) return undefined;
    for (const next of this.#queued) {
      this.#queued.delete(next);
      this.#active.add(next);
      return next;
    }
    return undefined;
  }
}
