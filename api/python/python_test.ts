// The Python client's own tests, by the runner of that language.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const FOLDER = fileURLToPath(new URL(".", import.meta.url));
const TEST_TIMEOUT_MS = 300_000;

test("the Python client passes its own tests", () => {
  const { status, stderr, error } = spawnSync("python3", ["-W", "error", "-m", "unittest"], {
    cwd: FOLDER,
    encoding: "utf8",
    timeout: TEST_TIMEOUT_MS,
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1" },
  });
  assert.equal(error, undefined, "python3 must run: apt-get install python3");
  assert.equal(status, 0, stderr);
  const count = Number(/^Ran (\d+) tests/m.exec(stderr)?.[1]);
  assert.ok(count > 30 && !stderr.includes("skipped"), stderr);
});
