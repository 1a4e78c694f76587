// Core. What every client offers, whichever way it gets its answers.

import type { ModuleExplanation } from "../balancer/routes/route_records.ts";
import type { RetCode } from "../proto/message_ids.ts";
import type { Host, HostAnswer } from "./host.ts";
import type { CallFunction, CallOptions, PickOptions, RetryOptions } from "./options.ts";

/**
 * A caller's side of Lars. `LarsClient` asks the agent for each node; `InProcessClient` holds the
 * routes and picks by itself. A program written against this interface can use either.
 *
 * Every method throws a RangeError when an argument is out of range, say an id that is not a number
 * of 32 bits, and a ClosedError when the client is closed.
 */
export interface LarsApi {
  /**
   * The next node of a module.
   *
   * @throws {OverloadError} when every node is overloaded.
   * @throws {NoRouteError} when there is no node of the module.
   * @throws {ConnectError} when there was no connection to ask over.
   * @throws {LimitError} when too many questions are under way.
   * @throws {RangeError} when an id is not a number of 32 bits, or a key is too long.
   */
  getHost(modId: number, cmdId: number, options?: PickOptions): Promise<Host>;
  /**
   * Like {@linkcode LarsApi.getHost}, but answers with the return codes of the original instead of
   * exceptions; whatever kept the answer away is a system error with the `error` beside it.
   */
  tryGetHost(modId: number, cmdId: number, options?: PickOptions): Promise<HostAnswer>;
  /**
   * Tells how a call went.
   *
   * @param retcode 0 for success; anything else is a failure.
   * @param timecostMs Time the call took, in milliseconds; a failure that took long weighs more.
   * Left out, it is not known.
   */
  report(
    modId: number,
    cmdId: number,
    ip: string,
    port: number,
    retcode: number,
    timecostMs?: number,
  ): void;
  /**
   * Every node of a module, overloaded ones too; none when there is no such module.
   *
   * @throws what {@linkcode LarsApi.getHost} throws, but for OverloadError and NoRouteError.
   */
  getRoute(modId: number, cmdId: number, options?: CallOptions): Promise<Host[]>;
  /**
   * Why which node of a module is picked: each node with weight, state, counts, the reason of its
   * state and its share of the latest picks, the shares of zones, and the latest decisions.
   * Undefined when the module is not known. Picks are remembered from the first question on, for ten
   * minutes.
   */
  explain(
    modId: number,
    cmdId: number,
    options?: CallOptions,
  ): Promise<ModuleExplanation | undefined>;
  /**
   * Fetches the route of a module when a program starts. Never rejects for want of a route or an
   * agent.
   *
   * @returns 0 when there are nodes, 3 when there are none, 2 when nobody could be asked.
   */
  regInit(modId: number, cmdId: number): Promise<RetCode>;
  /**
   * Picks a node, runs `fn` with it, and reports how it went and how long it took. What `fn`
   * returns or throws passes through; throwing counts as a failure of the node.
   *
   * With `retries` another node is tried after a failure, within the budget of this client; with
   * `timeoutMs` all of it ends in time.
   *
   * @throws what {@linkcode LarsApi.getHost} throws, before `fn` is run.
   * @throws {TimeoutError} when `timeoutMs` are over.
   */
  call<T>(
    modId: number,
    cmdId: number,
    fn: CallFunction<T>,
    options?: RetryOptions,
  ): Promise<T>;
  /** Ends what waits with a ClosedError, sends what is on its way, and closes. May be repeated. */
  close(): Promise<void>;
}
