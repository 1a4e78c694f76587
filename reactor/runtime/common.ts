// Core. What the two runtimes share: names of faults, the systems whose C library is known, and
// workers that are started before anybody can say what they are for.

import type { WriteFault } from "./types.ts";
import { type Address, formatAddress, plainHost } from "../address.ts";
import { BindError, ConnectError, messageOf } from "../errors.ts";

/** Largest payload of a UDP datagram over IPv4: 65,535 minus 20 (IP head) and 8 (UDP head). */
export const DATAGRAM_BYTES_MAX = 65_507;

/** Tries at writing to a full non-blocking pipe before the text is given up. */
const WRITE_TRIES_MAX = 10_000;

/** Code of a system error such as `ECONNREFUSED`, or an empty text. */
export function errorCode(error: unknown): string {
  if (typeof error !== "object" || error === null || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}

/** A bind failure that names the address and what can be done. */
export function toBindError(kind: "TCP" | "UDP", address: Address, error: unknown): BindError {
  const text = formatAddress(address);
  const code = errorCode(error);
  const why = code === "EADDRINUSE"
    ? "the address is already in use by another program"
    : code === "EADDRNOTAVAIL"
    ? "this machine has no such address"
    : code === "EACCES" || code === "EPERM"
    ? "the system does not permit it (ports below 1024 need a privilege)"
    : messageOf(error);
  return new BindError(text, code === "EADDRINUSE", `Cannot bind ${kind} ${text}: ${why}`, {
    cause: error,
  });
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "peer reset the connection",
  EPIPE: "peer closed the connection",
  ETIMEDOUT: "connection timed out",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network is unreachable",
  ENOTFOUND: "no address is known for that name",
  EAI_AGAIN: "no name server answers for that name",
};

/** Deno tells a name without an address by its words alone. */
const NO_ADDRESS = /failed to lookup address information/i;

/** A short text for the fault of a connection. */
export function connectionFault(error: unknown): string {
  const text = messageOf(error);
  return REASONS[NO_ADDRESS.test(text) ? "ENOTFOUND" : errorCode(error)] ?? text;
}

/** A connect failure that names the address. */
export function toConnectError(address: Address, error: unknown): ConnectError {
  return new ConnectError(formatAddress(address), connectionFault(error), { cause: error });
}

/**
 * Writes all of `text` by `write`, waiting for a slow pipe.
 *
 * @returns what kept it from being written; undefined when all of it was.
 */
export function writeAll(
  text: string,
  write: (bytes: Uint8Array) => number,
): WriteFault | undefined {
  let bytes = new TextEncoder().encode(text);
  for (let tries = 0; bytes.length > 0 && tries < WRITE_TRIES_MAX; tries++) {
    try {
      bytes = bytes.subarray(write(bytes));
    } catch (error) {
      // A full pipe is tried again.
      const code = errorCode(error);
      if (code !== "EAGAIN") return { code, reason: messageOf(error) };
    }
  }
  return bytes.length === 0 ? undefined : { code: "EAGAIN", reason: "its reader is too slow" };
}

/** Soft limit of "Max open files", by what `read` finds in the file of Linux that is named. */
export function openFilesMaxBy(read: (path: string) => string): number | undefined {
  try {
    const match = /^Max open files\s+(\d+)/m.exec(read("/proc/self/limits"));
    return match === null ? undefined : Number(match[1]);
  } catch {
    return undefined; // Not Linux, or reading is not permitted: then the limit is unknown.
  }
}

/** @throws {RangeError} when a file is larger than it may be. */
export function requireFileBytes(bytes: number, bytesMax: number): void {
  if (bytes > bytesMax) throw new RangeError(`File of ${bytes} bytes is too large`);
}

/** Processors whose C structures are known here. */
const LIBC_PROCESSORS: readonly string[] = ["x86_64", "aarch64"];

/**
 * Names under which the C library may be found, most likely first.
 *
 * @throws {Error} on systems and processors whose structures are not known here.
 */
export function libcNames(system: string, processor: string): string[] {
  if (system !== "linux") throw new Error(`The system is ${system}, not linux`);
  if (!LIBC_PROCESSORS.includes(processor)) throw new Error(`The processor is ${processor}`);
  return ["libc.so.6", `libc.musl-${processor}.so.1`];
}

/** Of a file that is only locked. */
export const LOCK_MODE = 0o600;

/** Of mmap: who maps the file too sees what is written. The same on every processor of Linux. */
export const MAP_SHARED = 1;

/** Of mmap: all of it is there at once. */
export const MAP_POPULATE = 0x8000;

/** Numbers of the calls of io_uring, which the C library has no functions for; alike on all processors. */
export const RING_SETUP_CALL = 425;
export const RING_ENTER_CALL = 426;

/** Of mmap: the memory is read, and written where that is wanted. */
export function mapProtection(isWritable: boolean): number {
  return isWritable ? 3 : 1;
}

/** Numbers of the call `statx`, for which old C libraries have no function. */
export const STATX_CALLS: Readonly<Record<string, number>> = { x86_64: 332, aarch64: 291 };

/** Of statx: the file is the descriptor itself; what is wanted is all that every system knows. */
export const AT_EMPTY_PATH = 0x1000;
export const STATX_BASIC = 0x7ff;

/** What `open` gives for the first name that works. @throws what it throws for the last. */
export function firstOf<T>(names: readonly string[], open: (name: string) => T): T {
  let failure: unknown = new Error("No name was given");
  for (const name of names) {
    try {
      return open(name);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

/** Workers of a program's own choice that load while its main thread loads. */
export class WarmWorkers {
  readonly #spawn: (url: URL) => Worker;
  readonly #waiting = new Map<string, Worker>();

  constructor(spawn: (url: URL) => Worker) {
    this.#spawn = spawn;
  }

  /** Starts a worker that {@linkcode take} will give; at most one waits for each URL. */
  warm(url: URL): void {
    if (!this.#waiting.has(url.href)) this.#waiting.set(url.href, this.#spawn(url));
  }

  /** The worker that waits, or a new one. */
  take(url: URL): Worker {
    const worker = this.#waiting.get(url.href);
    this.#waiting.delete(url.href);
    return worker ?? this.#spawn(url);
  }

  /** Ends those that nobody took. */
  drop(): void {
    for (const worker of this.#waiting.values()) worker.terminate();
    this.#waiting.clear();
  }
}

/** An end of a connection as the runtime tells it: sockets for both kinds tell IPv4 as IPv6. */
export function plainAddress(hostname: string, port: number): Address {
  if (!hostname.includes(":")) return { hostname, port };
  return { hostname: plainHost(hostname) ?? hostname, port };
}
