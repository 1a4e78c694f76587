// Core. Who is next when more want to log in than can at once: those who were here before, then one
// of each address in turn.

/** What somebody who waits is told apart by. */
export interface Waiter {
  readonly address: string;
  /** True: somebody at this address has logged in before. */
  readonly isKnown: boolean;
}

interface Waiting extends Waiter {
  readonly enter: () => void;
  readonly refuse: () => void;
}

/** Limits of a {@linkcode FairQueue}. */
export interface FairQueueLimits {
  /** Let in at the same time. */
  readonly atOnceMax: number;
  /** Waiting together; a known one takes the place of a stranger then, another is refused. */
  readonly waitingMax: number;
  /** Waiting of one address. */
  readonly waitingPerAddressMax: number;
}

/** A queue that strangers cannot fill for those who were here before. */
export class FairQueue {
  readonly #limits: FairQueueLimits;
  #waiting: Waiting[] = [];
  #running = 0;
  /** When each address was let in last, as a running number; the oldest first. */
  readonly #turns = new Map<string, number>();
  #turn = 0;

  constructor(limits: FairQueueLimits) {
    this.#limits = limits;
  }

  /** Resolves when it is somebody's turn: true; false when there is no room to wait. Then `leave`. */
  enter(waiter: Waiter): Promise<boolean> {
    const { atOnceMax, waitingMax, waitingPerAddressMax } = this.#limits;
    if (this.#running < atOnceMax) {
      this.#begin(waiter);
      return Promise.resolve(true);
    }
    const own = this.#waiting.filter(({ address }) => address === waiter.address).length;
    if (own >= waitingPerAddressMax) return Promise.resolve(false);
    if (this.#waiting.length >= waitingMax && !(waiter.isKnown && this.#refuseStranger())) {
      return Promise.resolve(false);
    }
    return new Promise((resolve) =>
      this.#waiting.push({ ...waiter, enter: () => resolve(true), refuse: () => resolve(false) })
    );
  }

  /** Somebody who was let in is done. */
  leave(): void {
    this.#running--;
    let next: Waiting | undefined;
    for (const one of this.#waiting) {
      if (next === undefined || this.#isBefore(one, next)) next = one;
    }
    if (next === undefined) return;
    this.#waiting = this.#waiting.filter((one) => one !== next);
    this.#begin(next);
    next.enter();
  }

  #begin({ address }: Waiter): void {
    this.#running++;
    this.#turns.delete(address);
    this.#turns.set(address, ++this.#turn);
    if (this.#turns.size <= this.#limits.waitingMax) return;
    const [oldest] = this.#turns.keys();
    this.#turns.delete(oldest);
  }

  #isBefore(a: Waiting, b: Waiting): boolean {
    if (a.isKnown !== b.isKnown) return a.isKnown;
    return (this.#turns.get(a.address) ?? 0) < (this.#turns.get(b.address) ?? 0);
  }

  /** The stranger who came last gives up its place. */
  #refuseStranger(): boolean {
    const stranger = this.#waiting.findLast(({ isKnown }) => !isKnown);
    if (stranger === undefined) return false;
    this.#waiting = this.#waiting.filter((one) => one !== stranger);
    stranger.refuse();
    return true;
  }
}
