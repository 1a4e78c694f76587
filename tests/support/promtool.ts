// Shell. Prometheus' own checker of metrics and configuration, without its server.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";
import { fileOfDebianPackage } from "./debian_package.ts";
import { findProgram } from "./mariadb.ts";

/** The variable that names the program where it is not in a usual place. */
export const PROMTOOL_VARIABLE = "LARS_TEST_PROMTOOL";

/** Path of promtool, or undefined when there is none on this machine. */
export function findPromtool(): string | undefined {
  const named = process.env[PROMTOOL_VARIABLE];
  return named !== undefined && existsSync(named) ? named : findProgram("promtool");
}

/**
 * Finds promtool, or takes it out of the Debian package.
 *
 * @returns its path, or undefined where that is not possible; tests that need it then say so.
 */
export function bringPromtool(): string | undefined {
  return findPromtool() ?? fileOfDebianPackage("prometheus", "usr/bin/promtool");
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
