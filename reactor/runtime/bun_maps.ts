// Shell. The C library through the FFI of Bun, and files in shared memory by it.

import type NodeProcess from "node:process";
import type { BunFfi, BunNative } from "./bun_types.ts";
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

/** Of both runtimes, without an import: that would make Deno start its Node.js side at once. */
declare const process: typeof NodeProcess;

/** Names of processors as Linux has them. */
const PROCESSORS: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64" };

/** Kind of processor, as Linux names it. */
export function bunProcessor(): string {
  return PROCESSORS[process.arch] ?? process.arch;
}

/** Functions of the C library. @throws {Error} whose message says why there are none. */
export function loadBySymbols<Name extends string>(
  wanted: Record<Name, { readonly args: readonly string[]; readonly returns: string }>,
): { readonly ffi: BunFfi; readonly symbols: Record<Name, BunNative> } {
  const names = libcNames(process.platform, bunProcessor());
  const ffi = process.getBuiltinModule("bun:ffi") as unknown as BunFfi | undefined;
  if (ffi === undefined) throw new Error("This runtime has no FFI");
  return { ffi, symbols: firstOf(names, (name) => ffi.dlopen(name, wanted)).symbols };
}

/** An empty text of C. */
const NO_PATH = new Uint8Array(1);

const FILE_MAP_SYMBOLS = {
  open: { args: ["ptr", "i32", "u32"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  read: { args: ["i32", "ptr", "usize"], returns: "i64_fast" },
  pwrite: { args: ["i32", "ptr", "usize", "usize"], returns: "i64_fast" },
  posix_fallocate: { args: ["i32", "usize", "usize"], returns: "i32" },
  fchmod: { args: ["i32", "u32"], returns: "i32" },
  fchown: { args: ["i32", "i32", "i32"], returns: "i32" },
  fstatfs: { args: ["i32", "ptr"], returns: "i32" },
  syscall: { args: ["usize", "usize", "ptr", "usize", "usize", "ptr"], returns: "i64_fast" },
  geteuid: { args: [], returns: "u32" },
  rename: { args: ["ptr", "ptr"], returns: "i32" },
  unlink: { args: ["ptr"], returns: "i32" },
  clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
  mmap: { args: ["ptr", "usize", "i32", "i32", "i32", "usize"], returns: "ptr" },
  munmap: { args: ["ptr", "usize"], returns: "i32" },
  __errno_location: { args: [], returns: "ptr" },
} as const;

/** See {@linkcode FileMaps}. @throws {Error} whose message says why there are none. */
export function loadBunFileMaps(): FileMaps {
  const { ffi, symbols } = loadBySymbols(FILE_MAP_SYMBOLS);
  return {
    processId: process.pid,
    open: (path, flags, mode) => symbols.open(path, flags, mode),
    close: (fd) => symbols.close(fd),
    read: (fd, buffer, bytes) => Number(symbols.read(fd, buffer, bytes)),
    writeAt: (fd, buffer, bytes, offset) => Number(symbols.pwrite(fd, buffer, bytes, offset)),
    allocate: (fd, bytes) => symbols.posix_fallocate(fd, 0, bytes),
    changeMode: (fd, mode) => symbols.fchmod(fd, mode),
    changeOwner: (fd, user, group) => symbols.fchown(fd, user, group),
    fileSystem: (fd, info) => symbols.fstatfs(fd, info),
    status: (fd, info) =>
      Number(
        symbols.syscall(
          STATX_CALLS[bunProcessor()],
          fd,
          NO_PATH,
          AT_EMPTY_PATH,
          STATX_BASIC,
          info,
        ),
      ),
    userId: () => symbols.geteuid(),
    rename: (from, to) => symbols.rename(from, to),
    unlink: (path) => symbols.unlink(path),
    clockTime: (clock, time) => symbols.clock_gettime(clock, time),
    map(fd, bytes, isWritable): Mapping | undefined {
      const address = symbols.mmap(null, bytes, mapProtection(isWritable), MAP_SHARED, fd, 0);
      // The last address, which says that it failed, is no exact number.
      if (!(address > 0 && address <= Number.MAX_SAFE_INTEGER)) return undefined;
      return {
        memory: ffi.toArrayBuffer(address, 0, bytes),
        unmap: () => void symbols.munmap(address, bytes),
      };
    },
    errno(): number {
      const place = symbols.__errno_location();
      return place === 0 ? 0 : ffi.read.i32(place);
    },
  };
}
