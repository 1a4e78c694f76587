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

/**
 * Asked first: without the permission, opening a library would ask the user at a terminal.
 *
 * @throws {Error} when it was not given.
 */
export function requireFfi(): void {
  if (Deno.permissions.querySync({ name: "ffi" }).state === "granted") return;
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
} as const satisfies Deno.ForeignLibraryInterface;

/** An empty text of C. */
const NO_PATH = new Uint8Array(1);

/** What mmap gives when it failed. */
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/** See {@linkcode FileMaps}. @throws {Error} whose message says why there are none. */
export function loadDenoFileMaps(): FileMaps {
  const names = libcNames(Deno.build.os, Deno.build.arch);
  requireFfi();
  const { symbols } = firstOf(names, (name) => Deno.dlopen(name, FILE_MAP_SYMBOLS));
  const source = (bytes: Uint8Array): BufferSource => bytes as BufferSource;
  return {
    processId: Deno.pid,
    open: (path, flags, mode) => symbols.open(source(path), flags, mode),
    close: (fd) => symbols.close(fd),
    read: (fd, buffer, bytes) => Number(symbols.read(fd, source(buffer), BigInt(bytes))),
    writeAt: (fd, buffer, bytes, offset) =>
      Number(symbols.pwrite(fd, source(buffer), BigInt(bytes), BigInt(offset))),
    allocate: (fd, bytes) => symbols.posix_fallocate(fd, 0n, BigInt(bytes)),
    changeMode: (fd, mode) => symbols.fchmod(fd, mode),
    changeOwner: (fd, user, group) => symbols.fchown(fd, user, group),
    fileSystem: (fd, info) => symbols.fstatfs(fd, source(info)),
    status: (fd, info) =>
      Number(
        symbols.syscall(
          BigInt(STATX_CALLS[Deno.build.arch]),
          BigInt(fd),
          source(NO_PATH),
          BigInt(AT_EMPTY_PATH),
          BigInt(STATX_BASIC),
          source(info),
        ),
      ),
    userId: () => symbols.geteuid(),
    rename: (from, to) => symbols.rename(source(from), source(to)),
    unlink: (path) => symbols.unlink(source(path)),
    clockTime: (clock, time) => symbols.clock_gettime(clock, source(time)),
    map(fd, bytes, isWritable): Mapping | undefined {
      const protection = mapProtection(isWritable);
      const place = symbols.mmap(null, BigInt(bytes), protection, MAP_SHARED, fd, 0n);
      if (place === null || BigInt(Deno.UnsafePointer.value(place)) === MAP_FAILED) {
        return undefined;
      }
      return {
        memory: new Deno.UnsafePointerView(place).getArrayBuffer(bytes),
        unmap: () => void symbols.munmap(place, BigInt(bytes)),
      };
    },
    errno(): number {
      const place = symbols.__errno_location();
      return place === null ? 0 : new Deno.UnsafePointerView(place).getInt32();
    },
  };
}
