// What golden_vectors_test.ts and host_codec_test.ts leave: the messages only dns, reporter and
// agent exchange, and whether the generated code is that of lars.proto.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import * as messages from "./messages.ts";

const uint32 = fc.integer({ min: 0, max: 4294967295 });
const total = fc.nat(Number.MAX_SAFE_INTEGER);

const callResult = fc.record({
  ip: uint32,
  port: uint32,
  succ: uint32,
  err: uint32,
  overload: fc.boolean(),
  succTotal: total,
  errTotal: total,
  timedTotal: total,
  timeMsTotal: total,
}, { noNullPrototype: true, requiredKeys: ["ip", "port", "succ", "err", "overload"] });

test("ReportStatusRequest is read back as it was written", () => {
  const message = fc.record({
    modId: uint32,
    cmdId: uint32,
    caller: uint32,
    results: fc.array(callResult, { maxLength: 20 }),
    ts: uint32,
  }, { noNullPrototype: true });
  fc.assert(fc.property(message, (value) => {
    const body = messages.encodeReportStatusRequest(value);
    assert.deepEqual(messages.decodeReportStatusRequest(body), value);
  }));
});

test("RoutePart and RouteChanged are read back as they were written", () => {
  const key = fc.record({ modId: uint32, cmdId: uint32 }, { noNullPrototype: true });
  fc.assert(fc.property(key, fc.array(key), uint32, (module, modules, part) => {
    const hosts = modules.map((other) => ({ ip: other.modId, port: other.cmdId, weight: part }));
    const piece = { ...module, hosts, part, partCount: part, revision: part };
    assert.deepEqual(messages.decodeRoutePart(messages.encodeRoutePart(piece)), piece);
    const changed = { modules };
    assert.deepEqual(messages.decodeRouteChanged(messages.encodeRouteChanged(changed)), changed);
  }));
});

test("encoders give plain byte arrays, whatever the runtime", () => {
  const body = messages.encodePing({ seq: 1 });
  assert.equal(Object.getPrototypeOf(body), Uint8Array.prototype);
});

test("a weight of 0 is told apart from no weight", () => {
  const route = { modId: 1, cmdId: 1, hosts: [{ ip: 1, port: 1, weight: 0 }, { ip: 2, port: 2 }] };
  const body = messages.encodeGetRouteResponse(route);
  assert.deepEqual(messages.decodeGetRouteResponse(body), route);
});

test("lars_pb.js was generated from lars.proto as it is now", () => {
  const read = (name: string): string => readFileSync(new URL(name, import.meta.url), "utf8");
  const digest = createHash("sha256").update(read("./lars.proto")).digest("hex");
  const hint = "run: deno run -A scripts/generate_proto.ts";
  assert.ok(read("./lars_pb.js").includes(`sha256 ${digest}\n`), hint);
  assert.ok(read("./lars_pb.d.ts").includes(`sha256 ${digest}\n`), hint);
});
