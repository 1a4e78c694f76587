// Shell. Sessions over the sockets of the reactor, in Deno and Bun.

import { runtime } from "../reactor/runtime/mod.ts";
import type { SessionTransport } from "./handshake.ts";
import { newNonce, proofOf } from "./proof.ts";

/** The transport of services and tools. */
export const runtimeTransport: SessionTransport = {
  connectTcp: (options) => runtime.connectTcp(options),
  prove: proofOf,
  newNonce,
};
