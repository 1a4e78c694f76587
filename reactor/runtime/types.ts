// Core. What the rest of the project sees of the runtime it runs on.

import type { Address } from "../address.ts";
import type { ByteViews } from "../byte_views.ts";

/** Signals a service listens to. */
export type SignalName = "SIGINT" | "SIGTERM" | "SIGHUP";

/** Told what happens on a stream. None of these may throw. */
export interface StreamHandlers {
  /** Bytes arrived; `chunk` is valid only during the call. */
  onData(chunk: Uint8Array): void;
  /** What `write` kept has been handed to the kernel. */
  onDrain(): void;
  /** The peer sends no more; writing may still work. No `onData` follows. */
  onEnd(): void;
  /** The stream is gone, for another reason than the owner's own `close`. Called last, once. */
  onClose(reason: string): void;
}

/** What the certificate says that the other side of a connection has proved to own. */
export interface PeerCertificate {
  /** Who it was made for, for people. */
  readonly subject: string;
  /** Its names that are resource identifiers. */
  readonly uris: readonly string[];
  /** SHA-256 of it, in hexadecimal capitals with colons. */
  readonly fingerprint: string;
  /** Until when it is valid, by the wall clock, in milliseconds. */
  readonly endsAtMs: number;
}

/** One TCP connection. */
export interface Stream {
  readonly remote: Address;
  readonly local: Address;
  /** Over TLS, and known before the first byte is; undefined: none was shown. */
  readonly peerCertificate?: PeerCertificate | undefined;
  /** A handshake is under way, or has just ended: nothing could be said yet. @default {false} */
  readonly isOpening?: boolean;
  /** Others have their turn between two pieces of it, by the loop that serves it. @default {false} */
  readonly takesTurns?: boolean;
  /** It asks by itself whether its peer is still there, and ends when it is not. @default {false} */
  readonly asksPeer?: boolean;
  /**
   * Calls `action` at the end of the present turn of the loop that serves this stream. It must not
   * throw.
   */
  defer(action: () => void): void;
  /** Begins to read; called once, in the same turn in which the stream was handed over. */
  start(handlers: StreamHandlers): void;
  /**
   * True: `start` may be called again, and others take over. Within `onData` they are given the same
   * bytes as well.
   */
  readonly canStartAgain?: boolean;
  /** Of the buffer at whose start all that it gives lies; who is given it may write over it. */
  readonly views?: ByteViews | undefined;
  /** Up to this many bytes of a received chunk are copied sooner than a view of them is made. */
  readonly copyBelowBytes: number;
  /**
   * Sends the first `length` bytes, by default all. True: all are on their way and the buffer is free. False: the
   * stream keeps the buffer until `onDrain`, and no other write may be made until then.
   */
  write(chunk: Uint8Array, length?: number): boolean;
  /**
   * Bytes that the kernel has not taken though `write` said that the buffer is free; `onDrain` tells when
   * it has. Absent: there are none.
   */
  settle?(): number;
  /** Stops reading, so that the peer is slowed down by the kernel's own flow control. */
  pause(): void;
  resume(): void;
  /** Sends FIN; nothing may be written afterwards. */
  end(): void;
  /** Ends the stream at once. No handler is called afterwards. Harmless when repeated. */
  close(): void;
}

/** Options of {@linkcode Runtime.listenTcp}. */
export interface ListenOptions {
  readonly hostname: string;
  /** 0 lets the system choose. */
  readonly port: number;
  /** Several listeners share the port; the kernel spreads connections over them. */
  readonly reusePort: boolean;
  /** A connection came in: start it or close it, in this call. */
  onConnection(stream: Stream): void;
  /** Accepting failed, for example for want of file descriptors; the next try waits for the promise. */
  onAcceptError(error: unknown): Promise<void>;
}

/** A listening TCP socket. */
export interface Listener {
  /** With the real port. */
  readonly address: Address;
  close(): void;
}

/** What a TCP server takes its connections from. */
export interface TcpTransport {
  /** Those of its streams, where all of them have the same. */
  readonly views?: ByteViews | undefined;
  /** @throws {BindError} naming host:port. */
  listenTcp(options: ListenOptions): Listener;
}

/** Options of {@linkcode TcpConnector.connectTcp}. */
export interface ConnectOptions {
  readonly hostname: string;
  readonly port: number;
  /** Gives up; neither runtime has a time limit of its own. */
  readonly signal: AbortSignal;
  /** Told when the peer has been reached and a handshake is still to come, as over TLS. */
  readonly onReached?: () => void;
}

/** What a TCP client makes its connections with. */
export interface TcpConnector {
  /** @throws {Error} when refused, unreachable or aborted; its message says why. */
  connectTcp(options: ConnectOptions): Promise<Stream>;
}

/** Options of {@linkcode Runtime.bindUdp}. */
export interface UdpOptions {
  readonly hostname: string;
  /** 0 lets the system choose. */
  readonly port: number;
  /** A datagram came in; `bytes` is valid only during the call. Must not throw. */
  onDatagram(bytes: Uint8Array, from: Address): void;
  /** Receiving or sending failed; the socket lives on. Must not throw. */
  onError(error: unknown): void;
}

/** A bound UDP socket. */
export interface UdpSocket {
  /** With the real port. */
  readonly address: Address;
  /**
   * Sends one datagram to an IP address; the bytes are free afterwards.
   *
   * @returns false when the system would not take it now; an error also goes to `onError`.
   */
  send(bytes: Uint8Array, to: Address): boolean;
  close(): void;
}

/**
 * The few functions of the C library behind the fast network path, called without copying. Numbers
 * are what C gives: -1 for a failure, whose number `errno` tells.
 *
 * Whoever passes memory whose address is written into other memory must keep it reachable: the
 * garbage collector does not see such addresses.
 */
export interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, addressBytes: number): number;
  getsockname(fd: number, address: Uint8Array, addressBytes: Uint8Array): number;
  setsockopt(fd: number, level: number, option: number, value: Uint8Array, bytes: number): number;
  getsockopt(
    fd: number,
    level: number,
    option: number,
    value: Uint8Array,
    bytes: Uint8Array,
  ): number;
  connect(fd: number, address: Uint8Array, addressBytes: number): number;
  listen(fd: number, backlog: number): number;
  accept(fd: number, address: Uint8Array, addressBytes: Uint8Array, flags: number): number;
  shutdown(fd: number, how: number): number;
  close(fd: number): number;
  epollCreate(flags: number): number;
  epollControl(epoll: number, operation: number, fd: number, event: Uint8Array): number;
  /** Blocks the thread for up to `timeoutMs`; -1 = without end. */
  epollWait(epoll: number, events: Uint8Array, eventsMax: number, timeoutMs: number): number;
  eventFd(value: number, flags: number): number;
  read(fd: number, buffer: Uint8Array, bytes: number): number;
  write(fd: number, buffer: Uint8Array, bytes: number): number;
  /** `recv`, of as many bytes as there is room for. */
  receiveInto(fd: number, bytes: Uint8Array, flags: number): number;
  /** `recvmsg`: the lengths are in memory, where nothing can go wrong with their size. */
  receive(fd: number, head: Uint8Array, flags: number): number;
  send(fd: number, bytes: Uint8Array, length: number, flags: number): number;
  receiveMany(fd: number, heads: Uint8Array, count: number, flags: number): number;
  sendMany(fd: number, heads: Uint8Array, count: number, flags: number): number;
  sendTo(
    fd: number,
    bytes: Uint8Array,
    length: number,
    flags: number,
    address: Uint8Array,
    addressBytes: number,
  ): number;
  /** `sendmsg`: the lengths are in memory, as with `receive`. */
  sendMessage(fd: number, head: Uint8Array, flags: number): number;
  /** `io_uring_setup`: the structure takes 120 bytes. */
  ringSetup(entries: number, params: Uint8Array): number;
  /** `io_uring_enter`. */
  ringEnter(ring: number, submitCount: number, waitCount: number, flags: number): number;
  /** Memory of a ring; undefined: it cannot be had. */
  ringMap(ring: number, bytes: number, offset: number): Mapping | undefined;
  /** Another number for the same socket or file. */
  dup(fd: number): number;
  getpid(): number;
  /** The user whose rights this process has. */
  geteuid(): number;
  /** Number of the last failure of this thread; for messages only. */
  errno(): number;
  /** Address of the first byte. */
  addressOf(bytes: Uint8Array): bigint;
}

/** A file in memory, shared with whoever maps it too: other processes, or the kernel. */
export interface Mapping {
  /** All of what was mapped. */
  readonly memory: ArrayBuffer;
  /** Gives it back: whoever touches the memory after that ends the process. */
  unmap(): void;
}

/**
 * The few functions of the C library behind tables in shared memory. Numbers are what C gives: -1 for
 * a failure, whose number `errno` tells. Paths end with a 0.
 */
export interface FileMaps {
  readonly processId: number;
  open(path: Uint8Array, flags: number, mode: number): number;
  close(fd: number): number;
  read(fd: number, buffer: Uint8Array, bytes: number): number;
  writeAt(fd: number, buffer: Uint8Array, bytes: number, offset: number): number;
  /** `posix_fallocate` from the start: 0, or the number of the failure. */
  allocate(fd: number, bytes: number): number;
  changeMode(fd: number, mode: number): number;
  /** -1 leaves user or group as it is. */
  changeOwner(fd: number, user: number, group: number): number;
  /** `fstatfs`; the structure takes 120 bytes. */
  fileSystem(fd: number, info: Uint8Array): number;
  /** `statx` of an open file; the structure takes 256 bytes and is the same on every processor. */
  status(fd: number, info: Uint8Array): number;
  /** The user that the process acts as. */
  userId(): number;
  rename(from: Uint8Array, to: Uint8Array): number;
  unlink(path: Uint8Array): number;
  /** `clock_gettime` into two words of 64 bits. */
  clockTime(clock: number, time: Uint8Array): number;
  /** Maps a file from its start, shared; undefined when it failed. */
  map(fd: number, bytes: number, isWritable: boolean): Mapping | undefined;
  errno(): number;
}

/** A file that no other process holds. */
export interface FileLock {
  /** Gives it back; so does the end of the process, however it ends. The file stays. */
  unlock(): void;
}

/** Why a text could not be written. */
export interface WriteFault {
  /** Of the system: `EPIPE` when nobody reads any more, `ENOSPC` on a full disk. */
  readonly code: string;
  readonly reason: string;
}

/** Everything that differs between Deno and Bun. */
export interface Runtime extends TcpTransport, TcpConnector {
  readonly name: "deno" | "bun";
  readonly version: string;
  /** Kind of processor, as Linux names it: `x86_64`, `aarch64`, ... */
  readonly processor: string;
  /** Command line arguments after the script. */
  readonly args: string[];
  /** Path of the running executable. */
  readonly execPath: string;
  /** True in a program made by `deno compile` or `bun build --compile`. */
  readonly isCompiled: boolean;
  /** @throws {ConnectError} when refused, unreachable or aborted. */
  connectTcp(options: ConnectOptions): Promise<Stream>;
  /** @throws {BindError} naming host:port. */
  bindUdp(options: UdpOptions): Promise<UdpSocket>;
  /**
   * The C library of this machine.
   *
   * @throws {Error} whose message says why there is none that can be used: another system or
   * processor, no permission, no library.
   */
  openLibc(): Libc;
  /** Starts a module worker, or gives the one that was started by `warmWorker`. */
  spawnWorker(url: URL): Worker;
  /**
   * Starts a module worker for the next `spawnWorker` of the same URL, so that it loads while this
   * thread does something else. It must post nothing before it is posted to.
   */
  warmWorker(url: URL): void;
  /** Ends the workers that were warmed and are not wanted. */
  dropWarmWorkers(): void;
  /** One environment variable; undefined when unset. */
  env(name: string): string | undefined;
  envAll(): Record<string, string>;
  exit(code: number): never;
  /** Calls `action` on every such signal, instead of the default; the result undoes it. */
  onSignal(signal: SignalName, action: () => void): () => void;
  readTextFile(path: string): Promise<string>;
  /**
   * The bytes of a file.
   *
   * @throws {RangeError} when there are more than `bytesMax`.
   * @throws {Error} with the code `ENOENT` when there is no such file.
   */
  readFile(path: string, bytesMax: number): Promise<Uint8Array>;
  /**
   * Puts a file in the place of the one of that name, if there is one: whoever reads it, also after a
   * loss of power, finds the old bytes or the new ones, whole. Makes the folder.
   *
   * @throws {Error} of the system; the old file is untouched then.
   */
  replaceFile(directory: string, name: string, bytes: Uint8Array): Promise<void>;
  /**
   * Makes a file, if there is none, and locks it (`flock`) against everybody else who locks it so.
   *
   * @returns undefined while another one holds it, be it in this process.
   * @throws {Error} of the system, or on Bun outside of Linux, where nothing can be locked.
   */
  tryLockFile(path: string): FileLock | undefined;
  /** Processor time of this process since its start, in all its threads. */
  cpuSeconds(): number;
  /** IP addresses of this machine's interfaces, in the system's order. */
  networkAddresses(): string[];
  /** Resident memory of this process. */
  memoryBytes(): number;
  /** The system's limit on open files, or undefined where it cannot be known. */
  openFilesMax(): number | undefined;
  isTerminal(stream: "stdout" | "stderr"): boolean;
  /**
   * Writes at once.
   *
   * @returns what kept the text from being written, which a service may pass over.
   */
  writeStdout(text: string): WriteFault | undefined;
  writeStderr(text: string): WriteFault | undefined;
  /**
   * The argument vector that starts `script` with this runtime, or, in a compiled program, another
   * copy of the program itself.
   */
  selfCommand(script: string): string[];
}
