// Goal: an agent that listens for other hosts without a secret cannot be had to send anybody more than
// three times what its sender sent, by any message, on either path. Method: one shard on a socket
// that is none, every message that an agent takes, small and padded, from near and far.

import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultBalanceSettings } from "../../balancer/mod.ts";
import { ANSWER_GROWTH_MAX, paddingTowards } from "../../proto/answer_growth.ts";
import {
  decodeGetRouteResponse,
  decodeHello,
  frameBatchedReport,
  frameExplainRequest,
  frameGetHostRequest,
  frameGetRouteRequest,
  frameHello,
  frameReportRequest,
} from "../../proto/codec.ts";
import { MessageId } from "../../proto/message_ids.ts";
import { readDatagram } from "../../proto/wire.ts";
import type { Address } from "../../reactor/address.ts";
import { LogRateLimiter, silentLogger } from "../../reactor/log.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import type { QuickHandler } from "../../reactor/fast/batch_udp.ts";
import type { DatagramServer, UdpServerOptions } from "../../reactor/udp/udp_server.ts";
import type { WorkerInit } from "./messages.ts";
import { Shard } from "./shard.ts";

const NEAR = { hostname: "127.0.0.1", port: 4000 };
const FAR = { hostname: "192.0.2.7", port: 4000 };
const NODES = 2_000;

/** One way in: gives the answers to a datagram. */
type Ask = (datagram: Uint8Array, from: Address) => Uint8Array[];

function setUp(): { ask: Ask; askQuickly: Ask } {
  const clock = new ManualClock();
  let sent: Uint8Array[] = [];
  let quick: QuickHandler | undefined;
  let socket: DatagramServer | undefined;
  let receive: UdpServerOptions["onDatagram"] | undefined;
  const shard = new Shard({ index: 0, port: 0, preload: [] }, {
    init: {
      hostname: "0.0.0.0",
      software: "lars/1.2.3 a runtime",
      settings: defaultBalanceSettings,
    } as WorkerInit,
    logLimiter: new LogRateLimiter(clock),
    moduleEvent: () => {},
    stateChange: () => {},
    workDone: () => {},
    hasPlans: false,
    lbOf: () => undefined,
    statusText: () => JSON.stringify({ many: "x".repeat(600) }),
    options: {
      clock,
      rng: seededRng(1),
      log: silentLogger,
      note: () => {},
      makeServer: (options, onQuick) => {
        receive = options.onDatagram;
        quick = onQuick;
        socket = {
          stats: { received: 0, sent: 0, dropped: 0 },
          send: (bytes: Uint8Array) => {
            sent.push(bytes.slice());
            return true;
          },
        } as unknown as DatagramServer;
        return socket;
      },
    },
  });
  const nodes = Array.from({ length: NODES }, (_, i) => ({ ip: 0xc0a80000 + i, port: 40_000 }));
  for (const [modId, cmdId] of [[0, 0], [1, 1]]) {
    shard.lb.getHost(modId, cmdId, 0);
    shard.lb.update(modId, cmdId, nodes, 0);
  }
  return {
    ask: (datagram, from) => {
      sent = [];
      if (socket !== undefined) receive?.(datagram, from, socket);
      return sent;
    },
    askQuickly: (datagram, from) => {
      const answer = new Uint8Array(1024);
      const isNear = from === NEAR;
      const length = quick?.(datagram, 0, datagram.length, isNear, from.port, 1, answer, 0) ?? 0;
      return length > 0 ? [answer.slice(0, length)] : [];
    },
  };
}

const host = { ip: 0xc0a80001, port: 40_000 };
const tool = { protocol: 2, software: "", role: "" };
const { padding } = paddingTowards(FAR.hostname);
const MESSAGES: readonly (readonly [string, Uint8Array])[] = [
  ["4 of module (0,0), no bytes", frameGetHostRequest({ seq: 0, modId: 0, cmdId: 0 })],
  ["4", frameGetHostRequest({ seq: 1, modId: 1, cmdId: 1 })],
  ["4 with a key", frameGetHostRequest({ seq: 1, modId: 1, cmdId: 1, key: new Uint8Array(9) })],
  ["4 of no module", frameGetHostRequest({ seq: 1, modId: 9, cmdId: 9 })],
  ["6", frameReportRequest({ modId: 1, cmdId: 1, host, retcode: 0 })],
  ["7 of module (0,0), no bytes", frameGetRouteRequest({ modId: 0, cmdId: 0 })],
  ["7", frameGetRouteRequest({ modId: 1, cmdId: 1 })],
  ["7 padded", frameGetRouteRequest({ modId: 1, cmdId: 1, padding })],
  ["7 of no module", frameGetRouteRequest({ modId: 9, cmdId: 9 })],
  ["64, no bytes", frameHello({ ...tool, protocol: 0 })],
  ["64", frameHello(tool)],
  ["64 padded", frameHello({ ...tool, padding })],
  ["83", frameBatchedReport({ sender: 1, first: 0, outcomes: new Uint8Array(24) })],
  ["76", frameExplainRequest({ seq: 1, modId: 1, cmdId: 1, from: 0 })],
];

test("no stranger is answered with more than three times what he sent, by any message", () => {
  const { ask, askQuickly } = setUp();
  for (const [name, datagram] of MESSAGES) {
    for (
      const [way, answers] of [["slow", ask(datagram, FAR)], ["fast", askQuickly(datagram, FAR)]]
    ) {
      const bytes = (answers as Uint8Array[]).reduce((sum, { length }) => sum + length, 0);
      const most = datagram.length * ANSWER_GROWTH_MAX;
      assert.ok(bytes <= most, `${name}, ${way}: ${bytes} for ${datagram.length}`);
    }
  }
});

test("a stranger is answered as far as that goes, and with nothing that is not so", () => {
  const { ask } = setUp();
  const routeOf = (datagram: Uint8Array, from: Address): number[] | undefined => {
    const [answer] = ask(datagram, from);
    if (answer === undefined) return undefined;
    const { msgId, body } = readDatagram(answer);
    assert.equal(msgId, MessageId.ApiGetRouteResponse);
    return decodeGetRouteResponse(body).hosts.map(({ ip }) => ip);
  };
  const plain = frameGetRouteRequest({ modId: 1, cmdId: 1 });
  assert.equal(routeOf(plain, NEAR)?.length, NODES);
  const seen = new Set(Array.from({ length: 50 }, () => routeOf(plain, FAR)?.[0]));
  assert.ok(seen.size > 10 && !seen.has(undefined), "one node, not always the same");
  const padded = routeOf(frameGetRouteRequest({ modId: 1, cmdId: 1, padding }), FAR);
  assert.ok((padded?.length ?? 0) > 150, String(padded?.length));
  assert.deepEqual(routeOf(frameGetRouteRequest({ modId: 9, cmdId: 9 }), FAR), []);
  // An empty list would say that there is no such module.
  assert.equal(routeOf(frameGetRouteRequest({ modId: 0, cmdId: 0 }), FAR), undefined);
  const helloOf = (datagram: Uint8Array): string | undefined =>
    decodeHello(readDatagram(ask(datagram, FAR)[0]).body).status;
  assert.equal(helloOf(frameHello(tool)), undefined);
  assert.ok((helloOf(frameHello({ ...tool, padding }))?.length ?? 0) > 600);
  assert.equal(ask(frameExplainRequest({ seq: 1, modId: 1, cmdId: 1, from: 0 }), FAR).length, 0);
});
