// Shell. One port of discovery: our own sessions and the seed's protocol beside each other.

import type { Address } from "../reactor/address.ts";
import { FRAME_BODY_BYTES_MAX } from "../reactor/frame.ts";
import type { Logger } from "../reactor/log.ts";
import type { MessageRouter } from "../reactor/message_router.ts";
import type { Connection } from "../reactor/tcp/tcp_server.ts";
import type { TcpTransport } from "../reactor/runtime/types.ts";
import type { Clock } from "../reactor/time/clock.ts";
import type { PeerTrust } from "../session/peer_trust.ts";
import { SessionServer, type SessionServerInit } from "../session/session_server.ts";
import { SEED_COMMANDS_END, seedBodyBytesMax } from "./seed/seed_frames.ts";
import { type SeedEvents, SeedProtocol } from "./seed/seed_protocol.ts";
import { SeedServers } from "./seed/seed_servers.ts";

/** What a {@linkcode DiscoveryListener} is made of. */
export interface DiscoveryListenerOptions {
  readonly init: SessionServerInit;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where connections come from. @default the sockets of the runtime */
  readonly sockets?: TcpTransport | undefined;
  /** What the seed's commands do; undefined: they are passed over. */
  readonly seed?: SeedEvents & { readonly connectionAgeMs?: number };
  /** Peers that cannot prove our secret may use the seed's commands all the same. */
  readonly seedIsOpen?: boolean;
  /** Adds the handlers of our own messages. */
  addTo?(router: MessageRouter<Connection>, sessions: SessionServer): void;
  /** A connection has ended that this listener did not end as it closed. */
  onClose?(peer: Connection): void;
  onGoodbye?(peer: Connection): void;
}

/**
 * Heads of both protocols are the same, and their ids do not meet: the seed's end below 64, where
 * ours begin. So one port serves both, and who knows it needs no other.
 */
export class DiscoveryListener {
  /** Servers that clients of the seed's protocol are given. */
  readonly seedServers: SeedServers;
  readonly #sessions: SessionServer;
  #isClosing = false;

  constructor(options: DiscoveryListenerOptions) {
    const { init, clock, log, seed, seedIsOpen = false, onClose, onGoodbye } = options;
    this.seedServers = new SeedServers({
      nowMs: () => clock.nowMs(),
      ...(seed?.connectionAgeMs === undefined ? {} : { connectionAgeMs: seed.connectionAgeMs }),
    });
    this.#sessions = new SessionServer({
      ...{ role: "discovery", init, clock, log, transport: options.sockets },
      // Commands that nobody knows are passed over, however many.
      unknownIdsMax: Infinity,
      bodyBytesMaxOf: (msgId) => seedBodyBytesMax(msgId, FRAME_BODY_BYTES_MAX),
      isForeign: (msgId) => seedIsOpen && msgId < SEED_COMMANDS_END,
      onClose: (peer) => {
        if (!this.#isClosing) onClose?.(peer);
      },
      onGoodbye: (peer) => onGoodbye?.(peer),
    });
    if (seed !== undefined) {
      new SeedProtocol<Connection>(this.seedServers, seed).addTo(this.#sessions.router);
    }
    options.addTo?.(this.#sessions.router, this.#sessions);
  }

  /** Begins to accept. @throws {BindError} when the port is taken. */
  listen(port: number): Promise<Address> {
    return this.#sessions.listen(port, false);
  }

  /** Believes this from now on. */
  setTrust(trust: PeerTrust): void {
    this.#sessions.setTrust(trust);
  }

  /** Counters of its connections. */
  stats(): Record<string, number> {
    return this.#sessions.stats();
  }

  /** Stops accepting and closes all connections, whose nodes are not lost by that: nothing is told. */
  close(): Promise<void> {
    this.#isClosing = true;
    return this.#sessions.close();
  }
}
