// Every client with a driver plays every exchange, against the scripted and the real agent.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { PROJECT_ROOT } from "../../tests/support/processes.ts";
import { fillWords } from "./driver.ts";
import {
  buildDriver,
  checkClient,
  type ConformanceResult,
  readDrivers,
  readExchanges,
} from "../../scripts/run_conformance.ts";
import { makeTempDir } from "../../tests/support/temp_dir.ts";

/** Builds and mostly waits; a busy machine may need many times what it takes. */
const TIMEOUT_MS = 600_000;

/** That of TypeScript has a test of its own. */
const drivers = [...readDrivers()].filter(([folder]) => folder !== "conformance");

/** All at the same time, from the first test on: each mostly waits. */
let results: ReadonlyMap<string, Promise<ConformanceResult>> | undefined;

function startAll(): ReadonlyMap<string, Promise<ConformanceResult>> {
  const folders = new Map(
    drivers.map(([folder]) => [folder, makeTempDir(`lars-conformance-${folder}-`)]),
  );
  // One after the other, and before anybody plays: compilers take all there is of the machine.
  let built: Promise<void> = Promise.resolve();
  const builds = drivers.map(([folder, { build }]) => {
    const out = folders.get(folder)?.path ?? "";
    const words = build === undefined ? undefined : fillWords(build, { root: PROJECT_ROOT, out });
    const own = built.then(() => words === undefined ? undefined : buildDriver(words));
    built = own.catch(() => {}); // told in its test
    return own;
  });
  return new Map(drivers.map(([folder, { build: _, ...command }], index) => {
    const out = folders.get(folder);
    const result = built
      .then(() => builds[index])
      .then(() => checkClient(command, out?.path ?? ""))
      .finally(() => out?.remove());
    result.catch(() => {}); // told in its test
    return [folder, result];
  }));
}

test("conformance: there are clients of other languages", () => {
  assert.ok(drivers.length > 0);
});

for (const [folder, command] of drivers) {
  test(`conformance: the client of ${command.name}`, { timeout: TIMEOUT_MS }, async () => {
    for (const [program, debianPackage] of Object.entries(command.programs)) {
      const { error } = spawnSync(program, ["--version"], { encoding: "utf8" });
      assert.equal(error, undefined, `${program} must be there: apt-get install ${debianPackage}`);
    }
    results ??= startAll();
    const result = await results.get(folder);
    assert.deepEqual(result?.failed, []);
    assert.equal(
      result.passed + result.leftOut.length,
      readExchanges().length,
      `${command.name} played all`,
    );
  });
}
