// Core. How long each agent takes to notice what befalls a node, and what it costs until then.

/** One fault of one node as one agent sees it. */
export interface FaultView {
  readonly node: number;
  readonly agent: number;
  /** When the fault began. Milliseconds. */
  readonly startMs: number;
  /** When the agent judged the node overload; NaN while it has not. Milliseconds. */
  outMs: number;
  /** Failed calls that were sent to the node from the fault on and before it was overload. */
  failed: number;
}

/** Stands for no fault. */
const NONE = -1;

/**
 * Follows every node at every agent. Bounded by agents times nodes, and by the faults of the
 * script.
 */
export class FaultTracker {
  /** Every fault at every agent that had the node in use when it began. */
  readonly views: FaultView[] = [];
  /** From the end of a fault to the node being idle at an agent that had it out. Milliseconds. */
  readonly recoveriesMs: number[] = [];
  /** Faults that ended, or the run did, before the agent noticed. */
  missed = 0;
  /** Times a node became overload that was well, and had been for longer than any call takes. */
  falseOuts = 0;
  readonly #agents: number;
  readonly #nodes: number;
  /** 1 while the node is out at the agent; at agent * nodes + node, as all of these. */
  readonly #out: Uint8Array;
  /** Latest fault, as an index of `views`. */
  readonly #view: Int32Array;
  /** End of the fault that found the node out; NaN when it is not waited for. */
  readonly #endedMs: Float64Array;

  constructor(agents: number, nodes: number) {
    this.#agents = agents;
    this.#nodes = nodes;
    this.#out = new Uint8Array(agents * nodes);
    this.#view = new Int32Array(agents * nodes).fill(NONE);
    this.#endedMs = new Float64Array(agents * nodes).fill(NaN);
  }

  /** Nodes that are well again and still out at an agent. */
  get notBack(): number {
    return this.#endedMs.reduce((sum, ms) => Number.isNaN(ms) ? sum : sum + 1, 0);
  }

  /** A fault of a node begins. */
  faultBegins(node: number, nowMs: number): void {
    for (let agent = 0; agent < this.#agents; agent++) {
      const at = agent * this.#nodes + node;
      this.#endedMs[at] = NaN;
      this.#view[at] = NONE;
      // Out since an earlier fault: there is nothing to notice.
      if (this.#out[at] === 1) continue;
      this.#view[at] = this.views.length;
      this.views.push({ node, agent, startMs: nowMs, outMs: NaN, failed: 0 });
    }
  }

  /** It ends, or the run does. */
  faultEnds(node: number, nowMs: number): void {
    for (let agent = 0; agent < this.#agents; agent++) {
      const at = agent * this.#nodes + node;
      const view = this.views[this.#view[at]];
      if (view !== undefined && Number.isNaN(view.outMs)) {
        this.missed++;
        this.#view[at] = NONE;
      }
      if (this.#out[at] === 1) this.#endedMs[at] = nowMs;
    }
  }

  /** A call failed that was sent at `startMs`. */
  callFailed(agent: number, node: number, startMs: number): void {
    const view = this.views[this.#view[agent * this.#nodes + node]];
    if (view === undefined) return;
    if (Number.isNaN(view.outMs) || startMs <= view.outMs) view.failed++;
  }

  /** An agent made a node overload. */
  nodeOut(agent: number, node: number, atMs: number, isFalse: boolean): void {
    const at = agent * this.#nodes + node;
    this.#out[at] = 1;
    if (isFalse) this.falseOuts++;
    this.nodeJudged(agent, node, atMs);
  }

  /** An agent noticed that a node is sick, whether it puts it out or has to keep it in use. */
  nodeJudged(agent: number, node: number, atMs: number): void {
    const view = this.views[this.#view[agent * this.#nodes + node]];
    if (view !== undefined && Number.isNaN(view.outMs)) view.outMs = atMs;
  }

  /** An agent made a node idle. */
  nodeBack(agent: number, node: number, atMs: number): void {
    const at = agent * this.#nodes + node;
    this.#out[at] = 0;
    if (Number.isNaN(this.#endedMs[at])) return;
    this.recoveriesMs.push(Math.max(0, atMs - this.#endedMs[at]));
    this.#endedMs[at] = NaN;
  }

  /** A node left the route of an agent, which forgets it. */
  forget(agent: number, node: number): void {
    const at = agent * this.#nodes + node;
    this.#out[at] = 0;
    this.#view[at] = NONE;
    this.#endedMs[at] = NaN;
  }
}
