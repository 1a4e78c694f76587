// The C client's own tests, by its Makefile: plain, and with the compiler's checks of memory.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { checkClient, readDrivers, readExchanges } from "../../scripts/run_conformance.ts";
import { makeTempDir } from "../../tests/support/temp_dir.ts";

const FOLDER = fileURLToPath(new URL(".", import.meta.url));

/** Compiling takes seconds; on a busy machine many times that. */
const TIMEOUT_MS = 600_000;

const SANITIZED = "CFLAGS=-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all";

/** Runs make with the outputs in an empty folder; warnings are errors. */
function make(out: string, ...words: string[]): string {
  const argv = ["--silent", "-C", FOLDER, `OUT=${out}`, "STRICT=-Werror", ...words];
  const { status, stdout, stderr, error } = spawnSync("make", argv, {
    encoding: "utf8",
    timeout: TIMEOUT_MS,
  });
  assert.equal(error, undefined, "make must run: apt-get install make gcc");
  assert.equal(status, 0, `${stdout}${stderr}`);
  return stdout;
}

test("the C client passes its own tests, without a warning", { timeout: TIMEOUT_MS }, () => {
  const out = makeTempDir("lars-c-");
  try {
    const output = make(out.path, "check", "example", "bench", "library");
    assert.match(output, /^wire_test: \d+ checks\nmemory_test: \d+ checks\ntable_test: \d+ checks/);
    make(out.path, "sanitize");
  } finally {
    out.remove();
  }
});

test("the C client plays every exchange with checked memory", { timeout: TIMEOUT_MS }, async () => {
  const out = makeTempDir("lars-c-");
  try {
    const command = readDrivers().get("c");
    assert.ok(command?.build !== undefined);
    const build = [...command.build, SANITIZED, "STRICT=-Werror"];
    const { passed, leftOut, failed } = await checkClient({ ...command, build }, out.path);
    assert.deepEqual(failed, []);
    assert.deepEqual(leftOut, []);
    assert.equal(passed, readExchanges().length);
  } finally {
    out.remove();
  }
});
