// Core. What the calls of a node say for sure, at any rate of calls.

/** Pieces of the time over which evidence is kept. */
export const EVIDENCE_PIECES = 12;

const CALLS = 0;
const FAILED = 1;
const SLOW = 2;
const FIELDS = 3;

/**
 * The lower end of Wilson's score interval: the share of failures is above it, however few calls
 * there were (E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference,
 * 1927).
 *
 * @param failed 0 to `calls`.
 * @param z How sure, in standard deviations of a normal distribution: 4 is wrong 3 times in 100,000.
 */
export function wilsonLowerBound(failed: number, calls: number, z: number): number {
  if (calls === 0) return 0;
  const share = failed / calls;
  const square = z * z;
  const middle = share + square / (2 * calls);
  const spread = z * Math.sqrt(share * (1 - share) / calls + square / (4 * calls * calls));
  return Math.max(0, (middle - spread) / (1 + square / calls));
}

/** What {@linkcode Evidence} found. */
export interface Finding {
  readonly hits: number;
  readonly calls: number;
}

/**
 * Calls, failures and slow calls of one node in the last `evidenceMs`, in twelve pieces. A question
 * is asked of the latest piece, the latest two, and so on: a fault that has just begun is not
 * diluted by the good time before it, and one at a low rate of calls gets the whole time.
 */
export class Evidence {
  readonly #counts = new Uint32Array(EVIDENCE_PIECES * FIELDS);
  #latest = 0;

  /** Counts calls that ended now. */
  add(nowMs: number, evidenceMs: number, calls: number, failed: number, slow: number): void {
    this.#advance(nowMs, evidenceMs);
    const at = this.#latest % EVIDENCE_PIECES * FIELDS;
    this.#counts[at + CALLS] += calls;
    this.#counts[at + FAILED] += failed;
    this.#counts[at + SLOW] += slow;
  }

  /** The shortest latest time in which the share of failures is above `share` for sure. */
  failures(share: number, z: number, least: number): Finding | undefined {
    return this.#find(FAILED, share, z, least);
  }

  /** The same of slow calls. */
  slowCalls(share: number, z: number, least: number): Finding | undefined {
    return this.#find(SLOW, share, z, least);
  }

  /** Forgets everything. */
  clear(): void {
    this.#counts.fill(0);
    this.#latest = 0;
  }

  #find(field: number, share: number, z: number, least: number): Finding | undefined {
    let hits = 0;
    let calls = 0;
    for (let back = 0; back < EVIDENCE_PIECES && back <= this.#latest; back++) {
      const at = (this.#latest - back) % EVIDENCE_PIECES * FIELDS;
      hits += this.#counts[at + field];
      calls += this.#counts[at + CALLS];
      if (hits >= least && wilsonLowerBound(hits, calls, z) > share) return { hits, calls };
    }
    return undefined;
  }

  #advance(nowMs: number, evidenceMs: number): void {
    const piece = Math.floor(nowMs / evidenceMs * EVIDENCE_PIECES);
    if (piece <= this.#latest) return;
    for (let gone = Math.min(piece - this.#latest, EVIDENCE_PIECES); gone > 0; gone--) {
      const at = (piece - gone + 1) % EVIDENCE_PIECES * FIELDS;
      this.#counts.fill(0, at, at + FIELDS);
    }
    this.#latest = piece;
  }
}
