// The reporter on a real server, and a database that dies under it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type RunningService, startDaemon } from "../daemon/daemon.ts";
import { type CallStatusRow, openStore } from "../sql/mod.ts";
import { assertInTime } from "../tests/support/in_time.ts";
import { LogList } from "../tests/support/log_list.ts";
import { runAdmin, withPrivateMariaDb, withTestDatabase } from "../tests/support/mariadb.ts";
import { until } from "../tests/support/until.ts";
import {
  Id,
  monotonicMs,
  reportStatusRequest,
  WireConnection,
} from "../tests/support/wire_client.ts";
import { reporterDaemon } from "./service.ts";

const result = { ip: 3_232_235_953, port: 7777, succ: 10, err: 2, overload: false };

function portOf(service: RunningService): number {
  return Number(service.addresses[0].split(":")[1]);
}

async function readAll(url: string): Promise<CallStatusRow[]> {
  const store = await openStore(url);
  try {
    return await store.readCallStatus();
  } finally {
    await store.close();
  }
}

test("reporter writes through three queues, each row once", { timeout: 60_000 }, async (t) => {
  await withTestDatabase(t, async (url) => {
    const store = await openStore(url);
    await store.migrate();
    const service = await startDaemon(reporterDaemon, {
      flags: { "store.url": url, "reactor.port": "0" },
    }, { log: new LogList() });
    const agent = await WireConnection.open(portOf(service));
    for (let round = 1; round <= 5; round++) {
      for (let modId = 0; modId < 500; modId++) {
        const body = reportStatusRequest(modId, 1, 7, [{ ...result, succ: round }], round);
        agent.send(Id.ReportStatusRequest, body);
      }
    }
    await until(() => service.stats().reports === 2500, { timeoutMs: 20_000 });
    await until(() => service.stats().rows_waiting === 0, { timeoutMs: 20_000 });
    await service.stop();
    const rows = await store.readCallStatus();
    assert.equal(rows.length, 500);
    assert.ok(rows.every((row) => row.succCount === 5 && row.ts === 5));
    agent.close();
    await store.close();
  });
});

test("reporter loses nothing while its database is dead, and writes the latest of each key", {
  timeout: 120_000,
}, async (t) => {
  await withPrivateMariaDb(t, async (server) => {
    const log = new LogList();
    await runAdmin(server.url, "CREATE DATABASE lars");
    const url = `${server.url}/lars`;
    const store = await openStore(url);
    await store.migrate();
    await store.close();
    const service = await startDaemon(reporterDaemon, {
      flags: { "store.url": url, "reactor.port": "0" },
    }, { log });
    const agent = await WireConnection.open(portOf(service));
    const report = (modId: number, succ: number): void =>
      agent.send(
        Id.ReportStatusRequest,
        reportStatusRequest(modId, 1, 7, [{ ...result, succ }], 1),
      );
    for (let modId = 0; modId < 100; modId++) report(modId, 1);
    await until(() => service.stats().rows_written === 100, { what: "the first rows" });
    await server.kill9();
    for (let succ = 2; succ <= 10; succ++) {
      for (let modId = 0; modId < 300; modId++) report(modId, succ);
    }
    await until(() => service.stats().store === "away", { what: "the loss to be noticed" });
    await until(() => service.stats().reports === 100 + 9 * 300);
    assert.equal(log.count("Database is away"), 1);
    await server.restart();
    await until(() => service.stats().rows_waiting === 0 && service.stats().store === "up", {
      timeoutMs: 15_000,
      what: "the queues to be empty",
    });
    assert.equal(log.count("Database is back"), 1);
    const rows = await readAll(url);
    assert.equal(rows.length, 300);
    assert.ok(rows.every((row) => row.succCount === 10));

    // A database that hangs while the reporter stops must not hold it up; what is lost is told.
    await server.suspend();
    report(1, 77);
    await until(() => service.stats().reports === 101 + 9 * 300);
    const stopMs = monotonicMs();
    await assert.rejects(service.stop(), /rows of results and history are lost/);
    assertInTime("to stop", monotonicMs() - stopMs, 1800);
    assert.equal(log.count("Results lost"), 1);
    server.resume();
    agent.close();
  });
});

/** ServerCallStatus of the original: as in its tutorial, and as in its latest sources. */
const STATUS_TABLES = ["", " unsigned"].map((kind) =>
  "CREATE TABLE ServerCallStatus (modid int(11) NOT NULL, cmdid int(11) NOT NULL, " +
  `ip int(11)${kind} NOT NULL, port int(11)${kind} NOT NULL, caller int(11)${kind} NOT NULL, ` +
  "succ_cnt int(11) NOT NULL, err_cnt int(11) NOT NULL, ts bigint(20) NOT NULL, " +
  "overload char(1) NOT NULL, PRIMARY KEY (modid, cmdid, ip, port, caller))"
);

test("a row that the database refuses neither holds up nor loses another, whatever the columns", {
  timeout: 120_000,
}, async (t) => {
  for (const table of STATUS_TABLES) {
    await withTestDatabase(t, async (url) => {
      await runAdmin(url, table, "ALTER TABLE ServerCallStatus ADD CHECK (port <> 666)");
      const log = new LogList();
      const service = await startDaemon(reporterDaemon, {
        flags: { "store.url": url, "reactor.port": "0", "reporter.history": "0" },
      }, { log });
      const agent = await WireConnection.open(portOf(service));
      const addresses = [1, 0x7fff_ffff, 0x8000_0000, 0xc0a8_01b1, 0xffff_ffff];
      const results = addresses.flatMap((ip) =>
        [80, 666, 65_535].map((port) => ({ ...result, ip, port }))
      );
      for (const caller of addresses) {
        agent.send(Id.ReportStatusRequest, reportStatusRequest(0xffff_ffff, 1, caller, results, 1));
      }
      await until(() => service.stats().rows_bad === 5 * 5 && service.stats().rows_waiting === 0, {
        what: "the bad rows to be told apart",
      });
      await service.stop();
      const rows = await readAll(url);
      assert.equal(rows.length, 5 * 5 * 2);
      assert.deepEqual([...new Set(rows.map(({ ip }) => ip))].sort((a, b) => a - b), addresses);
      assert.deepEqual(
        [...new Set(rows.map(({ caller }) => caller))].sort((a, b) => a - b),
        addresses,
      );
      assert.ok(rows.every(({ modId, port }) => modId === 0xffff_ffff && port !== 666));
      assert.ok(log.count("the database refuses it for what is in it") > 0, "and which");
      assert.equal(log.count("Database is away"), 0, "it was not");
      agent.close();
    });
  }
});
