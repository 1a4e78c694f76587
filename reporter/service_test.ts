// The whole service in this process, on an embedded database, spoken to over TCP.

import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type RunningService, startDaemon } from "../daemon/daemon.ts";
import { MessageId } from "../proto/message_ids.ts";
import {
  decodeReportsStored,
  encodeHello,
  encodePing,
  encodeReportSession,
  encodeReportStatusRequest,
  type ReportSession,
} from "../proto/codec.ts";
import { ConfigFile } from "../reactor/config_file.ts";
import { ConfigError } from "../reactor/errors.ts";
import { type Logger, silentLogger } from "../reactor/log.ts";
import { openStore, type Store } from "../sql/mod.ts";
import { freePort } from "../tests/support/free_port.ts";
import { LogList } from "../tests/support/log_list.ts";
import { withTempDir } from "../tests/support/temp_dir.ts";
import { until } from "../tests/support/until.ts";
import {
  frameBytes,
  Id,
  reportStatusRequest,
  WireConnection,
} from "../tests/support/wire_client.ts";
import { reporterDaemon } from "./service.ts";

const result = { ip: 3_232_235_953, port: 7777, succ: 10, err: 2, overload: false };

function portOf(service: RunningService): number {
  return Number(service.addresses[0].split(":")[1]);
}

async function withReporter(
  flags: Record<string, string>,
  body: (service: RunningService, store: Store) => Promise<void>,
  log: Logger = silentLogger,
): Promise<void> {
  await withTempDir(async (directory) => {
    const url = `sqlite:${join(directory, "lars.db")}`;
    const store = await openStore(url);
    await store.migrate();
    const service = await startDaemon(reporterDaemon, {
      flags: { "store.url": url, "reactor.port": "0", ...flags },
    }, { log });
    try {
      await body(service, store);
    } finally {
      await service.stop();
      await store.close();
    }
  });
}

test("reporter writes what an original agent reports, and fills in a missing time", async () => {
  await withReporter({}, async (service, store) => {
    const agent = await WireConnection.open(portOf(service));
    agent.send(Id.ReportStatusRequest, reportStatusRequest(1, 2, 99, [result], 1234));
    agent.send(
      Id.ReportStatusRequest,
      reportStatusRequest(2 ** 32 - 1, 2, 2 ** 31, [{ ...result, overload: true }], 0),
    );
    await until(async () => (await store.readCallStatus()).length === 2, { what: "rows" });
    const rows = await store.readCallStatus();
    const first = rows.find((row) => row.modId === 1);
    assert.deepEqual(
      [first?.cmdId, first?.ip, first?.port, first?.caller, first?.succCount, first?.errCount],
      [2, 3_232_235_953, 7777, 99, 10, 2],
    );
    assert.deepEqual([first?.ts, first?.overload], [1234, false]);
    const second = rows.find((row) => row.modId === 2 ** 32 - 1);
    assert.deepEqual([second?.caller, second?.overload], [2 ** 31, true]);
    assert.ok(Math.abs((second?.ts ?? 0) - Date.now() / 1000) < 60);
    agent.close();
  });
});

test("reporter keeps the latest of a key and the totals of our agents", async () => {
  await withReporter({}, async (service, store) => {
    const agent = await WireConnection.open(portOf(service));
    for (let succ = 1; succ <= 100; succ++) {
      agent.send(
        MessageId.ReportStatusRequest,
        encodeReportStatusRequest({
          modId: 1,
          cmdId: 1,
          caller: 1,
          ts: 5,
          results: [{ ...result, succ, succTotal: succ * 1000, errTotal: 7 }],
        }),
      );
    }
    await until(async () => (await store.readCallStatus())[0]?.succCount === 100);
    const rows = await store.readCallStatus();
    assert.equal(rows.length, 1);
    assert.deepEqual([rows[0].succTotal, rows[0].errTotal], [100_000, 7]);
    // The counters follow when the write has ended, a moment after its rows can be read.
    await until(() => {
      const { rows_written, rows_replaced } = service.stats();
      return Number(rows_written) + Number(rows_replaced) === 100;
    }, { what: "the counters" });
    agent.close();
  });
});

test("reporter stop() writes out what it has and leaves the list of instances", async () => {
  await withReporter({ "reporter.flush_interval": "60" }, async (service, store) => {
    const agent = await WireConnection.open(portOf(service));
    await until(async () => (await store.instances()).length === 1, { what: "the sign of life" });
    assert.equal((await store.instances())[0].kind, "reporter");
    for (let modId = 0; modId < 300; modId++) {
      agent.send(Id.ReportStatusRequest, reportStatusRequest(modId, 1, 1, [result], 1));
    }
    await until(() => service.stats().reports === 300);
    assert.equal((await store.readCallStatus()).length, 0);
    await service.stop();
    assert.equal((await store.readCallStatus()).length, 300);
    assert.equal((await store.instances()).length, 0);
    agent.close();
  });
});

test("bad frames close or cost their own connection only", async () => {
  await withReporter({}, async (service, store) => {
    const good = await WireConnection.open(portOf(service));
    const garbage = Uint8Array.from([0x0f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    const attacks = [
      frameBytes(3, new Uint8Array(0), -1),
      frameBytes(3, new Uint8Array(0), 65_528),
      frameBytes(3, garbage),
      frameBytes(64, garbage),
    ];
    for (const bytes of attacks) {
      const bad = await WireConnection.open(portOf(service));
      bad.sendRaw(bytes);
      await bad.untilEnded();
    }
    good.send(3, new Uint8Array(0));
    good.send(999, garbage);
    good.send(
      Id.ReportStatusRequest,
      reportStatusRequest(1, 1, 1, [result, { ...result, port: 0 }, { ...result, port: -1 }], 1),
    );
    await until(async () => (await store.readCallStatus()).length === 1);
    assert.equal(service.stats().results_bad_port, 2);
    assert.equal(good.ended, false);
    good.close();
  });
});

test("three loops in workers write all that they are told", async () => {
  await withReporter({ "reactor.threadNum": "3" }, async (service, store) => {
    const agents = await Promise.all(
      Array.from({ length: 9 }, () => WireConnection.open(portOf(service))),
    );
    for (const [caller, agent] of agents.entries()) {
      for (let modId = 0; modId < 100; modId++) {
        agent.send(Id.ReportStatusRequest, reportStatusRequest(modId, 1, caller, [result], 1));
      }
    }
    await until(async () => (await store.readCallStatus()).length === 900, { what: "all rows" });
    agents[0].send(Id.ReportStatusRequest, reportStatusRequest(7777, 1, 1, [result], 1));
    await until(() => service.stats().reports === 901, { what: "the counters of the workers" });
    await service.stop();
    assert.equal((await store.readCallStatus({ modId: 7777 })).length, 1);
    for (const agent of agents) agent.close();
  });
});

test("the original's configuration file loads, misspelt section included", async () => {
  await withTempDir(async (directory) => {
    const file = ConfigFile.parse(
      `[reactor]
maxConn = 1024
threadNum = 1
ip = 127.0.0.1
port = 0

[mysql]
db_host = 127.0.0.1
db_port = 1
db_user = root
db_passwd = x
db_name = lars_dns

[repoter]
db_thread_cnt = 5
`,
      "lars_reporter.conf",
    );
    const onMysql = await startDaemon(reporterDaemon, { file }, { log: silentLogger });
    assert.equal(onMysql.stats().queues, 5);
    await onMysql.stop();
    const onSqlite = await startDaemon(reporterDaemon, {
      file,
      flags: { "store.url": `sqlite:${join(directory, "lars.db")}` },
    }, { log: silentLogger });
    assert.equal(onSqlite.stats().queues, 1);
    await onSqlite.stop();
  });
});

for (const threads of ["1", "2"]) {
  test(`reporter keeps history and events, also over a restart: ${threads} loops`, async () => {
    await withTempDir(async (directory) => {
      const url = `sqlite:${join(directory, "lars.db")}`;
      const store = await openStore(url);
      await store.migrate();
      const fromSeconds = Math.floor(Date.now() / 1000);
      const flags = { "store.url": url, "reactor.port": "0", "reactor.threadNum": threads };
      const report = async (succTotals: readonly number[], succ: number): Promise<void> => {
        const service = await startDaemon(reporterDaemon, { flags }, { log: silentLogger });
        const agent = await WireConnection.open(portOf(service));
        for (const succTotal of succTotals) {
          agent.send(
            MessageId.ReportStatusRequest,
            encodeReportStatusRequest({
              modId: 1,
              cmdId: 1,
              caller: 9,
              ts: 0,
              results: [{ ...result, succ, err: 0, overload: succ === 0, succTotal, errTotal: 0 }],
            }),
          );
          await until(async () => (await store.readCallStatus())[0]?.succTotal === succTotal, {
            what: "the row",
          });
        }
        agent.close();
        await service.stop();
      };
      await report([7, 20], 7); // An agent that has just started.
      await report([30, 35], 0); // The same agent after the reporter was away.
      const query = { fromSeconds, toSeconds: fromSeconds + 3600, stepSeconds: 3600 };
      for (const groupBy of ["total", "node", "caller"] as const) {
        const { points } = await store.readCallHistory({ ...query, groupBy });
        assert.equal(points.reduce((sum, point) => sum + point.succCount, 0), 35, groupBy);
      }
      assert.deepEqual((await store.readEvents()).map(({ kind, host }) => [kind, host]), [[
        "node.overload",
        9,
      ]]);
      await store.close();
    });
  });
}

test("reporter says with its Hello that it tells what is stored, and to nobody of the original", async () => {
  await withReporter({}, async (service, store) => {
    const original = await WireConnection.open(portOf(service));
    original.send(Id.ReportStatusRequest, reportStatusRequest(1, 2, 99, [result], 1234));
    const agent = await WireConnection.open(portOf(service));
    const body = encodeHello({ protocol: 2, software: "x", role: "agent" });
    agent.send(MessageId.Hello, body);
    assert.equal((await agent.next()).msgId, MessageId.Hello);
    const { msgId, body: told } = await agent.next();
    assert.equal(msgId, MessageId.ReportsStored);
    assert.deepEqual(decodeReportsStored(told), { held: 0, plain: false });
    await until(async () => (await store.readCallStatus()).length === 1, { what: "its row" });
    assert.deepEqual(original.frames, []);
    agent.close();
    original.close();
  });
});

test("a session without a number is refused: it stands for senders without one", async () => {
  await withReporter({}, async (service) => {
    const agent = await WireConnection.open(portOf(service));
    agent.send(
      MessageId.ReportSession,
      encodeReportSession({ session: 0, stored: 0, leaving: false }),
    );
    await agent.untilEnded();
    assert.equal(service.stats().kept_sessions, 0);
  });
});

test("a connection that names another session than before is ended: each costs a look", async () => {
  await withReporter({}, async (service) => {
    const agent = await WireConnection.open(portOf(service));
    const name = (session: number, leaving = false): void => {
      const body = encodeReportSession({ ...sessionOf(session), leaving });
      agent.send(MessageId.ReportSession, body);
    };
    for (const leaving of [false, false, true]) {
      name(7, leaving);
      agent.send(MessageId.Ping, encodePing({ seq: 1 }));
      await agent.next(({ msgId }) => msgId === MessageId.Pong);
    }
    assert.equal(agent.ended, false, "the same one may be named again");
    name(8);
    await agent.untilEnded();
    await until(() => service.stats().kept_sessions === 0, { what: "the session to be forgotten" });
  });
});

test("a spool_dir that is no folder is said as that, before anything arrives", async () => {
  const never = (): Promise<void> => assert.fail("it must not start");
  await assert.rejects(
    withReporter({ "reporter.spool_dir": "/dev/null" }, never),
    (error) =>
      error instanceof ConfigError && error.message.startsWith("[reporter] spool_dir cannot be"),
  );
});

test("reporter without history writes none", async () => {
  await withReporter({ "reporter.history": "0" }, async (service, store) => {
    const agent = await WireConnection.open(portOf(service));
    agent.send(
      Id.ReportStatusRequest,
      reportStatusRequest(1, 2, 99, [{ ...result, overload: true }], 1234),
    );
    await until(async () => (await store.readCallStatus()).length === 1, { what: "the row" });
    agent.close();
    await service.stop();
    assert.deepEqual(await store.readEvents(), []);
    assert.equal(service.stats().history_rows_written, undefined);
  });
});

test("several reporters on one database never count a call twice", async () => {
  await withTempDir(async (directory) => {
    const url = `sqlite:${join(directory, "lars.db")}`;
    const store = await openStore(url);
    await store.migrate();
    const fromSeconds = Math.floor(Date.now() / 1000);
    const start = (): Promise<RunningService> =>
      startDaemon(reporterDaemon, { flags: { "store.url": url, "reactor.port": "0" } }, {
        log: silentLogger,
      });
    const send = async (
      reporter: RunningService,
      caller: number,
      totals: readonly number[],
    ): Promise<void> => {
      const agent = await WireConnection.open(portOf(reporter));
      for (const succTotal of totals) {
        const results = [{ ...result, err: 0, overload: false, succTotal, errTotal: 0 }];
        agent.send(
          MessageId.ReportStatusRequest,
          encodeReportStatusRequest({ modId: 1, cmdId: 1, caller, ts: 0, results }),
        );
        const rowOf = async (): Promise<number | undefined> =>
          (await store.readCallStatus()).find((row) => row.caller === caller)?.succTotal;
        await until(async () => await rowOf() === succTotal, { what: "the row" });
      }
      agent.close();
    };
    const first = await start();
    await until(async () => (await store.instances()).length === 1, {
      what: "the first to sign in",
    });
    await send(first, 1, [10, 100]); // All in the first window of the agent.
    const second = await start(); // Finds 100 in the database, and the first reporter about.
    await Promise.all([
      send(first, 1, [200, 250]).then(() => send(second, 1, [260, 300])),
      send(second, 2, [10, 60]),
    ]);
    await first.stop();
    await second.stop();
    const query = { fromSeconds, toSeconds: fromSeconds + 3600, stepSeconds: 3600 };
    const { points } = await store.readCallHistory({ ...query, groupBy: "caller" });
    const sumOf = (caller: number): number =>
      points.reduce((sum, point) => sum + (point.caller === caller ? point.succCount : 0), 0);
    // Each new connection of an old agent costs the calls up to its first report.
    assert.equal(sumOf(1), 100 + 50 + 40);
    assert.equal(sumOf(2), 60);
    await store.close();
  });
});

test("what the database does not take before a stop is on disk, and counts at the next start", async () => {
  await withTempDir(async (directory) => {
    const path = join(directory, "lars.db");
    const store = await openStore(`sqlite:${path}`);
    await store.migrate();
    const spoolDir = join(directory, "spool");
    // One of its own, by which the second knows that no other reporter is about.
    const flags = { "store.url": `sqlite:${path}`, "reactor.port": String(await freePort()) };
    const lines = new LogList();
    const start = (): Promise<RunningService> =>
      startDaemon(reporterDaemon, { flags: { ...flags, "reporter.spool_dir": spoolDir } }, {
        log: lines,
      });
    const send = async (service: RunningService, totals: readonly number[]): Promise<void> => {
      const agent = await WireConnection.open(portOf(service));
      for (const succTotal of totals) {
        const results = [{ ...result, succ: 1, err: 0, succTotal, errTotal: 0 }];
        agent.send(
          MessageId.ReportStatusRequest,
          encodeReportStatusRequest({ modId: 1, cmdId: 1, caller: 5, ts: 0, results }),
        );
      }
      await until(() => service.stats().spool_records_written === totals.length, {
        what: "the reports on disk",
      });
      agent.close();
    };
    const fromSeconds = Math.floor(Date.now() / 1000);
    const first = await start();
    const { DatabaseSync } = await import("node:sqlite");
    const blocker = new DatabaseSync(path);
    blocker.exec("BEGIN IMMEDIATE");
    await send(first, [1, 5, 9]); // Its first window, and what it gained.
    await first.stop();
    assert.equal(lines.count("Results are left in the spool"), 1, lines.lines.join("\n"));
    const files = async (): Promise<number> =>
      (await readdir(spoolDir, { recursive: true })).filter((name) => name.endsWith(".spool"))
        .length;
    assert.equal(await files(), 1);
    blocker.exec("ROLLBACK");
    blocker.close();
    const second = await start();
    await until(() => lines.count("Spool of results is in the database") === 1, {
      what: () => lines.lines.join("\n"),
    });
    await send(second, [12]);
    await second.stop();
    assert.equal((await store.readCallStatus())[0]?.succTotal, 12);
    const query = { fromSeconds, toSeconds: fromSeconds + 3600, stepSeconds: 3600 };
    const { points } = await store.readCallHistory({ ...query, groupBy: "total" });
    // 9 from disk; the next connection goes on from there.
    assert.equal(points.reduce((sum, point) => sum + point.succCount, 0), 12);
    assert.equal(await files(), 0, "no file is left");
    await store.close();
  });
});

test("a stop without the database says whose results are lost, and who keeps the others", async () => {
  await withTempDir(async (directory) => {
    const path = join(directory, "lars.db");
    const store = await openStore(`sqlite:${path}`);
    await store.migrate();
    const flags = { "store.url": `sqlite:${path}`, "reactor.port": "0" };
    const log = new LogList();
    const service = await startDaemon(reporterDaemon, { flags }, { log });
    const senders: WireConnection[] = [];
    for (const session of [1, 2, 3]) {
      const sender = await WireConnection.open(portOf(service));
      senders.push(sender);
      const hello = encodeHello({ protocol: 2, software: "x", role: "agent" });
      sender.send(MessageId.Hello, hello);
      sender.send(MessageId.ReportSession, encodeReportSession(sessionOf(session)));
      await sender.next(({ msgId, body }) =>
        msgId === MessageId.ReportsStored && decodeReportsStored(body).stored !== undefined
      );
    }
    const { DatabaseSync } = await import("node:sqlite");
    const blocker = new DatabaseSync(path);
    blocker.exec("BEGIN IMMEDIATE");
    for (const [index, sender] of senders.entries()) {
      // One row of the first, two of the second, three of the third.
      const results = Array.from({ length: index + 1 }, (_, port) => ({
        ...{ ...result, port: port + 1, succTotal: 10, errTotal: 2 },
        gains: { succ: 10, err: 2, timed: 0, timeMs: 0 },
      }));
      const report = { modId: index + 1, cmdId: 1, caller: 5, ts: 0, results, seq: 1 };
      sender.send(MessageId.ReportStatusRequest, encodeReportStatusRequest(report));
    }
    await until(() => service.stats().results === 6, { what: "all results" });
    const [, gone, ended] = senders;
    const leaving = encodeReportSession({ ...sessionOf(3), leaving: true });
    ended.send(MessageId.ReportSession, leaving);
    ended.send(MessageId.Ping, encodePing({ seq: 1 }));
    await ended.next(({ msgId }) => msgId === MessageId.Pong);
    ended.close();
    gone.close();
    await until(() => service.stats().connections === 1, { what: "two to have gone" });
    await assert.rejects(service.stop(), /rows of results and history are lost/);
    const left = log.lines.filter((line) => /lost|left/.test(line));
    assert.deepEqual(left, [
      'error Results lost: the database took no more {"rows":3}',
      "warn Results may be lost: their senders have gone, and have them if they still live " +
      '{"rows":2,"history":3}',
      'info Results are left to their senders, who keep them {"rows":1}',
      'error Call history lost {"rows":4}',
    ]);
    senders[0].close();
    blocker.exec("ROLLBACK");
    blocker.close();
    await store.close();
  });
});

function sessionOf(session: number): ReportSession {
  return { session, stored: 0, leaving: false };
}
