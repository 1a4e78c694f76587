// Shell. Files in memory that other processes map: made whole or not at all, and never cut.

import type { FileMaps, Mapping } from "../runtime/types.ts";
import { openFileMaps } from "../runtime/file_maps.ts";

/** Numbers of Linux, alike on x86-64 and aarch64. */
const O_RDWR = 2;
const O_CREAT = 0o100;
const O_EXCL = 0o200;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const CLOCK_MONOTONIC = 1;

/** `struct statfs` of 64-bit machines: size of a block at 8, blocks that a user may take at 32. */
const STATFS_BYTES = 120;
const STATFS_BLOCK = 1;
const STATFS_AVAILABLE = 4;

/** `struct statx`: where it has words of 32 bits (the mode is half of one), and of 64. */
const STATX_BYTES = 256;
const STATX_USER = 5;
const STATX_MODE = 7;
const STATX_DEVICE = 34;
const STATX_INODE = 4;
const STATX_SIZE = 5;

/** A file takes at most this part of what its file system has free. */
const FREE_PART = 4;

/** Codes of errors that get a name. */
const ERROR_NAMES: Readonly<Record<number, string>> = {
  1: "EPERM, not permitted",
  2: "ENOENT, no such folder",
  13: "EACCES, permission denied",
  17: "EEXIST, there is a file",
  28: "ENOSPC, no space left",
  30: "EROFS, read-only",
};

const encoder = new TextEncoder();

/** A path as the C library takes it. */
function cPath(path: string): Uint8Array {
  return encoder.encode(`${path}\0`);
}

function faultOf(what: string, path: string, code: number): Error {
  return new Error(`${what} ${path} failed: ${ERROR_NAMES[code] ?? `errno ${code}`}`);
}

/** Who may map a file. */
export interface SharedFileAccess {
  readonly mode: number;
  /** Number of the group it is given to; undefined: that of the process. */
  readonly group: number | undefined;
}

/**
 * A file of fixed size in shared memory, written by this process alone. It is made beside its place,
 * and takes it by `publish`. Every byte of it has its memory from the start, so that nobody who maps
 * it dies of a file system that is full.
 */
export class SharedFile {
  readonly path: string;
  readonly #maps: FileMaps;
  readonly #mapping: Mapping;
  /** Which file it is, whatever its name. */
  readonly #identity: string;
  #isPlaced = false;
  #isClosed = false;

  /**
   * @param bytes Its size; a multiple of 4096.
   * @throws {Error} when it cannot be; nothing is left then. The message says why.
   */
  constructor(path: string, bytes: number, { mode, group }: SharedFileAccess) {
    this.path = path;
    const maps = openFileMaps();
    this.#maps = maps;
    const temporary = cPath(`${path}.new`);
    // What a process left that was killed just here.
    maps.unlink(temporary);
    const fd = maps.open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600);
    if (fd < 0) throw faultOf("Making", path, maps.errno());
    try {
      const free = freeBytes(maps, fd);
      if (bytes > free / FREE_PART) {
        throw new Error(
          `Making ${path} failed: it would take ${bytes} bytes, and of the ${free} that are free ` +
            `it may have a quarter`,
        );
      }
      const fault = maps.allocate(fd, bytes);
      if (fault !== 0) throw faultOf("Making", path, fault);
      if (group !== undefined && maps.changeOwner(fd, -1, group) < 0) {
        throw faultOf(`Giving to group ${group}`, path, maps.errno());
      }
      if (maps.changeMode(fd, mode) < 0) throw faultOf("Setting the mode of", path, maps.errno());
      const mapping = maps.map(fd, bytes, true);
      if (mapping === undefined) throw faultOf("Mapping", path, maps.errno());
      this.#mapping = mapping;
      this.#identity = identityOf(maps, fd);
    } catch (error) {
      maps.unlink(temporary);
      throw error;
    } finally {
      maps.close(fd);
    }
  }

  /** The bytes of the file; not to be touched after `close`. */
  get memory(): ArrayBuffer {
    return this.#mapping.memory;
  }

  /** Takes the place of the file of this name, if there is one. @throws {Error} when it cannot. */
  publish(): void {
    if (this.#maps.rename(cPath(`${this.path}.new`), cPath(this.path)) < 0) {
      throw faultOf("Putting in place", this.path, this.#maps.errno());
    }
    this.#isPlaced = true;
  }

  /** Gives the memory back, and takes the file away if it still has its place; who has mapped it keeps it. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (!this.#isPlaced) this.#maps.unlink(cPath(`${this.path}.new`));
    else if (this.#isInPlace()) this.#maps.unlink(cPath(this.path));
    this.#mapping.unmap();
  }

  #isInPlace(): boolean {
    const fd = this.#maps.open(cPath(this.path), O_NONBLOCK | O_CLOEXEC, 0);
    if (fd < 0) return false;
    const found = identityOf(this.#maps, fd);
    this.#maps.close(fd);
    return found === this.#identity;
  }
}

/** Device and number of an open file. */
function identityOf(maps: FileMaps, fd: number): string {
  const info = statusOf(maps, fd);
  if (info === undefined) return "";
  const device = new Uint32Array(info.buffer).subarray(STATX_DEVICE, STATX_DEVICE + 2);
  return `${device.join(":")}:${new BigUint64Array(info.buffer)[STATX_INODE]}`;
}

/** `struct statx` of an open file; undefined when the system does not tell. */
function statusOf(maps: FileMaps, fd: number): Uint8Array | undefined {
  const info = new Uint8Array(STATX_BYTES);
  return maps.status(fd, info) < 0 ? undefined : info;
}

function freeBytes(maps: FileMaps, fd: number): number {
  const info = new BigUint64Array(STATFS_BYTES / 8);
  if (maps.fileSystem(fd, new Uint8Array(info.buffer)) < 0) return 0;
  return Number(info[STATFS_BLOCK]) * Number(info[STATFS_AVAILABLE]);
}

/** An open file that some other process wrote; for a last word to it. */
export class ForeignFile {
  readonly #maps: FileMaps;
  readonly #fd: number;

  private constructor(maps: FileMaps, fd: number) {
    this.#maps = maps;
    this.#fd = fd;
  }

  /** Undefined when there is none, or this process may not write it. */
  static open(path: string): ForeignFile | undefined {
    const maps = openFileMaps();
    // Not blocking, as the name may be that of a pipe.
    const fd = maps.open(cPath(path), O_RDWR | O_NONBLOCK | O_CLOEXEC, 0);
    return fd < 0 ? undefined : new ForeignFile(maps, fd);
  }

  /** Its first bytes, as many as there are up to `length`. */
  head(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, Math.max(0, this.#maps.read(this.#fd, bytes, length)));
  }

  /** Writes some bytes; false when that failed. */
  writeAt(offset: number, bytes: Uint8Array): boolean {
    return this.#maps.writeAt(this.#fd, bytes, bytes.length, offset) === bytes.length;
  }

  close(): void {
    this.#maps.close(this.#fd);
  }
}

const MODE_KIND = 0o170000;
const MODE_REGULAR = 0o100000;
const MODE_WRITABLE_BY_OTHERS = 0o022;

/** Largest file that is mapped for reading. */
export const MAPPED_BYTES_MAX = 1024 * 1024 * 1024;

/** A file that another process writes, mapped for reading. */
export interface MappedFile {
  readonly memory: ArrayBuffer;
  /** Number of the user it belongs to. */
  readonly owner: number;
  /** Gives the memory back: whoever touches it after that ends the process. */
  unmap(): void;
}

/**
 * Maps a file for reading. It must be a plain one that nobody but its owner may write.
 *
 * @throws {Error} when it cannot be; the message says why.
 */
export function mapFile(path: string): MappedFile {
  const maps = openFileMaps();
  const fd = maps.open(cPath(path), O_NONBLOCK | O_CLOEXEC, 0);
  if (fd < 0) throw faultOf("Opening", path, maps.errno());
  try {
    const info = statusOf(maps, fd);
    if (info === undefined) throw faultOf("Looking at", path, maps.errno());
    const words = new Uint32Array(info.buffer);
    const mode = words[STATX_MODE] & 0xffff;
    const bytes = Number(new BigUint64Array(info.buffer)[STATX_SIZE]);
    if ((mode & MODE_KIND) !== MODE_REGULAR || (mode & MODE_WRITABLE_BY_OTHERS) !== 0) {
      throw new Error(`${path} must be a plain file that only its owner may write`);
    }
    if (bytes === 0 || bytes > MAPPED_BYTES_MAX) {
      throw new Error(`${path} must have 1 to ${MAPPED_BYTES_MAX} bytes, and has ${bytes}`);
    }
    const mapping = maps.map(fd, bytes, false);
    if (mapping === undefined) throw faultOf("Mapping", path, maps.errno());
    const { memory } = mapping;
    return { memory, owner: words[STATX_USER], unmap: () => mapping.unmap() };
  } finally {
    maps.close(fd);
  }
}

/** Number of the user that this process acts as. */
export function ownUserId(): number {
  return openFileMaps().userId();
}

/** Time since the machine started, which all its processes share. Milliseconds. */
export function monotonicMs(): number {
  const time = new BigInt64Array(2);
  openFileMaps().clockTime(CLOCK_MONOTONIC, new Uint8Array(time.buffer));
  return Number(time[0]) * 1000 + Math.floor(Number(time[1]) / 1e6);
}

/** Number of this process. */
export function processId(): number {
  return openFileMaps().processId;
}
