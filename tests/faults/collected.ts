// Shell. How a service is started whose memory is to say what it holds, and not what garbage lies there.

import { fileURLToPath } from "node:url";
import type { ProcessOptions } from "../support/processes.ts";

/** For services of tests that look at memory; on Bun it does nothing. */
export const COLLECTED: ProcessOptions = {
  env: { DENO_V8_FLAGS: "--expose-gc" },
  denoFlags: [`--preload=${fileURLToPath(new URL("./collect_garbage.ts", import.meta.url))}`],
};
