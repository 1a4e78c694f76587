// Shell. Files in shared memory on the runtime that there is; loads nothing else of it.

import { loadBunFileMaps } from "./bun_maps.ts";
import { loadDenoFileMaps } from "./deno_maps.ts";
import type { FileMaps } from "./types.ts";

let fileMaps: FileMaps | undefined;

/**
 * What maps files of this machine. Opened once in each thread.
 *
 * @throws {Error} whose message says why there is none: another system, processor or runtime, no
 * permission, no library.
 */
export function openFileMaps(): FileMaps {
  return fileMaps ??= "Deno" in globalThis ? loadDenoFileMaps() : loadBunFileMaps();
}
