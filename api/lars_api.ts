// Core. What every client offers, whichever way it gets its answers.

import type { ModuleExplanation } from "../balancer/routes/route_records.ts";
import type { RetCode } from "../proto/message_ids.ts";
import type { CallFunction } from "./caller.ts";
import type { Host, HostAnswer } from "./host.ts";
import type { CallOptions, PickOptions, RetryOptions } from "./options.ts";

/**
 * A caller's side of Lars. `LarsClient` asks the agent for each node; `InProcessClient` holds the
 * routes and picks by itself. A program written against this interface can use either.
 */
export interface LarsApi {
  /**
   * The next node of a module.
   *
   * @throws {LarsError} when there is none to give; see the README for the classes.
   */
  getHost(modId: number, cmdId: number, options?: PickOptions): Promise<Host>;
  /** The same with the return codes of the original instead of exceptions. */
  tryGetHost(modId: number, cmdId: number, options?: PickOptions): Promise<HostAnswer>;
  /**
   * Tells how a call went: 0 is success, anything else a failure. `timecostMs` is what it took;
   * left out, it is not known.
   */
  report(
    modId: number,
    cmdId: number,
    ip: string,
    port: number,
    retcode: number,
    timecostMs?: number,
  ): void;
  /** Every node of a module, overloaded ones too. */
  getRoute(modId: number, cmdId: number, options?: CallOptions): Promise<Host[]>;
  /**
   * Why which node of a module is picked: each node with weight, state, counts, the reason of its
   * state and its share of the latest picks, the shares of zones, and the latest decisions.
   * Undefined when the module is not known. Picks are remembered from the first question on.
   */
  explain(
    modId: number,
    cmdId: number,
    options?: CallOptions,
  ): Promise<ModuleExplanation | undefined>;
  /** Fetches the route of a module when a program starts. */
  regInit(modId: number, cmdId: number): Promise<RetCode>;
  /**
   * Picks a node, runs `fn` with it, and reports how it went and how long it took; tries other
   * nodes when `fn` throws, if `options` say so.
   */
  call<T>(
    modId: number,
    cmdId: number,
    fn: CallFunction<T>,
    options?: RetryOptions,
  ): Promise<T>;
  /** Ends what waits with a ClosedError, sends what is on its way, and closes. */
  close(): Promise<void>;
}
