// Shell. TCP on Linux through FFI, on a batch loop: many connections for few bytes of memory each.

import { type Address, formatIpv4 } from "../address.ts";
import { ByteViews } from "../byte_views.ts";
import {
  AF_INET,
  BatchLoop,
  bindErrorOf,
  EAGAIN,
  EINTR,
  EPOLLIN,
  EPOLLOUT,
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
import { BatchStream, LOSS_CODES, RECEIVE_BYTES_MAX, type StreamHost } from "./batch_stream.ts";
import { MSG_NOSIGNAL, SendRing } from "./send_ring.ts";
import type { Clock } from "../time/clock.ts";
import { messageOf } from "../errors.ts";
import { toBindError, toConnectError } from "../runtime/common.ts";
import type {
  ConnectOptions,
  Libc,
  Listener,
  ListenOptions,
  Stream,
  TcpConnector,
  TcpTransport,
} from "../runtime/mod.ts";

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

/** Errors of `accept` that say something about one connection, not about accepting. */
const PEER_GONE_CODES: readonly number[] = [EINTR, 71, 92, 93, 94, 95, 100, 101, 103, 104, 113];

/** Texts of errors, by the number of the C library. */
const FAULT_CODES: Readonly<Record<number, string>> = {
  24: "Too many open files",
  23: "Too many open files in the system",
  12: "Out of memory",
  105: "No buffer space",
};

/** Reasons for which a connection may not be made. */
const CONNECT_CODES: Readonly<Record<number, string>> = {
  ...LOSS_CODES,
  101: "ENETUNREACH",
  111: "ECONNREFUSED",
};

/**
 * Connections of a {@linkcode BatchLoop}, as a transport for `TcpServer`. All of them share one
 * receive buffer; output is kept only when the kernel will not take it. Hosts are IPv4 addresses or
 * `localhost`. Serves only while the loop's `turn` is called: on a thread that is blocked in it, the
 * server's clock must be a `LoopClock`.
 */
export class BatchTcp implements TcpTransport, TcpConnector, StreamHost {
  readonly loop: BatchLoop;
  readonly libc: Libc;
  /** Where received bytes lie. */
  readonly received = fixedBytes(RECEIVE_BYTES_MAX);
  readonly views = new ByteViews(this.received);
  readonly #scratch = new Uint8Array(256);
  readonly #scratchBytes = new Uint8Array(4);
  /** Undefined: each send is a call of its own. */
  readonly ring: SendRing | undefined;
  /** Why it is so. */
  readonly ringFault: string | undefined;
  readonly #leaveLoop: (() => void) | undefined;
  #lastHost = 0;
  #lastHostname = formatIpv4(0);

  /** @param wantsRing What is sent in one turn leaves by one call, where the system has io_uring. */
  constructor(loop: BatchLoop, wantsRing = true) {
    this.loop = loop;
    this.libc = loop.libc;
    try {
      if (!wantsRing) throw new Error("it is not wanted");
      const ring = new SendRing(this.libc);
      this.ring = ring;
      this.#leaveLoop = loop.onEnding(() => ring.flush());
    } catch (error) {
      this.ringFault = messageOf(error);
    }
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
    this.#leaveLoop?.();
    this.ring?.close();
    releaseBytes(this.received);
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
