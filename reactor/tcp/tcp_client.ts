// Core. One lasting TCP connection to the first of several addresses that answers.

import { type Address, formatAddress } from "../address.ts";
import { BufferPool } from "./buffer_pool.ts";
import type { Clock, Timer } from "../time/clock.ts";
import { messageOf, ProtocolError, TimeoutError } from "../errors.ts";
import { CLOSE_FLUSH_MS, FramedLink, type LinkCounters } from "./framed_link.ts";
import { type Logger, LogRateLimiter } from "../log.ts";
import type { MessageRouter } from "../message_router.ts";
import { OutputBuffer } from "./output_buffer.ts";
import type { Rng } from "../time/rng.ts";
import type { PeerCertificate, Stream, TcpConnector } from "../runtime/types.ts";

/** Bytes waiting to be sent; `send` refuses what would pass it. */
export const CLIENT_OUTPUT_BYTES_MAX = 4 * 1024 * 1024;
/** Free output buffers one client keeps: one of each size class (4 + 16 + 64 KiB), three times. */
const POOL_BYTES_MAX = 3 * 84 * 1024;
/** A frame that has begun must be complete within this time, else the connection is dropped. */
const FRAME_TIMEOUT_MS = 10_000;

/** Failed attempts in a row that are worth no warning yet. */
const ROUTINE_FAILURES_MAX = 3;

/** Options of {@linkcode TcpClient}. */
export interface TcpClientOptions {
  /** Tried in turn, from the first. At least one. */
  readonly addresses: readonly Address[];
  /** Makes the connections: `runtime` of the reactor, or another one. */
  readonly transport: TcpConnector;
  readonly router: MessageRouter<TcpClient>;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  /** What the peer is, for log lines. */
  readonly name: string;
  /** Default 3000; a handshake with the only server there is may take longer, see below. */
  readonly connectTimeoutMs?: number;
  /** Upper bound of the first pause between attempts. Default 100. */
  readonly reconnectMinMs?: number;
  /** Upper bound of every pause between attempts. Default 5000. */
  readonly reconnectMaxMs?: number;
  /**
   * Pause before an attempt, after so many in a row that failed or did not last; in place of
   * {@linkcode reconnectDelayMs} with the two bounds above.
   */
  pauseMs?(failures: number, addressCount: number): number;
  /** Default {@linkcode CLIENT_OUTPUT_BYTES_MAX}. */
  readonly outputBytesMax?: number;
  /** Keep what is sent while there is no connection, for the next one. Default true. */
  readonly bufferWhileDisconnected?: boolean;
  /** `close` waits for the peer's end even when nothing waits to be sent. Default false. */
  readonly awaitPeerEnd?: boolean;
  /**
   * Asked of a connection that has ended after a second or more: may the pauses start over? Default
   * yes. No is right while the peer has not shown that it is the one that was meant.
   */
  isAccepted?(): boolean;
  /** Connected; what is sent in this call goes before anything kept from earlier. */
  onConnect?(client: TcpClient): void;
  onDisconnect?(client: TcpClient, reason: string): void;
  /** An attempt failed, or a connection has ended: another one follows, unless this call closes. */
  onFault?(client: TcpClient, reason: string): void;
  /** Any frame came, before its handler runs: the peer lives. */
  onFrame?(client: TcpClient, msgId: number): void;
}

/** Counters since start. */
export interface TcpClientStats extends Readonly<LinkCounters> {
  readonly connects: number;
  /** Attempts that found nobody or took too long. */
  readonly connectFailures: number;
  readonly disconnects: number;
  /** Sends refused: output limit, or no connection and nothing may be kept. */
  readonly refusedSends: number;
  /** Bytes given up when a connection was lost: nobody knows whether the peer has them. */
  readonly lostBytes: number;
  /** Messages that had no handler. */
  readonly unknownIds: number;
}

type MutableStats = { -readonly [Key in keyof TcpClientStats]: TcpClientStats[Key] };

/**
 * A framed TCP client that connects, and connects again, until it is closed. After a failure it goes
 * on with the next address; see {@linkcode reconnectDelayMs} for the pauses. They start over only
 * after a connection that lived a second, so that a peer which accepts and closes is not hammered.
 */
export class TcpClient {
  readonly #options: TcpClientOptions;
  readonly #logLimiter: LogRateLimiter;
  readonly #pool = new BufferPool(POOL_BYTES_MAX);
  readonly #stats = newStats();
  readonly #outputBytesMax: number;
  /** What was sent without a connection. */
  #kept: OutputBuffer;
  #addresses: readonly Address[];
  #addressIndex = 0;
  #failures = 0;
  #started = false;
  #closing = false;
  #link: FramedLink | undefined;
  #connectedAtMs = 0;
  #attempt: AbortController | undefined;
  #timer: Timer | undefined;
  /** Runs while a frame is incomplete; none wakes a connection at rest. */
  #partialTimer: Timer | undefined;
  #onGone: (() => void) | undefined;
  /** Was left, and may still be read by its peer. */
  #left: FramedLink | undefined;

  constructor(options: TcpClientOptions) {
    checkAddresses(options.addresses);
    this.#options = options;
    this.#addresses = options.addresses;
    this.#logLimiter = new LogRateLimiter(options.clock);
    this.#outputBytesMax = options.outputBytesMax ?? CLIENT_OUTPUT_BYTES_MAX;
    this.#kept = new OutputBuffer(this.#outputBytesMax, this.#pool);
  }

  get stats(): TcpClientStats {
    return this.#stats;
  }

  get connected(): boolean {
    return this.#link?.open === true;
  }

  /** The address in use, or tried next. */
  get address(): Address {
    return this.#addresses[this.#addressIndex];
  }

  /** This side of the connection; undefined without one. */
  get local(): Address | undefined {
    return this.connected ? this.#link?.stream.local : undefined;
  }

  /** The other side of the connection, as an IP address; undefined without one. */
  get remote(): Address | undefined {
    return this.connected ? this.#link?.stream.remote : undefined;
  }

  /** What the other side has proved to be over TLS; undefined: nothing, or no connection. */
  get peerCertificate(): PeerCertificate | undefined {
    return this.connected ? this.#link?.stream.peerCertificate : undefined;
  }

  /** Bytes waiting to be sent. */
  get pendingBytes(): number {
    return this.#link?.output.pendingBytes ?? this.#kept.pendingBytes;
  }

  /** Begins to connect; further calls do nothing. */
  start(): void {
    if (this.#started || this.#closing) return;
    this.#started = true;
    this.#connect();
  }

  /**
   * Queues one frame.
   *
   * @returns false when it was refused: the output limit is reached, the client is closed, or there
   * is no connection and `bufferWhileDisconnected` is false.
   * @throws {RangeError} when the body is larger than a frame can carry.
   */
  send(msgId: number, body: Uint8Array): boolean {
    if (this.#link !== undefined) return this.#count(this.#link.send(msgId, body));
    return this.#countKept(this.#mayKeep && this.#kept.appendFrame(msgId, body));
  }

  /** Queues whole frames encoded before; the caller must not change the bytes afterwards. */
  sendFrames(bytes: Uint8Array): boolean {
    if (this.#link !== undefined) return this.#count(this.#link.sendFrames(bytes));
    return this.#countKept(this.#mayKeep && this.#kept.appendBytes(bytes));
  }

  /**
   * Drops the connection, or the attempt under way, and goes on with the next address; what is
   * queued is lost, unless the peer is given time to take it: `flushMs`, in milliseconds.
   */
  failOver(reason: string, flushMs = 0): void {
    if (this.#closing || !this.#started) return;
    if (this.#link !== undefined) return this.#disconnect(reason, flushMs === 0, flushMs);
    if (this.#attempt === undefined) return;
    this.#attempt.abort(new Error(reason));
  }

  /**
   * Replaces the addresses. A connection to one that is still listed stays; else it is dropped.
   *
   * @param leave Drops it, by {@linkcode failOver}. @default {with nothing said before}
   * @throws {RangeError} when the list is empty.
   */
  setAddresses(
    addresses: readonly Address[],
    leave = (reason: string): void => this.failOver(reason),
  ): void {
    checkAddresses(addresses);
    const current = formatAddress(this.address);
    const index = addresses.findIndex((address) => formatAddress(address) === current);
    this.#addresses = addresses;
    const idle = this.#link === undefined && this.#attempt === undefined;
    if (index >= 0 && this.#started) {
      this.#addressIndex = index;
    } else if (idle) {
      this.#addressIndex = 0;
    } else {
      // One before the first: what is dropped now goes on with the first.
      this.#addressIndex = addresses.length - 1;
      leave("address was removed from the list");
    }
  }

  /** Stops for good; sends what is queued on a connection that stands (at most one second). */
  close(): Promise<void> {
    return this.#stop(false);
  }

  /** Stops for good and at once; what is queued is lost. */
  destroy(): void {
    void this.#stop(true);
  }

  #stop(atOnce: boolean): Promise<void> {
    this.#closing = true;
    this.#timer?.cancel();
    this.#attempt?.abort(new Error("client closed"));
    this.#kept.clear();
    this.#left?.destroy();
    const link = this.#link;
    if (link === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      const earlier = this.#onGone;
      this.#onGone = (): void => {
        earlier?.();
        resolve();
      };
      this.#disconnect("client closed", atOnce);
    });
  }

  #count(taken: boolean): boolean {
    if (!taken) this.#stats.refusedSends++;
    return taken;
  }

  #countKept(taken: boolean): boolean {
    // A link counts what is sent through it; what is kept never passes its `send`.
    if (taken) this.#stats.framesOut++;
    return this.#count(taken);
  }

  get #mayKeep(): boolean {
    return !this.#closing && this.#options.bufferWhileDisconnected !== false;
  }

  #connect(): void {
    const { connectTimeoutMs = 3000, clock, transport } = this.#options;
    const address = this.address;
    const attempt = new AbortController();
    this.#attempt = attempt;
    const limitTo = (ms: number): Timer =>
      clock.setTimer(
        ms,
        () => attempt.abort(new TimeoutError(`no connection within ${ms} ms`, ms)),
      );
    let limit = limitTo(connectTimeoutMs);
    const onReached = (): void => {
      if (this.#addresses.length > 1) return;
      limit.cancel();
      limit = limitTo(Math.max(connectTimeoutMs, LONE_HANDSHAKE_MS));
    };
    const { hostname, port } = address;
    transport.connectTcp({ hostname, port, signal: attempt.signal, onReached }).then(
      (stream) => {
        limit.cancel();
        this.#attempt = undefined;
        if (attempt.signal.aborted) {
          stream.close();
          this.#retry(messageOf(attempt.signal.reason));
        } else this.#begin(stream);
      },
      (error) => {
        limit.cancel();
        this.#attempt = undefined;
        this.#stats.connectFailures++;
        this.#retry(messageOf(error));
      },
    );
  }

  #retry(reason: string): void {
    if (!this.#closing) this.#options.onFault?.(this, reason);
    if (this.#closing) return;
    const { clock, log, name } = this.#options;
    const failed = formatAddress(this.address);
    this.#failures++;
    this.#addressIndex = (this.#addressIndex + 1) % this.#addresses.length;
    const delayMs = this.#pauseMs();
    const held = this.#logLimiter.admit("retry");
    if (held !== undefined) {
      // The first few happen whenever both sides start together or the other one restarts.
      const level = this.#failures <= ROUTINE_FAILURES_MAX ? "info" : "warn";
      log[level](`No connection to ${name}, trying again`, {
        address: failed,
        reason,
        next: formatAddress(this.address),
        delayMs: Math.round(delayMs),
        ...held,
      });
    }
    this.#timer = clock.setTimer(delayMs, () => this.#connect());
  }

  #pauseMs(): number {
    const { rng, reconnectMinMs = 100, reconnectMaxMs = 5000, pauseMs } = this.#options;
    const count = this.#addresses.length;
    return pauseMs?.(this.#failures, count) ??
      reconnectDelayMs(this.#failures, count, reconnectMinMs, reconnectMaxMs, rng);
  }

  #begin(stream: Stream): void {
    const { clock, log, name } = this.#options;
    const link = new FramedLink(stream, {
      clock,
      pool: this.#pool,
      outputBytesMax: this.#outputBytesMax,
      // Two sides that both stop reading would wait for each other; only servers do.
      pauseAtHighWater: false,
      counters: this.#stats,
    }, {
      onFrame: (msgId, body) => this.#receive(msgId, body),
      onFault: (error) => this.#fault(error),
      onDrain: () => {},
      onPartial: () => this.#watchPartial(),
      onLost: (reason) => this.#disconnect(reason, false),
      onGone: () => this.#gone(),
    });
    this.#link = link;
    this.#connectedAtMs = clock.nowMs();
    this.#stats.connects++;
    log.info(`Connected to ${name}`, { address: formatAddress(this.address) });
    try {
      this.#options.onConnect?.(this);
    } catch (error) {
      this.#fault(error);
    }
    if (!link.open) return;
    link.output.appendAllOf(this.#kept);
    link.flushSoon();
  }

  #receive(msgId: number, body: Uint8Array): void {
    this.#options.onFrame?.(this, msgId);
    const result = this.#options.router.dispatch(msgId, body, this);
    if (result === "unknown") this.#stats.unknownIds++;
    else if (result !== "handled") this.#disconnect(result.closeReason, false);
  }

  #fault(error: unknown): void {
    if (!(error instanceof ProtocolError)) {
      this.#options.log.error(`Handler of ${this.#options.name} failed`, {
        error: messageOf(error),
        stack: error instanceof Error ? error.stack : undefined,
      });
    }
    this.#disconnect(messageOf(error), false);
  }

  /** Sees to it that the frame which is incomplete now, or the next such one, does not stay so. */
  #watchPartial(): void {
    const sinceMs = this.#link?.partialSinceMs;
    if (this.#partialTimer !== undefined || sinceMs === undefined) return;
    const { clock } = this.#options;
    const leftMs = sinceMs + FRAME_TIMEOUT_MS - clock.nowMs();
    if (leftMs <= 0) {
      return this.#disconnect(`frame not complete within ${FRAME_TIMEOUT_MS} ms`, true);
    }
    this.#partialTimer = clock.setTimer(leftMs, () => {
      this.#partialTimer = undefined;
      this.#watchPartial();
    });
  }

  /** Ends the connection; `dead` peers get no time to take what is queued, `flush` is for them. */
  #disconnect(reason: string, dead: boolean, flushMs = 0): void {
    const link = this.#link;
    if (link === undefined) return;
    this.#link = undefined;
    this.#partialTimer?.cancel();
    this.#partialTimer = undefined;
    this.#stats.disconnects++;
    const livedMs = this.#options.clock.nowMs() - this.#connectedAtMs;
    const { isAccepted, awaitPeerEnd } = this.#options;
    if (livedMs >= STABLE_CONNECTION_MS && isAccepted?.() !== false) this.#failures = 0;
    if (!this.#closing && flushMs === 0) this.#keepUnsent(link);
    this.#options.log.info(`Disconnected from ${this.#options.name}`, {
      address: formatAddress(this.address),
      reason,
      livedMs: Math.round(livedMs),
    });
    if (dead) link.destroy();
    else if (flushMs === 0) link.finish(this.#closing && awaitPeerEnd);
    else this.#leave(link, flushMs);
    try {
      this.#options.onDisconnect?.(this, reason);
    } catch (error) {
      this.#options.log.error("Disconnect hook failed", { error: messageOf(error) });
    }
    this.#retry(reason);
  }

  /** One at most is left so that its peer has long to take what waits, and none once this is closed. */
  #leave(link: FramedLink, flushMs: number): void {
    link.finish(false, flushMs);
    if (flushMs <= CLOSE_FLUSH_MS) return;
    this.#left?.destroy();
    this.#left = link;
  }

  /** Saves whole frames the lost connection never began to write. */
  #keepUnsent(link: FramedLink): void {
    this.#stats.lostBytes += link.output.abandonInFlight();
    if (this.#options.bufferWhileDisconnected === false) {
      this.#stats.lostBytes += link.output.clear();
    } else {
      this.#kept.appendAllOf(link.output);
    }
  }

  #gone(): void {
    this.#onGone?.();
    this.#onGone = undefined;
  }
}

function newStats(): MutableStats {
  return {
    connects: 0,
    connectFailures: 0,
    disconnects: 0,
    refusedSends: 0,
    lostBytes: 0,
    unknownIds: 0,
    framesIn: 0,
    framesOut: 0,
    bytesIn: 0,
    bytesOut: 0,
  };
}

function checkAddresses(addresses: readonly Address[]): void {
  if (addresses.length === 0) throw new RangeError("Client must have at least one address");
}

/**
 * Time for a handshake with a server to which there is no other: when all of its clients come back at
 * once, whoever gave up would only come again, and later, for another one.
 */
const LONE_HANDSHAKE_MS = 5_000;

/** A connection must have lived this long to count as a success that resets the back-off. */
export const STABLE_CONNECTION_MS = 1000;

/**
 * Pause before a connection attempt: full jitter, uniform from 0 up to a bound that doubles from
 * `minMs` with each full round over the addresses, up to `maxMs`. Full jitter keeps a thousand
 * clients of a restarted server apart; counting rounds lets a client try every address before it
 * slows down.
 *
 * @param failures attempts in a row that failed or did not last, 0 for the first attempt ever (no
 * pause).
 */
export function reconnectDelayMs(
  failures: number,
  addressCount: number,
  minMs: number,
  maxMs: number,
  rng: Rng,
): number {
  if (failures <= 0) return 0;
  const round = Math.floor((failures - 1) / Math.max(1, addressCount));
  // 2 ** 30 is beyond every maximum in use and far from losing precision.
  const boundMs = Math.min(maxMs, minMs * 2 ** Math.min(round, 30));
  return rng.next() * boundMs;
}
