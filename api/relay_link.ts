// Shell. The sessions of clients and workers of a relay, over node:net.

import type { Address } from "../reactor/address.ts";
import { silentLogger } from "../reactor/log.ts";
import type { Clock } from "../reactor/time/clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import type { LinkEvents } from "../session/link.ts";
import { Secrets } from "../session/secrets.ts";
import { type ClientTls, transportOf } from "./tls_option.ts";
import { SessionClient } from "../session/session_client.ts";

/** Bytes that may wait in the connection to a relay; a further message is refused. */
export const RELAY_OUTPUT_BYTES_MAX = 4 * 1024 * 1024;

/** Time between two pings: a relay that misses two is left. */
const RELAY_PING_MS = 1_600;

/** What {@linkcode openRelayLink} is given. */
export interface RelayLinkOptions extends LinkEvents {
  readonly addresses: readonly Address[];
  readonly token: Uint8Array | undefined;
  readonly tls?: ClientTls | undefined;
  /** What it is: `client` or `worker`. */
  readonly role: string;
  readonly clock: Clock;
  /** The relay stops soon, and it is the turn of this one to go. @default {it goes at once} */
  onLeaving?(): void;
}

/** A session with a relay of ours, not begun yet. */
export function openRelayLink(options: RelayLinkOptions): SessionClient {
  return new SessionClient({
    ...options,
    secrets: Secrets.ofToken(options.token),
    name: "relay",
    software: "lars-api",
    transport: transportOf(options.tls),
    rng: systemRng,
    log: silentLogger,
    welcomeWaitMs: Infinity,
    heartbeat: { intervalMs: RELAY_PING_MS, answerMs: RELAY_PING_MS },
    outputBytesMax: RELAY_OUTPUT_BYTES_MAX,
    awaitPeerEnd: true,
    secretMissingReason: "the relay wants a secret and there is none: give option token",
  });
}
