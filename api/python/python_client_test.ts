// The Python clients' own tests, by the runner of that language; and the exchanges with asyncio.

import assert from "node:assert/strict";
import { test } from "node:test";
import { checkClient, readDrivers, readExchanges } from "../../scripts/run_conformance.ts";
import {
  CLIENT_TESTS_TIMEOUT_MS,
  leftOutByClient,
  runOwnTests,
} from "../../tests/support/client_tests.ts";

test("the Python clients pass their own tests", { timeout: CLIENT_TESTS_TIMEOUT_MS }, () => {
  const printed = runOwnTests("python", ["python3", "-W", "error", "-m", "unittest"]);
  const count = Number(/^Ran (\d+) tests/m.exec(printed)?.[1]);
  assert.ok(count > 30 && !printed.includes("skipped"), printed);
});

test("the Python client for asyncio plays every exchange", async () => {
  const driver = readDrivers().get("python");
  assert.ok(driver !== undefined);
  const command = { ...driver, run: [...driver.run, "asyncio"] };
  const { passed, leftOut, failed } = await checkClient(command, "");
  assert.deepEqual(failed, []);
  // A loop does not survive a fork; a client does, and a test of its own shows that.
  assert.deepEqual(leftOutByClient(leftOut).filter((text) => !text.endsWith("no fork")), []);
  assert.equal(passed, readExchanges().length - leftOut.length);
});
