// Shell. What every benchmark needs: servers as processes, load, interleaved rounds, peers.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Address } from "../reactor/address.ts";
import { DENO_SERVICE_FLAGS } from "../reactor/runtime/engine_flags.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { sleep } from "../reactor/time/clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { cpuSeconds, findProgram, processorCount } from "./machine.ts";
import { compileTools, type NativeTools } from "./native_tools.ts";
import type { Row } from "./rows.ts";
import { runProgram, ServerProcess } from "./server_process.ts";

/** A group of rows that are measured together. */
export interface Suite {
  /** For `--only`. */
  readonly name: string;
  /** Names of its rows, for `--only`; it runs when one of them, or its own, contains the text. */
  readonly rows: readonly string[];
  run(bench: Bench): Promise<Row[]>;
}

/** Ends the name of what runs from the sources of `--against`. */
export const BEFORE = ", before";

/** A runtime on which servers are started. */
export interface BenchRuntime {
  /** "Deno" or "Bun"; with {@linkcode BEFORE} behind it where the sources are those of `--against`. */
  readonly name: string;
  /** The argument vector that runs a script of this project, given by its path from the root. */
  command(script: string, ...args: readonly string[]): string[];
}

/** Other implementations of the protocol, put into the table beside ours. */
export interface Peers {
  /** First UDP port of an agent that knows the modules (1, 1) to (`modules`, 1). */
  readonly agent?: Address;
  readonly dns?: Address;
  readonly reporter?: Address;
  /** A TCP server that sends every frame back. */
  readonly echo?: Address;
}

/** How a run is made. */
export interface BenchOptions {
  /** Shortest run; times mean nothing. */
  readonly smoke: boolean;
  /** Texts of `--only`; empty: everything. */
  readonly only: readonly string[];
  readonly peers: Peers;
  /** Folder of another checkout of this project, measured in turn with this one. */
  readonly against?: string;
  /** Told what is being done. */
  say(text: string): void;
}

/** What one run of the load generator is asked for; see c/load.c. */
export interface LoadOptions {
  readonly server: Address;
  /** 1, or 3 when modules are spread over three ports in a row. */
  readonly ports: 1 | 3;
  readonly modules: number;
  /** Process whose processor time is taken. */
  readonly pid?: number;
  /** Questions in flight; for "closed". */
  readonly window?: number;
  /** A report after each answer; for "closed". */
  readonly report?: boolean;
  /** One datagram a call, as a caller without batches does; for "closed". */
  readonly plain?: boolean;
  /** Questions a second; for "open". */
  readonly rate?: number;
  /** The server sends questions back as they are. */
  readonly echo?: boolean;
  /** Length; for "prime" and "first" the longest wait. */
  readonly ms: number;
}

/** What one run of the load generator saw. */
export interface LoadResult {
  /** Answers that are right in every field. */
  readonly ok: number;
  readonly lost: number;
  readonly wrong: number;
  readonly seconds: number;
  /** Processor time of the server; negative when unknown. */
  readonly cpuSeconds: number;
  readonly p50us: number;
  readonly p99us: number;
}

/** Microseconds of the server's processor time for each right answer; NaN when unknown. */
export function cpuMicros({ cpuSeconds, ok }: Pick<LoadResult, "cpuSeconds" | "ok">): number {
  return cpuSeconds < 0 ? NaN : cpuSeconds / ok * 1e6;
}

/** Descriptors that a server needs beside its connections. */
const OTHER_FILES = 200;

/** Why a server cannot have so many connections; undefined when it can. */
export function openFilesFault(connections: number): string | undefined {
  const filesMax = runtime.openFilesMax() ?? Infinity;
  const wanted = connections + OTHER_FILES;
  return filesMax < wanted
    ? `the limit on open files is ${filesMax}: ulimit -n ${wanted}`
    : undefined;
}

/** A load that has had no answer in less than this time is given more. */
const SILENT_MS_MAX = 600;

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Path of Bun: the one of this machine, else the one npm has; undefined when there is none. */
function findBun(): string | undefined {
  if (runtime.name === "bun") return runtime.execPath;
  const own = findProgram("bun");
  if (own !== undefined) return own;
  const { status, stdout } = spawnSync(
    "npx",
    ["-y", "--prefer-offline", "bun@1.4.5", "-e", "console.log(process.execPath)"],
    { encoding: "utf8", timeout: 30_000, cwd: tmpdir() },
  );
  return status === 0 ? stdout.trim() : undefined;
}

/** Deno and Bun, as far as they are there, running the sources of `root`. */
function findRuntimes(root: string, ending = ""): BenchRuntime[] {
  const deno = runtime.name === "deno" ? runtime.execPath : findProgram("deno");
  const bun = findBun();
  const found: BenchRuntime[] = [];
  if (deno !== undefined) {
    const flags = ["-A", "--quiet", "--no-check", "--unstable-net", ...DENO_SERVICE_FLAGS];
    const words = [deno, "run", ...flags];
    found.push({
      name: `Deno${ending}`,
      command: (script, ...args) => [...words, join(root, script), ...args],
    });
  }
  if (bun !== undefined) {
    found.push({
      name: `Bun${ending}`,
      command: (script, ...args) => [bun, join(root, script), ...args],
    });
  }
  return found;
}

/** How a datagram echo works; see c/udp_echo.c. */
export type EchoMode = "single" | "batch" | "answer" | "spin";

/** One run of the table. */
export class Bench {
  readonly smoke: boolean;
  readonly only: readonly string[];
  readonly peers: Peers;
  readonly say: (text: string) => void;
  /** Deno and Bun, as far as they are there. */
  readonly runtimes: readonly BenchRuntime[];
  /** What is measured: the runtimes, then those that run the sources of `--against`. */
  readonly subjects: readonly BenchRuntime[];
  /** Folder for files of this run. */
  readonly directory: string;
  /** The C programs, or undefined: then those in TypeScript are used. */
  readonly native: NativeTools | undefined;
  /** What the reader has to know about this run. */
  readonly notes: string[];
  readonly #pinned: boolean;
  readonly #servers: ServerProcess[] = [];
  readonly #left: string[] = [];
  /** Aborted when servers that are not ready yet are not wanted any more. */
  #starting = new AbortController();

  constructor(options: BenchOptions, base?: Bench) {
    this.smoke = options.smoke;
    this.only = options.only;
    this.peers = options.peers;
    this.say = options.say;
    if (base !== undefined) {
      this.runtimes = base.runtimes;
      this.subjects = base.subjects;
      this.directory = base.directory;
      this.native = base.native;
      this.notes = base.notes;
      this.#pinned = base.#pinned;
      return;
    }
    this.runtimes = findRuntimes(ROOT);
    const { against } = options;
    const before = against === undefined ? [] : findRuntimes(against, BEFORE);
    this.subjects = [...this.runtimes, ...before];
    this.directory = mkdtempSync(join(tmpdir(), "lars-bench-"));
    this.notes = [];
    const tools = compileTools(this.directory);
    if ("reason" in tools) {
      this.notes.push(
        `${tools.reason}: load and echo are TypeScript programs, whose own cost hides differences.`,
      );
    } else {
      this.native = tools;
    }
    const canPin = processorCount() >= 2 && findProgram("taskset") !== undefined;
    this.#pinned = canPin && !options.smoke; // Unpinned, many servers start sooner.
    if (options.smoke) this.notes.push("Smoke run: its times mean nothing.");
    else {
      this.notes.push(
        canPin
          ? "Servers run on processor 1, load on processor 0."
          : "Nothing is pinned to a processor: no taskset, or one processor only.",
      );
    }
    for (const name of ["Deno", "Bun"]) {
      if (!this.runtimes.some((one) => one.name === name)) {
        this.notes.push(`${name} is not installed: its rows are missing.`);
      }
    }
  }

  /** Repetitions of what takes long or is not compared. */
  get rounds(): number {
    return this.smoke ? 1 : 5;
  }

  /**
   * Rounds of an interleaved comparison: many short ones, so that what disturbs the machine for some
   * seconds hits a variant and its reference alike, and few of the rounds.
   */
  get interleavedRounds(): number {
    return this.smoke ? 1 : 7;
  }

  /** Processes one after the other for rows that a process measures by itself: in turn, too. */
  get processRounds(): number {
    return this.subjects.length === this.runtimes.length || this.smoke ? 1 : 5;
  }

  /** Length of one measurement in such a round. */
  get roundMs(): number {
    return this.smoke ? 40 : 300;
  }

  /** The command on the processor of servers. */
  onServerProcessor(argv: readonly string[]): string[] {
    return this.#pinned ? ["taskset", "-c", "1", ...argv] : [...argv];
  }

  /** The command on the processor of load generators. */
  onLoadProcessor(argv: readonly string[]): string[] {
    return this.#pinned ? ["taskset", "-c", "0", ...argv] : [...argv];
  }

  /** The same run with servers of its own, so that suites can run side by side. */
  fork(): Bench {
    return new Bench(this, this);
  }

  /** True when a row of this name was asked for: by its name or that of its suite. */
  wants(suite: string, row: string): boolean {
    const names = [suite, row].map((name) => name.toLowerCase());
    return this.only.length === 0 ||
      this.only.some((text) => names.some((name) => name.includes(text.toLowerCase())));
  }

  /** Starts a server on its processor; it ends with the suite. See {@linkcode ServerProcess.start}. */
  async start(name: string, argv: readonly string[]): Promise<ServerProcess> {
    const { signal } = this.#starting;
    const server = await ServerProcess.start(name, this.onServerProcessor(argv), signal);
    this.#servers.push(server);
    return server;
  }

  /** Starts dns or reporter on a database, on any port. */
  startService(
    service: "dns" | "reporter",
    on: BenchRuntime,
    url: string,
    ...more: readonly string[]
  ): Promise<ServerProcess> {
    const flags = ["--json", "--reactor-port", "0", "--store-url", url, "--log-level", "error"];
    const argv = on.command(`${service}/main.ts`, ...flags, ...more);
    return this.start(`${service} on ${on.name}`, argv);
  }

  /** Runs a program on the processor of load generators; gives its standard output. */
  async runLoad(argv: readonly string[]): Promise<string> {
    return await runProgram(this.onLoadProcessor(argv));
  }

  /** The datagram echo: in C when there is a compiler. `ports` in a row. */
  startEcho(mode: EchoMode, ports: number): Promise<ServerProcess> {
    const words = [mode, "0", String(ports)];
    if (this.native !== undefined) {
      return this.start(`C echo ${mode}`, [this.native.udpEcho, ...words]);
    }
    const [first] = this.runtimes;
    return this.start(`echo ${mode}`, first.command("bench/udp_echo.ts", ...words));
  }

  /** How the table calls what {@linkcode startEcho} starts. */
  echoName(mode: EchoMode): string {
    const how = mode === "single" ? "recvfrom echo" : "recvmmsg echo";
    const name = this.native === undefined ? "TypeScript echo" : `C ${how}`;
    if (mode === "spin") return `${name}, answering, spinning`;
    return mode === "answer" ? `${name}, answering` : name;
  }

  /**
   * Runs the load generator once.
   *
   * @param program For "first": what is started, and measured until its first answer.
   */
  async load(
    mode: "closed" | "open" | "prime" | "first",
    options: LoadOptions,
    program: readonly string[] = [],
  ): Promise<LoadResult> {
    for (let ms = options.ms;; ms *= 4) {
      const argv = this.#loadCommand(mode, { ...options, ms }, program);
      const result = JSON.parse(await this.runLoad(argv)) as LoadResult;
      // A smoke run is so short that on a busy machine nobody may have had a turn.
      if (result.ok > 0 || ms >= SILENT_MS_MAX) return result;
    }
  }

  /** Processor time that a process has used so far, as exactly as it can be known. */
  async cpuSeconds(pid: number): Promise<number | undefined> {
    if (this.native === undefined) return cpuSeconds(pid);
    const text = await runProgram([this.native.load, "clock", `pid=${pid}`]);
    const used = (JSON.parse(text) as LoadResult).cpuSeconds;
    return used < 0 ? undefined : used;
  }

  /** As {@linkcode load}, on any processor: so that a program it starts may use all of them. */
  async loadAnywhere(
    mode: "first",
    options: LoadOptions,
    program: readonly string[],
  ): Promise<LoadResult> {
    return JSON.parse(await runProgram(this.#loadCommand(mode, options, program))) as LoadResult;
  }

  #loadCommand(mode: string, options: LoadOptions, program: readonly string[]): string[] {
    const { server, report, plain, echo, ...rest } = options;
    const flags = Object.entries({ report, plain, echo }).filter(([, on]) => on === true);
    const words = [
      mode,
      `host=${server.hostname}`,
      `port=${server.port}`,
      `warmup=${this.smoke ? 5 : 100}`,
      ...flags.map(([name]) => `${name}=1`),
      ...Object.entries(rest).filter(([, value]) => value !== undefined)
        .map(([name, value]) => `${name}=${value}`),
      ...(program.length > 0 ? ["--", ...program] : []),
    ];
    const [first] = this.runtimes;
    return this.native === undefined
      ? first.command("bench/load.ts", ...words)
      : [this.native.load, ...words];
  }

  /**
   * Measures variants in turn, A B A B ..., so that what else the machine does hits all alike.
   *
   * @returns for each variant, by name, what each round gave.
   */
  async interleave<T>(
    variants: readonly { readonly name: string; measure(): Promise<T> }[],
    rounds = this.interleavedRounds,
  ): Promise<Map<string, T[]>> {
    const results = new Map<string, T[]>(variants.map(({ name }) => [name, []]));
    for (let round = 0; round < rounds; round++) {
      for (const { name, measure } of variants) results.get(name)?.push(await measure());
    }
    return results;
  }

  /** Waits. */
  pause(ms: number): Promise<void> {
    return sleep(systemClock, ms);
  }

  /** A file that a server leaves when it is killed; it goes with the server. */
  leaves(path: string): void {
    this.#left.push(path);
  }

  /** Stops what a suite has started, ready or not: a suite may have failed beside its start. */
  async stopServers(): Promise<void> {
    this.#starting.abort();
    this.#starting = new AbortController();
    await Promise.all(this.#servers.splice(0).map((server) => server.stop()));
    for (const path of this.#left.splice(0)) rmSync(path, { force: true });
  }

  /** Removes its files. */
  async close(): Promise<void> {
    await this.stopServers();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
