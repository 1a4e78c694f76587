// Shell. Standard output of a command: results that were not written are no success.

import { runtime } from "../reactor/runtime/mod.ts";
import type { WriteFault } from "../reactor/runtime/types.ts";

let fault: WriteFault | undefined;

/**
 * Writes a part of the result. After a fault nothing more is written: half a result with a hole in
 * it would look whole.
 */
export function writeOut(text: string): void {
  fault ??= runtime.writeStdout(text);
}

/** True when nothing can be written any more: what goes on without end should end. */
export function isOutputOver(): boolean {
  return fault !== undefined;
}

/** Why the result is not whole; undefined when it is, or when nobody wanted more of it. */
export function outputFault(): string | undefined {
  return fault === undefined || fault.code === "EPIPE" ? undefined : fault.reason;
}
