// Shell. Tests of clients in other languages: their own runner, and the exchanges of conformance.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { checkClient, readDrivers, readExchanges } from "../../scripts/run_conformance.ts";
import { PROJECT_ROOT } from "./processes.ts";
import { makeTempDir } from "./temp_dir.ts";

/** Building and testing takes seconds; on a loaded machine many times that. */
const TEST_TIMEOUT_MS = 600_000;

/** Runs the tests of a client by a command in its folder of `api/`, and gives what it printed. */
export function runOwnTests(folder: string, argv: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(argv[0], argv.slice(1), {
    cwd: `${PROJECT_ROOT}/api/${folder}`,
    encoding: "utf8",
    timeout: TEST_TIMEOUT_MS,
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1" },
  });
  const needs = JSON.stringify(readDrivers().get(folder)?.programs);
  assert.equal(error, undefined, `${argv[0]} must run; programs and their packages: ${needs}`);
  const printed = `${stdout}${stderr}`;
  assert.equal(status, 0, printed);
  return printed;
}

/**
 * Plays every exchange with the client of a folder of `api/`, or with its driver given other words.
 *
 * @param missing features that the client does not have: their exchanges are left out.
 */
export async function expectConformance(
  folder: string,
  missing: readonly string[] = [],
  words: readonly string[] = [],
): Promise<void> {
  const driver = readDrivers().get(folder);
  assert.ok(driver !== undefined, `api/${folder}/driver.json`);
  const out = makeTempDir("lars-conformance-");
  try {
    const command = { ...driver, run: [...driver.run, ...words] };
    const { passed, leftOut, failed } = await checkClient(command, out.path);
    assert.deepEqual(failed, []);
    const wanted = readExchanges().filter(({ needs = [] }) =>
      needs.some((one) => missing.includes(one))
    );
    assert.equal(leftOut.length, wanted.length, leftOut.join("\n"));
    assert.equal(passed, readExchanges().length - wanted.length);
  } finally {
    out.remove();
  }
}
