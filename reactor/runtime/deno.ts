// Shell. Sockets and workers of Deno.

import type NodeProcess from "node:process";
import { setImmediate } from "node:timers";
import type { Address } from "../address.ts";
import {
  connectionFault,
  errorCode,
  firstOf,
  libcNames,
  LOCK_MODE,
  MAP_POPULATE,
  MAP_SHARED,
  mapProtection,
  openFilesMaxBy,
  plainAddress,
  requireFileBytes,
  RING_ENTER_CALL,
  RING_SETUP_CALL,
  toBindError,
  toConnectError,
  WarmWorkers,
  writeAll,
} from "./common.ts";
import { MAP_FAILED, requireFfi } from "./deno_maps.ts";
import type {
  ConnectOptions,
  FileLock,
  Libc,
  Listener,
  ListenOptions,
  Mapping,
  Runtime,
  Stream,
  StreamHandlers,
  UdpOptions,
  UdpSocket,
} from "./types.ts";

/** Of both runtimes, without an import: that would make Deno start its Node.js side at once. */
declare const process: typeof NodeProcess;

/**
 * Read buffer of a connection, held all the time because a read is always under way. When a read
 * fills it the next ones use a large buffer, until one brings no more than the small one can take.
 */
const READ_BYTES = 1024;
const LARGE_READ_BYTES = 65_536;

/** Large read buffers kept for reuse: 1 MiB. */
const LARGE_BUFFERS_MAX = 16;

const largeBuffers: Uint8Array<ArrayBuffer>[] = [];

/** Largest UDP payload is 65,507 bytes; one more class up is 64 KiB. */
const DATAGRAM_BUFFER_BYTES = 65_536;

/** Bytes of datagrams that may wait for the kernel; further ones are dropped. */
const UDP_WAITING_BYTES_MAX = 1024 * 1024;

/** Failed receives in a row after which a UDP socket is given up instead of being read in a hot loop. */
const UDP_FAULTS_MAX = 1000;

function toAddress(address: Deno.Addr): Address {
  const { hostname, port } = address as Deno.NetAddr;
  return plainAddress(hostname, port);
}

/** A stream over Deno's promise-based connection: one read and one write under way at most. */
class DenoStream implements Stream {
  readonly remote: Address;
  readonly local: Address;
  readonly copyBelowBytes = 0;
  readonly #conn: Deno.TcpConn;
  /** Made once: a write costs one promise and nothing else. */
  readonly #onWritten = (count: number): void => this.#written(count);
  readonly #onWriteFailed = (error: unknown): void => this.#fail(error);
  #handlers: StreamHandlers | undefined;
  #writing: Uint8Array | undefined;
  #closed = false;
  #paused = false;
  #wake: (() => void) | undefined;

  constructor(conn: Deno.TcpConn) {
    this.#conn = conn;
    this.remote = toAddress(conn.remoteAddr);
    this.local = toAddress(conn.localAddr);
    try {
      conn.setNoDelay(true);
      conn.setKeepAlive(true);
    } catch {
      // The peer has reset the connection already; the first read says so.
    }
  }

  defer(action: () => void): void {
    queueMicrotask(action);
  }

  start(handlers: StreamHandlers): void {
    this.#handlers = handlers;
    void this.#readAll(handlers);
  }

  write(chunk: Uint8Array, length = chunk.length): boolean {
    this.#startWrite(length === chunk.length ? chunk : chunk.subarray(0, length));
    return false;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#wake?.();
  }

  end(): void {
    // The peer may be gone already: then the reading side reports it.
    this.#conn.closeWrite().catch(() => {});
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    noteClose();
    this.#wake?.();
    this.#conn.close();
  }

  async #readAll(handlers: StreamHandlers): Promise<void> {
    const small = new Uint8Array(READ_BYTES);
    let buffer = small;
    try {
      for (;;) {
        const count = await this.#conn.read(buffer);
        if (this.#closed) return;
        if (count === null) return handlers.onEnd();
        // Bytes that were read before the pause took hold wait here, unseen by the owner.
        if (this.#paused) await this.#resumed();
        if (this.#closed) return;
        handlers.onData(buffer.subarray(0, count));
        if (this.#paused) await this.#resumed();
        if (this.#closed) return;
        if (buffer === small) {
          if (count === READ_BYTES) {
            buffer = largeBuffers.pop() ?? new Uint8Array(LARGE_READ_BYTES);
          }
        } else if (count <= READ_BYTES) {
          if (largeBuffers.length < LARGE_BUFFERS_MAX) largeBuffers.push(buffer);
          buffer = small;
        }
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  #resumed(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = (): void => {
        this.#wake = undefined;
        resolve();
      };
    });
  }

  #startWrite(bytes: Uint8Array): void {
    this.#writing = bytes;
    this.#conn.write(bytes).then(this.#onWritten, this.#onWriteFailed);
  }

  #written(count: number): void {
    const bytes = this.#writing;
    if (this.#closed || bytes === undefined) return;
    if (count < bytes.length) return this.#startWrite(bytes.subarray(count));
    this.#writing = undefined;
    this.#handlers?.onDrain();
  }

  #fail(error: unknown): void {
    if (this.#closed) return;
    this.close();
    this.#handlers?.onClose(connectionFault(error));
  }
}

let signalListenerAdded = false;

/**
 * Deno aborts when file descriptors run out unless it already listens to some signal: setting up its
 * signal handling needs a descriptor at that moment. SIGURG is ignored by default, so listening to
 * it changes nothing else, and it does not keep the process alive.
 */
function prepareForDescriptorExhaustion(): void {
  if (signalListenerAdded) return;
  signalListenerAdded = true;
  try {
    Deno.addSignalListener("SIGURG", () => {});
  } catch {
    // Platforms without SIGURG do not have the fault either.
  }
}

/**
 * Connections that may be closed between two turns of the runtime while others are accepted. A closed
 * one keeps its descriptor until then, and all that wait are accepted within one turn: of a crowd each
 * would cost a descriptor, though it takes the place of another one.
 */
const CLOSES_PER_TURN_MAX = 8;

/** Connections that were closed and keep their descriptors still. */
let closesThisTurn = 0;

function noteClose(): void {
  if (closesThisTurn++ === 0) setImmediate(() => (closesThisTurn = 0));
}

/** Faults of one connection that was gone before it was accepted, not of accepting. */
const PEER_GONE_CODES: readonly string[] = ["ENOTCONN", "ECONNABORTED", "ECONNRESET"];

function listenTcp(options: ListenOptions): Listener {
  const { hostname, port, reusePort } = options;
  prepareForDescriptorExhaustion();
  let listener: Deno.TcpListener;
  try {
    listener = Deno.listen({ hostname, port, reusePort });
  } catch (error) {
    throw toBindError("TCP", options, error);
  }
  let closed = false;
  const acceptAll = async (): Promise<void> => {
    while (!closed) {
      try {
        const conn = await listener.accept();
        options.onConnection(new DenoStream(conn));
        if (closesThisTurn >= CLOSES_PER_TURN_MAX) {
          await new Promise<void>((resolve) => void setImmediate(resolve));
        }
      } catch (error) {
        // A peer that broke its connection before it was accepted says nothing about the next one:
        // pausing for it would let one such peer a second keep everybody else out.
        if (closed || PEER_GONE_CODES.includes(errorCode(error))) continue;
        await options.onAcceptError(error);
      }
    }
  };
  void acceptAll();
  return {
    address: { hostname, port: toAddress(listener.addr).port },
    close(): void {
      if (closed) return;
      closed = true;
      listener.close();
    },
  };
}

async function connectTcp(options: ConnectOptions): Promise<Stream> {
  const { hostname, port, signal } = options;
  try {
    const conn = await Deno.connect({ hostname, port, signal });
    return new DenoStream(conn);
  } catch (error) {
    throw toConnectError(options, signal.aborted ? signal.reason : error);
  }
}

/** A UDP socket whose sends are started and not waited for; what waits is bounded. */
class DenoUdpSocket implements UdpSocket {
  readonly address: Address;
  readonly #socket: Deno.DatagramConn;
  readonly #options: UdpOptions;
  #waitingBytes = 0;
  #closed = false;

  constructor(socket: Deno.DatagramConn, options: UdpOptions) {
    this.#socket = socket;
    this.#options = options;
    this.address = { hostname: options.hostname, port: toAddress(socket.addr).port };
    void this.#receiveAll();
  }

  send(bytes: Uint8Array, to: Address): boolean {
    if (this.#closed || this.#waitingBytes + bytes.length > UDP_WAITING_BYTES_MAX) return false;
    this.#waitingBytes += bytes.length;
    // A copy: the send may read the bytes after this call, when the caller has reused them.
    void this.#send(bytes.slice(), to);
    return true;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }

  async #send(bytes: Uint8Array, to: Address): Promise<void> {
    try {
      await this.#socket.send(bytes, { transport: "udp", hostname: to.hostname, port: to.port });
    } catch (error) {
      if (!this.#closed) this.#options.onError(error);
    } finally {
      this.#waitingBytes -= bytes.length;
    }
  }

  async #receiveAll(): Promise<void> {
    const buffer = new Uint8Array(DATAGRAM_BUFFER_BYTES);
    for (let faults = 0; !this.#closed && faults < UDP_FAULTS_MAX;) {
      try {
        const [bytes, from] = await this.#socket.receive(buffer);
        faults = 0;
        this.#options.onDatagram(bytes, toAddress(from));
      } catch (error) {
        if (this.#closed) return;
        faults++;
        this.#options.onError(error);
      }
    }
    if (!this.#closed) this.#options.onError(new Error("UDP socket is given up: it only fails"));
  }
}

function bindUdp(options: UdpOptions): Promise<UdpSocket> {
  const { hostname, port } = options;
  try {
    const socket = Deno.listenDatagram({ transport: "udp", hostname, port });
    return Promise.resolve(new DenoUdpSocket(socket, options));
  } catch (error) {
    return Promise.reject(toBindError("UDP", options, error));
  }
}

const LIBC_SYMBOLS = {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  listen: { parameters: ["i32", "i32"], result: "i32" },
  accept4: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" },
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  epoll_create1: { parameters: ["i32"], result: "i32" },
  epoll_ctl: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  epoll_wait: { parameters: ["i32", "buffer", "i32", "i32"], result: "i32" },
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  // What these give fits an int, the lower half of their result.
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  recvmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  sendmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  dup: { parameters: ["i32"], result: "i32" },
  getpid: { parameters: [], result: "i32" },
  geteuid: { parameters: [], result: "u32" },
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  recvmmsg: { parameters: ["i32", "buffer", "u32", "i32", "buffer"], result: "i32" },
  sendmmsg: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  sendto: { parameters: ["i32", "buffer", "usize", "i32", "buffer", "u32"], result: "isize" },
  __errno_location: { parameters: [], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

const RING_SYMBOLS = {
  ring_setup: { name: "syscall", parameters: ["i32", "u32", "buffer"], result: "i32" },
  ring_enter: {
    name: "syscall",
    parameters: ["i32", "i32", "u32", "u32", "u32", "usize", "usize"],
    result: "i32",
  },
  mmap: { parameters: ["pointer", "usize", "i32", "i32", "i32", "usize"], result: "pointer" },
  munmap: { parameters: ["pointer", "usize"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

let libc: Libc | undefined;

/** Lengths below this are made once. */
const KEPT_LENGTHS_MAX = 4096;
const keptLengths: bigint[] = [];
const LARGE_READ_LENGTH = BigInt(LARGE_READ_BYTES);

/** A length as the C library wants it, without an object for each call. */
function bigLength(length: number): bigint {
  if (length === LARGE_READ_BYTES) return LARGE_READ_LENGTH;
  if (length >= KEPT_LENGTHS_MAX) return BigInt(length);
  return keptLengths[length] ??= BigInt(length);
}

/** Opened once in each thread: it takes milliseconds. */
function openLibc(): Libc {
  return libc ??= loadLibc();
}

function loadLibc(): Libc {
  const names = libcNames(Deno.build.os, Deno.build.arch);
  requireFfi();
  const { symbols } = firstOf(names, (name) => Deno.dlopen(name, LIBC_SYMBOLS));
  // Each one a function of its own, so that the compiler can put the native call in its place.
  return {
    socket: (domain, type, protocol) => symbols.socket(domain, type, protocol),
    bind: (fd, address, bytes) => symbols.bind(fd, address as BufferSource, bytes),
    getsockname: (fd, address, bytes) =>
      symbols.getsockname(fd, address as BufferSource, bytes as BufferSource),
    setsockopt: (fd, level, option, value, bytes) =>
      symbols.setsockopt(fd, level, option, value as BufferSource, bytes),
    getsockopt: (fd, level, option, value, bytes) =>
      symbols.getsockopt(fd, level, option, value as BufferSource, bytes as BufferSource),
    connect: (fd, address, bytes) => symbols.connect(fd, address as BufferSource, bytes),
    listen: (fd, backlog) => symbols.listen(fd, backlog),
    accept: (fd, address, bytes, flags) =>
      symbols.accept4(fd, address as BufferSource, bytes as BufferSource, flags),
    shutdown: (fd, how) => symbols.shutdown(fd, how),
    close: (fd) => symbols.close(fd),
    epollCreate: (flags) => symbols.epoll_create1(flags),
    epollControl: (epoll, operation, fd, event) =>
      symbols.epoll_ctl(epoll, operation, fd, event as BufferSource),
    epollWait: (epoll, events, max, timeoutMs) =>
      symbols.epoll_wait(epoll, events as BufferSource, max, timeoutMs),
    eventFd: (value, flags) => symbols.eventfd(value, flags),
    read: (fd, buffer, bytes) => Number(symbols.read(fd, buffer as BufferSource, BigInt(bytes))),
    write: (fd, buffer, bytes) => Number(symbols.write(fd, buffer as BufferSource, BigInt(bytes))),
    receiveInto: (fd, bytes, flags) =>
      symbols.recv(fd, bytes as BufferSource, bigLength(bytes.length), flags),
    receive: (fd, head, flags) => symbols.recvmsg(fd, head as BufferSource, flags),
    sendMessage: (fd, head, flags) => symbols.sendmsg(fd, head as BufferSource, flags),
    dup: (fd) => symbols.dup(fd),
    ...ringCalls(names),
    getpid: () => symbols.getpid(),
    geteuid: () => symbols.geteuid(),
    send: (fd, bytes, length, flags) =>
      symbols.send(fd, bytes as BufferSource, bigLength(length), flags),
    receiveMany: (fd, heads, count, flags) =>
      symbols.recvmmsg(fd, heads as BufferSource, count, flags, null),
    sendMany: (fd, heads, count, flags) =>
      symbols.sendmmsg(fd, heads as BufferSource, count, flags),
    sendTo: (fd, bytes, length, flags, address, addressBytes) =>
      Number(
        symbols.sendto(
          fd,
          bytes as BufferSource,
          BigInt(length),
          flags,
          address as BufferSource,
          addressBytes,
        ),
      ),
    errno(): number {
      const place = symbols.__errno_location();
      return place === null ? 0 : new Deno.UnsafePointerView(place).getInt32();
    },
    addressOf: (bytes) =>
      BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes as BufferSource))),
  };
}

function ringCalls(names: readonly string[]): Pick<Libc, "ringSetup" | "ringEnter" | "ringMap"> {
  const { symbols } = firstOf(names, (name) => Deno.dlopen(name, RING_SYMBOLS));
  return {
    ringSetup: (entries, params) =>
      symbols.ring_setup(RING_SETUP_CALL, entries, params as BufferSource),
    ringEnter: (ring, submitCount, waitCount, flags) =>
      symbols.ring_enter(RING_ENTER_CALL, ring, submitCount, waitCount, flags, 0n, 0n),
    ringMap(ring, bytes, offset): Mapping | undefined {
      const kind = MAP_SHARED | MAP_POPULATE;
      const length = BigInt(bytes);
      const place = symbols.mmap(null, length, mapProtection(true), kind, ring, BigInt(offset));
      if (place === null || Deno.UnsafePointer.value(place) === MAP_FAILED) return undefined;
      return {
        memory: new Deno.UnsafePointerView(place).getArrayBuffer(bytes),
        unmap: () => void symbols.munmap(place, length),
      };
    },
  };
}

async function readFile(path: string, bytesMax: number): Promise<Uint8Array> {
  requireFileBytes((await Deno.stat(path)).size, bytesMax);
  return await Deno.readFile(path);
}

function tryLockFile(path: string): FileLock | undefined {
  const file = Deno.openSync(path, { read: true, write: true, create: true, mode: LOCK_MODE });
  let isHeld = false;
  try {
    isHeld = file.tryLockSync(true);
  } finally {
    if (!isHeld) file.close();
  }
  return isHeld ? { unlock: () => file.close() } : undefined;
}

async function replaceFile(directory: string, name: string, bytes: Uint8Array): Promise<void> {
  const path = `${directory}/${name}`;
  const temporary = `${path}.new`;
  try {
    await Deno.mkdir(directory, { recursive: true });
    using file = await Deno.open(temporary, { write: true, create: true, truncate: true });
    for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
    await file.sync();
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
}

const workers = new WarmWorkers((url) => new Worker(url, { type: "module" }));

/** The runtime, on Deno. */
export function denoRuntime(): Runtime {
  const isCompiled = Deno.build.standalone;
  return {
    name: "deno",
    version: Deno.version.deno,
    processor: Deno.build.arch,
    args: Deno.args,
    // Asked for when needed: it takes a permission that a locked-down service does not have.
    get execPath(): string {
      return Deno.execPath();
    },
    isCompiled,
    listenTcp,
    connectTcp,
    bindUdp,
    openLibc,
    spawnWorker: (url) => workers.take(url),
    warmWorker: (url) => workers.warm(url),
    dropWarmWorkers: () => workers.drop(),
    env: (name) => Deno.env.get(name),
    envAll: () => Deno.env.toObject(),
    exit: (code) => Deno.exit(code),
    onSignal(signal, action): () => void {
      // A second subscriber of the same function would be removed with the first.
      const listener = (): void => action();
      Deno.addSignalListener(signal, listener);
      return () => Deno.removeSignalListener(signal, listener);
    },
    readTextFile: (path) => Deno.readTextFile(path),
    readFile,
    replaceFile,
    tryLockFile,
    memoryBytes: () => Deno.memoryUsage().rss,
    cpuSeconds(): number {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    },
    networkAddresses: () => Deno.networkInterfaces().map(({ address }) => address),
    openFilesMax: () => openFilesMaxBy((path) => Deno.readTextFileSync(path)),
    isTerminal: (stream) => Deno[stream].isTerminal(),
    writeStdout: (text) => writeAll(text, (bytes) => Deno.stdout.writeSync(bytes)),
    writeStderr: (text) => writeAll(text, (bytes) => Deno.stderr.writeSync(bytes)),
    selfCommand: (script) =>
      isCompiled
        ? [Deno.execPath()]
        : [Deno.execPath(), "run", "--quiet", "-A", "--unstable-net", script],
  };
}
