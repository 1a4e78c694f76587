import assert from "node:assert/strict";
import { test } from "node:test";
import {
  noPrivateServerReason,
  runAdmin,
  withPrivateMariaDb,
  withTestDatabase,
} from "./mariadb.ts";
import { withTempDir } from "./temp_dir.ts";
import { until } from "./until.ts";

/** Servers start slowly on a loaded machine. */
const SLOW = { timeout: 120_000, skip: noPrivateServerReason() ?? false };

test("withTestDatabase() gives an empty database and drops it", SLOW, async (t) => {
  let name = "";
  await withTestDatabase(t, async (url) => {
    name = new URL(url).pathname.slice(1);
    assert.deepEqual(await runAdmin(url, "SHOW TABLES"), []);
    await runAdmin(url, "CREATE TABLE x (id INT)");
  });
  await withTestDatabase(t, async (url) => {
    assert.notEqual(new URL(url).pathname.slice(1), name);
    const rows = await runAdmin(url, `SHOW DATABASES LIKE '${name}'`);
    assert.deepEqual(rows, []);
  });
});

test("startMariaDb() keeps its data over kill9() and restart()", SLOW, async (t) => {
  await withPrivateMariaDb(t, async (server) => {
    await runAdmin(server.url, "CREATE DATABASE kept");
    const pid = server.pid;
    await server.kill9();
    await assert.rejects(runAdmin(server.url, "SELECT 1"));
    await server.restart();
    assert.notEqual(server.pid, pid);
    assert.equal((await runAdmin(server.url, "SHOW DATABASES LIKE 'kept'")).length, 1);
    await server.suspend();
    let answered = false;
    const query = runAdmin(server.url, "SELECT 1").then(() => (answered = true));
    assert.equal(answered, false);
    server.resume();
    await query;
  });
});

test("until() names what it waited for", async () => {
  await assert.rejects(until(() => false, { timeoutMs: 20, what: "rain" }), /20 ms.*rain/);
  let looks = 0;
  await until(() => ++looks > 2);
  assert.equal(looks, 3);
});

test("withTempDir() removes the directory when the test throws", async () => {
  const { existsSync } = await import("node:fs");
  let seen = "";
  await assert.rejects(withTempDir((path) => {
    seen = path;
    assert.ok(existsSync(path));
    throw new Error("x");
  }));
  assert.ok(!existsSync(seen));
});
