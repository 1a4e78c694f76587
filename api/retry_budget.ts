// Core. How many second tries are healthy: a share of the calls, and a floor for small traffic.

/** Seconds that calls and retries are remembered. */
const WINDOW_SECONDS = 10;

/**
 * Keeps retries from turning a slow module into a dead one: when most calls fail, every call would
 * otherwise be made several times, just when the nodes can bear it least.
 *
 * In any ten seconds at most `share` of the calls, and `floorPerSecond` more for each second, are
 * tried again. After the RetryBudget of Finagle (Twitter, "Retries" in its guide for clients), with
 * slots of a second instead of a leaky bucket of tokens.
 */
export class RetryBudget {
  readonly #share: number;
  readonly #floor: number;
  /** Retries that each of the last seconds allows; what was spent is taken off. */
  readonly #slots = new Float64Array(WINDOW_SECONDS);
  #second = 0;

  /**
   * @param share Retries for each call, 0 to 1.
   * @param floorPerSecond Retries for each second without regard to calls, from 0.
   */
  constructor(share: number, floorPerSecond: number) {
    this.#share = share;
    this.#floor = floorPerSecond * WINDOW_SECONDS;
  }

  /** A call was made, whatever comes of it; its retries do not count as calls. */
  addCall(nowMs: number): void {
    this.#slots[this.#slotOf(nowMs)] += this.#share;
  }

  /** Takes one retry out of the budget; false when there is none left. */
  take(nowMs: number): boolean {
    const slot = this.#slotOf(nowMs);
    // Shares add up to a little less than a whole one at times.
    if (this.#slots.reduce((sum, one) => sum + one, this.#floor) < 0.995) return false;
    this.#slots[slot] -= 1;
    return true;
  }

  /** Puts a retry back that was taken and not made. */
  giveBack(nowMs: number): void {
    this.#slots[this.#slotOf(nowMs)] += 1;
  }

  /** The slot of this second, with all that are too old emptied. */
  #slotOf(nowMs: number): number {
    const second = Math.floor(nowMs / 1000);
    const first = Math.max(this.#second, second - WINDOW_SECONDS) + 1;
    for (let old = first; old <= second; old++) this.#slots[old % WINDOW_SECONDS] = 0;
    this.#second = Math.max(this.#second, second);
    return second % WINDOW_SECONDS;
  }
}
