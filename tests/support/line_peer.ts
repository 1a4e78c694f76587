// Shell. A helper program of tests, in another language or runtime: it takes commands as lines on
// standard input and answers each with a line of JSON.

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";

/** Who waits for an answer. */
interface Waiting {
  onLine(line: string): void;
  reject(error: Error): void;
}

/** Such a program that runs. */
export class LinePeer {
  readonly #child: ChildProcess;
  readonly #waiting: Waiting[] = [];
  /** Why it answers nothing any more. */
  #fault: string | undefined;

  /**
   * @param argv Program and words.
   * @param env Variables added to the environment.
   */
  constructor(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const [program = "", ...words] = argv;
    this.#child = spawn(program, words, {
      env: { ...process.env, ...env },
      stdio: ["pipe", "pipe", "inherit"],
    });
    const { stdout, stdin } = this.#child;
    if (stdout === null || stdin === null) throw new Error(`${program} has no input and output`);
    createInterface({ input: stdout }).on("line", (line) => this.#waiting.shift()?.onLine(line));
    this.#child.on("error", ({ message }) => this.#ended(`${program} cannot be run: ${message}`));
    this.#child.on("close", (code, signal) => {
      this.#ended(`${program} has ended: ${signal ?? `code ${code}`}`);
    });
    // Its end is told above.
    stdin.on("error", () => {});
  }

  #ended(fault: string): void {
    this.#fault ??= fault;
    for (const { reject } of this.#waiting.splice(0)) reject(new Error(this.#fault));
  }

  /**
   * Sends a command; what is answered.
   *
   * @throws {Error} with what went wrong there, also when the program cannot be run, has ended, or
   * says what is no JSON.
   */
  ask<T = Record<string, number>>(command: string): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#fault !== undefined) throw new Error(this.#fault);
      const onLine = (line: string): void => {
        try {
          const answer = JSON.parse(line);
          if (answer.fault === undefined) resolve(answer);
          else reject(new Error(`${command}: ${answer.fault}`));
        } catch (error) {
          reject(new Error(`${command}: it answers ${JSON.stringify(line)}`, { cause: error }));
        }
      };
      this.#waiting.push({ onLine, reject });
      this.#child.stdin?.write(`${command}\n`);
    });
  }

  /** Ends the program. */
  close(): void {
    this.#child.kill("SIGKILL");
  }
}

/** Variables that have a gRPC program find names by the xDS servers at these ports of this host. */
export function xdsBootstrap(ports: number | readonly number[], zone = ""): Record<string, string> {
  const addresses = [ports].flat().map((port) => `127.0.0.1:${port}`);
  const bootstrap = {
    xds_servers: [{
      server_uri: addresses.length === 1 ? addresses[0] : `ipv4:${addresses.join(",")}`,
      channel_creds: [{ type: "insecure" }],
      server_features: ["xds_v3"],
    }],
    node: { id: "test", locality: { zone } },
  };
  return { GRPC_XDS_BOOTSTRAP_CONFIG: JSON.stringify(bootstrap) };
}
