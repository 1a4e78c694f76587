// Shell. What callers import: the client, its options and its errors.

/**
 * The caller's side of Lars: {@linkcode LarsClient}. Imports no package, so it can be imported
 * from a URL; runs in Deno, Bun and Node.
 *
 * @module
 */
export { LarsClient } from "./client.ts";
export type { Host, HostAnswer } from "./host.ts";
export type { CallOptions, LarsClientOptions, LarsClientStats } from "./options.ts";
export { AgentError, ClosedError, NoAgentError, NoRouteError, OverloadError } from "./errors.ts";
export { ConnectError, LarsError, LimitError, TimeoutError } from "../reactor/errors.ts";
export { RetCode } from "../proto/message_ids.ts";
