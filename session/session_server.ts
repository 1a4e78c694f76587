// Shell. The server of one loop of a service: connections, sessions and counters in one piece.

import { type Address, isLoopback } from "../reactor/address.ts";
import type { Clock } from "../reactor/time/clock.ts";
import type { Logger } from "../reactor/log.ts";
import type { BodyBytesMaxOf } from "../reactor/frame.ts";
import { runtime, type TcpTransport } from "../reactor/runtime/mod.ts";
import { type Connection, TcpServer, UNKNOWN_IDS_MAX } from "../reactor/tcp/tcp_server.ts";
import type { PeerTrust } from "./peer_trust.ts";
import { newNonce, proofOf } from "./proof.ts";
import { Secrets } from "./secrets.ts";
import { ServerSessions, type ServerSessionsOptions } from "./server_sessions.ts";
import type { TlsDoor } from "./tls/tls_door.ts";

/** Plain values that a loop's server is made from; they pass to workers. */
export interface SessionServerInit extends PeerTrust {
  readonly hostname: string;
  /** Connections of this loop. */
  readonly connectionsMax: number;
  /** Connections of one remote address in this loop, loopback excepted; 0 or absent: no limit. */
  readonly connectionsPerHostMax?: number;
  /** Bytes that may wait for one peer; one for which more would is closed. @default {8 MiB} */
  readonly outputBytesMax?: number;
  /** Loops that share the connections of this service. @default {1} */
  readonly loopCount?: number;
  /** Said in Hello. */
  readonly software: string;
  /** See {@linkcode ServerSessionsOptions}. */
  readonly wantsProof?: boolean;
  readonly translated?: boolean;
}

/** What the application does with connections. */
export interface SessionServerOptions {
  /** What this service is, said in Hello: `dns`. */
  readonly role: string;
  readonly init: SessionServerInit;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where connections come from. Default: the sockets of the runtime. */
  readonly transport?: TcpTransport | undefined;
  onClose?(peer: Connection): void;
  onDrain?(peer: Connection): void;
  /** See {@linkcode ServerSessionsOptions}. */
  readonly pongDetail?: ServerSessionsOptions<Connection>["pongDetail"];
  onWelcomed?(peer: Connection): void;
  onGoodbye?(peer: Connection, reason: string): void;
  /** Ids of a foreign protocol on the same port; see {@linkcode ServerSessionsOptions}. */
  isForeign?(msgId: number): boolean;
  /** As {@linkcode TcpServerOptions} have them. */
  readonly bodyBytesMaxOf?: BodyBytesMaxOf;
  readonly unknownIdsMax?: number;
}

/** {@linkcode ServerSessions} of a {@linkcode TcpServer}. Add handlers to `router` before `listen`. */
export class SessionServer extends ServerSessions<Connection> {
  readonly #options: SessionServerOptions;
  readonly #secrets: Secrets | undefined;
  #trust: PeerTrust;
  #server: TcpServer | undefined;
  /** Around the transport, where there is TLS. */
  #door: TlsDoor | undefined;

  constructor(options: SessionServerOptions) {
    const { role, init, clock, log, pongDetail, onWelcomed, onGoodbye, isForeign } = options;
    const { software, secrets: all, wantsProof, translated, loopCount } = init;
    const secrets = all === undefined ? undefined : new Secrets(all);
    const hasCertificates = init.tls !== undefined;
    const about = { role, software, secrets, wantsProof, translated, loopCount, hasCertificates };
    const calls = { pongDetail, onWelcomed, onGoodbye, isForeign };
    super({ ...about, ...calls, clock, log, prove: proofOf, newNonce });
    this.#options = options;
    this.#secrets = secrets;
    this.#trust = init;
  }

  /** Believes this from now on; who proved what is believed no more is closed. */
  setTrust(trust: PeerTrust): void {
    const { secrets, tls } = this.#trust = trust;
    if (secrets !== undefined) this.#secrets?.replace(secrets);
    if (tls !== undefined) this.#door?.setMaterial(tls);
  }

  /**
   * Begins to accept connections.
   *
   * @returns the address with the real port.
   * @throws {BindError} when the port is taken.
   */
  async listen(port: number, reusePort: boolean): Promise<Address> {
    const {
      init,
      clock,
      log,
      onClose,
      onDrain,
      bodyBytesMaxOf,
      unknownIdsMax = UNKNOWN_IDS_MAX,
    } = this.#options;
    this.#server = new TcpServer({
      hostname: init.hostname,
      port,
      reusePort,
      transport: await this.#transport(),
      ...(init.outputBytesMax === undefined ? {} : { outputBytesMax: init.outputBytesMax }),
      connectionsMax: init.connectionsMax,
      connectionsPerHostMax: init.connectionsPerHostMax || Infinity,
      isExemptHost: isLoopback,
      router: this.router,
      bodyBytesMaxOf,
      unknownIdsMax,
      clock,
      log,
      onAccept: (peer) => this.accept(peer),
      onClose: (peer) => {
        this.forget(peer);
        onClose?.(peer);
      },
      onDrain,
    });
    return await this.#server.listen();
  }

  /** Without TLS none of it is loaded. */
  async #transport(): Promise<TcpTransport> {
    const { transport = runtime, clock, log } = this.#options;
    const { tls } = this.#trust;
    if (tls === undefined) return transport;
    const { TlsDoor } = await import("./tls/tls_door.ts");
    return this.#door = new TlsDoor({ transport, clock, log, material: this.#trust.tls ?? tls });
  }

  /** Counters since the start, and the present number of connections. */
  stats(): Record<string, number> {
    const server = this.#server?.stats;
    return {
      connections: server?.open ?? 0,
      connections_plain: Math.max(0, (server?.open ?? 0) - this.extendedCount),
      connections_accepted: server?.accepted ?? 0,
      connections_refused: server?.refusedOverLimit ?? 0,
      connections_evicted: server?.evicted ?? 0,
      connections_refused_of_host: server?.refusedOverHostLimit ?? 0,
      protocol_errors: server?.protocolErrors ?? 0,
      unknown_ids: server?.unknownIds ?? 0,
      slow_readers: server?.slowReaders ?? 0,
      frame_timeouts: server?.frameTimeouts ?? 0,
      handler_errors: server?.handlerErrors ?? 0,
      not_authenticated: this.refusedCount,
      hosts_refused_lately: this.refusedHostCount,
      silent_peers: this.silentCount,
      ...this.#door?.stats,
    };
  }

  /** Stops accepting, and sends peers elsewhere; see {@linkcode ServerSessions.leave}. */
  override leave(): Promise<void> {
    this.#server?.stopAccepting();
    return super.leave();
  }

  /** Stops accepting and closes all connections. */
  async close(): Promise<void> {
    await this.#server?.close();
    this.#door?.close();
  }
}
