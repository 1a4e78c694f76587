// Shell. A terminal as a program uses it: one bash that lines are typed into.

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { systemClock } from "../reactor/time/system_clock.ts";
import { sleep } from "../reactor/time/clock.ts";

/** Characters of output kept; older ones are dropped. */
const OUTPUT_CHARS_MAX = 1_000_000;

/** How often output is looked at. */
const LOOK_MS = 20;

/** Time a session is given to end by itself. */
const END_TIMEOUT_MS = 10_000;

/** What a command left behind. */
export interface TypedResult {
  readonly code: number;
  /** Standard output and standard error, as a terminal shows them. */
  readonly output: string;
}

/** One bash; aliases hold as in a terminal. */
export class ShellSession {
  readonly #child: ChildProcess;
  readonly #mark = "::typed::";
  #output = "";
  #ended = false;

  constructor(cwd: string, env: Readonly<Record<string, string | undefined>>) {
    this.#child = spawn("bash", ["--norc", "--noprofile"], {
      cwd,
      env: { ...env, NO_COLOR: "1" },
      stdio: ["pipe", "pipe", "pipe"],
      detached: true, // A group of its own, which a signal reaches as Ctrl-C does.
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      const decoder = new TextDecoder();
      stream?.on("data", (chunk: Uint8Array) => {
        const text = decoder.decode(chunk, { stream: true });
        this.#output = (this.#output + text).slice(-OUTPUT_CHARS_MAX);
      });
    }
    this.#child.stdin?.on("error", () => undefined); // It has ended first.
    this.#child.once("close", () => this.#ended = true);
    this.#child.stdin?.write("shopt -s expand_aliases\n");
  }

  /** What was written since the last line was typed. */
  get output(): string {
    return this.#output.split(this.#mark)[0];
  }

  /** Types a line without waiting for its end. */
  begin(line: string): void {
    this.#output = "";
    this.#child.stdin?.write(`${line}\necho "${this.#mark}$?"\n`);
  }

  /** Types a line and waits for its end. */
  async type(line: string, timeoutMs: number): Promise<TypedResult> {
    this.begin(line);
    const end = new RegExp(`${this.#mark}(\\d+)\\n`);
    await this.until(() => end.test(this.#output), timeoutMs, line);
    return { code: Number(end.exec(this.#output)?.[1]), output: this.output };
  }

  /** Waits until something is true of what was written. @throws {Error} with it when it never is. */
  async until(isTrue: () => boolean, timeoutMs: number, what: string): Promise<void> {
    const endMs = systemClock.nowMs() + timeoutMs;
    while (!isTrue()) {
      if (this.#ended || systemClock.nowMs() > endMs) {
        const why = this.#ended ? "the shell ended" : `not within ${timeoutMs / 1000} s`;
        throw new Error(`${what}: ${why}; it wrote:\n${this.#output}`);
      }
      await sleep(systemClock, LOOK_MS);
    }
  }

  /** Presses Ctrl-C, and closes the terminal; whatever does not end then is killed. */
  async end(): Promise<void> {
    this.#signal("SIGINT");
    this.#child.stdin?.end();
    const endMs = systemClock.nowMs() + END_TIMEOUT_MS;
    while (!this.#ended && systemClock.nowMs() < endMs) await sleep(systemClock, LOOK_MS);
    if (!this.#ended) this.#signal("SIGKILL");
  }

  #signal(name: "SIGINT" | "SIGKILL"): void {
    const { pid } = this.#child;
    if (pid === undefined || this.#ended) return;
    try {
      process.kill(-pid, name);
    } catch {
      // The group has ended meanwhile.
    }
  }
}
