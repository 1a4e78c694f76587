// Core. The calls of one node that are under way, and how long its calls take.

/** Pieces of the time after which a call without a report counts as ended. */
const PIECES = 8;

/**
 * Calls that began and have not ended. A call whose outcome nobody reports is forgotten after
 * `timeoutMs` (an eighth of it more at most), so that such callers do not make a node look busy
 * for ever. Outcomes end the oldest calls first; outcomes without a beginning change nothing.
 */
export class CallsUnderWay {
  /** Number of calls under way. */
  count = 0;
  readonly #begun = new Uint32Array(PIECES);
  /** Number of the piece of time that is the latest. */
  #latest = 0;

  /** A call begins. */
  begin(nowMs: number, timeoutMs: number): void {
    this.expire(nowMs, timeoutMs);
    this.#begun[this.#latest % PIECES]++;
    this.count++;
  }

  /** A call ends. */
  end(): void {
    if (this.count === 0) return;
    this.count--;
    for (let piece = Math.max(0, this.#latest - PIECES + 1); piece <= this.#latest; piece++) {
      if (this.#begun[piece % PIECES] === 0) continue;
      this.#begun[piece % PIECES]--;
      return;
    }
  }

  /** Forgets calls that began longer ago than `timeoutMs`. */
  expire(nowMs: number, timeoutMs: number): void {
    const piece = Math.floor(nowMs / timeoutMs * PIECES);
    if (piece <= this.#latest) return;
    for (let gone = Math.min(piece - this.#latest, PIECES); gone > 0; gone--) {
      const at = (piece - gone + 1) % PIECES;
      this.count -= this.#begun[at];
      this.#begun[at] = 0;
    }
    this.#latest = piece;
  }

  /** Forgets all calls, as when the length of the pieces changes. */
  clear(): void {
    this.count = 0;
    this.#begun.fill(0);
    this.#latest = 0;
  }
}

/**
 * e^-x to a few parts in a hundred, by exact operations only: engines may differ in the last bit of
 * `Math.exp`, and a simulation must be the same on each.
 */
export function decay(x: number): number {
  const once = 1 / (1 + x / 8);
  const twice = once * once;
  const fourfold = twice * twice;
  return fourfold * fourfold;
}

/**
 * Average call time that follows a rise at once and a fall slowly: peak EWMA, of Finagle
 * (`com.twitter.finagle.loadbalancer.PeakEwma`). Without calls it falls towards 0, so that a node
 * that was slow is tried again.
 */
export class PeakEwma {
  #costMs = 0;
  #atMs = 0;
  /** False until the first call has ended. */
  known = false;

  /** A call took this long. */
  observe(tookMs: number, nowMs: number, decayMs: number): void {
    if (!this.known || tookMs >= this.#costMs) {
      this.#costMs = tookMs;
    } else {
      const kept = decay((nowMs - this.#atMs) / decayMs);
      this.#costMs = this.#costMs * kept + tookMs * (1 - kept);
    }
    this.known = true;
    this.#atMs = nowMs;
  }

  /** Begins anew at a time that is known otherwise; 0 = nothing is known. */
  restart(costMs: number, nowMs: number): void {
    this.#costMs = costMs;
    this.#atMs = nowMs;
    this.known = costMs > 0;
  }

  /** The average at a time. Milliseconds. */
  at(nowMs: number, decayMs: number): number {
    const waitedMs = nowMs - this.#atMs;
    return waitedMs > 0 ? this.#costMs * decay(waitedMs / decayMs) : this.#costMs;
  }
}

/** A plain average call time in which each call weighs a sixteenth: what the rule `slow` compares. */
export class MeanTime {
  /** Milliseconds; 0 before the first call. */
  ms = 0;
  /** Calls that are in it, up to 16. */
  calls = 0;

  /** A call took this long. */
  observe(tookMs: number): void {
    this.calls = Math.min(16, this.calls + 1);
    this.ms += (tookMs - this.ms) / this.calls;
  }
}
