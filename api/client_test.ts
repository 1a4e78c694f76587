// The client on a clock that stands still and a link that only notes down: every moment and every
// datagram is looked at. client_udp_test.ts does it over sockets.

import { SealJudge } from "../session/datagram_seal.ts";
import { proofOf } from "../session/proof.ts";
import { Secrets } from "../session/secrets.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { ConnectError, LarsError, LimitError, TimeoutError } from "../reactor/errors.ts";
import { parseIpv4 } from "../reactor/address.ts";
import {
  decodeGetHostRequest,
  decodeReportRequest,
  frameGetHostResponse,
  frameGetRouteResponse,
  frameReportRequest,
} from "../proto/codec.ts";
import { readDatagram } from "../proto/wire.ts";
import { MessageId } from "../proto/message_ids.ts";
import type { AgentLinkEvents } from "./link.ts";
import { LarsClient, type LarsClientSeams } from "./client.ts";
import { AgentError, ClosedError, NoAgentError, NoRouteError, OverloadError } from "./errors.ts";
import type { LarsClientOptions } from "./options.ts";
import { WINDOW_MAX } from "./send_window.ts";

const IP = parseIpv4("192.168.1.177");

interface Sent {
  readonly portIndex: number;
  readonly msgId: number;
  readonly body: Uint8Array;
}

/** A client whose agent is this test. */
class Bench {
  readonly clock = new ManualClock();
  readonly sent: Sent[] = [];
  readonly client: LarsClient;
  opened = 0;
  events: AgentLinkEvents | undefined;

  constructor(options: LarsClientSeams = {}) {
    this.client = new LarsClient({
      clock: this.clock,
      openLink: (_hostname, _ports, events) => {
        this.opened++;
        this.events = events;
        return {
          foreignCount: 0,
          droppedCount: 0,
          send: (portIndex, datagram) =>
            void this.sent.push({ portIndex, ...readDatagram(datagram.slice()) }),
          close: () => Promise.resolve(),
        };
      },
      ...options,
    });
  }

  /** Seq of the question sent at this place of the list. */
  seqAt(index: number): number {
    return decodeGetHostRequest(this.sent[index].body).seq;
  }

  receive(datagram: Uint8Array): void {
    assert.ok(this.events !== undefined);
    this.events.onDatagram(datagram);
  }

  answerHost(seq: number, modId: number, cmdId: number, retcode: number, port = 80): void {
    const host = retcode === 0 ? { ip: IP, port } : undefined;
    this.receive(frameGetHostResponse({ seq, modId, cmdId, retcode, host }));
  }
}

test("LarsClient() opens nothing before the first question", () => {
  const bench = new Bench();
  assert.equal(bench.opened, 0);
  assert.equal(bench.clock.pendingCount, 0);
});

test("getHost() gives the node the agent names", async () => {
  const bench = new Bench();
  const asked = bench.client.getHost(1, 2);
  assert.deepEqual(bench.sent.map((sent) => sent.msgId), [MessageId.GetHostRequest]);
  assert.deepEqual(decodeGetHostRequest(bench.sent[0].body), { seq: 0, modId: 1, cmdId: 2 });
  bench.answerHost(0, 1, 2, 0, 8080);
  assert.deepEqual(await asked, { ip: "192.168.1.177", port: 8080 });
  assert.equal(bench.clock.pendingCount, 0);
  assert.equal(bench.client.stats.pending, 0);
});

test("getHost() passes weight and zone on", async () => {
  const bench = new Bench();
  const asked = bench.client.getHost(1, 2);
  const host = { ip: IP, port: 1, weight: 0, zone: "a" };
  bench.receive(frameGetHostResponse({ seq: 0, modId: 1, cmdId: 2, retcode: 0, host }));
  assert.deepEqual(await asked, { ip: "192.168.1.177", port: 1, weight: 0, zone: "a" });
});

const codes = [[1, OverloadError], [2, AgentError], [3, NoRouteError], [77, AgentError]] as const;
for (const [retcode, errorClass] of codes) {
  test(`getHost() throws ${errorClass.name} for return code ${retcode}`, async () => {
    const bench = new Bench({ firstRouteMs: 0 });
    const asked = bench.client.getHost(1, 2);
    bench.answerHost(0, 1, 2, retcode);
    await assert.rejects(asked, (error) => {
      assert.ok(error instanceof errorClass && error instanceof LarsError);
      assert.equal(error.name, errorClass.name);
      return true;
    });
  });

  test(`tryGetHost() gives return code ${retcode} as it is`, async () => {
    const bench = new Bench();
    const asked = bench.client.tryGetHost(1, 2);
    bench.answerHost(0, 1, 2, retcode);
    assert.deepEqual(await asked, { retcode });
  });
}

test("getHost() asks again at half the deadline, with the same seq, and takes either answer", async () => {
  const bench = new Bench({ deadlineMs: 50 });
  const asked = bench.client.getHost(1, 2);
  bench.clock.advance(24);
  assert.equal(bench.sent.length, 1);
  bench.clock.advance(1);
  assert.equal(bench.sent.length, 2);
  assert.deepEqual(bench.sent[1], bench.sent[0]);
  bench.clock.advance(24);
  bench.answerHost(0, 1, 2, 0);
  assert.equal((await asked).port, 80);
  bench.answerHost(0, 1, 2, 0);
  assert.equal(bench.client.stats.late, 1);
  assert.equal(bench.client.stats.resent, 1);
});

test("getHost() gives up at the deadline, and drops the answer that comes later", async () => {
  const bench = new Bench({ deadlineMs: 50, port: 9000 });
  const asked = bench.client.getHost(1, 2);
  const rejected = assert.rejects(asked, (error) => {
    assert.ok(error instanceof TimeoutError);
    assert.equal(error.waitedMs, 50);
    assert.match(error.message, /127\.0\.0\.1:9000/);
    return true;
  });
  bench.clock.advance(49.9);
  assert.equal(bench.client.stats.pending, 1);
  bench.clock.advance(0.1);
  await rejected;
  bench.answerHost(0, 1, 2, 0);
  const next = bench.client.getHost(1, 2);
  assert.equal(bench.client.stats.late, 1);
  bench.answerHost(1, 1, 2, 0, 90);
  assert.equal((await next).port, 90);
});

test("getHost() takes the deadline of the call over that of the client", async () => {
  const bench = new Bench();
  const rejected = assert.rejects(bench.client.getHost(1, 2, { deadlineMs: 5 }), TimeoutError);
  bench.clock.advance(5);
  await rejected;
});

test("getHost() takes no answer with another seq or for another module", async () => {
  const bench = new Bench();
  const asked = bench.client.getHost(1, 2);
  bench.answerHost(1, 1, 2, 0, 1);
  bench.answerHost(4294967295, 1, 2, 0, 2);
  bench.answerHost(0, 2, 1, 0, 3);
  bench.answerHost(0, 1, 3, 0, 4);
  assert.equal(bench.client.stats.late, 4);
  bench.answerHost(0, 1, 2, 0, 5);
  assert.equal((await asked).port, 5);
});

test("getHost() drops and counts what cannot be read", async () => {
  const bench = new Bench();
  const asked = bench.client.getHost(1, 2);
  const good = frameGetHostResponse({ seq: 0, modId: 1, cmdId: 2, retcode: 0 });
  const unknownId = good.slice();
  unknownId[0] = 99;
  const portZero = { ip: IP, port: 0 };
  const portTooLarge = { ip: IP, port: 65536 };
  const garbage = [
    new Uint8Array(),
    new Uint8Array(7),
    new Uint8Array(64).fill(0xff),
    good.subarray(0, good.length - 1),
    unknownId,
    good, // success without a node
    frameGetHostResponse({ seq: 0, modId: 1, cmdId: 2, retcode: 0, host: portZero }),
    frameGetHostResponse({ seq: 0, modId: 1, cmdId: 2, retcode: 0, host: portTooLarge }),
  ];
  for (const datagram of garbage) bench.receive(datagram);
  assert.equal(bench.client.stats.garbage, garbage.length);
  bench.answerHost(0, 1, 2, 0);
  assert.equal((await asked).port, 80);
});

const portCases: [modId: number, cmdId: number, portIndex: number][] = [
  [0, 0, 0],
  [1, 0, 1],
  [1, 1, 2],
  [2147483648, 0, 1],
  [-2147483648, 0, 1],
  [4294967295, 0, 2],
  [4294967295, 4294967295, 1],
  [3232235953, 7, 1],
];
for (const [modId, cmdId, portIndex] of portCases) {
  test(`every question about ${modId},${cmdId} goes to port ${portIndex}`, async () => {
    const bench = new Bench();
    const asked = bench.client.getHost(modId, cmdId);
    const route = bench.client.getRoute(modId, cmdId);
    bench.client.report(modId, cmdId, "10.0.0.1", 80, 0);
    assert.deepEqual(bench.sent.map((sent) => sent.portIndex), [portIndex, portIndex, portIndex]);
    const { modId: sentModId } = decodeGetHostRequest(bench.sent[0].body);
    assert.equal(sentModId, modId >>> 0);
    bench.answerHost(0, modId, cmdId, 0);
    bench.receive(frameGetRouteResponse({ modId, cmdId, hosts: [] }));
    assert.equal((await asked).port, 80);
    assert.deepEqual(await route, []);
  });
}

test("with a secret every question and report to another host is sealed, repeated ones anew", () => {
  const token = new Uint8Array([1, 2, 3]);
  const secret = token.slice();
  const datagrams: Uint8Array[] = [];
  const link = {
    ...{ foreignCount: 0, droppedCount: 0, close: () => Promise.resolve() },
    send: (_portIndex: number, datagram: Uint8Array): void => void datagrams.push(datagram),
  };
  let receive: ((datagram: Uint8Array) => void) | undefined;
  const bench = new Bench({
    ...{ hostname: "agent.example", token, deadlineMs: 50 },
    openLink: (_hostname, _ports, events) => {
      receive = (datagram): void => events.onDatagram(datagram);
      return link;
    },
  });
  token.fill(9);
  const asked = bench.client.getHost(1, 2);
  bench.client.getRoute(1, 2).catch(() => {});
  bench.client.report(1, 2, "10.0.0.1", 80, 0);
  bench.clock.advance(25);
  assert.equal(datagrams.length, 5, "both questions are repeated");
  const judge = new SealJudge(new Secrets([secret]), proofOf, () => bench.clock.wallMs());
  const verdicts = datagrams.map((datagram) => judge.judge(datagram));
  assert.ok(verdicts.every((verdict) => "answer" in verdict));
  const { seq } = decodeGetHostRequest(readDatagram(datagrams[0]).body);
  const answer = frameGetHostResponse({
    ...{ seq, modId: 1, cmdId: 2, retcode: 0 },
    host: { ip: IP, port: 80 },
  });
  receive?.(answer);
  assert.equal(bench.client.stats.foreign, 1, "an answer without a seal is that of a stranger");
  const [verdict] = verdicts;
  if ("answer" in verdict) receive?.(verdict.answer(answer));
  return asked.then(({ port }) => assert.equal(port, 80));
});

test("the agent of this host is shown no secret", () => {
  const bench = new Bench({ token: new Uint8Array([1, 2, 3]) });
  bench.client.report(1, 2, "192.168.1.177", 80, 0);
  const plain = frameReportRequest({ modId: 1, cmdId: 2, host: { ip: IP, port: 80 }, retcode: 0 });
  assert.deepEqual(bench.sent[0].body, readDatagram(plain).body);
});

test("report() says node, code and time", () => {
  const bench = new Bench();
  bench.client.report(1, 4294967295, "192.168.1.177", 8080, 1, 1499.6);
  bench.client.report(1, 2, "0.0.0.1", 1, -1);
  assert.deepEqual(bench.sent.map((sent) => decodeReportRequest(sent.body)), [
    { modId: 1, cmdId: 4294967295, host: { ip: IP, port: 8080 }, retcode: 1, timecostMs: 1500 },
    { modId: 1, cmdId: 2, host: { ip: 1, port: 1 }, retcode: -1 },
  ]);
});

test("report() refuses arguments that are none", () => {
  const { client } = new Bench();
  const wrong: Parameters<LarsClient["report"]>[] = [
    [1.5, 1, "10.0.0.1", 80, 0],
    [1, 4294967296, "10.0.0.1", 80, 0],
    [1, 1, "10.0.0", 80, 0],
    [1, 1, "localhost", 80, 0],
    [1, 1, "10.0.0.1", 0, 0],
    [1, 1, "10.0.0.1", 65536, 0],
    [1, 1, "10.0.0.1", 80, 0.5],
    [1, 1, "10.0.0.1", 80, 0, -1],
    [1, 1, "10.0.0.1", 80, 0, NaN],
  ];
  for (const args of wrong) assert.throws(() => client.report(...args), RangeError, `${args}`);
});

test("getRoute() gives every node, and leaves out ports that are none", async () => {
  const bench = new Bench();
  const asked = bench.client.getRoute(1, 2);
  assert.equal(bench.sent[0].msgId, MessageId.ApiGetRouteRequest);
  const hosts = [{ ip: IP, port: 80 }, { ip: IP, port: 0 }, { ip: 1, port: 65535, zone: "b" }];
  bench.receive(frameGetRouteResponse({ modId: 1, cmdId: 2, hosts }));
  assert.deepEqual(await asked, [
    { ip: "192.168.1.177", port: 80 },
    { ip: "0.0.0.1", port: 65535, zone: "b" },
  ]);
});

test("getRoute() answers by module and order", async () => {
  const bench = new Bench();
  const asked = [[1, 1], [2, 1], [1, 1]].map(([modId, cmdId]) =>
    bench.client.getRoute(modId, cmdId)
  );
  const route = (modId: number, port: number): Uint8Array =>
    frameGetRouteResponse({ modId, cmdId: 1, hosts: [{ ip: 1, port }] });
  for (const datagram of [route(3, 9), route(1, 10), route(1, 11), route(1, 12), route(2, 20)]) {
    bench.receive(datagram);
  }
  const ports = (await Promise.all(asked)).map((hosts) => hosts[0].port);
  assert.deepEqual(ports, [10, 20, 11]);
  assert.equal(bench.client.stats.late, 2);
});

test("a host answer never ends a route question, nor the other way round", async () => {
  const bench = new Bench();
  const host = bench.client.getHost(1, 1);
  const route = bench.client.getRoute(1, 1);
  bench.receive(frameGetRouteResponse({ modId: 1, cmdId: 1, hosts: [] }));
  assert.deepEqual(await route, []);
  assert.equal(bench.client.stats.pending, 1);
  bench.answerHost(0, 1, 1, 0);
  assert.equal((await host).port, 80);
});

/** Lets promises run, then time, until `promise` is settled. */
async function drive<T>(clock: ManualClock, promise: Promise<T>, stepMs: number): Promise<T> {
  let settled = false;
  const outcome = promise.finally(() => settled = true);
  outcome.catch(() => {});
  for (let i = 0; i < 1000 && !settled; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    if (!settled) clock.advance(stepMs);
  }
  return await outcome;
}

test("regInit() tries three times, 50 ms apart", async () => {
  const bench = new Bench();
  const asked = bench.client.regInit(1, 2);
  const sentAtMs: number[] = [];
  let answered = 0;
  const empty = frameGetRouteResponse({ modId: 1, cmdId: 2, hosts: [] });
  const outcome = asked.then((retcode) => ({ retcode, endMs: bench.clock.nowMs() }));
  for (let i = 0; i < 300; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    while (answered < bench.sent.length) {
      answered++;
      sentAtMs.push(bench.clock.nowMs());
      bench.receive(empty);
    }
    await new Promise((resolve) => setImmediate(resolve));
    bench.clock.advance(1);
  }
  assert.deepEqual(sentAtMs, [0, 50, 100]);
  assert.deepEqual(await outcome, { retcode: 3, endMs: 100 });
});

test("regInit() gives 0 as soon as there is a node", async () => {
  const bench = new Bench();
  const asked = bench.client.regInit(1, 2);
  bench.receive(frameGetRouteResponse({ modId: 1, cmdId: 2, hosts: [{ ip: 1, port: 1 }] }));
  assert.equal(await asked, 0);
});

test("regInit() gives 2 when the agent never answers", async () => {
  const bench = new Bench();
  assert.equal(await drive(bench.clock, bench.client.regInit(1, 2), 5), 2);
  assert.equal(bench.sent.length, 6);
});

test("call() reports success with its time and gives what the function gave", async () => {
  const bench = new Bench();
  const called = bench.client.call(1, 2, (host) => {
    bench.clock.advance(12);
    return `${host.ip}:${host.port}`;
  });
  bench.answerHost(0, 1, 2, 0);
  assert.equal(await called, "192.168.1.177:80");
  assert.deepEqual(decodeReportRequest(bench.sent[1].body), {
    modId: 1,
    cmdId: 2,
    host: { ip: IP, port: 80 },
    retcode: 0,
    timecostMs: 12,
  });
});

test("call() reports failure with its time and throws what the function threw", async () => {
  const bench = new Bench();
  const failure = new Error("Refused");
  const called = bench.client.call(1, 2, () => {
    bench.clock.advance(300);
    return Promise.reject(failure);
  });
  bench.answerHost(0, 1, 2, 0);
  await assert.rejects(called, (error) => error === failure);
  const report = decodeReportRequest(bench.sent[1].body);
  assert.deepEqual([report.retcode, report.timecostMs], [2, 300]);
});

test("call() runs and reports nothing without a node", async () => {
  const bench = new Bench();
  const called = bench.client.call(1, 2, () => assert.fail("must not run"));
  bench.answerHost(0, 1, 2, 1);
  await assert.rejects(called, OverloadError);
  assert.equal(bench.sent.length, 1);
});

test("call() gives the outcome also when the client was closed meanwhile", async () => {
  const bench = new Bench();
  const called = bench.client.call(1, 2, async () => {
    await bench.client.close();
    return "done";
  });
  bench.answerHost(0, 1, 2, 0);
  assert.equal(await called, "done");
});

test("getHost() gives a node named earlier, marked stale, while the agent is silent", async () => {
  const bench = new Bench({ lastGoodMs: 1000 });
  for (const [seq, port] of [[0, 80], [1, 81]]) {
    const asked = bench.client.getHost(1, 2);
    bench.answerHost(seq, 1, 2, 0, port);
    await asked;
  }
  const first = await drive(bench.clock, bench.client.getHost(1, 2), 25);
  assert.deepEqual(first, { ip: "192.168.1.177", port: 80, stale: true });
  bench.client.report(1, 2, first.ip, first.port, 1);
  const second = await drive(bench.clock, bench.client.tryGetHost(1, 2), 25);
  assert.equal(second.retcode, 0);
  assert.equal(second.host?.port, 81);
  assert.ok(second.error instanceof TimeoutError);
  assert.equal(bench.client.stats.stale, 2);
  await assert.rejects(drive(bench.clock, bench.client.getHost(9, 9), 25), TimeoutError);
  bench.clock.advance(1000);
  await assert.rejects(drive(bench.clock, bench.client.getHost(1, 2), 25), TimeoutError);
});

test("an agent that is away for hours costs no call, and nodes that all failed come back", async () => {
  const bench = new Bench();
  for (const [seq, port] of [[0, 80], [1, 81]]) {
    const asked = bench.client.getHost(1, 2);
    bench.answerHost(seq, 1, 2, 0, port);
    await asked;
  }
  const portOf = async (): Promise<number> =>
    (await drive(bench.clock, bench.client.getHost(1, 2), 25)).port;
  bench.clock.advance(7_200_000);
  assert.deepEqual([await portOf(), await portOf()], [80, 81]);
  // All nodes fail for two seconds: they are still tried, in turn.
  for (let call = 0; call < 40; call++) {
    const port = await portOf();
    assert.equal(port, 80 + call % 2);
    bench.client.report(1, 2, "192.168.1.177", port, 2);
  }
  bench.client.report(1, 2, "192.168.1.177", 81, 0);
  assert.deepEqual([await portOf(), await portOf()], [81, 81], "the one that is well is preferred");
  bench.clock.advance(30_000);
  const both = [await portOf(), await portOf()];
  assert.deepEqual(both.sort(), [80, 81], "and the other one is tried again");
});

test("a silent agent's client asks dns where it may, and goes back to the agent", async () => {
  const log: string[] = [];
  const bench = new Bench({
    dns: ["10.0.0.1"],
    openDirect: () => {
      log.push("open");
      return {
        tryGetHost: (modId, cmdId) => {
          log.push("ask");
          return Promise.resolve(
            modId === 1
              ? { retcode: 0, host: { ip: "10.9.9.9", port: 90 } }
              : { retcode: 2, error: new NoRouteError(modId, cmdId) },
          );
        },
        report: (_modId, _cmdId, ip) => void log.push(`report ${ip}`),
        close: () => Promise.resolve(void log.push("close")),
      };
    },
  });
  const direct = await drive(bench.clock, bench.client.getHost(1, 2, { deadlineMs: 50 }), 25);
  assert.deepEqual(direct, { ip: "10.9.9.9", port: 90, stale: true });
  const sentCount = bench.sent.length;
  bench.client.report(1, 2, direct.ip, direct.port, 0);
  assert.equal(bench.sent.length, sentCount, "an outcome goes one way");
  await assert.rejects(
    drive(bench.clock, bench.client.getHost(2, 2, { deadlineMs: 50 }), 25),
    TimeoutError,
  );
  assert.deepEqual(log, ["open", "ask", "report 10.9.9.9", "ask"]);

  const answered = bench.client.getHost(1, 2);
  bench.answerHost(bench.seqAt(bench.sent.length - 1), 1, 2, 0);
  assert.equal((await answered).port, 80);
  bench.client.report(1, 2, "192.168.1.177", 80, 0);
  assert.equal(bench.sent.at(-1)?.msgId, MessageId.ReportRequest);
  assert.equal(log.at(-1), "close");
  // A node of the agent that is well comes before dns.
  assert.equal((await drive(bench.clock, bench.client.getHost(1, 2), 25)).port, 80);
  assert.equal(log.at(-1), "close");
  await bench.client.close();
  assert.throws(() => new LarsClient({ dns: ["a b"] }), RangeError);
});

test("getHost() gives no node while the agent says that there is none, and one when it is away", async () => {
  for (const lastGoodMs of [0, 60_000]) {
    const bench = new Bench({ lastGoodMs });
    const asked = bench.client.getHost(1, 2);
    bench.answerHost(0, 1, 2, 0);
    await asked;
    // As an agent does that has just started.
    const none = bench.client.tryGetHost(1, 2);
    bench.answerHost(1, 1, 2, 3);
    assert.deepEqual(await none, { retcode: 3 });
    const away = drive(bench.clock, bench.client.getHost(1, 2), 25);
    if (lastGoodMs === 0) await assert.rejects(away, TimeoutError);
    else assert.equal((await away).stale, true);
  }
});

test("the first refusal is forgiven, the second is NoAgentError at once", async () => {
  const bench = new Bench({ port: [9000, 9001, 9002] });
  const asked = bench.client.getHost(1, 1);
  const outcome = asked.catch((error) => error);
  bench.events?.onRefused(2);
  bench.events?.onRefused(0);
  assert.equal(bench.client.stats.pending, 1);
  bench.clock.advance(25);
  bench.events?.onRefused(2);
  const error = await outcome;
  assert.ok(error instanceof NoAgentError && error instanceof ConnectError);
  assert.equal(error.address, "127.0.0.1:9002");
  assert.match(error.message, /127\.0\.0\.1:9002.*is it running/);
});

test("an agent that is back for the second try answers as if nothing had happened", async () => {
  const bench = new Bench();
  const asked = bench.client.getHost(1, 1);
  bench.events?.onRefused(2);
  bench.clock.advance(25);
  bench.answerHost(0, 1, 1, 0);
  assert.equal((await asked).port, 80);
});

test("a socket that fails ends its questions with ConnectError and leaves the others", async () => {
  const bench = new Bench();
  const failing = bench.client.getHost(1, 1).catch((error) => error);
  const other = bench.client.getHost(1, 2);
  const cause = new Error("Too many open files");
  bench.events?.onFault(2, cause);
  const error = await failing;
  assert.ok(error instanceof ConnectError);
  assert.equal(error.cause, cause);
  bench.answerHost(1, 1, 2, 0);
  assert.equal((await other).port, 80);
});

test("close() ends every question with ClosedError, and nothing goes out afterwards", async () => {
  const bench = new Bench();
  const asked = [
    bench.client.getHost(1, 2),
    bench.client.getRoute(1, 2),
    bench.client.call(1, 2, () => assert.fail("must not run")),
    bench.client.regInit(1, 2),
  ];
  const outcomes = Promise.allSettled(asked);
  await bench.client.close();
  for (const outcome of await outcomes) {
    assert.ok(outcome.status === "rejected" && outcome.reason instanceof ClosedError);
  }
  assert.equal(bench.clock.pendingCount, 0);
  const sentCount = bench.sent.length;
  await assert.rejects(bench.client.getHost(1, 2), ClosedError);
  await assert.rejects(bench.client.getRoute(1, 2), ClosedError);
  assert.throws(() => bench.client.report(1, 2, "10.0.0.1", 80, 0), ClosedError);
  const answer = await bench.client.tryGetHost(1, 2);
  assert.ok(answer.retcode === 2 && answer.error instanceof ClosedError);
  await bench.client.close();
  assert.equal(bench.sent.length, sentCount);
});

test("one question too many is refused with LimitError", async () => {
  const bench = new Bench({ pendingMax: 2 });
  const asked = [bench.client.getHost(1, 2), bench.client.getRoute(1, 2)];
  await assert.rejects(bench.client.getHost(1, 2), LimitError);
  await assert.rejects(bench.client.getRoute(1, 2), LimitError);
  bench.answerHost(0, 1, 2, 0);
  const next = bench.client.getHost(1, 2);
  bench.answerHost(1, 1, 2, 0);
  assert.equal((await next).port, 80);
  await bench.client.close();
  await Promise.allSettled(asked);
});

test("no more than the window is on the wire to one port, the rest follows in turn", async () => {
  const bench = new Bench({ deadlineMs: 1000 });
  const total = WINDOW_MAX + 50;
  const asked = Array.from({ length: total }, () => bench.client.getHost(1, 2));
  assert.equal(bench.sent.length, WINDOW_MAX);
  const other = bench.client.getHost(1, 3);
  assert.equal(bench.sent.length, WINDOW_MAX + 1);
  bench.answerHost(total, 1, 3, 0);
  await other;
  for (let seq = 0; seq < total; seq++) bench.answerHost(seq, 1, 2, 0, seq + 1);
  const ports = (await Promise.all(asked)).map((host) => host.port);
  assert.deepEqual(ports, Array.from({ length: total }, (_, index) => index + 1));
  assert.equal(bench.sent.length, total + 1);
});

test("questions that wait for the window still end at their deadline", async () => {
  const bench = new Bench();
  const asked = Array.from({ length: WINDOW_MAX + 1 }, () => bench.client.tryGetHost(1, 2));
  bench.clock.advance(50);
  for (const answer of await Promise.all(asked)) assert.ok(answer.error instanceof TimeoutError);
  assert.equal(bench.client.stats.pending, 0);
  assert.equal(bench.clock.pendingCount, 0);
});

const wrongOptions: LarsClientOptions[] = [
  { port: 0 },
  { port: 65534 },
  { port: 1.5 },
  { port: [1, 2, 65536] },
  { hostname: "" },
  { hostname: "127.0.0.1:8888" },
  { deadlineMs: 0 },
  { deadlineMs: NaN },
  { deadlineMs: 60_001 },
  { token: new Uint8Array() },
  { token: new Uint8Array(1025) },
  { lastGoodMs: -1 },
  { pendingMax: 0 },
  { pendingMax: 65_537 },
];
for (const options of wrongOptions) {
  test(`LarsClient() refuses ${JSON.stringify(options).slice(0, 60)}`, () => {
    assert.throws(() => new LarsClient(options), RangeError);
  });
}

test("LarsClient() takes the last ports there are", () => {
  new LarsClient({ port: 65533, hostname: "localhost", deadlineMs: 60_000 });
});

test("methods refuse ids and deadlines that are none", async () => {
  const { client } = new Bench();
  for (const id of [1.5, NaN, -2147483649, 4294967296]) {
    await assert.rejects(client.getHost(id, 1), RangeError);
    await assert.rejects(client.tryGetHost(1, id), RangeError);
    await assert.rejects(client.getRoute(1, id), RangeError);
    await assert.rejects(client.regInit(1, id), RangeError);
  }
  await assert.rejects(client.getHost(1, 1, { deadlineMs: -1 }), RangeError);
});
