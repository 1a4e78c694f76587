// The Python clients' own tests, by the runner of that language, and what every client has to do.

import assert from "node:assert/strict";
import { test } from "node:test";
import { expectConformance, runOwnTests } from "../../tests/support/client_tests.ts";

test("the Python clients pass their own tests", () => {
  const printed = runOwnTests("python", ["python3", "-W", "error", "-m", "unittest"]);
  const count = Number(/^Ran (\d+) tests/m.exec(printed)?.[1]);
  assert.ok(count > 30 && !printed.includes("skipped"), printed);
});

test("the Python client passes every exchange", () => expectConformance("python"));

test("the Python client for asyncio passes every exchange", () =>
  expectConformance("python", ["fork"], ["asyncio"]));
