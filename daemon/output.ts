// Shell. Standard output of a program: results that were not written are no success.

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

/** True when the fault was told already. */
let isTold = false;

/**
 * The exit code of a program that would end with `exitCode`: a result that could not be written is a
 * failure, which is said once; that nobody wants to read on is none.
 */
export function exitCodeOfOutput(exitCode: number, programName: string): number {
  if (fault === undefined || fault.code === "EPIPE") return exitCode;
  if (!isTold) {
    runtime.writeStderr(`${programName}: Standard output cannot be written: ${fault.reason}\n`);
  }
  isTold = true;
  return exitCode === 0 ? 1 : exitCode;
}
