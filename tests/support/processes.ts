// Shell. Services as real processes: started as a user starts them, and none outlives its test.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { DENO_SERVICE_FLAGS } from "../../reactor/runtime/engine_flags.ts";
import { makeTempDir } from "./temp_dir.ts";
import { until } from "./until.ts";

/** Root of the project. */
export const PROJECT_ROOT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

/**
 * A start takes well under a second, nearly all of it the runtime's work on the sources; with dozens of
 * other programs that start or compile at the same time it has taken more than 30 s.
 */
const START_TIMEOUT_MS = 120_000;
/** Time a service is given to end by itself, the 2 s of its promise times three and some more. */
const STOP_TIMEOUT_MS = 8000;
/** Bytes of output kept of one process; older ones are dropped. */
const OUTPUT_CHARS_MAX = 400_000;

/**
 * Runs a program until the other end of standard input is closed, which happens however the test
 * process ends. Prints the process id of the program first; exits with its exit code.
 */
const SUPERVISOR = "exec 3<&0; " +
  `sh -c 'echo "pid $$"; exec "$@"' sh "$@" </dev/null 3<&- & pid=$!; ` +
  "(read line <&3; kill -9 $pid) >/dev/null 2>&1 & watch=$!; exec 3<&-; " +
  "wait $pid; code=$?; kill -9 $watch 2>/dev/null; exit $code";

/** How a process is started. */
export interface ProcessOptions {
  /** Variables added to the environment; those of this program that are set outside are left out. */
  readonly env?: Readonly<Record<string, string>>;
  /** Working directory; default an empty one of its own. */
  readonly cwd?: string;
  /** Words put before the command, such as `prlimit --nofile=64:64`. */
  readonly wrapper?: readonly string[];
  /** Of a script, on Deno: flags of the runtime. @default none */
  readonly denoFlags?: readonly string[];
}

/** How a process ended and what it wrote. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running process. */
export class TestProcess {
  /** What it is, for messages. */
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<Ended>;
  #stdout = "";
  #stderr = "";
  #exitCode: number | undefined;

  /** Starts `argv`; use {@linkcode Processes} to be sure that it ends. */
  constructor(name: string, argv: readonly string[], options: ProcessOptions, cwd: string) {
    this.name = name;
    const command = [...(options.wrapper ?? []), ...argv];
    this.#child = spawn("sh", ["-c", SUPERVISOR, "sh", ...command], {
      cwd: options.cwd ?? cwd,
      env: { ...foreignEnvironment(), ...options.env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const decoder = (): (chunk: Uint8Array) => string => {
      const text = new TextDecoder();
      return (chunk) => text.decode(chunk, { stream: true });
    };
    const [out, err] = [decoder(), decoder()];
    this.#child.stdout?.on("data", (chunk: Uint8Array) => {
      this.#stdout = (this.#stdout + out(chunk)).slice(-OUTPUT_CHARS_MAX);
    });
    this.#child.stderr?.on("data", (chunk: Uint8Array) => {
      this.#stderr = (this.#stderr + err(chunk)).slice(-OUTPUT_CHARS_MAX);
    });
    this.#child.stdin?.on("error", () => undefined); // the process has ended first
    this.#ended = new Promise((resolve) => {
      this.#child.once("close", (code) => {
        this.#exitCode = code ?? 128;
        resolve({ code: this.#exitCode, stdout: this.stdout, stderr: this.#stderr });
      });
    });
  }

  /** What it wrote to standard output, without the line of the supervisor. */
  get stdout(): string {
    return this.#stdout.replace(/^pid \d+\n/, "");
  }

  /** What it wrote to standard error. */
  get stderr(): string {
    return this.#stderr;
  }

  /** Exit code, or undefined while it runs. */
  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  /** True while it runs. */
  get alive(): boolean {
    return this.#exitCode === undefined;
  }

  /** Process id of the program itself; 0 in the first moment. */
  get pid(): number {
    return Number(/^pid (\d+)\n/.exec(this.#stdout)?.[1] ?? 0);
  }

  /** Addresses of its ready line, or undefined when there is none yet. */
  get addresses(): readonly string[] | undefined {
    for (const line of this.stdout.split("\n")) {
      if (!line.startsWith("{")) continue;
      const event = JSON.parse(line) as { event?: string; addresses?: string[] };
      if (event.event === "ready") return event.addresses;
    }
    return /^\w+ ready on (.+)$/m.exec(this.stdout)?.[1].split(", ");
  }

  /** What it listened on; nothing where its output ends in the middle of a line. */
  get lastAddresses(): readonly string[] {
    try {
      return this.addresses ?? [];
    } catch {
      return [];
    }
  }

  /** Port of one of its addresses. */
  port(index = 0): number {
    return Number(this.addresses?.[index]?.split(":").at(-1) ?? 0);
  }

  /** Waits for the ready line; throws with its output when it ends before. */
  async untilReady(): Promise<this> {
    await until(() => {
      if (!this.alive) throw new Error(`${this.name} ended with ${this.exitCode}: ${this.#stderr}`);
      return this.addresses !== undefined;
    }, { timeoutMs: START_TIMEOUT_MS, what: () => `${this.name} to be ready: ${this.#stderr}` });
    return this;
  }

  /** Waits until it ends by itself. */
  async untilEnded(timeoutMs = STOP_TIMEOUT_MS): Promise<Ended> {
    await until(() => !this.alive, { timeoutMs, what: `${this.name} to end` });
    return await this.#ended;
  }

  /** Sends a signal to the program. */
  signal(name: "SIGTERM" | "SIGINT" | "SIGHUP" | "SIGSTOP" | "SIGCONT"): void {
    if (this.alive && this.pid > 0) process.kill(this.pid, name);
  }

  /** Asks it to stop and waits for its end. */
  async stop(): Promise<Ended> {
    this.signal("SIGTERM");
    return await this.untilEnded();
  }

  /** Ends it the hard way, like a power cut. */
  async kill9(): Promise<void> {
    if (this.alive && this.pid > 0) process.kill(this.pid, "SIGKILL");
    this.#child.stdin?.end();
    await this.#ended;
  }

  /** Bytes of memory it holds, as the kernel counts them; undefined where that cannot be read. */
  async residentBytes(): Promise<number | undefined> {
    const { readFile } = await import("node:fs/promises");
    const status = await readFile(`/proc/${this.pid}/status`, "utf8").catch(() => "");
    const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
  }
}

/** Environment without the settings of this program. */
function foreignEnvironment(): Record<string, string> {
  const kept = Object.entries(process.env).filter((entry): entry is [string, string] =>
    entry[1] !== undefined && !entry[0].startsWith("LARS_")
  );
  return Object.fromEntries(kept);
}

/** The words that run a script of this project on the runtime of the test. `flags`: those of Deno. */
export function scriptCommand(script: string, flags: readonly string[] = []): string[] {
  const path = join(PROJECT_ROOT, script);
  const all = ["-A", "--no-check", "--quiet", ...DENO_SERVICE_FLAGS, ...flags];
  return process.versions.bun === undefined
    ? [process.execPath, "run", ...all, path]
    : [process.execPath, path];
}

/** Name of the runtime that the test and its processes run on. */
export function runtimeName(): "deno" | "bun" {
  return process.versions.bun === undefined ? "deno" : "bun";
}

/** The processes of one test. */
export class Processes {
  readonly #running: TestProcess[] = [];
  readonly #directory = makeTempDir("lars-processes-");

  /** Empty directory for files of this test. */
  get directory(): string {
    return this.#directory.path;
  }

  /** Starts a service with flags and waits until it is ready. */
  start(
    service: "dns" | "reporter" | "discovery" | "agent" | "web" | "relay" | "export",
    args: readonly string[],
    options: ProcessOptions = {},
  ): Promise<TestProcess> {
    return this.spawn(service, `${service}/main.ts`, ["--json", ...args], options).untilReady();
  }

  /** Starts any script of the project. */
  spawn(
    name: string,
    script: string,
    args: readonly string[],
    options: ProcessOptions = {},
  ): TestProcess {
    return this.spawnCommand(name, [...scriptCommand(script, options.denoFlags), ...args], options);
  }

  /** Starts any program. */
  spawnCommand(
    name: string,
    argv: readonly string[],
    options: ProcessOptions = {},
  ): TestProcess {
    const started = new TestProcess(name, argv, options, this.directory);
    this.#running.push(started);
    return started;
  }

  /** Runs a script of the project to its end. */
  run(script: string, args: readonly string[], options?: ProcessOptions): Promise<Ended> {
    return this.spawn(script, script, args, options).untilEnded(START_TIMEOUT_MS);
  }

  /**
   * Runs any program in the repository's folder to its end.
   *
   * @returns what it printed.
   * @throws {AssertionError} with all that it said when it did not end well.
   */
  async succeed(name: string, argv: readonly string[], timeoutMs: number): Promise<string> {
    const ended = await this.spawnCommand(name, argv, { cwd: PROJECT_ROOT }).untilEnded(timeoutMs);
    assert.equal(ended.code, 0, `${name}: ${ended.stdout}\n${ended.stderr}`);
    return ended.stdout;
  }

  /** What every process wrote to standard error, for the message of a failed test. */
  get report(): string {
    return this.#running
      .map((one) => `--- ${one.name} (exit ${one.exitCode ?? "none"})\n${one.stderr.slice(-3000)}`)
      .join("\n");
  }

  /** Ends whatever still runs and removes the directory. */
  async endAll(): Promise<void> {
    await Promise.all(this.#running.map((one) => one.kill9()));
    for (const one of this.#running) removeTables(one);
    this.#directory.remove();
  }
}

/** An agent that is killed leaves its table in shared memory. */
function removeTables(ended: TestProcess): void {
  for (const address of ended.lastAddresses) {
    const port = address.split(":").at(-1);
    rmSync(`/dev/shm/lars-agent-${port}.table`, { force: true });
  }
}

/** Runs `fn` with a set of processes that all end with it; a failure shows what they wrote. */
export async function withProcesses(fn: (processes: Processes) => Promise<void>): Promise<void> {
  const processes = new Processes();
  try {
    await fn(processes);
  } catch (error) {
    const message = error instanceof Error ? error.stack ?? error.message : String(error);
    throw new Error(`${message}\n${processes.report}`, { cause: error });
  } finally {
    await processes.endAll();
  }
}
