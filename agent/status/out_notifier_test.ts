// Goal: dns knows of each module which nodes are out, once each time that changes, whatever was lost.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { HostResult } from "../../balancer/balance_records.ts";
import type { ModuleReport } from "../../balancer/routes/route_records.ts";
import { decodeNodesOut, encodeNodesOut } from "../../proto/codec.ts";
import { FRAME_BODY_BYTES_MAX } from "../../reactor/frame.ts";
import { packRoute } from "../routes/packed_route.ts";
import { NODES_OUT_MAX, NODES_OUT_TOLD_MAX, OutNotifier } from "./out_notifier.ts";

const report = (modId: number, ...nodes: [ip: number, overload: boolean][]): ModuleReport => ({
  modId,
  cmdId: 1,
  results: nodes.map(([ip, overload]): HostResult => ({
    ...{ ip, port: 80, overload, succ: 0, err: 0 },
    ...{ succTotal: 0, errTotal: 0, timedTotal: 0, timeMsTotal: 0 },
  })),
});

function setUp(): { notifier: OutNotifier; sent: [number, number[]][]; link: { up: boolean } } {
  const sent: [number, number[]][] = [];
  const link = { up: true };
  const notifier = new OutNotifier(({ modId, nodes }) => {
    if (link.up) sent.push([modId, nodes.map(({ ip }) => ip)]);
    return link.up;
  });
  return { notifier, sent, link };
}

test("a node that goes out is told, and one that comes back, and nothing else", () => {
  const { notifier, sent } = setUp();
  notifier.take([report(1, [5, false], [6, false])]);
  notifier.take([report(1, [5, true], [6, true])]);
  notifier.take([report(1, [5, true])]);
  notifier.take([report(1, [6, false]), report(2, [9, true])]);
  notifier.take([report(1, [5, false])]);
  assert.deepEqual(sent, [[1, [5, 6]], [1, [5]], [2, [9]], [1, []]]);
  assert.equal(notifier.count, 1);
});

test("a node that left the route, or whose module is forgotten, is out no more", () => {
  const { notifier, sent } = setUp();
  notifier.take([report(1, [5, true], [6, true]), report(2, [9, true])]);
  notifier.routeCame(packRoute(1, 1, [{ ip: 6, port: 80 }, { ip: 7, port: 80 }]).route);
  notifier.routeCame(packRoute(3, 1, [{ ip: 6, port: 80 }]).route);
  notifier.forget(2, 1);
  notifier.forget(4, 1);
  assert.deepEqual(sent.slice(2), [[1, [6]], [2, []]]);
});

test("the next dns is told all, and what could not be sent is sent later", () => {
  const { notifier, sent, link } = setUp();
  notifier.take([report(1, [5, true]), report(2, [9, true])]);
  link.up = false;
  notifier.take([report(2, [9, false])]);
  notifier.reset();
  notifier.take([report(3, [7, true])]);
  assert.equal(sent.length, 2);
  link.up = true;
  notifier.flush();
  notifier.flush();
  assert.deepEqual(sent.slice(2), [[1, [5]], [3, [7]]]);
});

test("more nodes than dns hears of are not told", () => {
  const { notifier } = setUp();
  const all = Array.from({ length: NODES_OUT_MAX + 5 }, (_, ip): [number, boolean] => [ip, true]);
  notifier.take([report(1, ...all)]);
  assert.equal(notifier.count, NODES_OUT_MAX);
});

test("of a module of which very many nodes are out as many are told as fit a frame", () => {
  const bodies: Uint8Array[] = [];
  const notifier = new OutNotifier((message) => bodies.push(encodeNodesOut(message)) > 0);
  const all = Array.from({ length: 9_000 }, (_, n): [number, boolean] => [0xc0a8_0000 + n, true]);
  notifier.take([report(2 ** 32 - 1, ...all)]);
  assert.ok(bodies[0].length <= FRAME_BODY_BYTES_MAX, `${bodies[0].length} bytes`);
  assert.equal(decodeNodesOut(bodies[0]).nodes.length, NODES_OUT_TOLD_MAX);
  // Those that are back make room for others.
  notifier.take([
    report(2 ** 32 - 1, ...all.slice(0, 8_990).map(([ip]): [number, boolean] => [ip, false])),
  ]);
  const last = bodies.at(-1);
  assert.equal(last && decodeNodesOut(last).nodes.length, 10);
});
