// Shell. A second port of a relay, for browsers: WebSocket (RFC 6455), whose messages are frames.

import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
// @ts-types="./ws.d.ts"
import { WebSocketServer } from "ws";
import { type Address, formatAddress } from "../reactor/address.ts";
import { messageOf } from "../reactor/errors.ts";
import { type Logger, LogRateLimiter } from "../reactor/log.ts";
import { toBindError } from "../reactor/runtime/common.ts";
import { type HttpPort, openHttp } from "../reactor/runtime/http.ts";
import type { Stream, TcpTransport } from "../reactor/runtime/types.ts";
import { connectionBudget } from "../reactor/tcp/tcp_server.ts";
import { type Clock, setRepeating, type Timer } from "../reactor/time/clock.ts";
import { Deadlines } from "./broker/deadlines.ts";
import { LinkedList, type ListPlace } from "./broker/linked_list.ts";
import { mayTalk } from "./web_origin.ts";
import { WEB_MESSAGE_BYTES_MAX, WebStream } from "./web_stream.ts";

/** Time for a connection to become a WebSocket, and then for its first message. */
export const UPGRADE_MS = 5_000;

/** Connections that are no WebSockets yet; for a further one the oldest is closed. */
export const UPGRADES_MAX = 256;

/** Time between two pings; who has not answered by the next one is cut. */
export const WEB_PING_MS = 20_000;

/** What a {@linkcode WebPort} is given. */
export interface WebPortOptions extends WebPortLimits {
  readonly hostname: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Pages that may talk to the relay, as `mayTalk` has it. */
  readonly origins: readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
}

/** Times of a {@linkcode WebPort}, in milliseconds. */
export interface WebPortLimits {
  /** @default {UPGRADE_MS} */
  readonly upgradeMs?: number;
  /** @default {WEB_PING_MS} */
  readonly pingMs?: number;
}

/** A connection that is no WebSocket yet. */
interface Visitor {
  place: ListPlace<Visitor> | undefined;
  deadline: ListPlace<() => void> | undefined;
  readonly socket: Socket;
}

/** Where WebSockets come in, beside the connections of another transport. */
export class WebPort {
  readonly #options: WebPortOptions;
  readonly #logLimiter: LogRateLimiter;
  readonly #upgrader = new WebSocketServer({
    ...{ noServer: true, perMessageDeflate: false, autoPong: false, clientTracking: false },
    maxPayload: WEB_MESSAGE_BYTES_MAX,
  });
  readonly #visitors = new LinkedList<Visitor>();
  readonly #visitorOf = new Map<Duplex, Visitor>();
  readonly #deadlines: Deadlines<() => void>;
  readonly #open = new Set<WebStream>();
  readonly #counts = { upgraded: 0, broken: 0, foreign: 0, silent: 0 };
  #pinger: Timer | undefined;
  #port: HttpPort | undefined;
  #address: Address;
  /** Takes a connection; undefined: nobody does. */
  #taker: ((stream: Stream) => void) | undefined;

  private constructor(options: WebPortOptions) {
    this.#options = options;
    this.#logLimiter = new LogRateLimiter(options.clock);
    this.#deadlines = new Deadlines(options.clock, (giveUp) => giveUp());
    this.#address = { hostname: options.hostname, port: options.port };
  }

  /** Opens the port; who comes waits until somebody listens. @throws {BindError} naming host:port. */
  static async open(options: WebPortOptions): Promise<WebPort> {
    const { hostname, port, clock, pingMs = WEB_PING_MS } = options;
    const made = new WebPort(options);
    try {
      made.#port = await openHttp({
        ...{ hostname, port },
        onConnection: (socket) => made.#visit(socket),
        onRequest: (_request, response) => {
          const head = { "content-type": "text/plain", upgrade: "websocket", connection: "close" };
          response.writeHead(426, head).end("This port speaks WebSocket.\n");
        },
        onUpgrade: (request, socket, head) => made.#upgrade(request, socket, head),
        onLost: (error) => made.#lost(error),
      });
    } catch (error) {
      throw toBindError("TCP", { hostname, port }, error);
    }
    made.#address = { hostname, port: made.#port.port };
    made.#pinger = setRepeating(clock, pingMs, () => {
      for (const stream of [...made.#open]) stream.ask();
    });
    return made;
  }

  /** With the real port. */
  get address(): Address {
    return this.#address;
  }

  /** Counters since the start, and present numbers. */
  get stats(): Record<string, number> {
    const { upgraded, broken, foreign, silent } = this.#counts;
    return {
      connections_web: this.#open.size,
      web_upgraded: upgraded,
      web_broken: broken,
      web_foreign: foreign,
      web_silent: silent,
    };
  }

  /** A transport that gives the connections of another one, and those of this port. */
  beside(transport: TcpTransport): TcpTransport {
    return {
      listenTcp: (options) => {
        const listener = transport.listenTcp(options);
        const leave = connectionBudget.join(() => this.#evict());
        this.#taker = options.onConnection;
        return {
          address: listener.address,
          close: (): void => {
            leave();
            this.#taker = undefined;
            while (this.#evict());
            void this.#port?.close();
            listener.close();
          },
        };
      },
    };
  }

  /** Ends the port, and what is left of its connections. */
  close(): void {
    this.#taker = undefined;
    this.#pinger?.cancel();
    while (this.#evict());
    for (const stream of [...this.#open]) stream.cut("the relay stops");
    this.#deadlines.clear();
    void this.#port?.close();
  }

  #visit(socket: Socket): void {
    // Whatever happens to a connection is its own affair.
    socket.on("error", () => socket.destroy());
    if (this.#visitors.size >= UPGRADES_MAX) this.#evict();
    if (this.#taker === undefined || !connectionBudget.take()) return void socket.destroy();
    const visitor: Visitor = { socket, place: undefined, deadline: undefined };
    visitor.place = this.#visitors.add(visitor);
    visitor.deadline = this.#inTime(() => this.#giveUp(visitor));
    this.#visitorOf.set(socket, visitor);
    socket.once("close", () => this.#forget(visitor));
  }

  #inTime(giveUp: () => void): ListPlace<() => void> {
    return this.#deadlines.add(giveUp, this.#options.upgradeMs ?? UPGRADE_MS);
  }

  #forget(visitor: Visitor): void {
    if (!this.#visitorOf.delete(visitor.socket)) return;
    visitor.place?.remove();
    visitor.deadline?.remove();
    connectionBudget.give();
  }

  #evict(): boolean {
    const oldest = this.#visitors.first;
    if (oldest !== undefined) this.#giveUp(oldest);
    return oldest !== undefined;
  }

  #giveUp(visitor: Visitor): void {
    this.#counts.silent++;
    this.#forget(visitor);
    visitor.socket.destroy();
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Uint8Array): void {
    const { origins } = this.#options;
    const { origin, host } = request.headers;
    const visitor = this.#visitorOf.get(socket);
    if (visitor === undefined) return void socket.destroy();
    if (!mayTalk(origin, host, origins)) {
      this.#counts.foreign++;
      this.#say("origin", "WebSocket refused: pages of this origin may not talk to the relay", {
        origin: origin?.slice(0, 200),
        host: host?.slice(0, 200),
      });
      const text = "Pages of this origin may not talk to the relay: see [relay] web_origins.\n";
      socket.end(
        `HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: text/plain\r\n` +
          `Content-Length: ${text.length}\r\n\r\n${text}`,
      );
      return;
    }
    this.#upgrader.handleUpgrade(request, socket, head, (webSocket) => {
      this.#forget(visitor);
      const taker = this.#taker;
      if (taker === undefined) return webSocket.terminate();
      const { remoteAddress = "", remotePort = 0 } = visitor.socket;
      const hostname = remoteAddress.replace(/^::ffff:(?=\d+\.)/, "");
      const silence = this.#inTime(() => {
        this.#counts.silent++;
        stream.refuse(`no message for ${UPGRADE_MS / 1000} s`);
      });
      const stream: WebStream = new WebStream(webSocket, {
        remote: { hostname, port: remotePort },
        local: this.#address,
        clock: this.#options.clock,
        onFirst: () => silence.remove(),
        onBroken: () => void this.#counts.broken++,
        onGone: () => {
          silence.remove();
          this.#open.delete(stream);
        },
      });
      this.#counts.upgraded++;
      this.#open.add(stream);
      taker(stream);
    });
  }

  /** The runtime gave the port up, as it does for want of file descriptors; the relay's own port stays. */
  #lost(error: unknown): void {
    const port = formatAddress(this.#address);
    this.#options.log.error("Port for WebSockets is lost until the relay starts again", {
      ...{ port, error: messageOf(error) },
    });
  }

  #say(kind: string, text: string, fields: Record<string, unknown>): void {
    const held = this.#logLimiter.admit(kind);
    if (held !== undefined) this.#options.log.warn(text, { ...fields, ...held });
  }
}
