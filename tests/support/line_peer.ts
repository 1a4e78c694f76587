// Shell. A helper program of tests, in another language or runtime: it takes commands as lines on
// standard input and answers each with a line of JSON.

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";

/** Such a program that runs. */
export class LinePeer {
  readonly #child: ChildProcess;
  readonly #waiting: ((line: string) => void)[] = [];

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
    const { stdout } = this.#child;
    if (stdout === null) throw new Error(`${program} has no output`);
    createInterface({ input: stdout }).on("line", (line) => this.#waiting.shift()?.(line));
  }

  /**
   * Sends a command; what is answered.
   *
   * @throws {Error} with what went wrong there.
   */
  ask<T = Record<string, number>>(command: string): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push((line) => {
        const answer = JSON.parse(line);
        if (answer.fault === undefined) resolve(answer);
        else reject(new Error(`${command}: ${answer.fault}`));
      });
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
