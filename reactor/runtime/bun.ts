// Shell. Sockets and workers of Bun.
//
// Built-in modules are asked of `process` and not imported: both runtimes load this file, and in
// Deno each `node:` module costs every thread time and memory at its start.

import type NodeProcess from "node:process";
import type { Address } from "../address.ts";
import { bunProcessor, loadBySymbols } from "./bun_maps.ts";
import type { BunGlobal, BunSocket, BunSocketHandlers, BunUdpSocket } from "./bun_types.ts";
import {
  connectionFault,
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

/** Idle time before the kernel asks whether the peer still lives. */
const KEEP_ALIVE_DELAY_MS = 60_000;

/**
 * Descriptors below the system's limit that connections may not take. Bun itself accepts in a busy
 * loop once descriptors have run out, and tells nobody; descriptors are numbered from the lowest
 * free one, so a high number shows in time that they are about to.
 */
const LAST_DESCRIPTORS = 16;

/**
 * Sends of one datagram before it counts as lost. A send first reports the pending ICMP error of an
 * earlier one, to somebody else, without sending; the next try does send.
 */
const UDP_SEND_TRIES = 3;

/**
 * Chunks are fresh small arrays. The first view of one gives it an ArrayBuffer of its own, which
 * takes three times as long as copying a short body.
 */
const COPY_BELOW_BYTES = 1024;

/** A stream over Bun's callback sockets. */
class BunStream implements Stream {
  readonly remote: Address;
  readonly local: Address;
  readonly copyBelowBytes = COPY_BELOW_BYTES;
  readonly #socket: BunSocket<BunStream | undefined>;
  #handlers: StreamHandlers | undefined;
  /** What the kernel would not take yet: `#kept` from `#keptFrom` to `#keptEnd`. */
  #kept: Uint8Array | undefined;
  #keptFrom = 0;
  #keptEnd = 0;
  /** What happened between the connect and `start`. */
  #early: (() => void)[] = [];
  #closed = false;
  #paused = false;

  constructor(socket: BunSocket<BunStream | undefined>) {
    this.#socket = socket;
    this.remote = plainAddress(socket.remoteAddress, socket.remotePort);
    this.local = plainAddress(socket.localAddress, socket.localPort);
    socket.data = this;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS);
  }

  defer(action: () => void): void {
    queueMicrotask(action);
  }

  start(handlers: StreamHandlers): void {
    this.#handlers = handlers;
    const early = this.#early;
    this.#early = [];
    if (early.length > 0) queueMicrotask(() => early.forEach((event) => event()));
  }

  write(chunk: Uint8Array, length = chunk.length): boolean {
    const written = this.#socket.write(chunk, 0, length);
    if (written === length) return true;
    this.#kept = chunk;
    this.#keptFrom = Math.max(0, written);
    this.#keptEnd = length;
    return false;
  }

  pause(): void {
    if (this.#closed || this.#paused) return;
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (this.#closed || !this.#paused) return;
    this.#paused = false;
    this.#socket.resume();
  }

  end(): void {
    if (!this.#closed) this.#socket.shutdown();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#kept = undefined;
    this.#socket.end();
  }

  /** Called by the socket. */
  receive(chunk: Uint8Array): void {
    if (this.#closed) return;
    if (this.#handlers !== undefined) return this.#handlers.onData(chunk);
    const copy = chunk.slice();
    this.#early.push(() => this.receive(copy));
  }

  /** Called by the socket. */
  drain(): void {
    if (this.#closed || this.#kept === undefined) return;
    const left = this.#keptEnd - this.#keptFrom;
    const written = Math.max(0, this.#socket.write(this.#kept, this.#keptFrom, left));
    this.#keptFrom += written;
    if (written < left) return;
    this.#kept = undefined;
    this.#handlers?.onDrain();
  }

  /** Called by the socket. */
  peerEnded(): void {
    if (this.#closed) return;
    if (this.#handlers !== undefined) return this.#handlers.onEnd();
    this.#early.push(() => this.peerEnded());
  }

  /** Called by the socket. */
  lost(error: Error | undefined): void {
    if (this.#closed) return;
    if (this.#handlers === undefined) {
      this.#early.push(() => this.lost(error));
      return;
    }
    this.#closed = true;
    this.#kept = undefined;
    this.#handlers.onClose(error === undefined ? "peer closed" : connectionFault(error));
  }
}

/** The callbacks that lead from a socket to its stream. */
const streamCallbacks: BunSocketHandlers<BunStream | undefined> = {
  binaryType: "uint8array",
  data: (socket, chunk) => socket.data?.receive(chunk),
  drain: (socket) => socket.data?.drain(),
  end: (socket) => socket.data?.peerEnded(),
  close: (socket, error) => socket.data?.lost(error),
  error: (socket, error) => {
    socket.data?.lost(error);
    socket.terminate();
  },
};

function bun(): BunGlobal {
  return (globalThis as unknown as { Bun: BunGlobal }).Bun;
}

function listenTcp(options: ListenOptions): Listener {
  const { hostname, port, reusePort } = options;
  const descriptorMax = (openFilesMax() ?? Infinity) - LAST_DESCRIPTORS;
  const accept = (socket: BunSocket<BunStream | undefined>): void => {
    if (socket.fd < descriptorMax) return options.onConnection(new BunStream(socket));
    socket.end();
    void options.onAcceptError(new Error("Too many open files"));
  };
  try {
    const listener = bun().listen<BunStream | undefined>({
      hostname,
      port,
      reusePort,
      allowHalfOpen: true,
      socket: {
        ...streamCallbacks,
        open: accept,
      },
    });
    return { address: { hostname, port: listener.port }, close: () => listener.stop(false) };
  } catch (error) {
    throw toBindError("TCP", options, error);
  }
}

function connectTcp(options: ConnectOptions): Promise<Stream> {
  const { hostname, port, signal } = options;
  return new Promise((resolve, reject) => {
    let settled = false;
    const fail = (error: unknown): void => {
      if (settled) return;
      settled = true;
      signal.removeEventListener("abort", onAbort);
      reject(toConnectError(options, error));
    };
    const onAbort = (): void => fail(signal.reason);
    if (signal.aborted) return fail(signal.reason);
    signal.addEventListener("abort", onAbort);
    bun().connect<BunStream | undefined>({
      hostname,
      port,
      allowHalfOpen: true,
      socket: {
        ...streamCallbacks,
        open: (socket) => {
          // Connected after all, but nobody waits for it any more.
          if (settled) return socket.terminate();
          settled = true;
          signal.removeEventListener("abort", onAbort);
          resolve(new BunStream(socket));
        },
        connectError: (_socket, error) => fail(error),
      },
    }).catch(fail);
  });
}

/** A UDP socket that outlives the ICMP errors which Bun reports to it. */
class BunUdpStream implements UdpSocket {
  readonly address: Address;
  readonly #socket: BunUdpSocket;
  readonly #options: UdpOptions;
  #closed = false;

  constructor(socket: BunUdpSocket, options: UdpOptions) {
    this.#socket = socket;
    this.#options = options;
    this.address = { hostname: options.hostname, port: socket.port };
  }

  send(bytes: Uint8Array, to: Address): boolean {
    if (this.#closed) return false;
    for (let tries = 1;; tries++) {
      try {
        return this.#socket.send(bytes, to.port, to.hostname);
      } catch (error) {
        if (tries < UDP_SEND_TRIES) continue;
        this.#options.onError(error);
        return false;
      }
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }
}

async function bindUdp(options: UdpOptions): Promise<UdpSocket> {
  try {
    const socket = await bun().udpSocket({
      hostname: options.hostname,
      port: options.port,
      binaryType: "uint8array",
      socket: {
        data: (_socket, bytes, port, hostname) => options.onDatagram(bytes, { hostname, port }),
        error: (error) => options.onError(error),
      },
    });
    return new BunUdpStream(socket, options);
  } catch (error) {
    throw toBindError("UDP", options, error);
  }
}

const LOCK_SYMBOLS = {
  flock: { args: ["i32", "i32"], returns: "i32" },
  __errno_location: { args: [], returns: "ptr" },
} as const;
/** Of flock, on every processor of Linux. */
const LOCK_EXCLUSIVE = 2;
const LOCK_NOW = 4;
/** Of errno: another one has it. */
const WOULD_BLOCK = 11;

const LIBC_SYMBOLS = {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
  connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
  listen: { args: ["i32", "i32"], returns: "i32" },
  accept4: { args: ["i32", "ptr", "ptr", "i32"], returns: "i32" },
  shutdown: { args: ["i32", "i32"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  epoll_create1: { args: ["i32"], returns: "i32" },
  epoll_ctl: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
  epoll_wait: { args: ["i32", "ptr", "i32", "i32"], returns: "i32" },
  eventfd: { args: ["u32", "i32"], returns: "i32" },
  read: { args: ["i32", "ptr", "usize"], returns: "i64_fast" },
  write: { args: ["i32", "ptr", "usize"], returns: "i64_fast" },
  // What these give fits an int, the lower half of their result.
  recv: { args: ["i32", "ptr", "usize", "i32"], returns: "i32" },
  recvmsg: { args: ["i32", "ptr", "i32"], returns: "i32" },
  sendmsg: { args: ["i32", "ptr", "i32"], returns: "i32" },
  dup: { args: ["i32"], returns: "i32" },
  getpid: { args: [], returns: "i32" },
  geteuid: { args: [], returns: "u32" },
  send: { args: ["i32", "ptr", "usize", "i32"], returns: "i32" },
  recvmmsg: { args: ["i32", "ptr", "u32", "i32", "ptr"], returns: "i32" },
  sendmmsg: { args: ["i32", "ptr", "u32", "i32"], returns: "i32" },
  sendto: { args: ["i32", "ptr", "usize", "i32", "ptr", "u32"], returns: "i64_fast" },
  __errno_location: { args: [], returns: "ptr" },
} as const;

/** The same function of the C library as another one has it, with other arguments. */
const RING_SETUP_SYMBOLS = {
  syscall: { args: ["i32", "u32", "ptr"], returns: "i32" },
  mmap: { args: ["ptr", "usize", "i32", "i32", "i32", "usize"], returns: "ptr" },
  munmap: { args: ["ptr", "usize"], returns: "i32" },
} as const;
const RING_ENTER_SYMBOLS = {
  syscall: { args: ["i32", "i32", "u32", "u32", "u32", "usize", "usize"], returns: "i32" },
} as const;

let libc: Libc | undefined;

/** Opened once in each thread. */
function openLibc(): Libc {
  return libc ??= loadLibc();
}

function loadLibc(): Libc {
  const { ffi, symbols } = loadBySymbols(LIBC_SYMBOLS);
  const { symbols: setup } = loadBySymbols(RING_SETUP_SYMBOLS);
  const { symbols: enter } = loadBySymbols(RING_ENTER_SYMBOLS);
  // An empty array has no address; nothing is read from it, but C wants some pointer.
  const one = new Uint8Array(1);
  return {
    socket: (domain, type, protocol) => symbols.socket(domain, type, protocol),
    bind: (fd, address, bytes) => symbols.bind(fd, address, bytes),
    getsockname: (fd, address, bytes) => symbols.getsockname(fd, address, bytes),
    setsockopt: (fd, level, option, value, bytes) =>
      symbols.setsockopt(fd, level, option, value, bytes),
    getsockopt: (fd, level, option, value, bytes) =>
      symbols.getsockopt(fd, level, option, value, bytes),
    connect: (fd, address, bytes) => symbols.connect(fd, address, bytes),
    listen: (fd, backlog) => symbols.listen(fd, backlog),
    accept: (fd, address, bytes, flags) => symbols.accept4(fd, address, bytes, flags),
    shutdown: (fd, how) => symbols.shutdown(fd, how),
    close: (fd) => symbols.close(fd),
    epollCreate: (flags) => symbols.epoll_create1(flags),
    epollControl: (epoll, operation, fd, event) => symbols.epoll_ctl(epoll, operation, fd, event),
    epollWait: (epoll, events, max, timeoutMs) => symbols.epoll_wait(epoll, events, max, timeoutMs),
    eventFd: (value, flags) => symbols.eventfd(value, flags),
    read: (fd, buffer, bytes) => Number(symbols.read(fd, buffer, bytes)),
    write: (fd, buffer, bytes) => Number(symbols.write(fd, buffer, bytes)),
    receiveInto: (fd, bytes, flags) => symbols.recv(fd, bytes, bytes.length, flags),
    receive: (fd, head, flags) => symbols.recvmsg(fd, head, flags),
    sendMessage: (fd, head, flags) => symbols.sendmsg(fd, head, flags),
    dup: (fd) => symbols.dup(fd),
    ringSetup: (entries, params) => setup.syscall(RING_SETUP_CALL, entries, params),
    ringEnter: (ring, submitCount, waitCount, flags) =>
      enter.syscall(RING_ENTER_CALL, ring, submitCount, waitCount, flags, 0, 0),
    ringMap(ring, bytes, offset): Mapping | undefined {
      const kind = MAP_SHARED | MAP_POPULATE;
      const address = setup.mmap(null, bytes, mapProtection(true), kind, ring, offset);
      // The last address, which says that it failed, is no exact number.
      if (!(address > 0 && address <= Number.MAX_SAFE_INTEGER)) return undefined;
      return {
        memory: ffi.toArrayBuffer(address, 0, bytes),
        unmap: () => void setup.munmap(address, bytes),
      };
    },
    getpid: () => symbols.getpid(),
    geteuid: () => symbols.geteuid(),
    send: (fd, bytes, length, flags) =>
      symbols.send(fd, bytes.length > 0 ? bytes : one, length, flags),
    receiveMany: (fd, heads, count, flags) => symbols.recvmmsg(fd, heads, count, flags, null),
    sendMany: (fd, heads, count, flags) => symbols.sendmmsg(fd, heads, count, flags),
    sendTo: (fd, bytes, length, flags, address, addressBytes) =>
      Number(
        symbols.sendto(fd, bytes.length > 0 ? bytes : one, length, flags, address, addressBytes),
      ),
    errno(): number {
      const place = symbols.__errno_location();
      return place === 0 ? 0 : ffi.read.i32(place);
    },
    addressOf: (bytes) => BigInt(ffi.ptr(bytes)),
  };
}

function files(): typeof import("node:fs") {
  return process.getBuiltinModule("node:fs");
}

async function readFile(path: string, bytesMax: number): Promise<Uint8Array> {
  const { stat, readFile } = files().promises;
  requireFileBytes((await stat(path)).size, bytesMax);
  return await readFile(path);
}

function tryLockFile(path: string): FileLock | undefined {
  const { openSync, closeSync } = files();
  const libc = loadBySymbols(LOCK_SYMBOLS);
  const fd = openSync(path, "a", LOCK_MODE);
  if (libc.symbols.flock(fd, LOCK_EXCLUSIVE | LOCK_NOW) === 0) {
    return { unlock: () => closeSync(fd) };
  }
  const place = libc.symbols.__errno_location();
  const code = place === 0 ? 0 : libc.ffi.read.i32(place);
  closeSync(fd);
  if (code === WOULD_BLOCK) return undefined;
  throw new Error(`${path} cannot be locked: error ${code} of the system`);
}

async function replaceFile(directory: string, name: string, bytes: Uint8Array): Promise<void> {
  const { mkdir, open, rename, rm } = files().promises;
  const path = `${directory}/${name}`;
  const temporary = `${path}.new`;
  try {
    await mkdir(directory, { recursive: true });
    const file = await open(temporary, "w");
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}

function openFilesMax(): number | undefined {
  return openFilesMaxBy((path) => files().readFileSync(path, "utf8"));
}

function envAll(): Record<string, string> {
  const all: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined) all[name] = value;
  }
  return all;
}

/** Sources inside a compiled program live under this virtual folder. */
function isInside(path: string): boolean {
  return /\$bunfs|~BUN/.test(path);
}

/** In a compiled program workers lie beside this file, whichever folder their sources stood in. */
function placeOf(worker: URL): URL {
  if (!isInside(bun().main)) return worker;
  return new URL(worker.pathname.slice(worker.pathname.lastIndexOf("/") + 1), import.meta.url);
}

const workers = new WarmWorkers((url) => new Worker(placeOf(url), { type: "module" }));

/** The runtime, on Bun. */
export function bunRuntime(): Runtime {
  const { version, main } = bun();
  const isCompiled = isInside(main);
  const execPath = process.execPath;
  return {
    name: "bun",
    version,
    processor: bunProcessor(),
    args: process.argv.slice(2),
    execPath,
    isCompiled,
    listenTcp,
    connectTcp,
    bindUdp,
    openLibc,
    spawnWorker: (url) => workers.take(url),
    warmWorker: (url) => workers.warm(url),
    dropWarmWorkers: () => workers.drop(),
    env: (name) => process.env[name],
    envAll,
    exit: (code) => process.exit(code),
    onSignal(signal, action): () => void {
      process.on(signal, action);
      return () => void process.off(signal, action);
    },
    readTextFile: (path) => files().promises.readFile(path, "utf8"),
    readFile,
    replaceFile,
    tryLockFile,
    memoryBytes: () => process.memoryUsage().rss,
    openFilesMax,
    cpuSeconds(): number {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    },
    networkAddresses: () =>
      Object.values(process.getBuiltinModule("node:os").networkInterfaces())
        .flatMap((list) => list ?? []).map(({ address }) => address),
    isTerminal: (stream) => process[stream].isTTY === true,
    writeStdout: (text) => writeAll(text, (bytes) => files().writeSync(1, bytes)),
    writeStderr: (text) => writeAll(text, (bytes) => files().writeSync(2, bytes)),
    selfCommand: (script) => isCompiled ? [execPath] : [execPath, "run", script],
  };
}
