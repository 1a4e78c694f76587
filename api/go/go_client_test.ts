// The Go client's own tests, by the runner of that language.

import assert from "node:assert/strict";
import { test } from "node:test";
import { CLIENT_TESTS_TIMEOUT_MS, runOwnTests } from "../../tests/support/client_tests.ts";

test("the Go client passes its own tests", { timeout: CLIENT_TESTS_TIMEOUT_MS }, () => {
  runOwnTests("go", ["go", "vet", "./..."]);
  const printed = runOwnTests("go", ["go", "test", "-v", "./..."]);
  const passed = printed.match(/^--- PASS/gm)?.length ?? 0;
  assert.ok(passed >= 20 && !printed.includes("--- SKIP"), printed);
});
