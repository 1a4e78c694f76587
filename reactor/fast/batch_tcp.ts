// Shell. TCP on Linux through FFI, on a batch loop: many connections for few bytes of memory each.
//
// Connections are watched by the edge: the kernel tells of each arrival once, so that nothing has to
// be switched on and off. What was told and not yet taken is remembered by the stream.

import { type Address, formatIpv4 } from "../address.ts";
import {
  AF_INET,
  BatchLoop,
  bindErrorOf,
  EAGAIN,
  EINTR,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  fixedBytes,
  type LoopSocket,
  MSG_DONTWAIT,
  NAME_BYTES,
  portOfName,
  readName,
  releaseBytes,
  setOption,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  writeName,
} from "./batch_loop.ts";
import type { Clock } from "../time/clock.ts";
import { messageOf } from "../errors.ts";
import { connectionFault, toBindError, toConnectError } from "../runtime/common.ts";
import type {
  ConnectOptions,
  Libc,
  Listener,
  ListenOptions,
  Stream,
  StreamHandlers,
  TcpConnector,
  TcpTransport,
} from "../runtime/mod.ts";

/** Bytes taken from one connection in one turn; the rest waits for the next. */
export const RECEIVE_BYTES_MAX = 65_536;

/** Shorter views of the received bytes are made once. */
const KEPT_VIEWS_MAX = 4_096;

/** Connections accepted by one listener in one turn. */
export const ACCEPTS_MAX = 64;

/** Connections that the kernel completes ahead of us; the system may allow fewer. */
export const LISTEN_BACKLOG = 1024;

/** Time that the connection of the self-test has. */
export const TCP_SELF_TEST_MS = 200;

/** Idle time before the kernel asks whether the peer still lives. */
const KEEP_ALIVE_DELAY_S = 60;

const SOCK_STREAM = 1;
const SO_REUSEADDR = 2;
const SO_ERROR = 4;
const SO_KEEPALIVE = 9;
const SO_REUSEPORT = 15;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const TCP_KEEPIDLE = 4;
const TCP_INFO = 11;
const TCP_ESTABLISHED = 1;
const TCP_CLOSE = 7;
const TCP_CLOSE_WAIT = 8;
const SHUT_WR = 1;
const MSG_NOSIGNAL = 0x4000;

const STREAM_EVENTS = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

/** Errors of `accept` that say something about one connection, not about accepting. */
const PEER_GONE_CODES: readonly number[] = [EINTR, 71, 92, 93, 94, 95, 100, 101, 103, 104, 113];

/** Texts of errors, by the number of the C library. */
const FAULT_CODES: Readonly<Record<number, string>> = {
  24: "Too many open files",
  23: "Too many open files in the system",
  12: "Out of memory",
  105: "No buffer space",
};

/** Reasons for which a connection may be lost. */
const LOSS_CODES: Readonly<Record<number, string>> = {
  32: "EPIPE",
  104: "ECONNRESET",
  110: "ETIMEDOUT",
  113: "EHOSTUNREACH",
};

/** Reasons for which a connection may not be made. */
const CONNECT_CODES: Readonly<Record<number, string>> = {
  ...LOSS_CODES,
  101: "ENETUNREACH",
  111: "ECONNREFUSED",
};

/** What a stream remembers of the kernel's news and its owner's wishes. */
const PAUSED = 1;
const READABLE = 2;
const QUEUED = 4;
const HUNG_UP = 8;
const ENDED = 16;
const FIN_SENT = 32;

/** What the kernel would not take yet. */
interface Kept {
  readonly bytes: Uint8Array;
  from: number;
  readonly end: number;
}

/**
 * Connections of a {@linkcode BatchLoop}, as a transport for `TcpServer`. All of them share one
 * receive buffer; output is kept only when the kernel will not take it. Hosts are IPv4 addresses or
 * `localhost`. Serves only while the loop's `turn` is called: on a thread that is blocked in it, the
 * server's clock must be a `LoopClock`.
 */
export class BatchTcp implements TcpTransport, TcpConnector {
  readonly loop: BatchLoop;
  readonly libc: Libc;
  /** Where received bytes lie. */
  readonly received = fixedBytes(RECEIVE_BYTES_MAX);
  readonly #scratch = new Uint8Array(256);
  readonly #scratchBytes = new Uint8Array(4);
  /** Of the start of `received`, by length: most of what comes is as long as something before. */
  readonly #views: Uint8Array[] = [];
  #lastHost = 0;
  #lastHostname = formatIpv4(0);

  constructor(loop: BatchLoop) {
    this.loop = loop;
    this.libc = loop.libc;
  }

  /** @throws {BindError} naming host:port. */
  listenTcp(options: ListenOptions): Listener {
    return new BatchListener(this, options);
  }

  /** @throws {ConnectError} when refused, unreachable or aborted, or when the host is no IPv4 address. */
  connectTcp(options: ConnectOptions): Promise<Stream> {
    return new Promise((resolve, reject) => new BatchConnect(this, options, resolve, reject));
  }

  /** Frees what is shared; listeners and connections must be closed before. */
  close(): void {
    releaseBytes(this.received);
  }

  /** What was received last. */
  receivedBytes(count: number): Uint8Array {
    if (count >= KEPT_VIEWS_MAX) return this.received.subarray(0, count);
    return this.#views[count] ??= this.received.subarray(0, count);
  }

  /** The address in a name. Its host shares one text with the one made before, if it is the same. */
  peerOf(name: Uint8Array): Address {
    const host = name[4] << 24 | name[5] << 16 | name[6] << 8 | name[7];
    if (host !== this.#lastHost) {
      this.#lastHost = host;
      this.#lastHostname = formatIpv4(host);
    }
    return { hostname: this.#lastHostname, port: portOfName(name) };
  }

  /** The address at our end of a connection. */
  ownNameOf(fd: number): Address {
    const name = this.#scratch.subarray(0, NAME_BYTES);
    this.libc.getsockname(fd, name, this.#lengthOf(NAME_BYTES));
    return readName(name);
  }

  /** True when nothing can come or go any more. Errno alone is not always right in Deno. */
  isDead(fd: number): boolean {
    return this.#stateOf(fd) === TCP_CLOSE;
  }

  /** True when a connection stands, though the peer may have ended its side already. */
  isConnected(fd: number): boolean {
    const state = this.#stateOf(fd);
    return state === TCP_ESTABLISHED || state === TCP_CLOSE_WAIT;
  }

  /** Why a connection could not be made; 0: unknown. It is told once. */
  errorOf(fd: number): number {
    const bytes = this.#lengthOf(this.#scratch.length);
    const failed = this.libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, this.#scratch, bytes) < 0;
    return failed ? 0 : new DataView(this.#scratch.buffer).getInt32(0, true);
  }

  #stateOf(fd: number): number {
    const bytes = this.#lengthOf(this.#scratch.length);
    const failed = this.libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, this.#scratch, bytes) < 0;
    return failed ? TCP_CLOSE : this.#scratch[0];
  }

  #lengthOf(bytes: number): Uint8Array {
    new DataView(this.#scratchBytes.buffer).setUint32(0, bytes, true);
    return this.#scratchBytes;
  }
}

/** One connection. */
class BatchStream implements Stream, LoopSocket {
  readonly remote: Address;
  readonly local: Address;
  readonly #tcp: BatchTcp;
  #handlers: StreamHandlers | undefined;
  #fd: number;
  #slot = -1;
  #kept: Kept | undefined;
  #flags = 0;

  constructor(tcp: BatchTcp, fd: number, remote: Address, local: Address) {
    this.#tcp = tcp;
    this.#fd = fd;
    this.remote = remote;
    this.local = local;
  }

  get copyBelowBytes(): number {
    return 0;
  }

  get canStartAgain(): boolean {
    return true;
  }

  start(handlers: StreamHandlers): void {
    this.#handlers = handlers;
    if (this.#slot >= 0) return;
    try {
      this.#slot = this.#tcp.loop.watch(this.#fd, this, STREAM_EVENTS);
    } catch (error) {
      this.defer(() => this.#lose(messageOf(error)));
    }
  }

  defer(action: () => void): void {
    this.#tcp.loop.defer(action);
  }

  write(chunk: Uint8Array, length = chunk.length): boolean {
    if (this.#fd < 0) return true;
    const sent = this.#tcp.libc.send(this.#fd, chunk, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent === length) return true;
    // A connection that is broken says so by an event.
    this.#kept = { bytes: chunk, from: Math.max(0, sent), end: length };
    return false;
  }

  pause(): void {
    this.#flags |= PAUSED;
  }

  resume(): void {
    this.#flags &= ~PAUSED;
    if ((this.#flags & READABLE) !== 0) this.#queue();
  }

  end(): void {
    if (this.#fd < 0) return;
    this.#flags |= FIN_SENT;
    this.#tcp.libc.shutdown(this.#fd, SHUT_WR);
  }

  close(): void {
    if (this.#fd < 0) return;
    if (this.#slot >= 0) this.#tcp.loop.forget(this.#slot);
    this.#tcp.libc.close(this.#fd);
    this.#fd = -1;
    this.#kept = undefined;
  }

  /** Called by the loop. */
  onReady(events: number): number {
    if (events === 0) this.#flags &= ~QUEUED;
    if (this.#fd < 0) return 0;
    try {
      return this.#serve(events);
    } catch (error) {
      this.#lose(connectionFault(error));
      return 1;
    }
  }

  #serve(events: number): number {
    let handled = 0;
    if ((events & EPOLLOUT) !== 0 && this.#kept !== undefined) handled += this.#drain();
    if ((events & ~EPOLLOUT) !== 0) this.#flags |= READABLE;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) !== 0) this.#flags |= HUNG_UP;
    if (this.#fd < 0 || (this.#flags & READABLE) === 0) return handled;
    if ((this.#flags & ENDED) !== 0) return handled + this.#afterEnd();
    if ((this.#flags & PAUSED) !== 0) {
      // Its output can leave no more, so its owner would wait for ever to resume it.
      const broken = (this.#flags & HUNG_UP) !== 0 && this.#tcp.isDead(this.#fd);
      return broken ? this.#lose(this.#lossReason()) : handled;
    }
    // One that waits for its next share has had the present one.
    return (this.#flags & QUEUED) !== 0 ? handled : handled + this.#receive();
  }

  #receive(): number {
    const { libc, received } = this.#tcp;
    const count = libc.receiveInto(this.#fd, received, MSG_DONTWAIT);
    if (count > RECEIVE_BYTES_MAX) return this.#lose(`${count} bytes in one receive`);
    if (count > 0) {
      // Less than asked for was all there is, unless the end comes behind it.
      if (count === RECEIVE_BYTES_MAX || (this.#flags & HUNG_UP) !== 0) this.#queue();
      else this.#flags &= ~READABLE;
      const handlers = this.#handlers;
      const chunk = this.#tcp.receivedBytes(count);
      handlers?.onData(chunk);
      if (this.#handlers !== handlers && this.#fd >= 0) this.#handlers?.onData(chunk);
      return 1;
    }
    if (count === 0) {
      this.#flags |= ENDED;
      this.#handlers?.onEnd();
      return 1;
    }
    if (this.#tcp.isDead(this.#fd)) return this.#lose(this.#lossReason());
    this.#flags &= ~READABLE;
    return 0;
  }

  /** The peer has ended its side; it may still break the connection. */
  #afterEnd(): number {
    this.#flags &= ~READABLE;
    const over = (this.#flags & FIN_SENT) !== 0;
    return !over && this.#tcp.isDead(this.#fd) ? this.#lose(this.#lossReason()) : 0;
  }

  #drain(): number {
    const kept = this.#kept;
    if (kept === undefined) return 0;
    const rest = kept.bytes.subarray(kept.from, kept.end);
    const sent = this.#tcp.libc.send(this.#fd, rest, rest.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    kept.from += Math.max(0, sent);
    if (kept.from < kept.end) return sent > 0 ? 1 : 0;
    this.#kept = undefined;
    this.#handlers?.onDrain();
    return 1;
  }

  #queue(): void {
    if ((this.#flags & (QUEUED | PAUSED)) !== 0 || this.#fd < 0) return;
    this.#flags |= QUEUED;
    this.#tcp.loop.again(this);
  }

  #lossReason(): string {
    const code = LOSS_CODES[this.#tcp.libc.errno()] ?? "ECONNRESET";
    return connectionFault({ code });
  }

  #lose(reason: string): number {
    if (this.#fd < 0) return 0;
    this.close();
    this.#handlers?.onClose(reason);
    return 1;
  }
}

/** A connection that is being made. */
class BatchConnect implements LoopSocket {
  readonly #tcp: BatchTcp;
  readonly #options: ConnectOptions;
  readonly #resolve: (stream: Stream) => void;
  readonly #reject: (error: unknown) => void;
  #fd: number;
  #slot = -1;
  #code = 0;

  constructor(
    tcp: BatchTcp,
    options: ConnectOptions,
    resolve: (stream: Stream) => void,
    reject: (error: unknown) => void,
  ) {
    this.#tcp = tcp;
    this.#options = options;
    this.#resolve = resolve;
    this.#reject = reject;
    const { libc, loop } = tcp;
    const name = new Uint8Array(NAME_BYTES);
    this.#fd = -1;
    try {
      options.signal.throwIfAborted();
      writeName(name, 0, options);
      this.#fd = libc.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      if (this.#fd < 0) throw new Error(FAULT_CODES[libc.errno()] ?? "no socket");
      setOption(libc, this.#fd, SOL_SOCKET, SO_KEEPALIVE, 1);
      setOption(libc, this.#fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_ALIVE_DELAY_S);
      setOption(libc, this.#fd, IPPROTO_TCP, TCP_NODELAY, 1);
      // What becomes of it shows in an event, also when it fails at once; the number is for people.
      if (libc.connect(this.#fd, name, NAME_BYTES) < 0) this.#code = libc.errno();
      this.#slot = loop.watch(this.#fd, this, EPOLLOUT);
      options.signal.addEventListener("abort", this.#onAbort, { once: true });
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Called by the loop. */
  onReady(): number {
    const fd = this.#fd;
    if (fd < 0) return 0;
    if (!this.#tcp.isConnected(fd)) {
      const code = this.#tcp.errorOf(fd) || this.#code;
      this.#fail(Object.assign(new Error(`errno ${code}`), { code: CONNECT_CODES[code] }));
      return 1;
    }
    this.#end();
    this.#fd = -1;
    const { hostname, port } = this.#options;
    this.#resolve(new BatchStream(this.#tcp, fd, { hostname, port }, this.#tcp.ownNameOf(fd)));
    return 1;
  }

  readonly #onAbort = (): void => this.#fail(this.#options.signal.reason);

  #end(): void {
    this.#options.signal.removeEventListener("abort", this.#onAbort);
    if (this.#slot >= 0) this.#tcp.loop.forget(this.#slot, this.#fd);
    this.#slot = -1;
  }

  #fail(error: unknown): void {
    this.#end();
    if (this.#fd >= 0) this.#tcp.libc.close(this.#fd);
    this.#fd = -1;
    this.#reject(toConnectError(this.#options, error));
  }
}

/** A listening socket. Watched by level: what one turn leaves over is told of again. */
class BatchListener implements Listener, LoopSocket {
  readonly address: Address;
  readonly #tcp: BatchTcp;
  readonly #options: ListenOptions;
  readonly #name = new Uint8Array(NAME_BYTES);
  readonly #nameBytes = new Uint8Array(4);
  /** True when all connections have the address that is listened on. */
  readonly #oneAddress: boolean;
  #fd: number;
  #slot = -1;

  constructor(tcp: BatchTcp, options: ListenOptions) {
    this.#tcp = tcp;
    this.#options = options;
    this.#fd = openListener(tcp.libc, options);
    const own = tcp.ownNameOf(this.#fd);
    this.address = { hostname: options.hostname, port: own.port };
    this.#oneAddress = own.hostname !== "0.0.0.0" && own.hostname === options.hostname;
    try {
      this.#watch();
    } catch (error) {
      tcp.libc.close(this.#fd);
      throw toBindError("TCP", options, error);
    }
  }

  close(): void {
    if (this.#fd < 0) return;
    this.#forget();
    this.#tcp.libc.close(this.#fd);
    this.#fd = -1;
  }

  /** Called by the loop. */
  onReady(): number {
    const { libc } = this.#tcp;
    let accepted = 0;
    while (accepted < ACCEPTS_MAX && this.#slot >= 0) {
      this.#nameBytes[0] = NAME_BYTES;
      const fd = libc.accept(this.#fd, this.#name, this.#nameBytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        accepted++;
        const remote = this.#tcp.peerOf(this.#name);
        const local = this.#oneAddress ? this.address : this.#tcp.ownNameOf(fd);
        this.#options.onConnection(new BatchStream(this.#tcp, fd, remote, local));
        continue;
      }
      const code = libc.errno();
      if (code === EAGAIN) break;
      // A peer that broke its connection before it was accepted says nothing about the next one.
      if (PEER_GONE_CODES.includes(code)) accepted++;
      else this.#pause(code);
    }
    return accepted;
  }

  #pause(code: number): void {
    this.#forget();
    const error = new Error(FAULT_CODES[code] ?? `accept failed: errno ${code}`);
    void this.#options.onAcceptError(error).then(() => this.#resume());
  }

  #resume(): void {
    if (this.#fd < 0 || this.#slot >= 0) return;
    try {
      this.#watch();
    } catch {
      this.#pause(this.#tcp.libc.errno());
    }
  }

  #watch(): void {
    this.#slot = this.#tcp.loop.watch(this.#fd, this, EPOLLIN);
  }

  #forget(): void {
    if (this.#slot < 0) return;
    this.#tcp.loop.forget(this.#slot, this.#fd);
    this.#slot = -1;
  }
}

/** A bound and listening descriptor. @throws {BindError} naming host:port. */
function openListener(libc: Libc, options: ListenOptions): number {
  const name = new Uint8Array(NAME_BYTES);
  try {
    writeName(name, 0, options);
  } catch (error) {
    throw toBindError("TCP", options, error);
  }
  const fd = libc.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const set = (level: number, option: number, value: number): boolean =>
    setOption(libc, fd, level, option, value);
  // Accepted connections inherit the last three from the listener.
  const done = fd >= 0 && set(SOL_SOCKET, SO_REUSEADDR, 1) &&
    (!options.reusePort || set(SOL_SOCKET, SO_REUSEPORT, 1)) &&
    set(SOL_SOCKET, SO_KEEPALIVE, 1) && set(IPPROTO_TCP, TCP_KEEPIDLE, KEEP_ALIVE_DELAY_S) &&
    set(IPPROTO_TCP, TCP_NODELAY, 1) &&
    libc.bind(fd, name, NAME_BYTES) === 0 && libc.listen(fd, LISTEN_BACKLOG) === 0;
  if (done) return fd;
  const code = libc.errno();
  if (fd >= 0) libc.close(fd);
  throw bindErrorOf("TCP", options, code);
}

/**
 * Tries the whole way: library, sockets, epoll, and three bytes to a listener and back.
 *
 * @returns why this machine cannot do it, or undefined when it can.
 */
export function batchTcpFault(clock: Pick<Clock, "nowMs">): string | undefined {
  try {
    const loop = new BatchLoop(() => clock.nowMs());
    const tcp = new BatchTcp(loop);
    try {
      return echoFault(tcp, clock);
    } finally {
      tcp.close();
      loop.close();
    }
  } catch (error) {
    return messageOf(error);
  }
}

function echoFault(tcp: BatchTcp, clock: Pick<Clock, "nowMs">): string | undefined {
  const { libc, loop } = tcp;
  const streams: Stream[] = [];
  const fd = libc.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const listener = tcp.listenTcp({
    hostname: "127.0.0.1",
    port: 0,
    reusePort: false,
    onConnection(stream): void {
      streams.push(stream);
      const ignore = (): void => {};
      const onData = (chunk: Uint8Array): void => void stream.write(chunk.slice());
      stream.start({ onData, onDrain: ignore, onEnd: ignore, onClose: ignore });
    },
    onAcceptError: () => Promise.resolve(),
  });
  try {
    const name = new Uint8Array(NAME_BYTES);
    writeName(name, 0, listener.address);
    // The kernel itself accepts, so this does not wait for the turns below.
    if (libc.connect(fd, name, NAME_BYTES) < 0) return `connect failed: errno ${libc.errno()}`;
    libc.send(fd, Uint8Array.of(1, 2, 3), 3, MSG_NOSIGNAL);
    const endMs = clock.nowMs() + TCP_SELF_TEST_MS;
    while (clock.nowMs() < endMs) {
      loop.turn(TCP_SELF_TEST_MS / 10);
      if (libc.receiveInto(fd, tcp.received, MSG_DONTWAIT) !== 3) continue;
      const answer = tcp.received.subarray(0, 3).join();
      return answer === "1,2,3" ? undefined : "the self-test got other bytes back";
    }
    return `the self-test got no bytes back within ${TCP_SELF_TEST_MS} ms`;
  } finally {
    if (fd >= 0) libc.close(fd);
    for (const stream of streams) stream.close();
    listener.close();
  }
}
