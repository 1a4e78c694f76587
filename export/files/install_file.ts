// Shell. Puts a file in place: writes it beside, has it checked, renames it, has its reader told.

import {
  closeSync,
  fsyncSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { runBounded } from "../../daemon/run_bounded.ts";
import { messageOf } from "../../reactor/errors.ts";
import type { Clock } from "../../reactor/time/clock.ts";

/** Time a command may take. */
const COMMAND_MS = 10_000;

/** How a file is put in place. */
export interface InstallOptions {
  readonly path: string;
  /** Program and arguments that end with 0 when the file `%f` is right, or what checks a path. */
  readonly check: readonly string[] | ((path: string) => Promise<void>);
  /** Program and arguments that tell the reader; empty: none. */
  readonly reload: readonly string[];
  readonly clock: Clock;
}

/**
 * Puts a text in the place of a file.
 *
 * @throws {Error} when it cannot be written, or a command fails; before the rename the old file stays.
 */
export async function installFile(text: string, options: InstallOptions): Promise<void> {
  const { path, check, reload, clock } = options;
  const beside = join(dirname(path), `.${path.split("/").at(-1)}.new`);
  try {
    writeFileSync(beside, text, { mode: 0o644 });
    // Else a power cut may leave an empty file under the name.
    const file = openSync(beside, "r");
    fsyncSync(file);
    closeSync(file);
    await checkFile(beside, check, clock);
    renameSync(beside, path);
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  }
  if (reload.length > 0) await runCommand(reload, clock);
}

async function checkFile(
  path: string,
  check: InstallOptions["check"],
  clock: Clock,
): Promise<void> {
  if (typeof check === "function") return await check(path);
  if (check.length > 0) await runCommand(check.map((word) => word.replaceAll("%f", path)), clock);
}

/**
 * Has nginx check a file of upstreams, inside of a configuration with nothing else.
 *
 * @throws {Error} with what nginx said.
 */
export async function checkNginxFile(nginx: string, path: string, clock: Clock): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "lars-nginx-"));
  try {
    const config = join(folder, "nginx.conf");
    const own = `error_log stderr;\npid ${folder}/nginx.pid;\nevents {}\n`;
    writeFileSync(config, `${own}http {\n  access_log off;\n  include ${path};\n}\n`);
    await runCommand([nginx, "-t", "-q", "-c", config], clock);
  } catch (error) {
    // The folder is gone when this is read, and has another name each time.
    throw new Error(messageOf(error).replaceAll(`${folder}/`, ""), { cause: error });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Runs a program.
 *
 * @throws {Error} with its exit code and what it wrote, when that is not 0, or it takes too long.
 */
async function runCommand(argv: readonly string[], clock: Clock): Promise<void> {
  const { isDone, how, output } = await runBounded(argv, clock, { timeoutMs: COMMAND_MS });
  if (!isDone) throw new Error(`${argv.join(" ")} ${how}: ${output}`);
}
