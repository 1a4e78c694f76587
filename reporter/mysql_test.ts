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
    await service.stop();
    assertInTime("to stop", monotonicMs() - stopMs, 1800);
    assert.equal(log.count("Results lost"), 1);
    server.resume();
    agent.close();
  });
});
