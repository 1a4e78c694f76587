// Core. What both clients do alike: errors for return codes, and calls with retries.

import type { ModuleExplanation } from "../balancer/routes/route_records.ts";
import { RetCode } from "../proto/message_ids.ts";
import type { Clock } from "../reactor/time/clock.ts";
import { Caller } from "./caller.ts";
import { AgentError, NoRouteError, OverloadError } from "./errors.ts";
import type { Host, HostAnswer } from "./host.ts";
import type { LarsApi } from "./lars_api.ts";
import {
  type CallFunction,
  type CallOptions,
  checkDeadline,
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

  /** @throws {RangeError} when an option is out of range. */
  constructor(options: RetryBudgetOptions & { deadlineMs?: number }, clock: Clock) {
    this.clock = clock;
    this.deadlineMs = checkDeadline(options.deadlineMs ?? 50);
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
    const { retcode, host, error } = await this.tryGetHost(modId, cmdId, options);
    if (host !== undefined) return host;
    if (error !== undefined) throw error;
    if (retcode === RetCode.Overload) throw new OverloadError(modId, cmdId);
    if (retcode === RetCode.NoExist) throw new NoRouteError(modId, cmdId);
    throw new AgentError(modId, cmdId, retcode);
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
