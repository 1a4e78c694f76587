// Shell. Files in shared memory, through the FFI of Deno.

import {
  AT_EMPTY_PATH,
  firstOf,
  libcNames,
  MAP_SHARED,
  mapProtection,
  STATX_BASIC,
  STATX_CALLS,
} from "./common.ts";
import type { FileMaps, Mapping } from "./types.ts";

/** What memory is for Deno: an object that stands for an address. */
type DenoPointer = object | null;

/** What a native function takes and gives. */
type DenoNative = (...values: readonly unknown[]) => unknown;

/** The slice of Deno that this file uses, declared here so that the api is one file with its types. */
interface DenoFfi {
  readonly pid: number;
  readonly build: { readonly os: string; readonly arch: string };
  readonly permissions: { querySync(wanted: { name: "ffi" }): { readonly state: string } };
  dlopen<Name extends string>(
    library: string,
    symbols: Record<Name, { readonly parameters: readonly string[]; readonly result: string }>,
  ): { readonly symbols: Record<Name, DenoNative> };
  readonly UnsafePointer: { value(pointer: DenoPointer): bigint | number };
  readonly UnsafePointerView: new (pointer: object) => {
    getArrayBuffer(bytes: number): ArrayBuffer;
    getInt32(): number;
  };
}

function deno(): DenoFfi {
  return (globalThis as unknown as { readonly Deno: DenoFfi }).Deno;
}

/**
 * Asked first: without the permission, opening a library would ask the user at a terminal.
 *
 * @throws {Error} when it was not given.
 */
export function requireFfi(): void {
  if (deno().permissions.querySync({ name: "ffi" }).state === "granted") return;
  throw new Error("FFI is not permitted (--allow-ffi)");
}

const FILE_MAP_SYMBOLS = {
  open: { parameters: ["buffer", "i32", "u32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  pwrite: { parameters: ["i32", "buffer", "usize", "usize"], result: "isize" },
  posix_fallocate: { parameters: ["i32", "usize", "usize"], result: "i32" },
  fchmod: { parameters: ["i32", "u32"], result: "i32" },
  fchown: { parameters: ["i32", "i32", "i32"], result: "i32" },
  fstatfs: { parameters: ["i32", "buffer"], result: "i32" },
  syscall: {
    parameters: ["isize", "isize", "buffer", "isize", "isize", "buffer"],
    result: "isize",
  },
  geteuid: { parameters: [], result: "u32" },
  rename: { parameters: ["buffer", "buffer"], result: "i32" },
  unlink: { parameters: ["buffer"], result: "i32" },
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
  mmap: { parameters: ["pointer", "usize", "i32", "i32", "i32", "usize"], result: "pointer" },
  munmap: { parameters: ["pointer", "usize"], result: "i32" },
  __errno_location: { parameters: [], result: "pointer" },
} as const;

/** An empty text of C. */
const NO_PATH = new Uint8Array(1);

/** What mmap gives when it failed. */
export const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/** See {@linkcode FileMaps}. @throws {Error} whose message says why there are none. */
export function loadDenoFileMaps(): FileMaps {
  const { pid, build, dlopen, UnsafePointer, UnsafePointerView } = deno();
  const names = libcNames(build.os, build.arch);
  requireFfi();
  const { symbols } = firstOf(names, (name) => dlopen(name, FILE_MAP_SYMBOLS));
  const number = (value: unknown): number => Number(value);
  return {
    processId: pid,
    open: (path, flags, mode) => number(symbols.open(path, flags, mode)),
    close: (fd) => number(symbols.close(fd)),
    read: (fd, buffer, bytes) => number(symbols.read(fd, buffer, BigInt(bytes))),
    writeAt: (fd, buffer, bytes, offset) =>
      number(symbols.pwrite(fd, buffer, BigInt(bytes), BigInt(offset))),
    allocate: (fd, bytes) => number(symbols.posix_fallocate(fd, 0n, BigInt(bytes))),
    changeMode: (fd, mode) => number(symbols.fchmod(fd, mode)),
    changeOwner: (fd, user, group) => number(symbols.fchown(fd, user, group)),
    fileSystem: (fd, info) => number(symbols.fstatfs(fd, info)),
    status(fd, info): number {
      const [call, flags, wanted] = [STATX_CALLS[build.arch], AT_EMPTY_PATH, STATX_BASIC];
      const words = [BigInt(flags), BigInt(wanted)];
      return number(symbols.syscall(BigInt(call), BigInt(fd), NO_PATH, ...words, info));
    },
    userId: () => number(symbols.geteuid()),
    rename: (from, to) => number(symbols.rename(from, to)),
    unlink: (path) => number(symbols.unlink(path)),
    clockTime: (clock, time) => number(symbols.clock_gettime(clock, time)),
    map(fd, bytes, isWritable): Mapping | undefined {
      const protection = mapProtection(isWritable);
      const place = symbols.mmap(null, BigInt(bytes), protection, MAP_SHARED, fd, 0n);
      if (typeof place !== "object" || place === null) return undefined;
      if (BigInt(UnsafePointer.value(place)) === MAP_FAILED) return undefined;
      return {
        memory: new UnsafePointerView(place).getArrayBuffer(bytes),
        unmap: () => void symbols.munmap(place, BigInt(bytes)),
      };
    },
    errno(): number {
      const place = symbols.__errno_location();
      if (typeof place !== "object" || place === null) return 0;
      return new UnsafePointerView(place).getInt32();
    },
  };
}
