// Core. A call from the pick to its outcome, with further tries at other nodes.

import type { Clock, Timer } from "../reactor/time/clock.ts";
import { LarsError, TimeoutError } from "../reactor/errors.ts";
import { ReportCode } from "../balancer/detection/call_outcome.ts";
import { failureCodeOf } from "./failure_code.ts";
import type { Host } from "./host.ts";
import type { LarsApi } from "./lars_api.ts";
import {
  type CallFunction,
  checkRetries,
  checkRetryFloor,
  checkRetryShare,
  checkTimeout,
  FIRST_ROUTE_MS,
  type FirstRouteOptions,
  type PickOptions,
  type RetryBudgetOptions,
  type RetryOptions,
} from "./options.ts";
import { RetryBudget } from "./retry_budget.ts";

/** Picks made to find a node that was not tried yet; with fewer nodes a known one comes back. */
const PICKS_MAX = 8;

/** Modules with a budget of their own; beyond it the oldest begins anew. */
const BUDGETS_MAX = 1000;

/** What a {@linkcode Caller} is given. */
export interface CallerOptions extends RetryBudgetOptions, FirstRouteOptions {
  readonly clock: Clock;
  /** Time of a question when a call names none, in milliseconds. */
  readonly deadlineMs: number;
  /** True: nobody can be told of outcomes any more. */
  isClosed(): boolean;
}

/** Which try it is, and how long the whole call may take. */
interface Limits {
  readonly number: number;
  readonly timeoutMs: number;
  readonly endMs: number;
  readonly retcodeOf: RetryOptions["retcodeOf"];
}

/** Makes the calls of one client. */
export class Caller {
  readonly #client: Pick<LarsApi, "getHost" | "report">;
  readonly #options: CallerOptions;
  readonly #share: number;
  readonly #floorPerSecond: number;
  readonly #budgets = new Map<string, RetryBudget>();
  #retriedCount = 0;
  #refusedCount = 0;

  /** @throws {RangeError} when an option is out of range. */
  constructor(client: Pick<LarsApi, "getHost" | "report">, options: CallerOptions) {
    this.#client = client;
    this.#options = options;
    this.#share = checkRetryShare(options.retryShare ?? 0.2);
    this.#floorPerSecond = checkRetryFloor(options.retryFloorPerSecond ?? 1);
  }

  /** Tries made after the first one of their call. */
  get retriedCount(): number {
    return this.#retriedCount;
  }

  /** Tries not made because the budget was spent. */
  get refusedCount(): number {
    return this.#refusedCount;
  }

  /**
   * Picks a node, runs `fn`, reports the outcome, and does so again with another node as long as
   * `options` and the budget allow it.
   *
   * @throws what `getHost` throws before the first try; afterwards what the last try threw, or a
   *   TimeoutError when the time of the call was over first.
   * @throws {RangeError} when an option is out of range.
   */
  async run<T>(
    modId: number,
    cmdId: number,
    fn: CallFunction<T>,
    options: RetryOptions,
  ): Promise<T> {
    const retries = checkRetries(options.retries ?? 0);
    const timeoutMs = checkTimeout(options.timeoutMs);
    const { clock } = this.#options;
    const endMs = clock.nowMs() + timeoutMs;
    const { deadlineMs, key, firstRouteMs, retcodeOf } = options;
    // The key names one node: whoever looks for another one does so without it.
    const pick = (): Promise<Host> =>
      this.#pick(modId, cmdId, { deadlineMs, firstRouteMs: 0 }, endMs);
    const tried: Host[] = [];
    let host = await this.#pick(modId, cmdId, { deadlineMs, key, firstRouteMs }, endMs);
    const budget = retries === 0 ? undefined : this.#budgetOf(modId, cmdId);
    budget?.addCall(clock.nowMs());
    for (let number = 0;; number++) {
      try {
        return await this.#attempt(modId, cmdId, host, fn, { number, endMs, timeoutMs, retcodeOf });
      } catch (error) {
        const isFinal = number >= retries || clock.nowMs() >= endMs ||
          options.isRetryable?.(error, host) === false;
        tried.push(host);
        // The budget first: when it is spent, looking for another node would be load for nothing.
        if (isFinal || !this.#mayRetry(budget)) throw error;
        const next = await another(pick, tried);
        if (next === undefined) {
          budget?.giveBack(clock.nowMs());
          throw error;
        }
        this.#retriedCount++;
        host = next;
      }
    }
  }

  /** Asks for a node; the question does not outlast the call. */
  #pick(modId: number, cmdId: number, options: PickOptions, endMs: number): Promise<Host> {
    const leftMs = Math.max(1, endMs - this.#options.clock.nowMs());
    if (leftMs === Infinity) return this.#client.getHost(modId, cmdId, options);
    const { key, deadlineMs = this.#options.deadlineMs } = options;
    const firstRouteMs = options.firstRouteMs ?? this.#options.firstRouteMs ?? FIRST_ROUTE_MS;
    // A deadline that is named ends the wait for a first route too, so none is without need.
    const isNamed = options.deadlineMs !== undefined || leftMs < deadlineMs;
    return this.#client.getHost(modId, cmdId, {
      key,
      firstRouteMs: Math.min(firstRouteMs, leftMs),
      ...(isNamed ? { deadlineMs: Math.min(deadlineMs, leftMs) } : {}),
    });
  }

  async #attempt<T>(
    modId: number,
    cmdId: number,
    host: Host,
    fn: CallFunction<T>,
    limits: Limits,
  ): Promise<T> {
    const { clock } = this.#options;
    const startedMs = clock.nowMs();
    let retcode: number = ReportCode.Other;
    try {
      const { number, endMs } = limits;
      const result = endMs === Infinity
        ? await fn(host, { number, signal: undefined })
        : await this.#untilTimeout(host, fn, limits);
      retcode = ReportCode.Success;
      return result;
    } catch (error) {
      retcode = failedCode(error, host, limits.retcodeOf);
      throw error;
    } finally {
      const timecostMs = Math.max(0, clock.nowMs() - startedMs);
      // The outcome of the call matters more than that nobody can be told.
      if (!this.#options.isClosed()) {
        this.#client.report(modId, cmdId, host.ip, host.port, retcode, timecostMs);
      }
    }
  }

  async #untilTimeout<T>(
    host: Host,
    fn: CallFunction<T>,
    limits: Limits,
  ): Promise<T> {
    const { clock } = this.#options;
    const { number, endMs, timeoutMs } = limits;
    const abort = new AbortController();
    let timer: Timer | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = clock.setTimer(Math.max(0, endMs - clock.nowMs()), () => {
        const error = new TimeoutError(
          `No outcome of the call in ${timeoutMs} ms; the last node was ${host.ip}:${host.port}`,
          timeoutMs,
        );
        abort.abort(error);
        reject(error);
      });
    });
    // Nobody listens to it when fn throws at once, and then its own error counts.
    late.catch(() => {});
    try {
      return await Promise.race([fn(host, { number, signal: abort.signal }), late]);
    } finally {
      timer?.cancel();
    }
  }

  #mayRetry(budget: RetryBudget | undefined): boolean {
    if (budget?.take(this.#options.clock.nowMs()) === true) return true;
    this.#refusedCount++;
    return false;
  }

  #budgetOf(modId: number, cmdId: number): RetryBudget {
    const key = `${modId >>> 0},${cmdId >>> 0}`;
    let budget = this.#budgets.get(key);
    if (budget === undefined) {
      budget = new RetryBudget(this.#share, this.#floorPerSecond);
      this.#budgets.set(key, budget);
      const [oldest] = this.#budgets.keys();
      if (this.#budgets.size > BUDGETS_MAX) this.#budgets.delete(oldest);
    }
    return budget;
  }
}

/** The code to report for a try that failed; what `retcodeOf` says must not make it a success. */
function failedCode(error: unknown, host: Host, retcodeOf: RetryOptions["retcodeOf"]): number {
  const code = retcodeOf?.(error, host) ?? failureCodeOf(error);
  return code !== 0 && code === (code | 0) ? code : ReportCode.Other;
}

/**
 * A node that was not tried yet, else one that was not the last; undefined when there is none, or
 * no answer to the question: then the failure of the try before says more.
 */
async function another(
  pick: () => Promise<Host>,
  tried: readonly Host[],
): Promise<Host | undefined> {
  const is = (one: Host) => (other: Host): boolean =>
    one.ip === other.ip && one.port === other.port;
  let known: Host | undefined;
  for (let picks = 0; picks < PICKS_MAX; picks++) {
    let host: Host;
    try {
      host = await pick();
    } catch (error) {
      if (!(error instanceof LarsError)) throw error;
      return known;
    }
    if (!tried.some(is(host))) return host;
    if (!is(host)(tried[tried.length - 1])) known = host;
  }
  return known;
}
