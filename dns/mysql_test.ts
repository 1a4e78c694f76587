// dns on a real server: rows written by hand, and a database that dies, hangs and comes back.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type RunningService, startDaemon } from "../daemon/daemon.ts";
import type { Logger } from "../reactor/log.ts";
import { openStore, type RouteEdit } from "../sql/mod.ts";
import { assertInTime } from "../tests/support/in_time.ts";
import { LogList } from "../tests/support/log_list.ts";
import { runAdmin, withPrivateMariaDb, withTestDatabase } from "../tests/support/mariadb.ts";
import { until } from "../tests/support/until.ts";
import { monotonicMs, WireConnection } from "../tests/support/wire_client.ts";
import { dnsDaemon } from "./service.ts";

function portOf(service: RunningService): number {
  return Number(service.addresses[0].split(":")[1]);
}

function add(modId: number, cmdId: number, ip: number, port = 80): RouteEdit {
  return { op: "add", modId, cmdId, ip, port };
}

async function migrate(url: string, edits: RouteEdit[]): Promise<void> {
  const store = await openStore(url);
  await store.migrate();
  await store.editRoutes(edits);
  await store.close();
}

function startDns(url: string, log: Logger, flags = {}): Promise<RunningService> {
  return startDaemon(dnsDaemon, {
    flags: { "store.url": url, "reactor.port": "0", ...flags },
  }, { log });
}

test("dns pushes rows written by hand within 1.5 s", { timeout: 60_000 }, async (t) => {
  await withTestDatabase(t, async (url) => {
    await migrate(url, [add(1, 1, 10), add(2, 1, 20)]);
    const service = await startDns(url, new LogList());
    const agent = await WireConnection.open(portOf(service));
    try {
      await agent.route(1, 1);
      await agent.route(2, 1);
      const insert = "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES ";
      const cases: [string, string[], number, number][] = [
        [
          "a row and the version",
          [
            `${insert} (1, 1, 11, 80)`,
            "UPDATE RouteVersion SET version = UNIX_TIMESTAMP() + 9 WHERE id = 1",
          ],
          1,
          2,
        ],
        [
          "a row, the version of the same second and a change row",
          [
            `${insert} (1, 1, 12, 80)`,
            "INSERT INTO RouteChange (modid, cmdid, version) VALUES (1, 1, UNIX_TIMESTAMP())",
          ],
          1,
          3,
        ],
        [
          "a node moved to another module",
          [
            "UPDATE RouteData SET modid = 1 WHERE serverip = 20",
            "UPDATE RouteVersion SET version = version + 1 WHERE id = 1",
          ],
          1,
          4,
        ],
      ];
      for (const [what, statements, modId, hostCount] of cases) {
        for (const sql of statements) await runAdmin(url, sql);
        const writtenMs = monotonicMs();
        const push = await agent.nextRoute(modId, 1, (route) => route.hosts.length === hostCount);
        assertInTime(what, push.atMs - writtenMs, 1500);
      }
      assert.deepEqual((await agent.route(2, 1)).hosts, []);
      const [{ total }] = await runAdmin(url, "SELECT COUNT(*) AS total FROM RouteChange");
      assert.ok(Number(total) >= 3, "dns never deletes RouteChange rows");
    } finally {
      agent.close();
      await service.stop();
    }
  });
});

test("dns works on a schema of the original that was never migrated", async (t) => {
  await withTestDatabase(t, async (url) => {
    for (
      const sql of [
        `CREATE TABLE RouteData (id int(10) unsigned NOT NULL AUTO_INCREMENT, modid int(10) unsigned
         NOT NULL, cmdid int(10) unsigned NOT NULL, serverip int(10) unsigned NOT NULL, serverport
         int(10) unsigned NOT NULL, PRIMARY KEY (id))`,
        `CREATE TABLE RouteVersion (id int(10) unsigned NOT NULL AUTO_INCREMENT, version int(10)
         unsigned NOT NULL, PRIMARY KEY (id))`,
        "INSERT INTO RouteVersion (version) VALUES (0)",
        `CREATE TABLE RouteChange (id int(10) unsigned NOT NULL AUTO_INCREMENT, modid int(10)
         unsigned NOT NULL, cmdid int(10) unsigned NOT NULL, version bigint(20) unsigned NOT NULL,
         PRIMARY KEY (id))`,
        `INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES
         (1, 1, 3232235953, 7777), (1, 1, 7, 0), (1, 1, 8, 70000)`,
      ]
    ) await runAdmin(url, sql);
    const log = new LogList();
    const service = await startDns(url, log, { "dns.poll_interval": "0.05" });
    const agent = await WireConnection.open(portOf(service));
    try {
      assert.deepEqual((await agent.route(1, 1)).hosts, [{ ip: 3_232_235_953, port: 7777 }]);
      await until(() => log.count("signs of life") === 1, { what: "the refused sign of life" });
      await runAdmin(url, "UPDATE RouteData SET serverport = 9 WHERE serverip = 7");
      await runAdmin(url, "UPDATE RouteVersion SET version = 1");
      assert.equal((await agent.nextRoute(1, 1)).hosts.length, 2);
      assert.equal(service.stats().store, "up");
      assert.equal(log.count("signs of life"), 1);
    } finally {
      agent.close();
      await service.stop();
    }
  });
});

test("dns serves through the death and the hanging of its database and catches up", {
  timeout: 120_000,
}, async (t) => {
  await withPrivateMariaDb(t, async (server) => {
    const log = new LogList();
    await runAdmin(server.url, "CREATE DATABASE lars");
    const url = `${server.url}/lars`;
    await migrate(url, [add(1, 1, 10)]);
    const service = await startDns(url, log);
    const agent = await WireConnection.open(portOf(service));
    await agent.route(1, 1);

    await server.kill9();
    await until(() => service.stats().store === "away", { what: "the loss to be noticed" });
    const newcomer = await WireConnection.open(portOf(service));
    assert.equal((await newcomer.route(1, 1)).hosts.length, 1);
    assert.equal((await newcomer.route(9, 9)).hosts.length, 0);
    await server.restart();
    await until(() => service.stats().store === "up", { timeoutMs: 8000, what: "the return" });
    assert.deepEqual([log.count("Database is away"), log.count("Database is back")], [1, 1]);
    await runAdmin(
      url,
      "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES (1,1,11,80)",
    );
    await runAdmin(url, "UPDATE RouteVersion SET version = version + 1");
    await agent.nextRoute(1, 1, (route) => route.hosts.length === 2);

    await server.suspend();
    const askedMs = monotonicMs();
    assert.equal((await newcomer.route(1, 1)).hosts.length, 2);
    assertInTime("an answer while the database hangs", monotonicMs() - askedMs, 1000);
    server.resume();
    await runAdmin(url, "DELETE FROM RouteData WHERE serverip = 10");
    await runAdmin(url, "UPDATE RouteVersion SET version = version + 1");
    const resumedMs = monotonicMs();
    const push = await agent.nextRoute(1, 1, (route) => route.hosts.length === 1);
    assertInTime("to catch up", push.atMs - resumedMs, 2000);

    // A database that hangs while dns stops must not hold it up.
    await server.suspend();
    const stopMs = monotonicMs();
    await service.stop();
    assertInTime("to stop", monotonicMs() - stopMs, 1800);
    server.resume();
    agent.close();
    newcomer.close();
  });
});
