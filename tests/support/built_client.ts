// Shell. Clients of other languages for tests: built into a folder of their own, driven by lines.

import { spawnSync } from "node:child_process";
import { ClientDriver, type DriverCommand, fillWords } from "../../api/conformance/driver.ts";
import { PROJECT_ROOT } from "./processes.ts";

/** Compiling takes seconds; on a busy machine many times that. */
const BUILD_TIMEOUT_MS = 600_000;

/**
 * Runs a command that builds something.
 *
 * @throws {Error} with what it printed.
 */
export function build(argv: readonly string[]): void {
  const { status, stdout, stderr, error } = spawnSync(argv[0], argv.slice(1), {
    encoding: "utf8",
    timeout: BUILD_TIMEOUT_MS,
  });
  if (status === 0) return;
  throw new Error(`${argv.join(" ")}: ${error?.message ?? ""}${stdout ?? ""}${stderr ?? ""}`);
}

/** Builds a client's driver into `out` and starts it. */
export async function startDriver(command: DriverCommand, out: string): Promise<ClientDriver> {
  const places = { root: PROJECT_ROOT, out };
  if (command.build !== undefined) build(fillWords(command.build, places));
  return await ClientDriver.start(fillWords(command.run, places));
}
