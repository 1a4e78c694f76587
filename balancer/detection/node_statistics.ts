// Core. What a module that asks for more than the original rules keeps of each of its nodes.

import type { CallerEvidence } from "./caller_evidence.ts";

/** Weight of the policy `weight_minus_connections` that a node begins with. */
export const EARNED_WEIGHT_FIRST = 1024;

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

/** Number of the piece of time that a moment is in. */
export function evidencePieceOf(nowMs: number, evidenceMs: number): number {
  return Math.floor(nowMs / evidenceMs * EVIDENCE_PIECES);
}

/**
 * Calls, failures and slow calls of one node in the last `evidenceMs`, in twelve pieces. A question
 * is asked of the latest piece, the latest two, and so on: a fault that has just begun is not
 * diluted by the good time before it, and one at a low rate of calls gets the whole time.
 */
export class Evidence {
  // The latest piece stands in fields: nearly every call ends in the piece of the one before it, and
  // then touches nothing else.
  #calls = 0;
  #failed = 0;
  #slow = 0;
  #latest = 0;
  /** The pieces before it; made with the first that ends. */
  #counts: Uint32Array | undefined = undefined;

  /** Counts calls that ended now. */
  add(nowMs: number, evidenceMs: number, calls: number, failed: number, slow: number): void {
    this.addTo(evidencePieceOf(nowMs, evidenceMs), calls, failed, slow);
  }

  /** Counts calls that ended in a piece of time; none before the latest one. */
  addTo(piece: number, calls: number, failed: number, slow: number): void {
    if (piece > this.#latest) this.#advance(piece);
    this.#calls += calls;
    this.#failed += failed;
    this.#slow += slow;
  }

  /** The shortest latest time in which the share of failures is above `share` for sure. */
  failures(share: number, z: number, least: number): Finding | undefined {
    return this.#find(FAILED, this.#failed, share, z, least);
  }

  /** The same of slow calls. */
  slowCalls(share: number, z: number, least: number): Finding | undefined {
    return this.#find(SLOW, this.#slow, share, z, least);
  }

  /** Forgets everything. */
  clear(): void {
    this.#counts = undefined;
    this.#latest = 0;
    this.#begin();
  }

  #begin(): void {
    this.#calls = 0;
    this.#failed = 0;
    this.#slow = 0;
  }

  #find(
    field: number,
    latestHits: number,
    share: number,
    z: number,
    least: number,
  ): Finding | undefined {
    let hits = latestHits;
    let calls = this.#calls;
    if (hits >= least && wilsonLowerBound(hits, calls, z) > share) return { hits, calls };
    const counts = this.#counts;
    if (counts === undefined) return undefined;
    for (let back = 1; back < EVIDENCE_PIECES && back <= this.#latest; back++) {
      const at = (this.#latest - back) % EVIDENCE_PIECES * FIELDS;
      hits += counts[at + field];
      calls += counts[at + CALLS];
      if (hits >= least && wilsonLowerBound(hits, calls, z) > share) return { hits, calls };
    }
    return undefined;
  }

  #advance(piece: number): void {
    // Where nothing was counted there is nothing to keep.
    const counts = this.#counts ??= new Uint32Array(EVIDENCE_PIECES * FIELDS);
    const at = this.#latest % EVIDENCE_PIECES * FIELDS;
    counts[at + CALLS] = this.#calls;
    counts[at + FAILED] = this.#failed;
    counts[at + SLOW] = this.#slow;
    for (let gone = Math.min(piece - this.#latest - 1, EVIDENCE_PIECES); gone > 0; gone--) {
      const empty = (piece - gone) % EVIDENCE_PIECES * FIELDS;
      counts.fill(0, empty, empty + FIELDS);
    }
    this.#latest = piece;
    this.#begin();
  }
}

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

/** Of calls that are not slow the first are in the mean of times, and then one in so many. */
const TIMES_FIRST = 16;
const TIMES_EVERY = 8;

/** Whether a call that is not slow is in the mean; `succTotal` counts it already. */
export function isTimeSampled(succTotal: number): boolean {
  return succTotal <= TIMES_FIRST || succTotal % TIMES_EVERY === 0;
}

/** How many of the next `count` calls are in the mean, after `succTotal` of them. */
export function timesSampled(succTotal: number, count: number): number {
  const after = succTotal + count;
  const first = Math.max(0, Math.min(after, TIMES_FIRST) - succTotal);
  const from = Math.max(succTotal, TIMES_FIRST);
  if (after <= from) return first;
  return first + Math.floor(after / TIMES_EVERY) - Math.floor(from / TIMES_EVERY);
}

/** A number below 24 in the place of `succTotal`: the calls after it are in the mean as after that. */
export function shortTotal(succTotal: number): number {
  return succTotal < TIMES_FIRST ? succTotal : TIMES_FIRST + succTotal % TIMES_EVERY;
}

/** Calls of which each has the same weight in the mean; later ones weigh as the last of them. */
export const TIME_WEIGHT_CALLS = 16;

/** A plain average call time in which each call weighs a sixteenth: what the rule `slow` compares. */
export class MeanTime {
  /** Milliseconds; 0 before the first call. */
  ms = 0;
  /** Calls that are in it, up to 16. */
  calls = 0;

  /** A call took this long. */
  observe(tookMs: number): void {
    this.calls = Math.min(TIME_WEIGHT_CALLS, this.calls + 1);
    this.ms += (tookMs - this.ms) / this.calls;
  }
}

/** Beside the counters of `host.ts`. Plain mutable fields; `load_balance.ts` writes them. */
export class NodeStatistics {
  readonly underWay = new CallsUnderWay();
  /** For policies that compare nodes by their time. */
  readonly ewma = new PeakEwma();
  /** For the rule `slow`. */
  readonly meanTime = new MeanTime();
  readonly evidence = new Evidence();
  /** Times the node went out, less those that decayed: what the ejection time grows with. */
  ejections = 0;
  /** When `ejections` last changed. Milliseconds. */
  ejectionsAtMs = 0;
  /** True while a node that is out gets not even probes. */
  resting = false;
  /** The node is judged because it is slow: its calls go well, so failing ones go out before it. */
  isOnlySlow = false;
  /** When the share of the node began to grow. Milliseconds. */
  rampFromMs = 0;
  /** How long it grows; 0 = it does not. Milliseconds. */
  rampMs = 0;
  /** Picks among the latest that the module remembers. */
  recentPicks = 0;
  /** Who said that calls failed; kept where a module limits what one caller does alone. */
  callers: CallerEvidence | undefined = undefined;
  /** What the policy `weight_minus_connections` holds of the node. */
  earnedWeight = EARNED_WEIGHT_FIRST;
}
