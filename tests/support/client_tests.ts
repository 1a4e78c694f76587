// Shell. Tests of clients in other languages, by the runner of their language.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { checkClient, readDrivers, readExchanges } from "../../scripts/run_conformance.ts";
import { PROJECT_ROOT } from "./processes.ts";
import { makeTempDir } from "./temp_dir.ts";

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

/** Runs make for a client with the outputs in `out`; warnings are errors. Gives what it printed. */
export function makeClient(folder: string, out: string, ...words: string[]): string {
  return runOwnTests(folder, ["make", "--silent", `OUT=${out}`, "STRICT=-Werror", ...words]);
}

/** Exchanges that were left out for want of something in the client, and not in this host. */
export function leftOutByClient(leftOut: readonly string[]): string[] {
  return leftOut.filter((text) => !text.endsWith("left out: no address beyond loopback"));
}

/** A client built with the compiler's checks of memory plays every exchange. */
export async function playWithCheckedMemory(folder: string, flags: string): Promise<void> {
  const out = makeTempDir(`lars-${folder}-`);
  try {
    const command = readDrivers().get(folder);
    assert.ok(command?.build !== undefined);
    const sanitized = `${flags}=-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all`;
    const build = [...command.build, sanitized, "STRICT=-Werror"];
    const { passed, leftOut, failed } = await checkClient({ ...command, build }, out.path);
    assert.deepEqual(failed, []);
    assert.deepEqual(leftOutByClient(leftOut), []);
    assert.equal(passed + leftOut.length, readExchanges().length);
  } finally {
    out.remove();
  }
}
