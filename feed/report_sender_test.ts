import assert from "node:assert/strict";
import { test } from "node:test";
import type { ModuleReport } from "../balancer/mod.ts";
import { runtimeTransport } from "../session/runtime_transport.ts";
import { SessionClient } from "../session/session_client.ts";
import { silentLogger } from "../reactor/log.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { until } from "../tests/support/until.ts";
import { FakeReporter } from "../agent/testing/fake_upstream.ts";
import {
  REPORTER_HELLO_MS,
  ReportSender,
  RESEND_MS,
  RESEND_RESULTS_MAX,
  STORED_WAIT_MS,
} from "./report_sender.ts";
import { KEPT_RESULTS_MAX } from "./kept_reports.ts";
import { RESULTS_PER_FRAME_MAX } from "./pending_reports.ts";

const CALLER = 0xc0a801b1;

function report(modId: number, succTotal: number): ModuleReport {
  const result = {
    ...{ ip: 1, port: 80, succ: 1, err: 2, overload: false },
    ...{ succTotal, errTotal: 2, timedTotal: 0, timeMsTotal: 0 },
  };
  return { modId, cmdId: 1, results: [result] };
}

interface Lab {
  clock: ManualClock;
  client: ReportSender;
  first: FakeReporter;
  second: FakeReporter;
}

async function withLab(fn: (lab: Lab) => Promise<void>, welcomeWaitMs = 0): Promise<void> {
  const clock = new ManualClock();
  const first = await FakeReporter.start();
  const second = await FakeReporter.start({ extended: false });
  const client = new ReportSender({
    openLink: (events) =>
      new SessionClient({
        ...events,
        name: "reporter",
        role: "agent",
        addresses: [first, second].map(({ port }) => ({ hostname: "127.0.0.1", port })),
        transport: runtimeTransport,
        clock,
        rng: seededRng(1),
        log: silentLogger,
        software: "test",
        secrets: undefined,
        welcomeWaitMs,
      }),
    clock,
    rng: seededRng(2),
    callerIp: () => CALLER,
  });
  try {
    await fn({ clock, client, first, second });
  } finally {
    const closed = client.close();
    clock.advance(2000);
    await closed;
    await first.close();
    await second.close();
  }
}

test("ReportSender keeps results until a reporter is there, then sends them whole", () =>
  withLab(async ({ clock, client, first }) => {
    client.add([report(1, 1), report(2, 1)]);
    client.add([report(1, 5)]);
    assert.equal(client.stats.resultsPending, 2);
    client.link.start();
    // What leaves before the greeting is answered has no totals; it goes again with them, because
    // nothing else may ever bring them.
    await until(() => first.reports.length === 4, { what: "totals" });
    const totals = first.reports.map((one) => [one.modId, one.results[0].succTotal]);
    assert.deepEqual(totals, [[1, undefined], [2, undefined], [2, 1], [1, 5]]);
    const [{ caller, ts, results }] = first.reports;
    assert.equal(caller, CALLER);
    assert.equal(ts, Math.floor(clock.wallMs() / 1000));
    assert.deepEqual([results[0].succ, results[0].err], [1, 2]);
    assert.deepEqual([client.stats.resultsPending, client.stats.resultsDropped], [0, 0]);
  }));

test("ReportSender sends again what it sent just before a connection broke", () =>
  withLab(async ({ clock, client, first, second }) => {
    client.link.start();
    client.add([report(1, 1)]);
    await until(() => first.reports.length === 2, { what: "a report, and its totals" });
    const { resultsResent } = client.stats;
    // In small steps, so that pings are answered meanwhile.
    await until(() => {
      clock.advance(100);
      return clock.nowMs() > RESEND_MS;
    });
    client.add([report(2, 1), report(3, 1)]);
    await until(() => first.reports.length === 4);
    await first.close();
    await until(() => client.stats.resultsPending === 2, { what: "the end of the connection" });
    client.add([report(3, 9)]);
    await until(() => {
      if (second.reports.length === 0) clock.advance(50);
      return second.reports.length === 2;
    }, { what: "the other reporter" });
    assert.deepEqual(second.reports.map((one) => one.modId).sort(), [2, 3]);
    const totals = second.reports.map(({ results }) => results[0].succTotal);
    assert.deepEqual(totals, [undefined, undefined], "it is an original one");
    assert.equal(client.stats.resultsResent - resultsResent, 2);
  }));

test("ReportSender remembers the last results for that, not every one since the start", () =>
  withLab(async ({ client, first }) => {
    // As many as fit one frame, so that all of them are sent together.
    const width = RESULTS_PER_FRAME_MAX;
    const wide = (modId: number): ModuleReport => {
      const [result] = report(modId, 1).results;
      const results = Array.from({ length: width }, (_, port) => ({ ...result, port }));
      return { modId, cmdId: 1, results };
    };
    client.link.start();
    await until(() => client.link.ready);
    const kept = Math.floor(RESEND_RESULTS_MAX / width);
    for (let modId = 1; modId <= kept + 5; modId++) {
      client.add([wide(modId)]);
      await until(() => {
        client.flush();
        return client.stats.resultsPending === 0;
      });
    }
    await first.close();
    await until(() => client.stats.resultsPending > 0, { what: "the end of the connection" });
    assert.equal(client.stats.resultsPending, kept * width);
  }));

test("ReportSender tells of refused calls only to those who said that they know them", () =>
  withLab(async ({ client, clock, first, second }) => {
    client.link.start();
    await until(() => client.link.extended, { what: "the greeting" });
    const refused = { overload: 3, unusable: 0, noNode: 0, noRoute: 0, fresh: true };
    client.add([{ modId: 1, cmdId: 1, results: [], refused }]);
    await until(() => first.reports.length === 1, { what: "the report" });
    assert.deepEqual(first.reports[0].refused, refused);
    await first.close();
    await until(() => {
      clock.advance(1000);
      return client.link.ready && client.link.connectCount > 1;
    }, { what: "the other reporter" });
    client.add([{ modId: 1, cmdId: 1, results: [], refused }, report(2, 1)]);
    await until(() => second.reports.length > 0, { what: "a report of the original kind" });
    assert.deepEqual(second.reports.map((one) => [one.modId, one.refused]), [[2, undefined]]);
  }));

/** Seqs of what came, with what is new in it. */
function numbered({ reports }: FakeReporter): unknown[] {
  return reports.map(({ seq, modId, results }) => [seq, modId, results[0].gains?.succ ?? 0]);
}

test("ReportSender keeps what it sent until it is stored, however long that takes", () =>
  withLab(async ({ client, clock, first }) => {
    first.tells = true;
    client.link.setAddresses([{ hostname: "127.0.0.1", port: first.port }]);
    client.link.start();
    await until(() => first.sessions.length === 1, { what: "the session" });
    client.add([report(1, 5)]);
    client.add([report(1, 8), report(2, 1)]);
    assert.equal(first.reports.length, 0, "it is not known yet how far it is");
    first.tellStored(0);
    await until(() => first.reports.length === 2, { what: "reports" });
    assert.deepEqual(numbered(first), [[1, 1, 8], [2, 2, 1]], "what waited is one");
    client.add([report(1, 9)]);
    await until(() => first.reports.length === 3, { what: "a report" });
    first.tellStored(1, 3);
    await until(() => client.stats.resultsUnconfirmed === 2, { what: "what is stored" });
    clock.advance(RESEND_MS); // Longer ago than what others are sent again.
    for (const peer of first.server.connections()) peer.close();
    await until(() => !client.link.ready, { what: "the end of the connection" });
    await until(() => {
      if (client.link.connectCount === 1) clock.advance(20);
      return first.sessions.length === 2;
    }, { what: "the next connection" });
    assert.equal(first.sessions[1], first.sessions[0]);
    client.add([report(1, 20)]);
    first.tellStored(1, 2);
    await until(() => first.reports.length === 5, { what: "the rest" });
    assert.deepEqual(numbered(first).slice(3), [[3, 1, 1], [4, 1, 11]]);
    assert.deepEqual(first.reports[4].results[0].succTotal, 20);
    first.tellStored(4);
    await until(() => client.stats.resultsUnconfirmed === 0, { what: "all is stored" });
  }, REPORTER_HELLO_MS));

test("ReportSender that ends asks to have all stored soon, and waits for it, also elsewhere", () =>
  withLab(async ({ client, clock, first }) => {
    first.tells = true;
    client.link.setAddresses([{ hostname: "127.0.0.1", port: first.port }]);
    client.link.start();
    await until(() => first.sessions.length === 1, { what: "the session" });
    first.tellStored(0);
    client.add([report(1, 5)]);
    await until(() => first.reports.length === 1, { what: "a report" });
    assert.deepEqual(first.leaving, []);
    let isSettled: boolean | undefined;
    void client.settled(clock, 100_000).then((settled) => isSettled = settled);
    await until(() => first.leaving.length === 1, { what: "the question" });
    for (const peer of first.server.connections()) peer.close();
    await until(() => {
      if (client.link.connectCount === 1) clock.advance(20);
      return first.leaving.length === 2;
    }, { what: "the question over the next connection" });
    assert.equal(isSettled, undefined);
    first.tellStored(0);
    await until(() => first.reports.length === 2, { what: "the report again" });
    first.tellStored(1);
    await until(() => isSettled === true, { what: "all is stored" });
    assert.equal(await client.settled(clock, 1), true, "nothing has come since");
  }, REPORTER_HELLO_MS));

test("ReportSender does not wait for ever until all is stored", () =>
  withLab(async ({ client, clock, first }) => {
    first.tells = true;
    client.link.start();
    await until(() => first.sessions.length === 1, { what: "the session" });
    client.add([report(1, 5)]);
    const settled = client.settled(clock, 1_000);
    clock.advance(1_000);
    assert.equal(await settled, false);
  }, REPORTER_HELLO_MS));

test("ReportSender sends nothing of a module that has nothing to tell a reporter", () =>
  withLab(async ({ client, first }) => {
    first.tells = true;
    client.link.start();
    await until(() => first.sessions.length === 1, { what: "the session" });
    first.tellStored(0);
    client.add([report(1, 1)]);
    await until(() => first.reports.length === 1, { what: "a report" });
    client.add([{ modId: 2, cmdId: 1, results: [], counts: [1] }, report(3, 1)]);
    await until(() => first.reports.length >= 2, { what: "the next report" });
    assert.deepEqual(first.reports.map(({ seq, modId }) => [seq, modId]), [[1, 1], [2, 3]]);
    assert.equal(client.stats.resultsUnconfirmed, 2);
  }));

test("ReportSender gathers what comes while too much is not stored, and loses no call", () =>
  withLab(async ({ client, first }) => {
    first.tells = true;
    client.link.start();
    await until(() => first.sessions.length === 1, { what: "the session" });
    first.tellStored(0);
    const wide = (modId: number, succTotal: number): ModuleReport => {
      const [result] = report(modId, succTotal).results;
      const results = Array.from(
        { length: RESULTS_PER_FRAME_MAX },
        (_, port) => ({ ...result, port }),
      );
      return { modId, cmdId: 1, results };
    };
    const most = Math.ceil(KEPT_RESULTS_MAX / RESULTS_PER_FRAME_MAX);
    for (let modId = 1; modId <= most; modId++) {
      client.add([wide(modId, 1)]);
      await until(() => {
        client.flush();
        return client.stats.resultsPending === 0;
      });
    }
    for (let succTotal = 2; succTotal <= 5; succTotal++) client.add([wide(1, succTotal)]);
    assert.equal(client.stats.resultsPending, RESULTS_PER_FRAME_MAX);
    await until(() => first.reports.length === most, { timeoutMs: 20_000, what: "all but these" });
    first.tellStored(most);
    await until(() => first.reports.length > most, { what: "the last" });
    const { seq, results } = first.reports[most];
    assert.deepEqual([seq, results[0].succTotal, results[0].gains?.succ], [most + 1, 5, 4]);
    assert.equal(client.stats.resultsDropped, 0);
  }, REPORTER_HELLO_MS));

test("ReportSender sends without numbers to who says that nothing will be told", () =>
  withLab(async ({ client, clock, first, second }) => {
    first.tells = true;
    client.link.start();
    await until(() => first.sessions.length === 1, { what: "the session" });
    first.tellStored(0);
    client.add([report(1, 5)]);
    await until(() => first.reports.length === 1, { what: "a report" });
    await first.close();
    await until(() => {
      if (!client.link.ready) clock.advance(50);
      return second.reports.length === 1;
    }, { what: "what is kept, at a reporter of the original" });
    const [{ seq, results }] = second.reports;
    assert.deepEqual([seq, results[0].gains, results[0].succ], [undefined, undefined, 1]);
    assert.equal(client.stats.resultsUnconfirmed, 1, "it stays kept for who knows numbers");
  }, REPORTER_HELLO_MS));

test("ReportSender waits only so long for an older build, which does not know the question", () =>
  withLab(async ({ client, clock, first }) => {
    first.knowsSessions = false;
    client.link.start();
    await until(() => client.link.extended, { what: "the greeting" });
    client.add([report(1, 5)]);
    await until(() => {
      clock.advance(20);
      return first.reports.length === 1;
    }, { what: "the report" });
    assert.ok(clock.nowMs() >= STORED_WAIT_MS);
    const [{ seq, results }] = first.reports;
    assert.deepEqual([seq, results[0].gains, results[0].succTotal], [undefined, undefined, 5]);
  }, REPORTER_HELLO_MS));

for (const saysSo of [false, true]) {
  const what = saysSo ? "waits for a reporter that said with Hello" : "waits 5 s for one to say";
  test(`ReportSender ${what} that it tells what is stored`, () =>
    withLab(async ({ client, clock, first }) => {
      first.saysSo = saysSo;
      // It is busy: Hello is answered, the question after it is not.
      first.knowsSessions = false;
      client.link.setAddresses([{ hostname: "127.0.0.1", port: first.port }]);
      client.link.start();
      await until(() => client.link.extended, { what: "the greeting" });
      client.add([report(1, 5)]);
      await until(() => {
        clock.advance(100);
        return clock.nowMs() > 2 * STORED_WAIT_MS;
      });
      assert.equal(client.stats.resultsPending, saysSo ? 1 : 0);
      await first.close();
      await until(() => !client.link.ready, { what: "the end of the connection" });
      const next = await FakeReporter.start();
      next.tells = true;
      client.link.setAddresses([{ hostname: "127.0.0.1", port: next.port }]);
      await until(() => {
        clock.advance(20);
        return next.sessions.length === 1;
      }, { what: "the next reporter" });
      next.tellStored(0);
      client.add([report(1, 7)]);
      await until(() => next.reports.length === 1, { what: "the report" });
      // An older build has counted what it was told: told again, it would count twice.
      assert.equal(next.reports[0].results[0].gains?.succ, saysSo ? 7 : 2);
      await next.close();
    }, REPORTER_HELLO_MS));
}
