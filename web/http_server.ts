// Shell. The console's port: HTTP over node:http, the same on both runtimes, behind a door of our own
// that bounds connections and the time each may take.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { type Address, isLoopback } from "../reactor/address.ts";
import { messageOf } from "../reactor/errors.ts";
import { type Logger, LogRateLimiter } from "../reactor/log.ts";
import { toBindError } from "../reactor/runtime/common.ts";
import { type HttpPort, openHttp } from "../reactor/runtime/http.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import type { HandshakeServers } from "../session/tls/handshake_servers.ts";
import { reservedFiles } from "../reactor/tcp/connection_budget.ts";
import { connectionBudget } from "../reactor/tcp/tcp_server.ts";
import { type Clock, setRepeating, type Timer } from "../reactor/time/clock.ts";

/** Connections at once, and of one address beyond loopback; fewer where few files may be open. */
export const HTTP_CONNECTIONS_MAX = 512;
export const HTTP_CONNECTIONS_PER_HOST_MAX = 128;
/** Time from the connection, or from the first byte of a further request, to a whole head. */
export const HTTP_HEAD_MS = 5_000;
/** Time for the body of a request, and for each so many bytes of it: one a second is too slow. */
export const HTTP_BODY_MS = 30_000;
export const HTTP_BODY_STEP_MS = 8_000;
const BODY_STEP_BYTES = 16 * 1024;
/** Time that a connection may be kept without a request. */
export const HTTP_IDLE_MS = 60_000;
/** Pause before the port is taken again when the runtime has lost it. */
const LISTEN_AGAIN_MS = 1000;
const SWEEP_MS = 500;

/** What {@linkcode HttpServer} is given. */
export interface HttpServerOptions {
  readonly hostname: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** HTTPS by what this gives, asked for each connection. @default {HTTP} */
  readonly handshakes?: (() => HandshakeServers) | undefined;
  /** @default {HTTP_CONNECTIONS_MAX} */
  readonly connectionsMax?: number;
  /** Opens the port. @default {openHttp} */
  readonly open?: typeof openHttp;
  /**
   * Answers one request. What it throws is answered with status 500 and nothing else. A streamed
   * answer is told by `cancel` of its stream that the peer has gone.
   */
  handle(request: Request, remote: Address): Response | Promise<Response>;
}

/** head: has not sent a whole request yet. busy: is being answered. idle: was, and may ask again. */
type Phase = "head" | "body" | "busy" | "idle";

interface Guest {
  readonly socket: Socket;
  readonly hostname: string;
  phase: Phase;
  sinceMs: number;
  /** Of a body: since when less than a step of it has come, and how much. */
  stepMs: number;
  stepBytes: number;
}

const LIMITS_MS: Readonly<Record<Phase, number>> = {
  head: HTTP_HEAD_MS,
  body: HTTP_BODY_MS,
  busy: Infinity,
  idle: HTTP_IDLE_MS,
};

/** Counters since the start; `open` is the present number. */
export interface HttpServerStats {
  readonly open: number;
  /** Connections that were closed at once because a limit was reached. */
  readonly refused: number;
  /** Connections that gave up their place to a new one, or took too long. */
  readonly evicted: number;
  readonly timedOut: number;
}

/** A running HTTP server. Nothing that a peer does ends it, or the process. */
export class HttpServer {
  readonly #options: HttpServerOptions;
  readonly #logLimiter: LogRateLimiter;
  readonly #connectionsMax: number;
  /** The one that came first at the front. */
  readonly #guests = new Map<Socket, Guest>();
  /** Over TLS requests come from a socket above that of the guest. */
  readonly #secured = new WeakMap<Socket, Guest>();
  readonly #perHost = new Map<string, number>();
  readonly #counts = { refused: 0, evicted: 0, timedOut: 0 };
  #port: HttpPort | undefined;
  #timer: Timer | undefined;
  /** The pause before the port is taken again, and the taking that is under way. */
  #pause: Timer | undefined;
  #taking: Promise<void> | undefined;
  #closing = false;
  #leaveBudget = (): void => {};

  constructor(options: HttpServerOptions) {
    this.#options = options;
    this.#logLimiter = new LogRateLimiter(options.clock);
    const files = runtime.openFilesMax() ?? Infinity;
    // Half of what may be open: the other half is for databases, files and the services beside it.
    const ceiling = Math.max(8, Math.floor((files - reservedFiles(files)) / 2));
    this.#connectionsMax = Math.min(options.connectionsMax ?? HTTP_CONNECTIONS_MAX, ceiling);
  }

  get stats(): HttpServerStats {
    return { open: this.#guests.size, ...this.#counts };
  }

  /**
   * Begins to accept.
   *
   * @returns the address with the real port.
   * @throws {BindError} when the port is taken.
   */
  async listen(): Promise<Address> {
    const { hostname, port, clock } = this.#options;
    try {
      this.#port = await this.#open(port);
    } catch (error) {
      throw toBindError("TCP", { hostname, port }, error);
    }
    this.#timer = setRepeating(clock, SWEEP_MS, () => this.#sweep());
    this.#leaveBudget = connectionBudget.join(() => this.#evict());
    return { hostname, port: this.#port.port };
  }

  /** Stops accepting and ends all connections, also those with an answer under way. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#timer?.cancel();
    this.#pause?.cancel();
    this.#leaveBudget();
    const closed = this.#port?.close();
    for (const socket of [...this.#guests.keys()]) socket.destroy();
    await closed;
    await this.#taking;
  }

  #open(port: number): Promise<HttpPort> {
    const { hostname, handshakes, open = openHttp } = this.#options;
    return open({
      ...{ hostname, port },
      ...(handshakes === undefined ? {} : {
        secure: (socket, done) => this.#secure(socket, handshakes(), done),
      }),
      onConnection: (socket) => this.#accept(socket),
      onRequest: (request, response) => void this.#serve(request, response),
      onLost: (error) => this.#lost(port === 0 ? this.#port?.port ?? 0 : port, error),
    });
  }

  /** The runtime gave the port up: it is taken again. */
  #lost(port: number, error: unknown): void {
    const { log } = this.#options;
    log.error("Port of the console is lost, taking it again", { port, error: messageOf(error) });
    this.#takeLater(port);
  }

  #takeLater(port: number): void {
    if (this.#closing) return;
    this.#pause = this.#options.clock.setTimer(LISTEN_AGAIN_MS, () => {
      this.#taking = this.#takeAgain(port);
    });
  }

  async #takeAgain(port: number): Promise<void> {
    const { log } = this.#options;
    try {
      const opened = await this.#open(port);
      // The server may have been closed meanwhile.
      if (this.#closing) return await opened.close();
      this.#port = opened;
      log.info("Port of the console is taken again", { port });
    } catch (reason) {
      log.error("Port of the console cannot be taken yet", { port, error: messageOf(reason) });
      this.#takeLater(port);
    }
  }

  #accept(socket: Socket): void {
    const hostname = socket.remoteAddress?.replace(/^::ffff:(?=\d+\.)/, "") ?? "";
    // Whatever happens to a connection is its own affair.
    socket.on("error", () => socket.destroy());
    if (this.#closing || !this.#hasRoom(hostname) || !connectionBudget.take()) {
      socket.destroy();
      return;
    }
    const sinceMs = this.#options.clock.nowMs();
    const guest: Guest = {
      ...{ socket, hostname, phase: "head", sinceMs },
      ...{ stepMs: sinceMs, stepBytes: 0 },
    };
    this.#guests.set(socket, guest);
    this.#perHost.set(hostname, (this.#perHost.get(hostname) ?? 0) + 1);
    socket.on("close", () => this.#forget(guest));
    // Whoever makes the connection secret reads it.
    if (this.#options.handshakes === undefined) this.#watch(guest, socket);
  }

  /** The first byte of a further request begins its time. */
  #watch(guest: Guest, socket: Socket): void {
    socket.on("data", () => {
      if (guest.phase === "idle") this.#enter(guest, "head");
    });
  }

  /** The time for a head is that for a handshake too. */
  #secure(socket: Socket, servers: HandshakeServers, done: (secured: Socket) => void): void {
    const guest = this.#guests.get(socket);
    if (guest === undefined) return void socket.destroy();
    servers.handshake(socket, {
      onSecure: (secured) => {
        this.#secured.set(secured, guest);
        secured.on("error", () => socket.destroy()).on("close", () => socket.destroy());
        this.#watch(guest, secured);
        done(secured);
      },
      onFailed: (reason) => {
        this.#options.log.debug("No TLS with a browser", { remote: guest.hostname, reason });
        socket.destroy();
      },
    });
  }

  #hasRoom(hostname: string): boolean {
    const isOver = !isLoopback(hostname) &&
      (this.#perHost.get(hostname) ?? 0) >= HTTP_CONNECTIONS_PER_HOST_MAX;
    if (!isOver && (this.#guests.size < this.#connectionsMax || this.#evict())) return true;
    this.#counts.refused++;
    const held = this.#logLimiter.admit("limit");
    if (held !== undefined) {
      const limit = isOver ? HTTP_CONNECTIONS_PER_HOST_MAX : this.#connectionsMax;
      this.#options.log.warn("Connection to the console refused: limit reached", {
        ...{ remote: hostname, limit },
        ...held,
      });
    }
    return false;
  }

  /**
   * One that never asked makes room, the oldest first; else one that does not ask now; else the one
   * whose body comes slowest.
   */
  #evict(): boolean {
    let idle: Guest | undefined;
    let slow: Guest | undefined;
    for (const guest of this.#guests.values()) {
      if (guest.phase === "head") return this.#end(guest, "evicted");
      if (guest.phase === "idle" && (idle === undefined || guest.sinceMs < idle.sinceMs)) {
        idle = guest;
      }
      if (guest.phase === "body" && (slow === undefined || guest.stepMs < slow.stepMs)) {
        slow = guest;
      }
    }
    const chosen = idle ?? slow;
    return chosen !== undefined && this.#end(chosen, "evicted");
  }

  #noteBody(guest: Guest, bytes: number): void {
    guest.stepBytes += bytes;
    if (guest.stepBytes < BODY_STEP_BYTES) return;
    guest.stepBytes = 0;
    guest.stepMs = this.#options.clock.nowMs();
  }

  #end(guest: Guest, why: "evicted" | "timedOut"): true {
    this.#counts[why]++;
    this.#forget(guest);
    guest.socket.destroy();
    return true;
  }

  #forget({ socket, hostname }: Guest): void {
    if (!this.#guests.delete(socket)) return;
    connectionBudget.give();
    const count = (this.#perHost.get(hostname) ?? 1) - 1;
    if (count > 0) this.#perHost.set(hostname, count);
    else this.#perHost.delete(hostname);
  }

  #enter(guest: Guest, phase: Phase): void {
    guest.phase = phase;
    guest.sinceMs = guest.stepMs = this.#options.clock.nowMs();
    guest.stepBytes = 0;
  }

  #sweep(): void {
    const nowMs = this.#options.clock.nowMs();
    for (const guest of [...this.#guests.values()]) {
      const isSlow = guest.phase === "body" && nowMs - guest.stepMs >= HTTP_BODY_STEP_MS;
      if (isSlow || nowMs - guest.sinceMs >= LIMITS_MS[guest.phase]) this.#end(guest, "timedOut");
    }
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { socket } = incoming;
    const guest = this.#guests.get(socket) ?? this.#secured.get(socket);
    if (guest === undefined) return void socket.destroy();
    const hasBody = incoming.headers["transfer-encoding"] !== undefined ||
      Number(incoming.headers["content-length"] ?? 0) > 0;
    this.#enter(guest, hasBody ? "body" : "busy");
    let isWhole = !hasBody;
    incoming.on("end", () => {
      isWhole = true;
      if (guest.phase === "body") this.#enter(guest, "busy");
    });
    outgoing.on("close", () => {
      if (guest.phase !== "head") this.#enter(guest, "idle");
      // What of the body was not read would be taken for the next request.
      if (!isWhole) socket.destroy();
    });
    try {
      const scheme = this.#options.handshakes === undefined ? "http" : "https";
      const onBody = (bytes: number): void => this.#noteBody(guest, bytes);
      const request = requestOf(incoming, scheme, hasBody, onBody);
      const remote = { hostname: guest.hostname, port: socket.remotePort ?? 0 };
      const response = await this.#options.handle(request, remote);
      if (!isWhole) outgoing.setHeader("Connection", "close");
      await send(response, incoming.method === "HEAD", outgoing);
    } catch (error) {
      const isBad = error instanceof TypeError && !outgoing.headersSent;
      this.#options.log.debug("Request could not be answered", { error: messageOf(error) });
      if (outgoing.headersSent) return void socket.destroy();
      outgoing.writeHead(isBad ? 400 : 500, { Connection: "close" }).end();
    }
  }
}

/** @throws {TypeError} when it is no request that can be understood. */
function requestOf(
  incoming: IncomingMessage,
  scheme: "http" | "https",
  hasBody: boolean,
  onBody: (bytes: number) => void,
): Request {
  const headers = new Headers();
  for (let i = 0; i < incoming.rawHeaders.length; i += 2) {
    headers.append(incoming.rawHeaders[i], incoming.rawHeaders[i + 1]);
  }
  const host = headers.get("Host");
  if (host === null || host === "") throw new TypeError("Host is missing");
  const path = incoming.url ?? "/";
  const url = new URL(path.startsWith("/") ? `${scheme}://${host}${path}` : path);
  const { method = "GET" } = incoming;
  if (!hasBody || method === "GET" || method === "HEAD") {
    return new Request(url, { method, headers });
  }
  const init: RequestInit & { duplex: "half" } = {
    ...{ method, headers, duplex: "half" },
    body: bodyOf(incoming, onBody),
  };
  return new Request(url, init);
}

/** The body as it comes; the peer waits while nobody reads. */
function bodyOf(
  incoming: IncomingMessage,
  onBody: (bytes: number) => void,
): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    start(controller): void {
      let isOver = false;
      const fail = (error: Error): void => {
        if (!isOver) controller.error(error);
        isOver = true;
      };
      incoming.on("data", (chunk: Uint8Array) => {
        if (isOver) return;
        onBody(chunk.length);
        controller.enqueue(new Uint8Array(chunk));
        if ((controller.desiredSize ?? 0) <= 0) incoming.pause();
      });
      incoming.on("end", () => {
        if (!isOver) controller.close();
        isOver = true;
      });
      incoming.on("error", fail).on("close", () => fail(new Error("the peer has gone")));
    },
    pull(): void {
      incoming.resume();
    },
  });
}

/** Writes an answer; ends when all of it has been given to the system, or the peer is gone. */
async function send(
  response: Response,
  isHead: boolean,
  outgoing: ServerResponse,
): Promise<void> {
  for (const [name, value] of response.headers) outgoing.appendHeader(name, value);
  outgoing.writeHead(response.status);
  const reader = response.body?.getReader();
  if (reader === undefined || isHead) {
    outgoing.end();
    return;
  }
  // Head and first events of a stream must not wait for more.
  outgoing.flushHeaders();
  let isGone = false;
  const gone = new Promise<void>((resolve) =>
    outgoing.once("close", () => {
      isGone = true;
      resolve();
    })
  );
  void gone.then(() => reader.cancel().catch(() => {}));
  for (;;) {
    const { done, value } = await reader.read();
    if (isGone) return;
    if (done) break;
    if (outgoing.write(value)) continue;
    await Promise.race([gone, new Promise<void>((resolve) => outgoing.once("drain", resolve))]);
  }
  outgoing.end();
}
