// Shell. The bench programs of the clients in other languages: found by their bench.json, built, and
// asked by lines.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findProgram } from "./machine.ts";

/** A build fetches nothing; on a busy machine compilers take their time. */
const BUILD_TIMEOUT_MS = 180_000;

/** Longest wait for one answer beyond the time that was asked for. */
const ANSWER_TIMEOUT_MS = 30_000;

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** What `bench.json` says; see README.md, "Programs of the languages". */
export interface LanguageCommand {
  readonly name: string;
  readonly programs: Readonly<Record<string, string>>;
  readonly build?: readonly string[];
  readonly run: readonly string[];
}

/** What a program is asked to do. */
export type LanguageMode = "pick" | "table" | "udp" | "echo" | "check" | "paced";

/** What it did. */
export interface LanguageResult {
  readonly calls: number;
  readonly failed: number;
  /** Wall time for each call of each thread, and processor time for each call. Nanoseconds. */
  readonly ns: number;
  readonly cpuNs: number;
  /** Entries that are no node of their module; told by `check`. */
  readonly torn?: number;
  /** How often each node was picked, by the last byte of its address; told by `check`. */
  readonly byNode?: readonly (readonly [number, number])[];
}

/** Every client that has a bench program. */
export function languageCommands(): LanguageCommand[] {
  const folder = join(ROOT, "api");
  const files = readdirSync(folder).sort().map((name) => join(folder, name, "bench.json"));
  return files.filter((file) => existsSync(file))
    .map((file) => JSON.parse(readFileSync(file, "utf8")) as LanguageCommand);
}

/** Builds a program. @returns what runs it, or why it cannot be. */
export function buildLanguage(
  { name, programs, build, run }: LanguageCommand,
  directory: string,
): { argv: string[] } | { reason: string } {
  const lacking = Object.keys(programs).filter((program) => findProgram(program) === undefined);
  if (lacking.length > 0) return { reason: `${lacking.join(", ")} is not installed` };
  const out = join(directory, `language-${name.replaceAll(/\W/g, "_")}`);
  mkdirSync(out, { recursive: true });
  const fill = (words: readonly string[]): string[] =>
    words.map((word) => word.replaceAll("{root}", ROOT).replaceAll("{out}", out));
  if (build !== undefined) {
    const [program, ...args] = fill(build);
    const options = { encoding: "utf8", timeout: BUILD_TIMEOUT_MS, cwd: ROOT } as const;
    const { status, stderr, error } = spawnSync(program, args, options);
    if (status !== 0) {
      return { reason: `does not build: ${(error?.message ?? stderr ?? "").trim().slice(0, 300)}` };
    }
  }
  return { argv: fill(run) };
}

/** A running program. */
export class LanguageProgram {
  readonly name: string;
  readonly #child: ChildProcess;
  #rest = "";
  #errors = "";
  #waiter: ((line: string | undefined) => void) | undefined;

  constructor(name: string, argv: readonly string[]) {
    this.name = name;
    this.#child = spawn(argv[0], argv.slice(1), { stdio: ["pipe", "pipe", "pipe"] });
    const text = new TextDecoder();
    this.#child.stdout?.on("data", (chunk: Uint8Array) => {
      this.#rest += text.decode(chunk, { stream: true });
      const end = this.#rest.indexOf("\n");
      if (end < 0) return;
      const line = this.#rest.slice(0, end);
      this.#rest = this.#rest.slice(end + 1);
      this.#waiter?.(line);
    });
    this.#child.stderr?.on("data", (chunk: Uint8Array) => {
      this.#errors = (this.#errors + new TextDecoder().decode(chunk)).slice(-2000);
    });
    this.#child.stdin?.on("error", () => undefined); // it has ended: `close` tells
    this.#child.once("error", (error) => {
      this.#errors = error.message;
      this.#waiter?.(undefined);
    });
    this.#child.once("close", () => this.#waiter?.(undefined));
  }

  /** @throws {Error} when it ends or hangs, or its answer is no result. */
  async measure(mode: LanguageMode, threads: number, ms: number): Promise<LanguageResult> {
    const line = await new Promise<string | undefined>((resolve) => {
      const timer = AbortSignal.timeout(ms + ANSWER_TIMEOUT_MS);
      const done = (text: string | undefined): void => {
        timer.removeEventListener("abort", onTimeout);
        this.#waiter = undefined;
        resolve(text);
      };
      const onTimeout = (): void => done(undefined);
      timer.addEventListener("abort", onTimeout);
      this.#waiter = done;
      this.#child.stdin?.write(`${mode} ${threads} ${ms}\n`);
    });
    if (line === undefined) {
      throw new Error(`Bench program of ${this.name} gave no result of ${mode}: ${this.#errors}`);
    }
    return JSON.parse(line) as LanguageResult;
  }

  /** Ends it. */
  stop(): void {
    this.#child.stdin?.end();
    this.#child.kill("SIGKILL");
  }
}
