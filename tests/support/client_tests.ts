// Shell. Tests of clients in other languages, by the runner of their language.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { readDrivers } from "../../scripts/run_conformance.ts";
import { PROJECT_ROOT } from "./processes.ts";

/** Building and testing takes seconds; on a loaded machine many times that. */
export const CLIENT_TESTS_TIMEOUT_MS = 600_000;

/** Runs a command in the folder of a client in `api/`, which must succeed, and gives what it printed. */
export function runOwnTests(folder: string, argv: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(argv[0], argv.slice(1), {
    cwd: `${PROJECT_ROOT}/api/${folder}`,
    encoding: "utf8",
    timeout: CLIENT_TESTS_TIMEOUT_MS,
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1" },
  });
  const needs = JSON.stringify(readDrivers().get(folder)?.programs);
  assert.equal(error, undefined, `${argv[0]} must run; programs and their packages: ${needs}`);
  const printed = `${stdout}${stderr}`;
  assert.equal(status, 0, printed);
  return printed;
}
