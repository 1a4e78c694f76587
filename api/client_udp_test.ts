// The client against an agent on real sockets: what may get lost, late, doubled or forged.

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { test } from "node:test";
import { ConnectError, TimeoutError } from "../reactor/errors.ts";
import { formatIpv4 } from "../reactor/address.ts";
import {
  decodeGetHostRequest,
  decodeGetRouteRequest,
  decodeReportRequest,
  frameGetHostResponse,
  frameGetRouteResponse,
} from "../proto/codec.ts";
import { agentPortIndex, MessageId } from "../proto/message_ids.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { freePort } from "../tests/support/free_port.ts";
import { assertInTime } from "../tests/support/in_time.ts";
import { until } from "../tests/support/until.ts";
import { LarsClient } from "./client.ts";
import { NoAgentError } from "./errors.ts";
import { FakeAgent, type Received } from "./testing/fake_agent.ts";
import type { LarsClientOptions } from "./options.ts";

/** Patience for tests in which time is not the point; the machine may be busy. */
const PATIENT_MS = 5000;

async function withAgent(
  fn: (agent: FakeAgent, client: LarsClient) => Promise<void>,
  options: LarsClientOptions = {},
): Promise<void> {
  const agent = await FakeAgent.start();
  const client = new LarsClient({ port: agent.ports, deadlineMs: PATIENT_MS, ...options });
  try {
    await fn(agent, client);
  } finally {
    await client.close();
    await agent.stop();
  }
}

/** Answers every host question with the node 10.0.0.1 and the seq as its port, plus 1. */
function answerHosts(received: Received): void {
  if (received.msgId !== MessageId.GetHostRequest) return;
  const { seq, modId, cmdId } = decodeGetHostRequest(received.body);
  const host = { ip: 0x0a000001, port: seq % 65535 + 1 };
  received.reply(frameGetHostResponse({ seq, modId, cmdId, retcode: 0, host }));
}

test("getHost() gets a node, report() arrives with its time", async () => {
  await withAgent(async (agent, client) => {
    agent.onReceive = answerHosts;
    assert.deepEqual(await client.getHost(1, 1), { ip: "10.0.0.1", port: 1 });
    client.report(1, 1, "10.0.0.1", 1, 1, 120);
    await until(() => agent.received.length === 2, { what: "the report" });
    const report = agent.received[1];
    assert.equal(report.msgId, MessageId.ReportRequest);
    assert.equal(decodeReportRequest(report.body).timecostMs, 120);
    assert.equal(report.callerPort, agent.received[0].callerPort);
  });
});

test("each module goes to its own one of three ports", async () => {
  await withAgent(async (agent, client) => {
    agent.onReceive = answerHosts;
    const modules = [[0, 0], [1, 0], [1, 1], [4294967295, 0], [2147483648, 1], [3232235953, 7]];
    for (const [modId, cmdId] of modules) await client.getHost(modId, cmdId);
    assert.deepEqual(
      agent.received.map((received) => received.portIndex),
      modules.map(([modId, cmdId]) => agentPortIndex(modId, cmdId)),
    );
  });
});

test("getHost() is answered when the first datagram is lost", async () => {
  await withAgent(async (agent, client) => {
    agent.onReceive = (received) => {
      if (agent.received.length > 1) answerHosts(received);
    };
    assert.equal((await client.getHost(1, 1)).port, 1);
    assert.equal(agent.received.length, 2);
    assert.deepEqual(agent.received[1].body, agent.received[0].body);
  }, { deadlineMs: 400 });
});

test("getHost() gives up at its deadline when the agent is silent", async () => {
  await withAgent(async (agent, client) => {
    await assert.rejects(client.getRoute(1, 1, { deadlineMs: 20 }), TimeoutError); // opens a socket
    const startedMs = systemClock.nowMs();
    await assert.rejects(client.getHost(1, 1), (error) => {
      assert.ok(error instanceof TimeoutError);
      assert.match(error.message, new RegExp(`127.0.0.1:${agent.ports[2]}`));
      return true;
    });
    const tookMs = systemClock.nowMs() - startedMs;
    assert.ok(tookMs >= 45, `${tookMs} ms`);
    assertInTime("to give up", tookMs, 60);
    assert.equal(agent.received.length, 4);
  }, { deadlineMs: 50 });
});

test("an answer after the deadline is dropped and disturbs nobody", async () => {
  await withAgent(async (agent, client) => {
    await assert.rejects(client.getHost(1, 1, { deadlineMs: 30 }), TimeoutError);
    for (const received of agent.received) answerHosts(received);
    await until(() => client.stats.late === agent.received.length, { what: "the late answers" });
    agent.onReceive = answerHosts;
    assert.equal((await client.getHost(1, 1)).port, 2);
  });
});

test("answers to other questions are dropped", async () => {
  await withAgent(async (agent, client) => {
    const host = { ip: 0x0a000001, port: 666 };
    agent.onReceive = (received) => {
      const { seq, modId, cmdId } = decodeGetHostRequest(received.body);
      const answer = { seq, modId, cmdId, retcode: 0, host };
      received.reply(new Uint8Array([1, 2, 3]));
      received.reply(frameGetHostResponse({ ...answer, seq: seq + 1 }));
      received.reply(frameGetHostResponse({ ...answer, modId: modId + 1 }));
      received.reply(frameGetHostResponse({ ...answer, cmdId: cmdId + 1 }));
      received.reply(frameGetRouteResponse({ modId, cmdId, hosts: [host] }));
      answerHosts(received);
    };
    assert.equal((await client.getHost(1, 1)).port, 1);
    const { late, garbage } = client.stats;
    assert.deepEqual({ late, garbage }, { late: 4, garbage: 1 });
  });
});

test("a datagram from any other address is dropped", async () => {
  await withAgent(async (agent, client) => {
    const forger = createSocket("udp4");
    agent.onReceive = (received) => {
      const { seq, modId, cmdId } = decodeGetHostRequest(received.body);
      const host = { ip: 0x0a000001, port: 666 };
      const forged = frameGetHostResponse({ seq, modId, cmdId, retcode: 0, host });
      forger.send(forged, received.callerPort, "127.0.0.1", () => {
        systemClock.setTimer(20, () => answerHosts(received));
      });
    };
    try {
      assert.equal((await client.getHost(1, 1)).port, 1);
      assert.equal(client.stats.late, 0);
    } finally {
      forger.close();
    }
  });
});

/** Ports for an agent that is not there all the time. */
async function freePorts(): Promise<[number, number, number]> {
  return [await freePort(), await freePort(), await freePort()];
}

test("getHost() says where no agent listens, and a later agent is found", async () => {
  const ports = await freePorts();
  const client = new LarsClient({ port: ports, deadlineMs: 80 });
  try {
    const startedMs = systemClock.nowMs();
    await assert.rejects(client.getHost(1, 1), (error) => {
      // Deno does not tell that a datagram was refused; there only time can.
      assert.ok(error instanceof NoAgentError || error instanceof TimeoutError);
      assert.match(error.message, new RegExp(`127.0.0.1:${ports[2]}`));
      assert.match(error.message, /is it running\?/);
      return true;
    });
    assertInTime("to give up", systemClock.nowMs() - startedMs, 60);
    client.report(1, 1, "10.0.0.1", 1, 0);
    const agent = await FakeAgent.start(ports);
    agent.onReceive = answerHosts;
    try {
      const host = await client.getHost(1, 1, { deadlineMs: PATIENT_MS });
      assert.equal(host.ip, "10.0.0.1");
    } finally {
      await agent.stop();
    }
  } finally {
    await client.close();
  }
});

test("a restart of the agent shorter than the deadline goes unnoticed", async () => {
  let agent = await FakeAgent.start(await freePorts());
  const client = new LarsClient({ port: agent.ports, deadlineMs: 1000 });
  try {
    agent.onReceive = answerHosts;
    await client.getHost(1, 1);
    await agent.stop();
    const asked = client.getHost(1, 1);
    agent = await FakeAgent.start(agent.ports);
    agent.onReceive = answerHosts;
    const host = await asked;
    assert.equal(host.stale, undefined);
  } finally {
    await client.close();
    await agent.stop();
  }
});

test("1000 concurrent calls each get their own answer", async () => {
  await withAgent(async (agent, client) => {
    agent.onReceive = answerHosts;
    const asked = Array.from({ length: 1000 }, (_, index) => client.getHost(index % 7, 1));
    const hosts = await Promise.all(asked);
    assert.deepEqual(hosts.map((host) => host.port), hosts.map((_, index) => index + 1));
    assert.equal(client.stats.pending, 0);
  });
});

test("getRoute() gives a route as large as a datagram", async () => {
  await withAgent(async (agent, client) => {
    // 19 bytes for each node: 3400 of them are 64,600 bytes, near the 65,507 of a datagram.
    const hosts = Array.from({ length: 3400 }, (_, index) => ({
      ip: 0xc0a80000 + index,
      port: 10_000 + index,
    }));
    agent.onReceive = (received) => {
      const { modId, cmdId } = decodeGetRouteRequest(received.body);
      received.reply(frameGetRouteResponse({ modId, cmdId, hosts }));
    };
    const route = await client.getRoute(1, 1);
    assert.deepEqual(
      route,
      hosts.map((host) => ({ ip: formatIpv4(host.ip), port: host.port })),
    );
  });
});

test("getRoute() of several modules at once never mixes them", async () => {
  await withAgent(async (agent, client) => {
    agent.onReceive = (received) => {
      const { modId, cmdId } = decodeGetRouteRequest(received.body);
      const hosts = [{ ip: modId, port: cmdId }];
      received.reply(frameGetRouteResponse({ modId, cmdId, hosts }));
    };
    const asked = Array.from({ length: 60 }, (_, index) => client.getRoute(index % 10, 3));
    for (const [index, route] of (await Promise.all(asked)).entries()) {
      assert.deepEqual(route, [{ ip: formatIpv4(index % 10), port: 3 }]);
    }
  });
});

test("call() asks, runs and reports", async () => {
  await withAgent(async (agent, client) => {
    agent.onReceive = answerHosts;
    assert.equal(await client.call(1, 1, (host) => host.port), 1);
    await assert.rejects(client.call(1, 1, () => Promise.reject(new Error("Down"))), /Down/);
    await until(() => agent.received.length === 4, { what: "both reports" });
    const reports = agent.received
      .filter((received) => received.msgId === MessageId.ReportRequest)
      .map((received) => decodeReportRequest(received.body));
    assert.deepEqual(reports.map((report) => report.retcode), [0, 2]);
    for (const report of reports) assert.ok((report.timecostMs ?? -1) >= 0);
  });
});

test("close() lets a report leave that was given before the socket was open", async () => {
  const agent = await FakeAgent.start();
  try {
    const client = new LarsClient({ port: agent.ports });
    client.report(1, 1, "10.0.0.1", 80, 0);
    await client.close();
    await until(() => agent.received.length === 1, { what: "the report" });
  } finally {
    await agent.stop();
  }
});

test("close() ends what is under way and can be called before anything", async () => {
  await new LarsClient().close();
  await withAgent(async (_agent, client) => {
    const asked = client.getHost(1, 1).catch((error) => error.name);
    await client.close();
    assert.equal(await asked, "ClosedError");
  });
});

test("a hostname that does not resolve is a ConnectError", async () => {
  const client = new LarsClient({ hostname: "x".repeat(64), deadlineMs: PATIENT_MS });
  try {
    const { retcode, error } = await client.tryGetHost(1, 1);
    assert.equal(retcode, 2);
    assert.ok(error instanceof ConnectError || error instanceof TimeoutError, `${error}`);
  } finally {
    await client.close();
  }
});

test("localhost needs no look-up", async () => {
  await withAgent(async (agent, client) => {
    agent.onReceive = answerHosts;
    assert.equal((await client.getHost(1, 1)).port, 1);
  }, { hostname: "localhost" });
});
