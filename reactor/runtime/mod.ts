// Shell. Picks the runtime; the only door to it.

import { bunRuntime } from "./bun.ts";
import { denoRuntime } from "./deno.ts";
import type { Runtime } from "./types.ts";

export type * from "./types.ts";

/** The runtime this program runs on. */
export const runtime: Runtime = "Deno" in globalThis ? denoRuntime() : bunRuntime();
