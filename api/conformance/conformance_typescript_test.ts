// The TypeScript client passes what every client has to, and the suite notices one that does not.

import assert from "node:assert/strict";
import { test } from "node:test";
import { checkClient, readDrivers, readExchanges } from "../../scripts/run_conformance.ts";
import { leftOutByClient } from "../../tests/support/client_tests.ts";
import { makeTempDir } from "../../tests/support/temp_dir.ts";

/** A driver that answers every command with the same text. */
function constantDriver(hello: string, result: string): string[] {
  const script = 'echo "$0"; while read id words; do echo "$id $1"; done';
  return ["sh", "-c", script, hello, result];
}

function check(run: readonly string[], texts: readonly string[]): ReturnType<typeof checkClient> {
  return checkClient({ name: "a driver", programs: {}, run }, "", texts);
}

test("conformance: the TypeScript client passes every exchange", async () => {
  const driver = readDrivers().get("conformance");
  assert.ok(driver !== undefined);
  const out = makeTempDir("lars-conformance-");
  try {
    const { passed, leftOut, failed } = await checkClient(driver, out.path);
    assert.deepEqual(failed, []);
    // A client of a runtime without fork.
    const others = leftOutByClient(leftOut)
      .filter((text) => !/left out: no (fork|table|table, fork)$/.test(text));
    assert.deepEqual(others, []);
    assert.ok(passed > 100, `${passed} passed`);
    assert.equal(passed + leftOut.length, readExchanges().length);
  } finally {
    out.remove();
  }
});

test("conformance: a client that names a node that nobody gave it fails", async () => {
  const { passed, failed } = await check(
    constantDriver("driver 1 threads", "host 6.6.6.6:666"),
    ["bytes of an answer: a node", "arguments"],
  );
  assert.equal(passed, 0);
  assert.match(failed[0], /the result is "host 6.6.6.6:666"/);
});

test("conformance: a client whose commands all succeed and do nothing fails", async () => {
  const { passed, failed } = await check(
    constantDriver("driver 1 threads", "ok"),
    ["bytes of an answer", "bytes of a question: a node", "bytes that are none"],
  );
  assert.equal(passed, 0);
  assert.ok(failed.length > 40, `${failed.length} failed`);
});

test("conformance: a driver of another version is refused, and one that ends is told", async () => {
  await assert.rejects(
    check(constantDriver("driver 2", "ok"), []),
    /must speak version 1: its first line says 2/,
  );
  await assert.rejects(check(["sh", "-c", "echo why >&2; exit 3"], []), /ended with 3: why/);
  await assert.rejects(check(["no-such-program-anywhere"], []), /no-such-program-anywhere/);
});

test("conformance: exchanges have names of their own, and something that must come of them", () => {
  const exchanges = readExchanges();
  const names = exchanges.map(({ name }) => name);
  assert.deepEqual(names.filter((name, index) => names.indexOf(name) !== index), []);
  for (const { name, agent, routes, steps } of exchanges) {
    assert.equal((agent === undefined) !== (routes === undefined), true, name);
    assert.ok(steps.some((step) => step.expect ?? step.outcomes ?? step.questions), name);
  }
});
