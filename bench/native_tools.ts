// Shell. The C programs of bench/c, compiled when the machine has a compiler.

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findProgram } from "./machine.ts";

/** Each takes under a second. */
const COMPILE_TIMEOUT_MS = 60_000;

/** Paths of the compiled programs. */
export interface NativeTools {
  readonly udpEcho: string;
  readonly load: string;
}

/**
 * Compiles a program of bench/c, or of another folder.
 *
 * @returns its path, or why there is none.
 */
export function compileNative(
  name: string,
  directory: string,
  folder = new URL("./c/", import.meta.url),
): { path: string } | { reason: string } {
  const compiler = findProgram("cc");
  if (compiler === undefined) return { reason: "no C compiler" };
  const path = join(directory, name);
  const source = fileURLToPath(new URL(`${name}.c`, folder));
  const argv = ["-O2", "-Wall", "-pthread", "-o", path, source];
  const { status, stderr } = spawnSync(compiler, argv, {
    encoding: "utf8",
    timeout: COMPILE_TIMEOUT_MS,
  });
  if (status === 0) return { path };
  return { reason: `cc does not compile ${name}.c: ${stderr?.split("\n")[0] ?? "no end"}` };
}

/** Compiles the echo and the load generator. */
export function compileTools(directory: string): NativeTools | { reason: string } {
  const udpEcho = compileNative("udp_echo", directory);
  if ("reason" in udpEcho) return udpEcho;
  const load = compileNative("load", directory);
  if ("reason" in load) return load;
  return { udpEcho: udpEcho.path, load: load.path };
}
