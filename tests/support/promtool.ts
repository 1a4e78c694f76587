// Shell. Prometheus' own checker of metrics and configuration, without its server.

import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { findProgram } from "./mariadb.ts";

/** The variable that names the program where it is not in a usual place. */
export const PROMTOOL_VARIABLE = "LARS_TEST_PROMTOOL";

/** Longest time for one step of fetching it. */
const FETCH_TIMEOUT_MS = 60_000;

/** Path of promtool, or undefined when there is none on this machine. */
export function findPromtool(): string | undefined {
  const named = process.env[PROMTOOL_VARIABLE];
  return named !== undefined && existsSync(named) ? named : findProgram("promtool");
}

/**
 * Finds promtool, or takes it out of the Debian package, which is unpacked and not installed, so
 * that no server starts.
 *
 * @returns its path, or undefined where that is not possible; tests that need it then say so.
 */
export function bringPromtool(): string | undefined {
  const found = findPromtool();
  if (found !== undefined) return found;
  if (!existsSync("/usr/bin/apt-get")) return undefined;
  const folder = join(tmpdir(), `lars-promtool-${process.getuid?.() ?? 0}`);
  const program = join(folder, "usr/bin/promtool");
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  const run = (argv: readonly string[]): void =>
    void execFileSync(argv[0], argv.slice(1), {
      cwd: folder,
      stdio: "ignore",
      timeout: FETCH_TIMEOUT_MS,
    });
  try {
    run(["apt-get", "download", "-qq", "prometheus"]);
    const archive = readdirSync(folder).find((name) => name.endsWith(".deb"));
    if (archive !== undefined) run(["dpkg", "-x", archive, folder]);
  } catch {
    return undefined; // No network, no package list: then it is not possible here.
  }
  return existsSync(program) ? program : undefined;
}

/** Runs promtool; what it complains of is in `output`. */
export function runPromtool(
  args: readonly string[],
  input = "",
): { code: number | null; output: string } {
  const program = findPromtool();
  if (program === undefined) throw new Error("promtool must be there: see bringPromtool");
  const { status, stdout, stderr } = spawnSync(program, args, { input, encoding: "utf8" });
  return { code: status, output: `${stdout}${stderr}` };
}
