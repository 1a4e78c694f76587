// Shell. Messages and open sockets between two processes of one user on this machine, on Linux: a
// Unix socket of whole messages, under a name of the network namespace, through FFI.
//
// Nothing here waits: whoever waits asks again. It is for rare talks, not for traffic.

import type { Address } from "../address.ts";
import { type Libc, runtime } from "../runtime/mod.ts";
import {
  AF_INET,
  fixedBytes,
  MSG_DONTWAIT,
  NAME_BYTES,
  readName,
  releaseBytes,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOL_SOCKET,
} from "./batch_loop.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_SEQPACKET = 5;
const SO_TYPE = 3;
const SO_PEERCRED = 17;
const SCM_RIGHTS = 1;
const MSG_NOSIGNAL = 0x4000;
const MSG_CTRUNC = 8;
const MSG_CMSG_CLOEXEC = 0x40000000;
const ROOT_USER = 0;

/** Longest message; a longer one is refused by the sender. */
export const UNIX_MESSAGE_BYTES_MAX = 64 * 1024;

/** Sockets that one message can carry. */
export const PASSED_SOCKETS_MAX = 8;

/** Connections that wait to be accepted; further ones are refused. */
const BACKLOG = 4;

/** `struct sockaddr_un`: family, then a name that begins with a zero: one without a file. */
function unixName(name: string): Uint8Array {
  const text = new TextEncoder().encode(name);
  const bytes = new Uint8Array(3 + text.length);
  if (bytes.length > 110) throw new RangeError(`Name must have at most 107 bytes: "${name}"`);
  new DataView(bytes.buffer).setUint16(0, AF_UNIX, true);
  bytes.set(text, 3);
  return bytes;
}

function option(libc: Libc, fd: number, name: number, bytes: number): Int32Array | undefined {
  const value = new Uint8Array(bytes);
  const length = new Uint8Array(Uint32Array.of(bytes).buffer);
  if (libc.getsockopt(fd, SOL_SOCKET, name, value, length) < 0) return undefined;
  return new Int32Array(value.buffer);
}

/** True when the other end has the rights of this process, or those of root. */
function isTrusted(libc: Libc, fd: number): boolean {
  const credentials = option(libc, fd, SO_PEERCRED, 12);
  if (credentials === undefined) return false;
  const user = credentials[1] >>> 0;
  return user === ROOT_USER || user === libc.geteuid();
}

/** A message, and the sockets that came with it, which are the receiver's from then on. */
export interface UnixMessage {
  readonly bytes: Uint8Array;
  readonly fds: readonly number[];
}

/** `struct msghdr` on 64-bit machines, its one buffer, and room for the numbers of sockets. */
class MessageBuffer {
  readonly #head = fixedBytes(56);
  readonly #vector = fixedBytes(16);
  readonly #data = fixedBytes(UNIX_MESSAGE_BYTES_MAX);
  readonly #control = fixedBytes(CONTROL_BYTES);
  readonly #libc: Libc;

  constructor(libc: Libc) {
    this.#libc = libc;
    const head = new DataView(this.#head.buffer);
    const vector = new DataView(this.#vector.buffer);
    head.setBigUint64(16, libc.addressOf(this.#vector), true);
    head.setBigUint64(24, 1n, true);
    head.setBigUint64(32, libc.addressOf(this.#control), true);
    vector.setBigUint64(0, libc.addressOf(this.#data), true);
  }

  send(fd: number, { bytes, fds }: UnixMessage): boolean {
    if (bytes.length > UNIX_MESSAGE_BYTES_MAX || fds.length > PASSED_SOCKETS_MAX) {
      throw new RangeError(`Message must have at most ${UNIX_MESSAGE_BYTES_MAX} bytes`);
    }
    this.#data.set(bytes);
    const control = new DataView(this.#control.buffer);
    const controlBytes = fds.length === 0 ? 0 : CONTROL_HEAD_BYTES + fds.length * 4;
    control.setBigUint64(0, BigInt(controlBytes), true);
    control.setInt32(8, SOL_SOCKET, true);
    control.setInt32(12, SCM_RIGHTS, true);
    fds.forEach((one, i) => control.setInt32(CONTROL_HEAD_BYTES + i * 4, one, true));
    // What follows the last number up to the next eight bytes belongs to it too.
    this.#prepare(bytes.length, Math.ceil(controlBytes / 8) * 8);
    return this.#libc.sendMessage(fd, this.#head, MSG_DONTWAIT | MSG_NOSIGNAL) === bytes.length;
  }

  receive(fd: number): UnixMessage | "closed" | undefined {
    this.#prepare(UNIX_MESSAGE_BYTES_MAX, CONTROL_BYTES);
    const length = this.#libc.receive(fd, this.#head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    // No message of ours is empty.
    if (length === 0) return "closed";
    if (length < 0) return undefined;
    const head = new DataView(this.#head.buffer);
    const fds = this.#takenFds(Number(head.getBigUint64(40, true)));
    if ((head.getInt32(48, true) & MSG_CTRUNC) === 0) {
      return { bytes: this.#data.slice(0, Math.min(length, UNIX_MESSAGE_BYTES_MAX)), fds };
    }
    for (const one of fds) this.#libc.close(one);
    return "closed";
  }

  release(): void {
    for (const bytes of [this.#head, this.#vector, this.#data, this.#control]) releaseBytes(bytes);
  }

  #prepare(dataBytes: number, controlBytes: number): void {
    new DataView(this.#vector.buffer).setBigUint64(8, BigInt(dataBytes), true);
    const head = new DataView(this.#head.buffer);
    head.setBigUint64(40, BigInt(controlBytes), true);
    head.setInt32(48, 0, true);
  }

  /** Only sockets are ever sent to us by the kernel for what is asked here: one record of rights. */
  #takenFds(controlBytes: number): number[] {
    if (controlBytes < CONTROL_HEAD_BYTES) return [];
    const control = new DataView(this.#control.buffer);
    const isRights = control.getInt32(8, true) === SOL_SOCKET &&
      control.getInt32(12, true) === SCM_RIGHTS;
    const bytes = Math.min(Number(control.getBigUint64(0, true)), controlBytes, CONTROL_BYTES);
    const count = isRights ? Math.trunc((bytes - CONTROL_HEAD_BYTES) / 4) : 0;
    return Array.from(
      { length: count },
      (_, i) => control.getInt32(CONTROL_HEAD_BYTES + i * 4, true),
    );
  }
}

const CONTROL_HEAD_BYTES = 16;
const CONTROL_BYTES = CONTROL_HEAD_BYTES + PASSED_SOCKETS_MAX * 4;

/** One end of a talk. */
export class UnixPeer {
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #buffer: MessageBuffer;
  #closed = false;

  /** Takes over a connected socket. */
  constructor(fd: number) {
    this.#libc = runtime.openLibc();
    this.#fd = fd;
    this.#buffer = new MessageBuffer(this.#libc);
  }

  /** False when the kernel takes nothing now. The sockets stay the sender's too. */
  send(bytes: Uint8Array, fds: readonly number[] = []): boolean {
    return !this.#closed && this.#buffer.send(this.#fd, { bytes, fds });
  }

  /** The next message; undefined when none has come. */
  receive(): UnixMessage | "closed" | undefined {
    return this.#closed ? "closed" : this.#buffer.receive(this.#fd);
  }

  /** Harmless when repeated. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#libc.close(this.#fd);
    this.#buffer.release();
  }
}

/**
 * Listens under a name; two processes cannot have the same. The descriptor is ready to be watched
 * whenever somebody knocks.
 *
 * @throws {Error} when the name is taken, or there is no such thing here.
 */
export function listenUnix(name: string): number {
  const libc = runtime.openLibc();
  const fd = libc.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new Error(`Unix socket cannot be made: errno ${libc.errno()}`);
  const address = unixName(name);
  if (libc.bind(fd, address, address.length) === 0 && libc.listen(fd, BACKLOG) === 0) return fd;
  const code = libc.errno();
  libc.close(fd);
  throw new Error(`Unix socket ${name} cannot be had: errno ${code}`);
}

/** Takes one connection of who may: this user, or root. Others are closed. */
export function acceptUnix(listenFd: number): number | undefined {
  const libc = runtime.openLibc();
  const [name, length] = [new Uint8Array(128), new Uint8Array(Uint32Array.of(128).buffer)];
  const fd = libc.accept(listenFd, name, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return undefined;
  if (isTrusted(libc, fd)) return fd;
  libc.close(fd);
  return undefined;
}

/** Why there is nobody to talk to. */
export type NoUnixPeer = "nobody" | "another user";

/** Connects to who listens under a name. @throws {Error} when there is no such thing here. */
export function connectUnix(name: string): UnixPeer | NoUnixPeer {
  const libc = runtime.openLibc();
  const fd = libc.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new Error(`Unix socket cannot be made: errno ${libc.errno()}`);
  const address = unixName(name);
  if (libc.connect(fd, address, address.length) === 0) {
    if (isTrusted(libc, fd)) return new UnixPeer(fd);
    libc.close(fd);
    return "another user";
  }
  libc.close(fd);
  return "nobody";
}

/** What a descriptor is that somebody else has opened. */
export interface KnownSocket {
  readonly kind: "udp" | "tcp";
  readonly address: Address;
}

/** Looks at a descriptor; undefined when it is no UDP or TCP socket on IPv4. */
export function describeSocket(fd: number): KnownSocket | undefined {
  const libc = runtime.openLibc();
  const type = option(libc, fd, SO_TYPE, 4)?.[0];
  if (type !== SOCK_DGRAM && type !== SOCK_STREAM) return undefined;
  const name = new Uint8Array(128);
  const length = new Uint8Array(Uint32Array.of(name.length).buffer);
  if (libc.getsockname(fd, name, length) < 0) return undefined;
  if ((name[0] | name[1] << 8) !== AF_INET) return undefined;
  const { hostname, port } = readName(name.subarray(0, NAME_BYTES));
  return { kind: type === SOCK_DGRAM ? "udp" : "tcp", address: { hostname, port } };
}

/** First descriptor of those that systemd passes. */
const FIRST_PASSED_FD = 3;

/**
 * The sockets that systemd passes to a service that it starts: `LISTEN_FDS` of them, if
 * `LISTEN_PID` is this process.
 */
export function socketsOfSystemd(): number[] {
  const count = Number(runtime.env("LISTEN_FDS") ?? 0);
  if (!Number.isInteger(count) || count <= 0 || count > 1024) return [];
  if (Number(runtime.env("LISTEN_PID")) !== runtime.openLibc().getpid()) return [];
  return Array.from({ length: count }, (_, i) => FIRST_PASSED_FD + i);
}
