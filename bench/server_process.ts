// Shell. Programs that a benchmark starts: pinned to a processor, and none outlives it.

import { type ChildProcess, spawn } from "node:child_process";
import { basename } from "node:path";
import process from "node:process";
import type { Address } from "../reactor/address.ts";

/** A start takes well under a second; a loaded machine may need many times that. */
const START_TIMEOUT_MS = 30_000;
/** Longest run of a helper program; the longest single measurement takes a few seconds. */
const RUN_TIMEOUT_MS = 60_000;
/** Characters kept of what a process writes; enough for any message. */
const OUTPUT_CHARS_MAX = 100_000;

const running = new Set<ChildProcess>();

process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => process.exit(130));
}

function launch(
  argv: readonly string[],
): { child: ChildProcess; output: { out: string; err: string } } {
  const [program, ...args] = argv;
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  const output = { out: "", err: "" };
  const decoder = new TextDecoder();
  const errorDecoder = new TextDecoder();
  child.stdout?.on("data", (chunk: Uint8Array) => {
    output.out = (output.out + decoder.decode(chunk, { stream: true })).slice(-OUTPUT_CHARS_MAX);
  });
  child.stderr?.on("data", (chunk: Uint8Array) => {
    const text = errorDecoder.decode(chunk, { stream: true });
    output.err = (output.err + text).slice(-OUTPUT_CHARS_MAX);
  });
  running.add(child);
  child.on("close", () => running.delete(child));
  return { child, output };
}

/** A program that serves until it is stopped. */
export class ServerProcess {
  /** What it is, for messages. */
  readonly name: string;
  /** Process id; of the program itself, also when it is pinned. */
  readonly pid: number;
  /** What it listens on. */
  readonly addresses: readonly Address[];
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  private constructor(name: string, child: ChildProcess, addresses: readonly Address[]) {
    this.name = name;
    this.pid = child.pid ?? 0;
    this.addresses = addresses;
    this.#child = child;
    this.#ended = new Promise((resolve) => child.once("close", () => resolve()));
  }

  /**
   * Starts a program that prints `{"event":"ready","addresses":["IP:PORT",...]}` when it is ready.
   *
   * @param unwanted Ends it when it is not ready by then.
   * @throws {Error} with what it wrote when it ends before, or is not ready in 30 s.
   */
  static start(
    name: string,
    argv: readonly string[],
    unwanted?: AbortSignal,
  ): Promise<ServerProcess> {
    const { child, output } = launch(argv);
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => {
        child.kill("SIGKILL");
        reject(new Error(`${name} ${why}: ${output.err.trim().slice(-2000)}`));
      };
      const timer = AbortSignal.timeout(START_TIMEOUT_MS);
      const onTimeout = (): void => fail("is not ready in time");
      timer.addEventListener("abort", onTimeout);
      const onUnwanted = (): void => fail("is not wanted any more");
      unwanted?.addEventListener("abort", onUnwanted);
      child.once("error", (error) => fail(`cannot be started: ${error.message}`));
      child.once("close", (code) => fail(`ended with ${code}`));
      child.stdout?.on("data", () => {
        const ready = readyAddresses(output.out);
        if (ready === undefined) return;
        timer.removeEventListener("abort", onTimeout);
        unwanted?.removeEventListener("abort", onUnwanted);
        child.removeAllListeners("close");
        child.once("close", () => running.delete(child));
        resolve(new ServerProcess(name, child, ready));
      });
    });
  }

  /** Ends it and waits until it is gone. */
  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill("SIGKILL");
      await this.#ended;
    }
  }
}

function readyAddresses(output: string): Address[] | undefined {
  for (const line of output.split("\n")) {
    if (!line.startsWith("{") || !line.endsWith("}")) continue;
    const event = JSON.parse(line) as { event?: string; addresses?: string[] };
    if (event.event === "ready") return (event.addresses ?? []).map(parse);
  }
  return undefined;
}

function parse(text: string): Address {
  const colon = text.lastIndexOf(":");
  return { hostname: text.slice(0, colon), port: Number(text.slice(colon + 1)) };
}

/**
 * Runs a program to its end.
 *
 * @returns what it wrote to standard output.
 * @throws {Error} with what it wrote to standard error, when its exit code is not 0.
 */
export function runProgram(argv: readonly string[], timeoutMs = RUN_TIMEOUT_MS): Promise<string> {
  const { child, output } = launch(argv);
  return new Promise((resolve, reject) => {
    const timer = AbortSignal.timeout(timeoutMs);
    const onTimeout = (): void => void child.kill("SIGKILL");
    timer.addEventListener("abort", onTimeout);
    child.once("error", reject);
    child.once("close", (code) => {
      timer.removeEventListener("abort", onTimeout);
      if (code === 0) resolve(output.out);
      else {reject(
          new Error(`${basename(argv[0])} ended with ${code}: ${output.err.trim().slice(-2000)}`),
        );}
    });
  });
}
