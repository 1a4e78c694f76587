// Shell. The server of one loop of a service: connections, greeting and counters in one piece.

import { type Address, isLoopback } from "../reactor/address.ts";
import type { Clock } from "../reactor/time/clock.ts";
import type { Logger } from "../reactor/log.ts";
import { MessageRouter } from "../reactor/message_router.ts";
import { type Connection, TcpServer } from "../reactor/tcp/tcp_server.ts";
import { type Greeting, HelloGate } from "./hello.ts";

/** Plain values that a loop's server is made from; they pass to workers. */
export interface GreetingServerInit {
  readonly hostname: string;
  /** Connections of this loop. */
  readonly connectionsMax: number;
  /** Connections of one remote address in this loop, loopback excepted; 0 or absent: no limit. */
  readonly connectionsPerHostMax?: number;
  /** Said in Hello. */
  readonly software: string;
  /** The secret that peers must prove to know, if there is one. */
  readonly token: Uint8Array | undefined;
}

/** What the application does with connections. */
export interface GreetingServerOptions {
  /** What this service is, said in Hello: `dns`. */
  readonly role: string;
  readonly init: GreetingServerInit;
  readonly clock: Clock;
  readonly log: Logger;
  onClose?(peer: Connection): void;
  onDrain?(peer: Connection): void;
}

/** A {@linkcode TcpServer} behind a {@linkcode HelloGate}. Add handlers to `router` before `listen`. */
export class GreetingServer {
  /** Handlers of what peers send. */
  readonly router: MessageRouter<Connection>;
  readonly #options: GreetingServerOptions;
  readonly #gate: HelloGate<Connection>;
  #server: TcpServer | undefined;

  constructor(options: GreetingServerOptions) {
    const { role, init, clock, log } = options;
    this.#options = options;
    this.router = new MessageRouter<Connection>({ log, clock });
    this.#gate = new HelloGate<Connection>({
      software: init.software,
      role,
      ...(init.token === undefined ? {} : { token: init.token }),
      clock,
      log,
    });
    this.#gate.install(this.router);
  }

  /** True when the peer said Hello and so may be sent our own messages and fields. */
  isExtended(peer: Connection): boolean {
    return this.#gate.isExtended(peer);
  }

  /** What a peer said of itself; undefined when it has not said Hello. */
  greetingOf(peer: Connection): Greeting | undefined {
    return this.#gate.greetingOf(peer);
  }

  /**
   * Begins to accept connections.
   *
   * @returns the address with the real port.
   * @throws {BindError} when the port is taken.
   */
  listen(port: number, reusePort: boolean): Promise<Address> {
    const { init, clock, log, onClose, onDrain } = this.#options;
    this.#server = new TcpServer({
      hostname: init.hostname,
      port,
      reusePort,
      connectionsMax: init.connectionsMax,
      connectionsPerHostMax: init.connectionsPerHostMax || Infinity,
      isExemptHost: isLoopback,
      router: this.router,
      clock,
      log,
      onAccept: (peer) => this.#gate.accept(peer),
      onClose: (peer) => {
        this.#gate.forget(peer);
        onClose?.(peer);
      },
      onDrain,
    });
    return this.#server.listen();
  }

  /** Counters since the start, and the present number of connections. */
  stats(): Record<string, number> {
    const server = this.#server?.stats;
    return {
      connections: server?.open ?? 0,
      connections_plain: Math.max(0, (server?.open ?? 0) - this.#gate.extendedCount),
      connections_accepted: server?.accepted ?? 0,
      connections_refused: server?.refusedOverLimit ?? 0,
      connections_refused_of_host: server?.refusedOverHostLimit ?? 0,
      protocol_errors: server?.protocolErrors ?? 0,
      unknown_ids: server?.unknownIds ?? 0,
      slow_readers: server?.slowReaders ?? 0,
      frame_timeouts: server?.frameTimeouts ?? 0,
      handler_errors: server?.handlerErrors ?? 0,
      not_authenticated: this.#gate.refusedCount,
      silent_peers: this.#gate.silentCount,
    };
  }

  /** Stops accepting and closes all connections. */
  async close(): Promise<void> {
    await this.#server?.close();
  }
}
