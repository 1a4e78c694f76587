// The Go client's own tests, by the runner of that language, and what every client has to do.

import assert from "node:assert/strict";
import { test } from "node:test";
import { expectConformance, runOwnTests } from "../../tests/support/client_tests.ts";

test("the Go client passes its own tests", () => {
  runOwnTests("go", ["go", "vet", "./..."]);
  const printed = runOwnTests("go", ["go", "test", "-v", "./..."]);
  const passed = printed.match(/^--- PASS/gm)?.length ?? 0;
  assert.ok(passed >= 20 && !printed.includes("--- SKIP"), printed);
});

test("the Go client passes every exchange", () => expectConformance("go", ["fork"]));
