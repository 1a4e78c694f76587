// Shell. The sessions of in-process clients: over node:net, without keeping the program alive.

import type { Address } from "../reactor/address.ts";
import { FRAME_BODY_BYTES_MAX } from "../reactor/frame.ts";
import { silentLogger } from "../reactor/log.ts";
import type { Clock } from "../reactor/time/clock.ts";
import type { Rng } from "../reactor/time/rng.ts";
import type { Link, LinkEvents } from "../session/link.ts";
import { Secrets } from "../session/secrets.ts";
import { type ClientTls, transportOf } from "./tls_option.ts";
import { SessionClient, UPSTREAM_NAME } from "../session/session_client.ts";

/** Time between two pings, and for the answer to each: a peer that misses two is left. */
export const PING_MS = 800;

/** Bytes that may wait in a connection, and one message more; a further one is refused. */
const OUTPUT_BYTES_MAX = 256 * 1024;

/** What {@linkcode openUpstreamLink} is given. */
export interface UpstreamLinkOptions extends LinkEvents {
  /** Tried in turn. */
  readonly addresses: readonly Address[];
  readonly token: Uint8Array | undefined;
  readonly tls?: ClientTls | undefined;
  /** See {@linkcode SessionClientOptions}. */
  readonly welcomeWaitMs: number;
  /** Its timers should not keep the program alive. */
  readonly clock: Clock;
  readonly rng: Rng;
}

/** A session with an agent, a dns or a reporter, not begun yet. */
export function openUpstreamLink(options: UpstreamLinkOptions): Link {
  return new SessionClient({
    ...options,
    secrets: Secrets.ofToken(options.token),
    name: UPSTREAM_NAME,
    role: "client",
    software: "lars-api",
    transport: transportOf(options.tls),
    log: silentLogger,
    heartbeat: { intervalMs: PING_MS, answerMs: PING_MS },
    outputBytesMax: OUTPUT_BYTES_MAX + FRAME_BODY_BYTES_MAX,
    awaitPeerEnd: true,
    secretMissingReason: "the other side wants a secret and there is none: give option token",
  });
}
