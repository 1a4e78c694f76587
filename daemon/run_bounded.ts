// Shell. Runs a program of the configuration without a shell, for a bounded time.

import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { messageOf } from "../reactor/errors.ts";
import type { Clock } from "../reactor/time/clock.ts";

/** What is kept of the output of a program: its end. Characters. */
const OUTPUT_CHARS_MAX = 4_000;

/** How a program ended. */
export interface ProgramEnd {
  /** True when it ended by itself with exit code 0. */
  readonly isDone: boolean;
  /** `ended with 3`, or why there is no code. */
  readonly how: string;
  /** The end of what it wrote, on either output. */
  readonly output: string;
}

/** What a program gets. */
export interface ProgramOptions {
  /** Written to its standard input. @default nothing */
  readonly input?: string;
  /** Then it is killed. Milliseconds. */
  readonly timeoutMs: number;
}

/** The running program, or why it does not run: a runtime may not be allowed to. */
function begin(program: string, args: readonly string[]): ChildProcessWithoutNullStreams | string {
  try {
    return spawn(program, args, { shell: false, stdio: ["pipe", "pipe", "pipe"] });
  } catch (error) {
    return faultOf(program, error);
  }
}

/** Why a program could not be run, for who may have forgotten the right to. */
function faultOf(program: string, error: unknown): string {
  const text = messageOf(error);
  if (!text.includes("--allow-run")) return text;
  return `this process may run no such program: start it with --allow-run=${program}`;
}

/** Runs a program: words go to it as they are. Never throws. */
export function runBounded(
  [program, ...args]: readonly string[],
  clock: Clock,
  { input, timeoutMs }: ProgramOptions,
): Promise<ProgramEnd> {
  return new Promise((resolve) => {
    let output = "";
    let isLate = false;
    let atExit: (() => void) | undefined;
    const child = begin(program, args);
    if (typeof child === "string") {
      return resolve({ isDone: false, how: `cannot be run: ${child}`, output });
    }
    const end = (isDone: boolean, how: string): void => {
      timer.cancel();
      child.stdout.destroy();
      child.stderr.destroy();
      resolve({ isDone, how, output: output.trim() });
    };
    const timer = clock.setTimer(timeoutMs, () => {
      isLate = true;
      if (atExit !== undefined) return atExit();
      child.kill("SIGKILL");
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: unknown) => {
        output = (output + String(chunk)).slice(-OUTPUT_CHARS_MAX);
      });
      stream.on("error", () => {}); // Its end says the same.
    }
    child.stdin.on("error", () => {}); // A program that does not read is fine.
    child.stdin.end(input ?? "");
    child.on("error", (error) => end(false, `cannot be run: ${faultOf(program, error)}`));
    // A program that it has started may keep its outputs open, and so "close" away.
    child.on("exit", (code, signal) => {
      if (isLate) return end(false, `killed after ${timeoutMs} ms`);
      atExit = (): void =>
        end(code === 0, code === null ? `ended by ${signal}` : `ended with ${code}`);
    });
    child.on("close", () => atExit?.());
  });
}
