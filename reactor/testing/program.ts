// Shell. Runs a script of this project in a process of its own, for tests.

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { runtime } from "../runtime/mod.ts";

/** A started script and what it has printed. */
export class TestProgram {
  readonly #child: ChildProcess;
  readonly #exit: Promise<number | null>;
  stdout = "";
  stderr = "";
  #exitCode: number | null | undefined;

  /**
   * Starts `script` with the runtime of the test. `openFiles` lowers its limit on open files, where
   * there is a shell to do so.
   */
  constructor(script: string, args: readonly string[], options: { openFiles?: number } = {}) {
    const own = [...runtime.selfCommand(script), ...args];
    const [command, ...rest] = options.openFiles === undefined
      ? own
      : ["sh", "-c", `ulimit -n ${options.openFiles}; exec "$@"`, "sh", ...own];
    this.#child = spawn(command, rest, { stdio: ["ignore", "pipe", "pipe"] });
    this.#child.stdout?.on("data", (chunk) => (this.stdout += chunk));
    this.#child.stderr?.on("data", (chunk) => (this.stderr += chunk));
    this.#exit = new Promise((resolve) => {
      this.#child.on("close", (code) => {
        this.#exitCode = code;
        resolve(code);
      });
    });
  }

  /** True until it has ended. */
  get running(): boolean {
    return this.#exitCode === undefined;
  }

  /** Port of the first `127.0.0.1:PORT` printed, or undefined. */
  get port(): number | undefined {
    const match = /127\.0\.0\.1:(\d+)/.exec(this.stdout);
    return match === null ? undefined : Number(match[1]);
  }

  /** Its exit code; null when a signal ended it. */
  ended(): Promise<number | null> {
    return this.#exit;
  }

  /** Ends it, if it still runs. */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGKILL"): Promise<number | null> {
    // Not the child's own `kill`: in Deno that reports a death by the signal whatever happens.
    if (this.running && this.#child.pid !== undefined) process.kill(this.#child.pid, signal);
    return await this.#exit;
  }
}
