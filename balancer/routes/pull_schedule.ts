// Core. When a route is asked for, when the question is repeated, and how many are asked at once.

/** Pulls of modules without a node that may be made in one go, after a quiet time; per agent. */
export const PULLS_BURST_MAX = 1000;

/**
 * Pulls of modules without a node per second, in the long run; per agent. Keeps a caller that asks
 * for made-up modules from turning each datagram into a request to dns. Modules over the rate wait
 * for their turn, oldest first.
 */
export const PULLS_PER_SECOND_MAX = 50;

/** Time after which the first pull without an answer is repeated; doubles with each repeat. */
export const PULL_RETRY_MIN_MS = 1000;

/** What a module carries to be pulled. */
export interface Pullable {
  readonly modId: number;
  readonly cmdId: number;
  /** True while the module has nodes: its pulls are not counted against the rate. */
  readonly hasNodes: boolean;
  /** When the next request goes out; only meaningful while pulling. Milliseconds. */
  pullDueMs: number;
  /** Time between the last request and its repeat; 0 = none was sent yet. Milliseconds. */
  pullRetryMs: number;
}

/** How a {@linkcode PullSchedule} works. */
export interface PullScheduleOptions {
  /** Burst of pulls for modules without nodes. @default PULLS_BURST_MAX */
  burstMax?: number;
  /** Rate of the same. @default PULLS_PER_SECOND_MAX */
  perSecondMax?: number;
  /** Longest time between repeats, read at each use. Milliseconds. */
  retryMaxMs: () => number;
  /** Sends one request; must not wait. */
  send(modId: number, cmdId: number): void;
}

/** Modules whose route is asked for. Bounded by the number of modules. */
export class PullSchedule<T extends Pullable> {
  readonly #options: PullScheduleOptions;
  readonly #burstMax: number;
  readonly #perSecondMax: number;
  /** Modules with an unanswered or a waiting pull, oldest first. */
  readonly #pulling = new Set<T>();
  #tokens: number;
  #tokensAtMs: number | undefined;
  #paused = false;
  #sent = 0;

  constructor(options: PullScheduleOptions) {
    this.#options = options;
    this.#burstMax = options.burstMax ?? PULLS_BURST_MAX;
    this.#perSecondMax = options.perSecondMax ?? PULLS_PER_SECOND_MAX;
    this.#tokens = this.#burstMax;
  }

  /** Modules with an unanswered or a waiting pull. */
  get pendingCount(): number {
    return this.#pulling.size;
  }

  /** Requests sent since the start. */
  get sentCount(): number {
    return this.#sent;
  }

  /** True while the module has an unanswered or a waiting pull. */
  isPulling(module: T): boolean {
    return this.#pulling.has(module);
  }

  /** Asks for the route at `dueMs`; at once when that has come and the rate allows. */
  start(module: T, dueMs: number, nowMs: number): void {
    module.pullDueMs = dueMs;
    module.pullRetryMs = 0;
    this.#pulling.add(module);
    if (nowMs >= dueMs) this.#trySend(module, nowMs);
  }

  /** The route came, or the module is forgotten. */
  stop(module: T): void {
    this.#pulling.delete(module);
  }

  /** Sends nothing until `resume`: there is nobody to ask. What is started meanwhile waits. */
  pause(): void {
    this.#paused = true;
  }

  /** Ends a pause; what is due leaves with the next `start` or `tick`. */
  resume(): void {
    this.#paused = false;
  }

  /** Sends what is due: repeats, and pulls that waited for their turn. */
  tick(nowMs: number): void {
    if (this.#paused) return;
    for (const module of this.#pulling) {
      if (nowMs >= module.pullDueMs) this.#trySend(module, nowMs);
    }
  }

  #trySend(module: T, nowMs: number): void {
    if (this.#paused || (!module.hasNodes && !this.#takeToken(nowMs))) return;
    module.pullRetryMs = Math.min(
      this.#options.retryMaxMs(),
      module.pullRetryMs === 0 ? PULL_RETRY_MIN_MS : module.pullRetryMs * 2,
    );
    module.pullDueMs = nowMs + module.pullRetryMs;
    this.#sent++;
    this.#options.send(module.modId, module.cmdId);
  }

  #takeToken(nowMs: number): boolean {
    const sinceMs = Math.max(0, nowMs - (this.#tokensAtMs ?? nowMs));
    this.#tokensAtMs = nowMs;
    this.#tokens = Math.min(this.#burstMax, this.#tokens + (sinceMs * this.#perSecondMax) / 1000);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
