// Shell. Listens on a TCP port and leads the frames of all connections to one router.

import { type Address, formatAddress } from "../address.ts";
import { BufferPool } from "./buffer_pool.ts";
import { ConnectionBudget, reservedFiles } from "./connection_budget.ts";
import { type Clock, setRepeating, type Timer } from "../time/clock.ts";
import { messageOf, ProtocolError } from "../errors.ts";
import {
  FramedLink,
  type FramedLinkSettings,
  type LinkCounters,
  type LinkOwner,
} from "./framed_link.ts";
import type { BodyBytesMaxOf } from "../frame.ts";
import { type Logger, LogRateLimiter } from "../log.ts";
import type { MessageRouter } from "../message_router.ts";
import { SilentPeers } from "./silent_peers.ts";
import type { Listener, PeerCertificate, Stream, TcpTransport } from "../runtime/mod.ts";
import { runtime } from "../runtime/mod.ts";

/** Connections at once; a further one is closed as soon as it is accepted, and counted. */
export const CONNECTIONS_MAX = 1024;
/** Bytes waiting for one peer; a connection that would pass it is closed as a slow reader. */
export const OUTPUT_BYTES_MAX = 8 * 1024 * 1024;
/** Time for a frame that has begun to be complete; then the connection is closed. */
export const FRAME_TIMEOUT_MS = 10_000;
/** Messages without a handler that one connection may send; the next one closes it. */
export const UNKNOWN_IDS_MAX = 10;
/** First and longest pause after a failed accept; it doubles in between. */
export const ACCEPT_BACKOFF_MIN_MS = 10;
export const ACCEPT_BACKOFF_MAX_MS = 1000;

/** Pause before the next accept after `failures` failed ones in a row (at least 1): 10 ms to 1 s. */
export function acceptBackoffMs(failures: number): number {
  return Math.min(ACCEPT_BACKOFF_MAX_MS, ACCEPT_BACKOFF_MIN_MS * 2 ** (failures - 1));
}

/**
 * Connections that can be allowed: `wanted`, but never so many that the process runs out of file
 * descriptors. `openFilesMax` is the system's limit, undefined when unknown.
 */
export function connectionCeiling(wanted: number, openFilesMax: number | undefined): number {
  if (openFilesMax === undefined) return wanted;
  return Math.max(1, Math.min(wanted, openFilesMax - reservedFiles(openFilesMax)));
}

/** That of this thread, for all of its servers. */
export const connectionBudget = new ConnectionBudget(runtime.openFilesMax());

/** One peer, as handlers see it. */
export interface Connection<A = unknown> {
  /** Unique within the server, from 1. */
  readonly id: number;
  readonly remote: Address;
  readonly local: Address;
  /** See {@linkcode Stream}. */
  readonly peerCertificate: PeerCertificate | undefined;
  /** See {@linkcode Stream}. */
  readonly asksPeer: boolean;
  /** Whatever the application keeps about this peer. */
  attached: A | undefined;
  /** Bytes queued and not yet handed to the kernel. */
  readonly pendingBytes: number;
  /** True as soon as it is being closed. */
  readonly closed: boolean;
  /**
   * Queues one frame; frames of one turn leave in one write.
   *
   * @returns false when the connection is closed, or was closed now as a slow reader because the
   * output limit would have been passed.
   * @throws {RangeError} when the body is larger than a frame can carry.
   */
  send(msgId: number, body: Uint8Array): boolean;
  /**
   * Queues one frame whose body the caller writes at once, before anything else is done with this
   * connection: into {@linkcode Connection.reserved}, from the place given.
   *
   * @returns -1 where `send` returns false.
   * @throws {RangeError} when the body is larger than a frame can carry.
   */
  reserve(msgId: number, bodyBytes: number): number;
  /** Where the body of the frame lies that was reserved last. */
  readonly reserved: Uint8Array;
  /** Queues whole frames encoded before; the caller must not change the bytes afterwards. */
  sendFrames(bytes: Uint8Array): boolean;
  /**
   * Handles and reads nothing more of this peer for so long, so that it has to wait; its end is not
   * seen meanwhile. Of several the last to end counts.
   */
  hold(holdMs: number): void;
  /** Closes after what is queued has left (at most one second). `onClose` runs within this call. */
  close(reason?: string): void;
}

/** Options of {@linkcode TcpServer}. */
export interface TcpServerOptions<A> {
  readonly hostname: string;
  /** 0 lets the system choose; see `address`. */
  readonly port: number;
  /** Lets several servers share the port. Default false. */
  readonly reusePort?: boolean;
  readonly router: MessageRouter<Connection<A>>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where connections come from. Default: the sockets of the runtime. See `BatchTcp`. */
  readonly transport?: TcpTransport;
  /** Default {@linkcode CONNECTIONS_MAX}; lowered when the system's file limit needs it. */
  readonly connectionsMax?: number;
  /** Connections of one remote host at once, from 1; a further one is closed. Default: no limit. */
  readonly connectionsPerHostMax?: number;
  /** Hosts that `connectionsPerHostMax` does not hold for. Default: none. */
  isExemptHost?(hostname: string): boolean;
  /** Default {@linkcode OUTPUT_BYTES_MAX}. */
  readonly outputBytesMax?: number;
  /** Default {@linkcode FRAME_TIMEOUT_MS}; 0 = no limit. */
  readonly frameTimeoutMs?: number;
  /** Closes a connection that sent nothing for so long. Default 0 = never. */
  readonly idleTimeoutMs?: number;
  /** Default {@linkcode UNKNOWN_IDS_MAX}. */
  readonly unknownIdsMax?: number;
  /** Narrower limits for the bodies of some ids; a head that announces more ends the connection. */
  readonly bodyBytesMaxOf?: BodyBytesMaxOf | undefined;
  onAccept?(connection: Connection<A>): void;
  /** Called once for each accepted connection, when it is closed from either side. */
  onClose?(connection: Connection<A>, reason: string): void;
  /** Output fell to zero after it had been above 256 KiB. */
  onDrain?(connection: Connection<A>): void;
}

/** Counters since start; `open` is the present number. */
export interface TcpServerStats extends Readonly<LinkCounters> {
  readonly open: number;
  readonly accepted: number;
  readonly closed: number;
  /** Closed at once because of the connection limit. */
  readonly refusedOverLimit: number;
  /** Closed because they had not sent a frame when a further one found no room, or for too long. */
  readonly evicted: number;
  /** Closed at once because their host had `connectionsPerHostMax` already. */
  readonly refusedOverHostLimit: number;
  readonly acceptErrors: number;
  /** Messages that had no handler. */
  readonly unknownIds: number;
  /** Connections closed for what the peer sent: broken frames or bodies, or the guard's verdict. */
  readonly protocolErrors: number;
  /** Connections closed because a handler threw. */
  readonly handlerErrors: number;
  readonly slowReaders: number;
  readonly frameTimeouts: number;
  readonly idleTimeouts: number;
}

type MutableStats = { -readonly [Key in keyof TcpServerStats]: TcpServerStats[Key] };

/** What a connection needs from its server. */
interface ConnectionHost<A> {
  readonly options: TcpServerOptions<A>;
  readonly stats: MutableStats;
  readonly linkSettings: FramedLinkSettings;
  closed(connection: ServerConnection<A>, reason: string): void;
  gone(connection: ServerConnection<A>): void;
  /** Its first frame has come. */
  spoke(connection: ServerConnection<A>): void;
  handlerFailed(connection: ServerConnection<A>, error: unknown): void;
}

class ServerConnection<A> implements Connection<A>, LinkOwner {
  readonly id: number;
  attached: A | undefined = undefined;
  readonly link: FramedLink;
  readonly #host: ConnectionHost<A>;
  #closed = false;
  #unknownIds = 0;
  #hasSpoken = false;

  constructor(id: number, stream: Stream, host: ConnectionHost<A>) {
    this.id = id;
    this.#host = host;
    this.link = new FramedLink(stream, host.linkSettings, this);
  }

  get remote(): Address {
    return this.link.stream.remote;
  }

  get local(): Address {
    return this.link.stream.local;
  }

  get peerCertificate(): PeerCertificate | undefined {
    return this.link.stream.peerCertificate;
  }

  get asksPeer(): boolean {
    return this.link.stream.asksPeer === true;
  }

  get isOpening(): boolean {
    return this.link.stream.isOpening === true;
  }

  get pendingBytes(): number {
    return this.link.output.pendingBytes;
  }

  get closed(): boolean {
    return this.#closed;
  }

  send(msgId: number, body: Uint8Array): boolean {
    return this.link.send(msgId, body) || this.#refuse();
  }

  reserve(msgId: number, bodyBytes: number): number {
    const start = this.link.reserve(msgId, bodyBytes);
    if (start < 0) this.#refuse();
    return start;
  }

  get reserved(): Uint8Array {
    return this.link.reserved;
  }

  sendFrames(bytes: Uint8Array): boolean {
    return this.link.sendFrames(bytes) || this.#refuse();
  }

  hold(holdMs: number): void {
    this.link.hold(holdMs);
  }

  close(reason = "closed by the server"): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#host.closed(this, reason);
    this.link.finish();
  }

  /** Closes without waiting for the output to leave. */
  closeNow(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#host.closed(this, reason);
    this.link.destroy();
  }

  /** Called by the link. */
  onLost(reason: string): void {
    this.close(reason);
  }

  /** Called by the link. */
  onGone(): void {
    this.#host.gone(this);
  }

  /** Called by the link. */
  onFrame(msgId: number, body: Uint8Array): void {
    if (!this.#hasSpoken) {
      this.#hasSpoken = true;
      this.#host.spoke(this);
    }
    const result = this.#host.options.router.dispatch(msgId, body, this);
    if (result === "handled") return;
    if (result !== "unknown") {
      this.#host.stats.protocolErrors++;
      return this.close(result.closeReason);
    }
    this.#host.stats.unknownIds++;
    if (++this.#unknownIds > (this.#host.options.unknownIdsMax ?? UNKNOWN_IDS_MAX)) {
      this.close("too many unknown message ids");
    }
  }

  /** Called by the link. */
  onFault(error: unknown): void {
    if (error instanceof ProtocolError) {
      this.#host.stats.protocolErrors++;
      this.close(error.message);
    } else {
      this.#host.handlerFailed(this, error);
      this.close("a handler failed");
    }
  }

  /** Called by the link. */
  onDrain(): void {
    if (this.#closed) return;
    try {
      this.#host.options.onDrain?.(this);
    } catch (error) {
      this.onFault(error);
    }
  }

  #refuse(): boolean {
    if (this.#closed) return false;
    this.#host.stats.slowReaders++;
    this.closeNow("slow reader: output limit reached");
    return false;
  }
}

/**
 * A framed TCP server. Bad input closes its own connection only; nothing a peer sends makes this
 * object throw or grow without bound.
 *
 * @example
 * ```ts
 * import { type Connection, MessageRouter, silentLogger, systemClock, TcpServer } from "../mod.ts";
 * const router = new MessageRouter<Connection>();
 * router.add(1, (body, peer) => void peer.send(1, body));
 * const server = new TcpServer({
 *   hostname: "127.0.0.1",
 *   port: 0,
 *   router,
 *   clock: systemClock,
 *   log: silentLogger,
 * });
 * console.log((await server.listen()).port);
 * await server.close();
 * ```
 */
export class TcpServer<A = unknown> {
  readonly #options: TcpServerOptions<A>;
  readonly #host: ConnectionHost<A>;
  readonly #logLimiter: LogRateLimiter;
  readonly #open = new Set<ServerConnection<A>>();
  readonly #silent: SilentPeers<ServerConnection<A>>;
  readonly #connectionsMax: number;
  /** Sockets of each host that is counted. */
  readonly #hosts = new Map<string, number>();
  #listener: Listener | undefined;
  #leaveBudget = (): void => {};
  #sweeper: Timer | undefined;
  #acceptPause: { ended: Promise<void>; end: () => void } | undefined;
  #acceptFailures = 0;
  /** Connections whose socket is still there, those being closed included. */
  #socketCount = 0;
  #nextId = 1;
  #closing = false;
  #accepts = true;
  #allGone: (() => void) | undefined;

  constructor(options: TcpServerOptions<A>) {
    checkLimits(options);
    this.#options = options;
    this.#silent = new SilentPeers(
      options.clock,
      () => void this.#host.stats.evicted++,
      (hostname) => this.#isBounded(hostname),
    );
    this.#logLimiter = new LogRateLimiter(options.clock);
    this.#connectionsMax = connectionCeiling(
      options.connectionsMax ?? CONNECTIONS_MAX,
      runtime.openFilesMax(),
    );
    const stats = newStats();
    this.#host = {
      options,
      stats,
      linkSettings: {
        clock: options.clock,
        pool: new BufferPool(),
        outputBytesMax: options.outputBytesMax ?? OUTPUT_BYTES_MAX,
        pauseAtHighWater: true,
        givesTurns: true,
        counters: stats,
        bodyBytesMaxOf: options.bodyBytesMaxOf,
      },
      closed: (connection, reason) => this.#onClosed(connection, reason),
      gone: (connection) => this.#onGone(connection),
      spoke: (connection) => this.#silent.remove(connection),
      handlerFailed: (connection, error) => this.#onHandlerFailed(connection, error),
    };
  }

  get stats(): TcpServerStats {
    return this.#host.stats;
  }

  /** The address listened on, with the real port. @throws {Error} before `listen`. */
  get address(): Address {
    if (this.#listener === undefined) throw new Error("TCP server does not listen yet");
    return this.#listener.address;
  }

  get connectionCount(): number {
    return this.#open.size;
  }

  /** The open connections; closing them while iterating is fine. */
  connections(): IterableIterator<Connection<A>> {
    return this.#open.values();
  }

  /**
   * Begins to accept.
   *
   * @returns the address with the real port.
   * @throws {BindError} naming host:port.
   */
  listen(): Promise<Address> {
    return new Promise((resolve) => {
      if (this.#listener !== undefined) throw new Error("TCP server listens already");
      const { hostname, port, reusePort = false, log, connectionsMax = CONNECTIONS_MAX } =
        this.#options;
      this.#listener = (this.#options.transport ?? runtime).listenTcp({
        hostname,
        port,
        reusePort,
        onConnection: (stream) => this.#accept(stream),
        onAcceptError: (error) => this.#pauseAccept(error),
      });
      this.#leaveBudget = connectionBudget.join(() => this.#silent.evictOldest());
      if (this.#connectionsMax < connectionsMax) {
        log.warn("Connection limit lowered to fit the system's open file limit", {
          wanted: connectionsMax,
          allowed: this.#connectionsMax,
        });
      }
      resolve(this.#listener.address);
    });
  }

  /** Stops accepting; connections stay. */
  stopAccepting(): void {
    if (this.#accepts) this.#listener?.close();
    this.#accepts = false;
    this.#acceptPause?.end();
  }

  /** Stops accepting and closes all connections, each after its output has left (at most 1 s). */
  close(): Promise<void> {
    this.#closing = true;
    this.#leaveBudget();
    this.stopAccepting();
    for (const connection of this.#open) connection.close("server stops");
    if (this.#socketCount === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const earlier = this.#allGone;
      this.#allGone = (): void => {
        earlier?.();
        resolve();
      };
    });
  }

  #accept(stream: Stream): void {
    const { stats } = this.#host;
    this.#acceptFailures = 0;
    if (!this.#accepts) return stream.close();
    // Sockets, not open connections: those that linger hold descriptors too.
    if (this.#socketCount >= this.#connectionsMax && !this.#silent.evictOldest()) {
      stats.refusedOverLimit++;
      return this.#refuse(stream, { connectionsMax: this.#connectionsMax });
    }
    if (!connectionBudget.take()) {
      stats.refusedOverLimit++;
      return this.#refuse(stream, { limit: "open files of the process" });
    }
    if (!this.#countHost(stream.remote.hostname)) {
      connectionBudget.give();
      stats.refusedOverHostLimit++;
      const { connectionsPerHostMax } = this.#options;
      return this.#refuse(stream, { connectionsPerHostMax });
    }
    const connection = new ServerConnection(this.#nextId++, stream, this.#host);
    this.#socketCount++;
    this.#open.add(connection);
    this.#silent.add(connection);
    stats.accepted++;
    stats.open = this.#open.size;
    this.#startSweeper();
    this.#call(connection, () => this.#options.onAccept?.(connection));
  }

  #refuse(stream: Stream, limit: Record<string, unknown>): void {
    stream.close();
    const held = this.#logLimiter.admit("limit");
    if (held === undefined) return;
    const fields = { remote: formatAddress(stream.remote), ...limit, ...held };
    this.#options.log.warn("Connection refused: limit reached", fields);
  }

  /** True for a host that may have so many connections only. */
  #isBounded(hostname: string): boolean {
    const { connectionsPerHostMax = Infinity, isExemptHost } = this.#options;
    return connectionsPerHostMax !== Infinity && isExemptHost?.(hostname) !== true;
  }

  /** Counts one more socket of a host; false when it may have no more. */
  #countHost(hostname: string): boolean {
    const { connectionsPerHostMax = Infinity } = this.#options;
    if (!this.#isBounded(hostname)) return true;
    if ((this.#hosts.get(hostname) ?? 0) >= connectionsPerHostMax) return false;
    countUp(this.#hosts, hostname);
    return true;
  }

  /** Runs a hook of the application; a fault of its costs only this connection. */
  #call(connection: ServerConnection<A>, hook: () => void): void {
    try {
      hook();
    } catch (error) {
      this.#onHandlerFailed(connection, error);
      connection.close("a handler failed");
    }
  }

  #onHandlerFailed(connection: ServerConnection<A>, error: unknown): void {
    this.#host.stats.handlerErrors++;
    const held = this.#logLimiter.admit("handler");
    if (held === undefined) return;
    this.#options.log.error("Handler failed, its connection is closed", {
      remote: formatAddress(connection.remote),
      error: messageOf(error),
      stack: error instanceof Error ? error.stack : undefined,
      ...held,
    });
  }

  #onClosed(connection: ServerConnection<A>, reason: string): void {
    const { stats } = this.#host;
    this.#open.delete(connection);
    this.#silent.remove(connection);
    stats.open = this.#open.size;
    stats.closed++;
    const held = this.#logLimiter.admit("close");
    if (held !== undefined) {
      this.#options.log.debug("Connection closed", {
        remote: formatAddress(connection.remote),
        reason,
        ...held,
      });
    }
    this.#call(connection, () => this.#options.onClose?.(connection, reason));
  }

  #onGone(connection: ServerConnection<A>): void {
    connection.link.output.clear();
    connectionBudget.give();
    this.#socketCount--;
    countDown(this.#hosts, connection.remote.hostname);
    if (this.#socketCount > 0) return;
    this.#sweeper?.cancel();
    this.#sweeper = undefined;
    this.#silent.stop();
    this.#allGone?.();
    this.#allGone = undefined;
  }

  #pauseAccept(error: unknown): Promise<void> {
    this.#host.stats.acceptErrors++;
    if (this.#acceptPause !== undefined) return this.#acceptPause.ended;
    const pauseMs = acceptBackoffMs(++this.#acceptFailures);
    const held = this.#logLimiter.admit("accept");
    if (held !== undefined) {
      const fields = { error: messageOf(error), pauseMs, ...held };
      this.#options.log.error("Accepting failed, trying again", fields);
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#options.clock.setTimer(pauseMs, () => end());
    const end = (): void => {
      timer.cancel();
      this.#acceptPause = undefined;
      resolve();
    };
    this.#acceptPause = { ended: promise, end };
    return promise;
  }

  /** One timer for all connections: a quarter of the shortest limit, at most a second apart. */
  #startSweeper(): void {
    const { frameTimeoutMs = FRAME_TIMEOUT_MS, idleTimeoutMs = 0 } = this.#options;
    const limits = [frameTimeoutMs, idleTimeoutMs].filter((limit) => limit > 0);
    if (this.#sweeper !== undefined || limits.length === 0) return;
    const intervalMs = Math.max(10, Math.min(1000, Math.min(...limits) / 4));
    this.#sweeper = setRepeating(
      this.#options.clock,
      intervalMs,
      () => this.#sweep(frameTimeoutMs, idleTimeoutMs),
    );
  }

  #sweep(frameTimeoutMs: number, idleTimeoutMs: number): void {
    const nowMs = this.#options.clock.nowMs();
    const { stats } = this.#host;
    this.#silent.endOverdue(() => this.#socketCount * 2 >= this.#connectionsMax);
    for (const connection of this.#open) {
      const { partialSinceMs } = connection.link;
      if (
        frameTimeoutMs > 0 && partialSinceMs !== undefined &&
        nowMs - partialSinceMs >= frameTimeoutMs
      ) {
        stats.frameTimeouts++;
        connection.close(`frame not complete within ${frameTimeoutMs} ms`);
      } else if (idleTimeoutMs > 0 && nowMs - connection.link.lastDataMs(nowMs) >= idleTimeoutMs) {
        stats.idleTimeouts++;
        connection.close(`nothing received for ${idleTimeoutMs} ms`);
      }
    }
  }
}

function countUp(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function countDown(counts: Map<string, number>, name: string): void {
  const count = counts.get(name);
  if (count === undefined) return;
  if (count > 1) counts.set(name, count - 1);
  else counts.delete(name);
}

function newStats(): MutableStats {
  return {
    open: 0,
    accepted: 0,
    closed: 0,
    refusedOverLimit: 0,
    evicted: 0,
    refusedOverHostLimit: 0,
    acceptErrors: 0,
    unknownIds: 0,
    protocolErrors: 0,
    handlerErrors: 0,
    slowReaders: 0,
    frameTimeouts: 0,
    idleTimeouts: 0,
    framesIn: 0,
    framesOut: 0,
    bytesIn: 0,
    bytesOut: 0,
  };
}

function checkLimits<A>(options: TcpServerOptions<A>): void {
  const { connectionsMax = 1, connectionsPerHostMax = 1, outputBytesMax = 1 } = options;
  const { frameTimeoutMs = 0, idleTimeoutMs = 0 } = options;
  const atLeastOne = { connectionsMax, connectionsPerHostMax, outputBytesMax };
  for (const [name, value] of Object.entries(atLeastOne)) {
    if (!(value >= 1)) throw new RangeError(`${name} must be >= 1: current value is ${value}`);
  }
  for (const [name, value] of Object.entries({ frameTimeoutMs, idleTimeoutMs })) {
    if (!(value >= 0)) throw new RangeError(`${name} must be >= 0: current value is ${value}`);
  }
}
