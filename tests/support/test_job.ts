// Shell. One test file on one runtime, as a process whose output is kept until it has ended.

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { readBunOutput, readDenoOutput, type TestRun } from "./test_output.ts";

/** The Bun that tests run on, taken from npm. */
const BUN_PACKAGE = "bun@1.4.5";

/** The slowest file takes about two minutes on a busy machine; what takes this long hangs. */
const FILE_TIMEOUT_MS = 900_000;
/** A test process that was asked to stop is killed after this time. */
const STOP_TIMEOUT_MS = 3000;
/** Output that somebody else still holds open is not waited for longer than this. */
const OUTPUT_TIMEOUT_MS = 5000;
/** Characters of output kept of one file; the oldest are dropped. */
const OUTPUT_CHARS_MAX = 8_000_000;

/** Name of a runtime under which tests run. */
export type RuntimeName = "Deno" | "Bun";

/** A runtime and how it runs test files. */
export interface Runner {
  readonly name: RuntimeName;
  /** The words that run one test file, given by its path from the working directory. */
  command(file: string): readonly string[];
  read(output: string): TestRun;
}

/** The Deno that runs this. */
export function denoRunner(): Runner {
  return {
    name: "Deno",
    command: (file) => [process.execPath, "test", "-A", "--no-check", "--quiet", `./${file}`],
    read: readDenoOutput,
  };
}

/**
 * The Bun of npm, which is fetched where this machine does not have it yet.
 *
 * @throws {Error} with what npm says when it cannot be had.
 */
export async function bunRunner(): Promise<Runner> {
  const question = ["-e", "console.log('bun: ' + process.execPath)"];
  const asked = await runProgram(["npx", "-y", BUN_PACKAGE, ...question]);
  const path = /^bun: (.+)$/m.exec(asked.output)?.[1];
  if (path === undefined) throw new Error(`${BUN_PACKAGE} did not start: ${asked.output}`);
  return {
    name: "Bun",
    command: (file) => [path, "test", "--timeout", "60000", `./${file}`],
    read: readBunOutput,
  };
}

/** How a program ended. */
interface Ended {
  readonly code: number;
  readonly output: string;
  /** True when it did not end in time. */
  readonly isLate: boolean;
}

/** What {@linkcode runProgram} does while a program runs. */
interface ProgramOptions {
  /** Variables added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Is given the output as it comes. */
  readonly onOutput?: (text: string) => void;
  /** After this time it hangs and is stopped. @default {900 000 ms} */
  readonly timeoutMs?: number;
}

/** What is stopped by {@linkcode stopPrograms}. */
const running = new Set<ChildProcess>();
let isStopping = false;

/** True once {@linkcode stopPrograms} was called. */
export function areProgramsStopped(): boolean {
  return isStopping;
}

/** Ends every program of {@linkcode runProgram}, with what they started; none starts any more. */
export function stopPrograms(): void {
  isStopping = true;
  for (const child of running) stop(child);
}

function stop(child: ChildProcess): void {
  child.kill("SIGTERM");
  const timer = systemClock.setTimer(STOP_TIMEOUT_MS, () => child.kill("SIGKILL"));
  child.once("close", () => timer.cancel());
}

/**
 * Runs a program to its end and keeps its output.
 *
 * @throws {Error} when it cannot be started, or {@linkcode stopPrograms} was called before.
 */
export function runProgram(argv: readonly string[], options: ProgramOptions = {}): Promise<Ended> {
  const [program, ...args] = argv;
  return new Promise((resolve, reject) => {
    if (isStopping) return reject(new Error(`${program} is not started: the tests were stopped`));
    const child = spawn(program, args, {
      env: { ...process.env, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.add(child);
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      const decoder = new TextDecoder();
      stream.on("data", (chunk: Uint8Array) => {
        const text = decoder.decode(chunk, { stream: true });
        options.onOutput?.(text);
        output += text;
        if (output.length > OUTPUT_CHARS_MAX) output = output.slice(-OUTPUT_CHARS_MAX);
      });
    }
    let isLate = false;
    const timers = [systemClock.setTimer(options.timeoutMs ?? FILE_TIMEOUT_MS, () => {
      isLate = true;
      stop(child);
    })];
    const end = (): void => {
      for (const timer of timers) timer.cancel();
      running.delete(child);
    };
    const finish = (code: number | null): void => {
      end();
      resolve({ code: code ?? 1, output, isLate });
    };
    child.once("error", (error) => {
      end();
      reject(error);
    });
    child.once("exit", (code) => {
      timers.push(systemClock.setTimer(OUTPUT_TIMEOUT_MS, () => finish(code)));
    });
    child.once("close", finish);
  });
}

/** What a test file came to on one runtime. */
export interface FileRun extends TestRun {
  readonly tookMs: number;
  /** What it printed. */
  readonly output: string;
  /** What is wrong with the process itself, when the tests do not say it. */
  readonly fault?: string;
}

/** Runs one test file to its end. */
export async function runTestFile(
  runner: Runner,
  file: string,
  env: Readonly<Record<string, string>>,
): Promise<FileRun> {
  const startMs = systemClock.nowMs();
  const { code, output, isLate } = await runProgram(runner.command(file), { env });
  const tookMs = systemClock.nowMs() - startMs;
  const result = runner.read(output);
  const fault = faultOf(result, code, isLate);
  if (fault === undefined) return { ...result, tookMs, output };
  return { ...result, failed: result.failed + 1, tookMs, output, fault };
}

/** A process that fails without a failed test, or without any test, has failed all the same. */
function faultOf(result: TestRun, code: number, isLate: boolean): string | undefined {
  if (isLate) return `did not end within ${FILE_TIMEOUT_MS / 1000} s`;
  if (result.failed > 0) return undefined;
  if (code !== 0) return `ended with exit code ${code}`;
  return result.passed + result.skipped > 0 ? undefined : "ran no test";
}
