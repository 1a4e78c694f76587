// Shell. A driver as a process: commands as lines on its standard input, results on its output.

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { TimeoutError } from "../../reactor/errors.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";

/** A start takes well under a second; a loaded machine may need many times that. */
const HELLO_TIMEOUT_MS = 60_000;

/** No command takes longer, whatever its deadlines: then the driver hangs. */
const RESULT_TIMEOUT_MS = 60_000;

/** Characters of standard error that are kept; older ones are dropped. */
const ERROR_CHARS_MAX = 20_000;

/** Version of the lines that driver and runner speak. */
export const DRIVER_VERSION = 1;

/** How a client is driven, from the file `driver.json` of its folder. */
export interface DriverCommand {
  /** Name of the client, for people: C, C++, Go. */
  readonly name: string;
  /** Programs that it needs, each with the Debian package that has it. */
  readonly programs: Readonly<Record<string, string>>;
  /** Words of the command that builds it; `{out}` is an empty folder of its own, `{root}` the root of the project. */
  readonly build?: readonly string[];
  /** Words of the command that runs it. */
  readonly run: readonly string[];
}

/** The words of a command with its places filled in. */
export function fillWords(
  words: readonly string[],
  places: { readonly root: string; readonly out: string },
): string[] {
  return words.flatMap((word) =>
    word === "{runtime}"
      ? runtimeWords()
      : [word.replaceAll("{root}", places.root).replaceAll("{out}", places.out)]
  );
}

/** The words that run a script on the runtime of this process. */
function runtimeWords(): string[] {
  return process.versions.bun === undefined
    ? [process.execPath, "run", "-A", "--no-check", "--quiet"]
    : [process.execPath];
}

interface Waiter {
  resolve(result: string): void;
  reject(error: Error): void;
}

/** A running driver. */
export class ClientDriver {
  readonly #child: ChildProcess;
  readonly #waiters = new Map<string, Waiter>();
  readonly #ended: Promise<void>;
  #features: readonly string[] = [];
  #nextId = 1;
  #rest = "";
  #errors = "";
  #fault: Error | undefined;

  private constructor(argv: readonly string[]) {
    this.#child = spawn(argv[0], argv.slice(1), { stdio: ["pipe", "pipe", "pipe"] });
    const text = new TextDecoder();
    this.#child.stdout?.on("data", (chunk: Uint8Array) => {
      this.#onOutput(text.decode(chunk, { stream: true }));
    });
    this.#child.stderr?.on("data", (chunk: Uint8Array) => {
      this.#errors = (this.#errors + new TextDecoder().decode(chunk)).slice(-ERROR_CHARS_MAX);
    });
    this.#child.stdin?.on("error", () => undefined); // it has ended: `close` tells
    this.#ended = new Promise((resolve) => {
      this.#child.once("error", (error) => {
        this.#fail(error);
        resolve();
      });
      this.#child.once("close", (code, signal) => {
        this.#fail(new Error(`The driver ended with ${code ?? signal}: ${this.#errors}`));
        resolve();
      });
    });
  }

  /**
   * Starts a driver and waits for its first line.
   *
   * @throws {Error} when it does not start, or speaks another version.
   */
  static async start(argv: readonly string[]): Promise<ClientDriver> {
    const driver = new ClientDriver(argv);
    const hello = await driver.#wait("driver", HELLO_TIMEOUT_MS);
    const [version, ...features] = hello.split(" ");
    if (Number(version) !== DRIVER_VERSION) {
      throw new Error(
        `ClientDriver must speak version ${DRIVER_VERSION}: its first line says ${hello}`,
      );
    }
    driver.#features = features;
    return driver;
  }

  /** What the client can do beyond what every client does. */
  get features(): readonly string[] {
    return this.#features;
  }

  /** Its process; undefined: it did not start. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** What it wrote to standard error. */
  get errors(): string {
    return this.#errors;
  }

  /** Gives a command and waits for its result. */
  run(command: string): Promise<string> {
    const id = String(this.#nextId++);
    const result = this.#wait(id, RESULT_TIMEOUT_MS, command);
    this.#child.stdin?.write(`${id} ${command}\n`);
    return result;
  }

  /** Ends it: closes its input, and kills it when it does not end by that. */
  async close(): Promise<void> {
    this.#child.stdin?.end();
    const timer = systemClock.setTimer(RESULT_TIMEOUT_MS, () => this.#child.kill("SIGKILL"));
    await this.#ended;
    timer.cancel();
  }

  #wait(id: string, timeoutMs: number, command = "its first line"): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#fault !== undefined) return reject(this.#fault);
      const timer = systemClock.setTimer(timeoutMs, () => {
        this.#waiters.delete(id);
        const text = `No result of "${command}" in ${timeoutMs} ms: ${this.#errors}`;
        reject(new TimeoutError(text, timeoutMs));
      });
      this.#waiters.set(id, {
        resolve: (result) => {
          timer.cancel();
          resolve(result);
        },
        reject: (error) => {
          timer.cancel();
          reject(error);
        },
      });
    });
  }

  #onOutput(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const space = line.indexOf(" ");
      const id = line.slice(0, space);
      const waiter = this.#waiters.get(id);
      if (space < 0 || waiter === undefined) {
        this.#fail(new Error(`The driver printed a line that answers nothing: ${line}`));
        return;
      }
      this.#waiters.delete(id);
      waiter.resolve(line.slice(space + 1));
    }
  }

  #fail(error: Error): void {
    this.#fault ??= error;
    for (const waiter of this.#waiters.values()) waiter.reject(error);
    this.#waiters.clear();
  }
}
