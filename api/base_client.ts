// Core. What both clients do alike: errors for return codes, and calls with retries.

import type { ModuleExplanation } from "../balancer/routes/route_records.ts";
import { RetCode } from "../proto/message_ids.ts";
import type { Clock } from "../reactor/time/clock.ts";
import { Caller } from "./caller.ts";
import { AgentError, NoRouteError, OverloadError } from "./errors.ts";
import { FirstRoutes, isAbsent } from "./first_route.ts";
import type { Host, HostAnswer } from "./host.ts";
import type { LarsApi } from "./lars_api.ts";
import {
  type CallFunction,
  type CallOptions,
  checkDeadline,
  checkFirstRoute,
  FIRST_ROUTE_MS,
  type FirstRouteOptions,
  type PickOptions,
  type RetryBudgetOptions,
  type RetryOptions,
} from "./options.ts";

/** What is left to a client: how it learns nodes and tells outcomes. */
export abstract class BaseClient implements LarsApi {
  /** Source of time. */
  protected readonly clock: Clock;
  /** Time of a question that names none, in milliseconds. */
  protected readonly deadlineMs: number;
  protected closed = false;
  readonly #caller: Caller;
  readonly #firstRoutes: FirstRoutes;
  readonly #firstRouteMs: number;
  /** The deadline that was named; undefined: that of the client is its default. */
  readonly #namedDeadlineMs: number | undefined;

  /** @throws {RangeError} when an option is out of range. */
  constructor(
    options: RetryBudgetOptions & FirstRouteOptions & { deadlineMs?: number },
    clock: Clock,
  ) {
    this.clock = clock;
    this.deadlineMs = checkDeadline(options.deadlineMs ?? 50);
    this.#namedDeadlineMs = options.deadlineMs;
    this.#firstRouteMs = checkFirstRoute(options.firstRouteMs ?? FIRST_ROUTE_MS);
    this.#firstRoutes = new FirstRoutes({
      clock,
      getRoute: (modId, cmdId, own) => this.getRoute(modId, cmdId, own),
      isClosed: () => this.closed,
    });
    this.#caller = new Caller(this, {
      ...options,
      clock,
      deadlineMs: this.deadlineMs,
      isClosed: () => this.closed,
    });
  }

  abstract tryGetHost(modId: number, cmdId: number, options?: PickOptions): Promise<HostAnswer>;
  abstract report(
    ...args: Parameters<LarsApi["report"]>
  ): void;
  abstract getRoute(modId: number, cmdId: number, options?: CallOptions): Promise<Host[]>;
  abstract explain(
    modId: number,
    cmdId: number,
    options?: CallOptions,
  ): Promise<ModuleExplanation | undefined>;
  abstract regInit(modId: number, cmdId: number): Promise<RetCode>;
  abstract close(): Promise<void>;

  async getHost(modId: number, cmdId: number, options: PickOptions = {}): Promise<Host> {
    const startedMs = this.clock.nowMs();
    const wishedMs = checkFirstRoute(options.firstRouteMs ?? this.#firstRouteMs);
    let answer = await this.tryGetHost(modId, cmdId, options);
    if (wishedMs > 0 && this.mayComeYet(answer)) {
      answer = await this.#pickAgain(modId, cmdId, options, startedMs, wishedMs) ?? answer;
    }
    const { retcode, host, error } = answer;
    if (host !== undefined) {
      this.#firstRoutes.arrived(modId, cmdId);
      return host;
    }
    if (error !== undefined) throw error;
    if (retcode === RetCode.Overload) throw new OverloadError(modId, cmdId);
    if (retcode === RetCode.NoExist) throw new NoRouteError(modId, cmdId);
    throw new AgentError(modId, cmdId, retcode);
  }

  /** True for an answer that may be another one in a moment, when the first route has come. */
  protected mayComeYet(answer: HostAnswer): boolean {
    return isAbsent(answer);
  }

  /** Picks once more when the first route of the module has come; undefined: nobody waits for it. */
  async #pickAgain(
    modId: number,
    cmdId: number,
    options: PickOptions,
    startedMs: number,
    wishedMs: number,
  ): Promise<HostAnswer | undefined> {
    const namedMs = options.deadlineMs ?? this.#namedDeadlineMs ?? Infinity;
    const endMs = startedMs + Math.min(wishedMs, namedMs);
    if (!await this.#firstRoutes.wait(modId, cmdId, endMs)) return undefined;
    if (namedMs === Infinity) return await this.tryGetHost(modId, cmdId, options);
    const deadlineMs = startedMs + namedMs - this.clock.nowMs();
    return deadlineMs <= 0
      ? undefined
      : await this.tryGetHost(modId, cmdId, { ...options, deadlineMs });
  }

  call<T>(
    modId: number,
    cmdId: number,
    fn: CallFunction<T>,
    options: RetryOptions = {},
  ): Promise<T> {
    return this.#caller.run(modId, cmdId, fn, options);
  }

  /** {@linkcode LarsApi.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Counters of `call`. */
  protected get retryStats(): { readonly retried: number; readonly retriesRefused: number } {
    return { retried: this.#caller.retriedCount, retriesRefused: this.#caller.refusedCount };
  }
}
