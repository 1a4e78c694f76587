// Core. What callers see, counted in buckets of time.

import { CALL_TIMEOUT_MS } from "./node_model.ts";

/** Buckets of one run: as many as a chart can show. */
export const BUCKETS = 100;

/** Latencies are told to this precision. Milliseconds. */
export const LATENCY_STEP_MS = 0.5;

const STEPS = CALL_TIMEOUT_MS / LATENCY_STEP_MS + 1;

/** What callers saw in one bucket of time. */
export interface Bucket {
  /** Calls that were asked for. */
  calls: number;
  /** Calls that failed on their node. */
  failed: number;
  /** Calls that got no node: all are overload, or none is known. */
  refused: number;
  /** Calls sent to a node in the zone of their agent. */
  near: number;
}

/** Latencies, counted in steps of {@linkcode LATENCY_STEP_MS}. */
export class LatencyCounts {
  readonly #counts = new Uint32Array(STEPS);
  #total = 0;

  /** Counts one call. */
  add(ms: number): void {
    this.#counts[Math.min(STEPS - 1, Math.ceil(ms / LATENCY_STEP_MS))]++;
    this.#total++;
  }

  /** Counts the calls that others counted. */
  addAll(others: readonly LatencyCounts[]): this {
    for (const other of others) {
      other.#counts.forEach((count, step) => this.#counts[step] += count);
      this.#total += other.#total;
    }
    return this;
  }

  /** The time within which `share` of the calls ended; 0 without calls. Milliseconds. */
  percentile(share: number): number {
    let left = Math.max(1, Math.ceil(this.#total * share));
    if (this.#total === 0) return 0;
    for (let step = 0; step < STEPS; step++) {
      left -= this.#counts[step];
      if (left <= 0) return step * LATENCY_STEP_MS;
    }
    return CALL_TIMEOUT_MS;
  }
}

/** Counts the calls of a run. */
export class CallMeter {
  readonly buckets: Bucket[];
  readonly bucketMs: number;
  readonly latency = new LatencyCounts();
  /** Latencies of the calls that began in each bucket. */
  readonly latencyOf: LatencyCounts[];
  /** Calls sent to each node. */
  readonly picks: Uint32Array;
  /** The same in each bucket: at bucket * nodes + node. */
  readonly picksIn: Uint32Array;
  /** Failed and refused calls of each agent. */
  readonly failedOf: Uint32Array;
  readonly #nodes: number;

  constructor(agents: number, nodes: number, endMs: number) {
    this.bucketMs = endMs / BUCKETS;
    this.buckets = Array.from({ length: BUCKETS }, () => ({
      calls: 0,
      failed: 0,
      refused: 0,
      near: 0,
    }));
    this.latencyOf = this.buckets.map(() => new LatencyCounts());
    this.picks = new Uint32Array(nodes);
    this.picksIn = new Uint32Array(nodes * BUCKETS);
    this.failedOf = new Uint32Array(agents);
    this.#nodes = nodes;
  }

  /** A call got a node; `isNear`: one in the zone of its agent. */
  picked(node: number, isNear: boolean, nowMs: number): void {
    const at = this.#bucketAt(nowMs);
    this.buckets[at].calls++;
    if (isNear) this.buckets[at].near++;
    this.picks[node]++;
    this.picksIn[at * this.#nodes + node]++;
  }

  /** A call got none. */
  refused(agent: number, nowMs: number): void {
    const bucket = this.buckets[this.#bucketAt(nowMs)];
    bucket.calls++;
    bucket.refused++;
    this.failedOf[agent]++;
  }

  /** A call ended. It counts where it began, so that shares are never above 1. */
  ended(agent: number, startMs: number, endMs: number, failed: boolean): void {
    const at = this.#bucketAt(startMs);
    const tookMs = endMs - startMs;
    this.latency.add(tookMs);
    this.latencyOf[at].add(tookMs);
    if (!failed) return;
    this.buckets[at].failed++;
    this.failedOf[agent]++;
  }

  #bucketAt(ms: number): number {
    return Math.min(BUCKETS - 1, Math.floor(ms / this.bucketMs));
  }
}
