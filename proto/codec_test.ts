// The generated code against protobufjs, and whether it is that of lars.proto.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { ProtocolError } from "../reactor/errors.ts";
import * as codec from "./codec.ts";
import { codecText } from "./generate/codec_text.ts";
import { readSchema } from "./generate/schema.ts";
import { MessageId, PICK_KEY_BYTES_MAX } from "./message_ids.ts";
import { codecOf, MESSAGE_NAMES, oracleOf } from "./testing/codecs.ts";
import { readDatagram } from "./wire.ts";

const uint32 = fc.oneof(
  fc.constantFrom(0, 1, 127, 128, 16383, 16384, 2147483647, 2147483648, 4294967295),
  fc.integer({ min: 0, max: 4294967295 }),
);
const int32 = uint32.map((value) => value | 0);
const uint64 = fc.oneof(
  fc.constantFrom(0, 4294967295, 4294967296, Number.MAX_SAFE_INTEGER),
  fc.nat(Number.MAX_SAFE_INTEGER),
);
const token = fc.uint8Array({ minLength: 1, maxLength: 300 });
const text = fc.string({ unit: "binary", minLength: 1, maxLength: 200 });
const optional = { noNullPrototype: true, requiredKeys: [] as [] };

const host = fc.tuple(
  fc.record({ ip: uint32, port: uint32 }),
  fc.record({ weight: uint32, zone: text }, optional),
).map(([plain, extra]) => ({ ...plain, ...extra }));

/** Nodes of a route as they are read: the drained ones last. */
const routeHosts = fc.tuple(fc.array(host, { maxLength: 50 }), fc.array(host, { maxLength: 9 }))
  .map(([hosts, draining]) => [
    ...hosts,
    ...draining.map((one) => ({ ...one, state: "drain" as const })),
  ]);

const module = { modId: uint32, cmdId: uint32 };
const key = fc.uint8Array({ minLength: 1, maxLength: PICK_KEY_BYTES_MAX });
const getHostRequest = fc.record({ seq: uint32, ...module, token, key }, {
  noNullPrototype: true,
  requiredKeys: ["seq", "modId", "cmdId"],
});
const getHostResponse = fc.record({ seq: uint32, ...module, retcode: int32, host }, {
  noNullPrototype: true,
  requiredKeys: ["seq", "modId", "cmdId", "retcode"],
});
const reportRequest = fc.record({ ...module, host, retcode: int32, timecostMs: uint32, token }, {
  noNullPrototype: true,
  requiredKeys: ["modId", "cmdId", "host", "retcode"],
});
const getRouteRequest = fc.record({ ...module, token, padding: token, digest: token }, {
  noNullPrototype: true,
  requiredKeys: ["modId", "cmdId"],
});
const getRouteResponse = fc.record({
  ...module,
  hosts: routeHosts,
  revision: uint64,
  policy: text,
  meant: fc.constant(true),
  guarded: fc.constant(true),
  name: text,
  ...{ epoch: uint64, version: uint32, digest: token },
}, { noNullPrototype: true, requiredKeys: ["modId", "cmdId", "hosts"] });
const hello = fc.record({
  protocol: uint32,
  software: fc.string({ unit: "binary" }),
  role: fc.string({ unit: "binary" }),
  nonce: token,
  status: text,
  padding: token,
}, { noNullPrototype: true, requiredKeys: ["protocol", "software", "role"] });

const keyed = { noNullPrototype: true } as const;

/** Messages that are datagrams too: their arbitrary, what frames them, and the id in the head. */
const datagrams: Record<string, [fc.Arbitrary<unknown>, (message: never) => Uint8Array, number]> = {
  GetHostRequest: [getHostRequest, codec.frameGetHostRequest, MessageId.GetHostRequest],
  GetHostResponse: [getHostResponse, codec.frameGetHostResponse, MessageId.GetHostResponse],
  ReportRequest: [reportRequest, codec.frameReportRequest, MessageId.ReportRequest],
  GetRouteRequest: [getRouteRequest, codec.frameGetRouteRequest, MessageId.ApiGetRouteRequest],
  GetRouteResponse: [getRouteResponse, codec.frameGetRouteResponse, MessageId.ApiGetRouteResponse],
  Hello: [hello, codec.frameHello, MessageId.Hello],
  ExplainRequest: [
    fc.record({ seq: uint32, ...module, from: uint32, token }, {
      ...keyed,
      requiredKeys: ["seq", "modId", "cmdId", "from"],
    }),
    codec.frameExplainRequest,
    MessageId.ExplainRequest,
  ],
  ExplainResponse: [
    fc.record(
      { seq: uint32, ...module, from: uint32, explanation: fc.string({ unit: "binary" }) },
      keyed,
    ),
    codec.frameExplainResponse,
    MessageId.ExplainResponse,
  ],
};

function conforms(name: string, messages: fc.Arbitrary<unknown>, runs: number): void {
  test(`${name} has the bytes of protobufjs, and is read back`, () => {
    const own = codecOf(name);
    const oracle = oracleOf(name);
    fc.assert(
      fc.property(messages, (message) => {
        const body = own.encode(message);
        assert.deepEqual(body, oracle.encode(message));
        assert.deepEqual(own.decode(body), message);
        assert.deepEqual(oracle.decode(body), message);
      }),
      { numRuns: runs },
    );
  });
}

for (const [name, [arbitrary, frame, msgId]] of Object.entries(datagrams)) {
  conforms(name, arbitrary, 500);
  test(`${name} as a datagram is its body behind a head`, () => {
    fc.assert(
      fc.property(arbitrary, (message) => {
        const body = codecOf(name).encode(message);
        assert.deepEqual(readDatagram(frame(message as never)), { msgId, body });
      }),
      { numRuns: 500 },
    );
  });
}

test("a key of a pick is bounded, and an empty one is none", () => {
  const message = { seq: 1, modId: 2, cmdId: 3 };
  for (const { encode, decode } of [codecOf("GetHostRequest"), oracleOf("GetHostRequest")]) {
    const longest = { ...message, key: new Uint8Array(PICK_KEY_BYTES_MAX).fill(1) };
    assert.deepEqual(decode(encode(longest)), longest);
    const body = encode({ ...message, key: new Uint8Array(PICK_KEY_BYTES_MAX + 1) });
    assert.throws(() => decode(body), /key must be at most 256 bytes/);
    assert.deepEqual(decode(encode({ ...message, key: new Uint8Array() })), message);
  }
});

const nodeCalls = fc.record({
  ip: uint32,
  port: uint32,
  succ: uint32,
  err: uint32,
  errWeight: uint32,
  continSucc: uint32,
  continErr: uint32,
  errPushback: uint32,
  errRefused: uint32,
  errTimeout: uint32,
  timed: uint32,
  timeMs: uint64,
}, keyed);
const callResult = fc.record({
  ip: uint32,
  port: uint32,
  succ: uint32,
  err: uint32,
  overload: fc.boolean(),
  succTotal: uint64,
  errTotal: uint64,
  timedTotal: uint64,
  timeMsTotal: uint64,
  gains: fc.record({ succ: uint64, err: uint64, timed: uint64, timeMs: uint64 }, keyed),
}, { ...keyed, requiredKeys: ["ip", "port", "succ", "err", "overload"] });
const word = text.filter((one) => one !== "");
const leaseName = fc.record({ ...module, ip: uint32, port: uint32, incarnation: uint64 }, keyed);
const streamMessages: Record<string, fc.Arbitrary<unknown>> = {
  LeaseRegister: fc.record({
    ...{ seq: uint32, ...module, ip: uint32, port: uint32, ttlMs: uint32, weight: uint32 },
    ...{ zone: text, note: text, waiting: fc.boolean(), incarnation: uint64 },
    ...{ makesModule: fc.boolean(), detached: fc.boolean() },
    terms: fc.record({ check: word, module: word, owner: word, forHost: word }, {
      ...{ ...keyed, requiredKeys: [] },
    }),
  }, {
    ...keyed,
    requiredKeys: [
      ...["seq", "modId", "cmdId", "ip", "port", "ttlMs", "weight", "zone", "note"] as const,
      ...["waiting", "incarnation", "makesModule", "detached"] as const,
    ],
  }),
  LeaseRegistered: fc.record(
    { seq: uint32, code: uint32, reason: text, incarnation: uint64, ...module },
    keyed,
  ),
  LeaseChange: fc.record({
    ...{ seq: uint32, lease: leaseName, weight: uint32, zone: word, note: word, ready: uint32 },
    owner: text,
  }, { ...keyed, requiredKeys: ["seq", "owner"] }),
  LeaseLeave: fc.record(
    { seq: uint32, lease: leaseName, owner: text },
    { ...keyed, requiredKeys: ["seq", "owner"] },
  ),
  LeaseDone: fc.record({ seq: uint32, code: uint32, reason: text }, keyed),
  LeaseSafeRequest: fc.record(
    { seq: uint32, lease: leaseName, quietMs: uint32 },
    { ...keyed, requiredKeys: ["seq", "quietMs"] },
  ),
  LeaseSafe: fc.record({ seq: uint32, safe: fc.boolean(), waitsFor: text }, keyed),
  LeaseBeat: fc.record(
    { seq: uint32, lease: fc.array(leaseName, { maxLength: 4 }), owner: text },
    keyed,
  ),
  LeaseBeaten: fc.record(
    { seq: uint32, count: uint32, lost: fc.array(leaseName, { maxLength: 4 }) },
    keyed,
  ),
  TableSubscribe: fc.record({ ...module, end: fc.boolean() }, keyed),
  Refusal: fc.record({ reason: uint32 }, keyed),
  Goodbye: fc.record({ reason: text }, keyed),
  RelayJoin: fc.record({
    ...{ name: text, late: fc.boolean(), mail: fc.boolean(), epoch: uint64, after: uint64 },
  }, keyed),
  RelayJoined: fc.record({
    ...{ sid: uint32, status: uint32, epoch: uint64, after: uint64, missing: uint64 },
    recovered: fc.boolean(),
  }, keyed),
  RelaySend: fc.record({
    ...{ number: uint32, to: text, group: fc.boolean(), stored: fc.boolean(), ttlS: uint32 },
    ...{ id: text, data: fc.uint8Array({ maxLength: 300 }) },
  }, keyed),
  RelayAsk: fc.record({ number: uint32, question: text }, keyed),
  RelayTold: fc.record({ number: uint32, answer: text }, keyed),
  RelaySent: fc.record({ number: uint32, status: uint32, receivers: uint32 }, keyed),
  RelayMessage: fc.record({
    ...{ from: text, group: text, seq: uint64, id: text, sentAtMs: uint64 },
    data: fc.uint8Array({ maxLength: 300 }),
  }, keyed),
  RelayTaken: fc.record({ seq: uint64 }, keyed),
  RelayGroup: fc.record({ number: uint32, group: text, leave: fc.boolean() }, keyed),
  RelayWho: fc.record({ number: uint32, prefix: text, watch: fc.boolean() }, keyed),
  RelayHere: fc.record({
    number: uint32,
    members: fc.array(
      fc.record(
        { name: text, sid: uint32, since: uint32, gone: fc.boolean(), relay: text },
        keyed,
      ),
      { maxLength: 5 },
    ),
    ...{ cut: fc.boolean(), relay: text },
  }, keyed),
  RelayMailEntry: fc.record({
    ...{ name: text, writer: text, last: uint64, taken: uint64, after: uint64 },
    puts: fc.array(
      fc.record({
        ...{ sender: text, id: text, sentAtMs: uint64, expiresAtMs: uint64 },
        data: fc.uint8Array({ maxLength: 300 }),
      }, keyed),
      { maxLength: 3 },
    ),
    ends: fc.array(
      fc.record({
        ...{ seq: uint64, sender: text, id: text, sentAtMs: uint64, expired: fc.boolean() },
      }, keyed),
      { maxLength: 3 },
    ),
  }, keyed),
  RelayPresence: fc.record({
    ...{ relay: text, address: text, version: uint64, whole: fc.boolean(), ask: fc.boolean() },
    ...{ leaving: fc.boolean(), quiet: fc.boolean() },
    clients: fc.array(
      fc.record({
        ...{ name: text, sid: uint32, sinceMs: uint64, claim: uint64, gone: fc.boolean() },
      }, keyed),
      { maxLength: 3 },
    ),
    groups: fc.array(fc.record({ group: text, members: uint32 }, keyed), { maxLength: 3 }),
    served: fc.array(fc.record(module, keyed), { maxLength: 3 }),
    unserved: fc.array(fc.record(module, keyed), { maxLength: 3 }),
  }, keyed),
  RelayPass: fc.record({
    ...{ relay: text, number: uint64, from: text, to: text, group: fc.boolean(), id: text },
    ...{ sentAtMs: uint64, ...module, ttlMs: uint32 },
    key: fc.uint8Array({ minLength: 1, maxLength: 256 }),
    data: fc.uint8Array({ maxLength: 300 }),
  }, {
    ...keyed,
    requiredKeys: [
      ...["relay", "number", "from", "to", "group", "id", "sentAtMs"] as const,
      ...["modId", "cmdId", "ttlMs", "data"] as const,
    ],
  }),
  RelayPassed: fc.record({
    ...{ relay: text, number: uint64, status: uint32, receivers: uint32 },
    data: fc.uint8Array({ maxLength: 300 }),
  }, keyed),
  RelayRequest: fc.record({
    ...{ number: uint32, ...module, ttlMs: uint32 },
    key: fc.uint8Array({ minLength: 1, maxLength: 256 }),
    data: fc.uint8Array({ maxLength: 300 }),
  }, { ...keyed, requiredKeys: ["number", "modId", "cmdId", "ttlMs", "data"] }),
  RelayReply: fc.record({
    ...{ number: uint32, status: uint32, late: fc.boolean() },
    data: fc.uint8Array({ maxLength: 300 }),
  }, keyed),
  RelayWork: fc.record({
    modules: fc.array(fc.record(module, keyed), { maxLength: 5 }),
    ...{ credit: uint32, leaving: fc.boolean() },
  }, keyed),
  RelayTask: fc.record({
    ...{ task: uint32, ...module, sid: uint32, ttlMs: uint32 },
    cpid: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    key: fc.uint8Array({ minLength: 1, maxLength: 256 }),
    data: fc.uint8Array({ maxLength: 300 }),
  }, {
    ...keyed,
    requiredKeys: ["task", "modId", "cmdId", "sid", "cpid", "ttlMs", "data"],
  }),
  RelayDone: fc.record({
    ...{ task: uint32, status: uint32, credit: uint32 },
    data: fc.uint8Array({ maxLength: 300 }),
  }, keyed),
  ReportSession: fc.record({ session: uint64, stored: uint64, leaving: fc.boolean() }, keyed),
  ReportsStored: fc.record(
    { stored: uint64, held: uint64, plain: fc.boolean() },
    { ...keyed, requiredKeys: ["held", "plain"] },
  ),
  SubscriptionTerms: fc.record({ modulesMax: uint32, nodelessMax: uint32 }, keyed),
  BatchedReport: fc.record({ sender: uint32, first: uint64, outcomes: token }, keyed),
  FleetSubscribe: fc.record({ end: fc.boolean() }, keyed),
  FleetModules: fc.record({
    modules: fc.array(
      fc.record({ ...module, name: text, gone: fc.boolean() }, keyed),
      { maxLength: 20 },
    ),
    first: fc.boolean(),
    last: fc.boolean(),
  }, keyed),
  NodesOut: fc.record({
    ...module,
    nodes: fc.array(fc.record({ ip: uint32, port: uint32, agents: uint32 }, keyed)),
    agents: uint32,
  }, keyed),
  ExportStatus: fc.record({
    ...{ name: text, startedAt: uint32, modules: uint32 },
    ways: fc.array(fc.record({
      ...{ way: text, at: text, followers: uint32, behind: uint32, behindMs: uint32, fault: text },
    }, keyed)),
  }, keyed),
  TableSettings: fc.record({ rules: text, zone: text }, keyed),
  CallReports: fc.record({
    session: uint64,
    seq: uint32,
    modules: fc.array(
      fc.record({ ...module, nodes: fc.array(nodeCalls, { maxLength: 30 }) }, keyed),
      { maxLength: 10 },
    ),
  }, keyed),
  CallReportsTaken: fc.record({ seq: uint32 }, keyed),
  NodeUseRequest: fc.record({ seq: uint32, ...module, ip: uint32, port: uint32 }, keyed),
  NodeUse: fc.record({ seq: uint32, state: uint32, idleMs: uint32, clients: uint32 }, {
    ...keyed,
    requiredKeys: ["seq", "state", "clients"],
  }),
  Ping: fc.record({ seq: uint32, revision: uint64 }, { ...keyed, requiredKeys: ["seq"] }),
  Pong: fc.record({
    ...{ seq: uint32, spreadMs: uint32, placeMs: uint32, epoch: uint64, version: uint32 },
  }, { ...keyed, requiredKeys: ["seq"] }),
  RouteUnchanged: fc.record({
    ...module,
    ...{ revision: uint64, epoch: uint64, version: uint32 },
  }, { ...keyed, requiredKeys: ["modId", "cmdId"] }),
  Leaving: fc.record({ spreadMs: uint32 }, keyed),
  HelloProof: fc.record({ mac: fc.uint8Array({ maxLength: 100 }) }, keyed),
  RoutePart: fc.record({
    ...module,
    hosts: routeHosts,
    part: uint32,
    partCount: uint32,
    revision: uint64,
    policy: text,
    meant: fc.constant(true),
    guarded: fc.constant(true),
    name: text,
    ...{ epoch: uint64, version: uint32, digest: token },
  }, { ...keyed, requiredKeys: ["modId", "cmdId", "hosts", "part", "partCount"] }),
  ReportStatusRequest: fc.record({
    ...module,
    caller: uint32,
    results: fc.array(callResult, { maxLength: 50 }),
    ts: uint32,
    seq: uint64,
    refusedNew: uint64,
  }, { ...keyed, requiredKeys: ["modId", "cmdId", "caller", "results", "ts"] }),
  RouteChanged: fc.record({ modules: fc.array(fc.record(module, keyed)) }, keyed),
  NodeUseReport: fc.record({
    seq: uint32,
    agents: fc.array(fc.record({
      agent: fc.string({ unit: "binary" }),
      state: uint32,
      idleMs: uint32,
      clients: uint32,
      silent: fc.boolean(),
    }, { ...keyed, requiredKeys: ["agent", "state", "clients", "silent"] })),
    plain: uint32,
    cut: fc.boolean(),
  }, keyed),
  AgentStatus: fc.record({
    ip: uint32,
    port: uint32,
    zone: fc.string({ unit: "binary" }),
    startedAt: uint32,
    modules: uint32,
    held: uint32,
    heldRoutes: fc.string({ unit: "binary" }),
    policiesRefused: uint32,
    reporterConnected: fc.boolean(),
    clients: uint32,
    tableReaders: uint32,
  }, {
    ...keyed,
    requiredKeys: [
      ...["ip", "port", "zone", "startedAt", "modules", "held", "heldRoutes"] as const,
      ...["policiesRefused", "reporterConnected"] as const,
    ],
  }),
};

for (const [name, arbitrary] of Object.entries(streamMessages)) conforms(name, arbitrary, 300);

test("every message is held to protobufjs", () => {
  assert.deepEqual(
    MESSAGE_NAMES.filter((name) => !(name in datagrams) && !(name in streamMessages)),
    [],
  );
});

test("signed and unsigned numbers give the same bytes", () => {
  const unsigned = { seq: 1, modId: 4294967295, cmdId: 2147483648 };
  const signed = { seq: 1, modId: -1, cmdId: -2147483648 };
  const bytes = codec.encodeGetHostRequest(unsigned);
  assert.deepEqual(codec.encodeGetHostRequest(signed), bytes);
  assert.deepEqual(oracleOf("GetHostRequest").encode(signed), bytes);
});

test("an empty token, zone, nonce or status is as good as none", () => {
  const key = { modId: 1, cmdId: 2 };
  const empty = new Uint8Array();
  const same = (name: string, one: unknown, other: unknown): void => {
    for (const { encode } of [codecOf(name), oracleOf(name)]) {
      assert.deepEqual(encode(one), encode(other));
    }
  };
  same("GetHostRequest", { seq: 1, ...key, token: empty }, { seq: 1, ...key });
  same(
    "ReportRequest",
    { ...key, host: { ip: 1, port: 2, zone: "" }, retcode: 0 },
    { ...key, host: { ip: 1, port: 2 }, retcode: 0 },
  );
  same(
    "Hello",
    { protocol: 1, software: "a", role: "b", nonce: empty, status: "" },
    { protocol: 1, software: "a", role: "b" },
  );
});

test("text of any length and any characters is written and read like protobufjs does", () => {
  const { encode, decode } = codecOf("Hello");
  const oracle = oracleOf("Hello");
  for (const letter of ["a", "é", "漢", "🚀", "\uFEFF", "\0"]) {
    for (let length = 0; length < 150; length++) {
      for (const software of [letter.repeat(length), "a".repeat(length) + letter]) {
        const message = { protocol: 1, software, role: "x" };
        const body = encode(message);
        assert.deepEqual(body, oracle.encode(message));
        assert.deepEqual(decode(body), message);
      }
    }
  }
  const lone = { protocol: 1, software: "a\ud800b", role: "" };
  assert.deepEqual(decode(encode(lone)), { ...lone, software: "a\ufffdb" });
});

test("encoders give plain byte arrays with a buffer of their own, whatever the runtime", () => {
  const bodies = [1, 100, 5000].flatMap((count) => {
    const hosts = Array.from({ length: count }, (_, index) => ({ ip: index + 1, port: 1 }));
    return [
      codec.encodeGetRouteResponse({ modId: 1, cmdId: 1, hosts }),
      codec.encodePing({ seq: 1 }),
    ];
  });
  for (const body of bodies) assert.equal(Object.getPrototypeOf(body), Uint8Array.prototype);
  assert.equal(new Set(bodies.map(({ buffer }) => buffer)).size, bodies.length);
});

test("a weight of 0 is told apart from no weight", () => {
  const route = { modId: 1, cmdId: 1, hosts: [{ ip: 1, port: 1, weight: 0 }, { ip: 2, port: 2 }] };
  const body = codec.encodeGetRouteResponse(route);
  assert.deepEqual(codec.decodeGetRouteResponse(body), route);
});

test("errors name the message, and the field where there is one", () => {
  assert.throws(() => codec.decodePing(Uint8Array.of(0x08)), {
    name: "ProtocolError",
    message: "Ping cannot be read: Message ends inside a field",
  });
  const tooLarge = Uint8Array.of(0x10, ...new Array(9).fill(0xff), 0x01);
  assert.throws(
    () => codec.decodePing(tooLarge),
    /^ProtocolError: Ping\.revision must be at most 2\^53 - 1: current value is 18446744073709552000$/,
  );
});

test("codec.ts was generated from lars.proto as it is now", () => {
  const read = (name: string): string => readFileSync(new URL(name, import.meta.url), "utf8");
  const hint = "run: deno task proto";
  assert.ok(read("./codec.ts") === codecText(readSchema(read("./lars.proto"))), hint);
});

test("readDatagram() refuses a wrong length and a missing head", () => {
  const good = codec.frameGetHostRequest({ seq: 1, modId: 2, cmdId: 3 });
  for (let length = 0; length < good.length; length++) {
    assert.throws(() => readDatagram(good.subarray(0, length)), ProtocolError);
  }
  assert.throws(() => readDatagram(new Uint8Array([...good, 0])), ProtocolError);
  const negative = good.slice();
  negative[7] = 0x80;
  assert.throws(() => readDatagram(negative), ProtocolError);
  assert.deepEqual(readDatagram(new Uint8Array(8)), { msgId: 0, body: new Uint8Array() });
});

test("readDatagram() reads a view that does not start at 0", () => {
  const good = codec.frameGetHostRequest({ seq: 1, modId: 2, cmdId: 3 });
  const inside = new Uint8Array([9, 9, 9, ...good]).subarray(3);
  assert.deepEqual(readDatagram(inside), readDatagram(good));
});

test("a sum that has grown beyond what can be read is written as the largest number that can", () => {
  for (const much of [2 ** 53, 2 ** 60, Number.MAX_VALUE, Infinity]) {
    const totals = { succTotal: much, errTotal: much, timedTotal: much, timeMsTotal: much };
    const gains = { succ: much, err: much, timed: much, timeMs: much };
    const result = { ip: 1, port: 80, succ: 1, err: 1, overload: false, ...totals, gains };
    const about = { modId: 1, cmdId: 1, caller: 1, ts: 1, seq: 1 };
    const body = codec.encodeReportStatusRequest({ ...about, results: [result] });
    const [read] = codec.decodeReportStatusRequest(body).results;
    assert.deepEqual(
      [read.succTotal, read.timeMsTotal, read.gains?.timeMs],
      Array(3).fill(Number.MAX_SAFE_INTEGER),
    );
  }
});
