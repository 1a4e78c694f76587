// Shell. What callers import: the client, its options and its errors.

/**
 * The caller's side of Lars: {@linkcode LarsClient}, which asks the agent of this host, and
 * {@linkcode InProcessClient}, which picks by itself. Imports no package, so it can be imported
 * from a URL; runs in Deno, Bun and Node.
 *
 * @module
 */
export { LarsClient } from "./client.ts";
export { InProcessClient } from "./in_process_client.ts";
export type { InProcessClientOptions, InProcessClientStats } from "./in_process_options.ts";
export type { LarsApi } from "./lars_api.ts";
export type { ModuleExplanation } from "../balancer/routes/route_records.ts";
export type { Host, HostAnswer } from "./host.ts";
export type {
  CallAttempt,
  CallFunction,
  CallOptions,
  LarsClientOptions,
  LarsClientStats,
  PickOptions,
  RetryBudgetOptions,
  RetryOptions,
} from "./options.ts";
export {
  AgentError,
  ClosedError,
  NoAgentError,
  NoRouteError,
  OverloadError,
  RelayError,
} from "./errors.ts";
export { RelayClient } from "./relay_client.ts";
export type {
  RelayClientOptions,
  RelayLetter,
  RelayPerson,
  RelayRequestOptions,
  RelayResume,
  RelaySendOptions,
  RelayWelcome,
} from "./relay_options.ts";
export { type RelayJob, RelayWorker, type RelayWorkerOptions } from "./relay_worker.ts";
export {
  type DiscoveryOptions,
  type NodeCloseOptions,
  NodeRegistrar,
  register,
  RegisteredNode,
  RegisterError,
  type RegisterOptions,
} from "./register.ts";
export type { ClientTls } from "./tls_option.ts";
export type { RegistrationState } from "./registration_types.ts";
export type { CloseOutcome } from "./registrar.ts";
export { checkStatus, isNodeFailure, type StatusAnswer, StatusError } from "./status.ts";
export { ConnectError, LarsError, LimitError, TimeoutError } from "../reactor/errors.ts";
export type { PickKey } from "../proto/pick_key.ts";
export { RelayStatus, RetCode } from "../proto/message_ids.ts";
