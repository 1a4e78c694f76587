import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ProtocolError } from "../reactor/errors.ts";
import * as feed from "./feed_codec.ts";
import * as byHand from "./host_codec.ts";
import { MessageId, PICK_KEY_BYTES_MAX } from "./message_ids.ts";
import * as generated from "./messages.ts";

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
const getRouteRequest = fc.record({ ...module, token }, {
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
}, { noNullPrototype: true, requiredKeys: ["modId", "cmdId", "hosts"] });
const hello = fc.record({
  protocol: uint32,
  software: fc.string({ unit: "binary" }),
  role: fc.string({ unit: "binary" }),
  nonce: token,
  status: text,
}, { noNullPrototype: true, requiredKeys: ["protocol", "software", "role"] });

interface Codec<T> {
  encode(message: T): Uint8Array;
  decode(body: Uint8Array): T;
}

function conforms<T>(
  name: string,
  messages: fc.Arbitrary<T>,
  hand: Codec<T> & { frame(message: T): Uint8Array; msgId: number },
  reference: Codec<T>,
): void {
  test(`${name} by hand has the bytes of the generated code, and reads them back`, () => {
    fc.assert(
      fc.property(messages, (message) => {
        const body = hand.encode(message);
        assert.deepEqual(body, reference.encode(message));
        assert.deepEqual(hand.decode(body), message);
        assert.deepEqual(reference.decode(body), message);
        assert.deepEqual(byHand.readDatagram(hand.frame(message)), { msgId: hand.msgId, body });
      }),
      { numRuns: 500 },
    );
  });
}

conforms<byHand.GetHostRequest>("GetHostRequest", getHostRequest, {
  encode: byHand.encodeGetHostRequest,
  decode: byHand.decodeGetHostRequest,
  frame: byHand.frameGetHostRequest,
  msgId: MessageId.GetHostRequest,
}, { encode: generated.encodeGetHostRequest, decode: generated.decodeGetHostRequest });

conforms<byHand.GetHostResponse>("GetHostResponse", getHostResponse, {
  encode: byHand.encodeGetHostResponse,
  decode: byHand.decodeGetHostResponse,
  frame: byHand.frameGetHostResponse,
  msgId: MessageId.GetHostResponse,
}, { encode: generated.encodeGetHostResponse, decode: generated.decodeGetHostResponse });

conforms<byHand.ReportRequest>("ReportRequest", reportRequest, {
  encode: byHand.encodeReportRequest,
  decode: byHand.decodeReportRequest,
  frame: byHand.frameReportRequest,
  msgId: MessageId.ReportRequest,
}, { encode: generated.encodeReportRequest, decode: generated.decodeReportRequest });

conforms<byHand.GetRouteRequest>("GetRouteRequest", getRouteRequest, {
  encode: byHand.encodeGetRouteRequest,
  decode: byHand.decodeGetRouteRequest,
  frame: byHand.frameGetRouteRequest,
  msgId: MessageId.ApiGetRouteRequest,
}, { encode: generated.encodeGetRouteRequest, decode: generated.decodeGetRouteRequest });

conforms<byHand.GetRouteResponse>("GetRouteResponse", getRouteResponse, {
  encode: byHand.encodeGetRouteResponse,
  decode: byHand.decodeGetRouteResponse,
  frame: byHand.frameGetRouteResponse,
  msgId: MessageId.ApiGetRouteResponse,
}, { encode: generated.encodeGetRouteResponse, decode: generated.decodeGetRouteResponse });

conforms("Hello", hello, {
  encode: byHand.encodeHello,
  decode: byHand.decodeHello,
  frame: byHand.frameHello,
  msgId: MessageId.Hello,
}, { encode: generated.encodeHello, decode: generated.decodeHello });

conforms(
  "ExplainRequest",
  fc.record({ seq: uint32, ...module, from: uint32, token }, {
    noNullPrototype: true,
    requiredKeys: ["seq", "modId", "cmdId", "from"],
  }),
  {
    encode: byHand.encodeExplainRequest,
    decode: byHand.decodeExplainRequest,
    frame: byHand.frameExplainRequest,
    msgId: MessageId.ExplainRequest,
  },
  { encode: generated.encodeExplainRequest, decode: generated.decodeExplainRequest },
);

conforms(
  "ExplainResponse",
  fc.record({ seq: uint32, ...module, from: uint32, explanation: fc.string({ unit: "binary" }) }, {
    noNullPrototype: true,
  }),
  {
    encode: byHand.encodeExplainResponse,
    decode: byHand.decodeExplainResponse,
    frame: byHand.frameExplainResponse,
    msgId: MessageId.ExplainResponse,
  },
  { encode: generated.encodeExplainResponse, decode: generated.decodeExplainResponse },
);

test("a key of a pick is bounded, and an empty one is none", () => {
  const message = { seq: 1, modId: 2, cmdId: 3 };
  for (const codec of [byHand, generated]) {
    const longest = { ...message, key: new Uint8Array(PICK_KEY_BYTES_MAX).fill(1) };
    assert.deepEqual(codec.decodeGetHostRequest(codec.encodeGetHostRequest(longest)), longest);
    const tooLong = { ...message, key: new Uint8Array(PICK_KEY_BYTES_MAX + 1) };
    const body = codec.encodeGetHostRequest(tooLong);
    assert.throws(() => codec.decodeGetHostRequest(body), /key must be at most 256 bytes/);
    const empty = codec.encodeGetHostRequest({ ...message, key: new Uint8Array() });
    assert.deepEqual(codec.decodeGetHostRequest(empty), message);
  }
});

const noNull = { noNullPrototype: true } as const;
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
}, noNull);
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
}, { ...noNull, requiredKeys: ["ip", "port", "succ", "err", "overload"] });
const feedMessages: Record<string, fc.Arbitrary<unknown>> = {
  TableSubscribe: fc.record({ ...module, end: fc.boolean() }, noNull),
  TableSettings: fc.record({ rules: text, zone: text }, noNull),
  CallReports: fc.record({
    session: uint64,
    seq: uint32,
    modules: fc.array(
      fc.record({ ...module, nodes: fc.array(nodeCalls, { maxLength: 30 }) }, noNull),
      { maxLength: 10 },
    ),
  }, noNull),
  CallReportsTaken: fc.record({ seq: uint32 }, noNull),
  NodeUseRequest: fc.record({ seq: uint32, ...module, ip: uint32, port: uint32 }, noNull),
  NodeUse: fc.record({ seq: uint32, state: uint32, idleMs: uint32, clients: uint32 }, {
    ...noNull,
    requiredKeys: ["seq", "state", "clients"],
  }),
  Ping: fc.record({ seq: uint32, revision: uint64 }, { ...noNull, requiredKeys: ["seq"] }),
  Pong: fc.record({ seq: uint32 }, noNull),
  HelloProof: fc.record({ mac: fc.uint8Array({ maxLength: 100 }) }, noNull),
  RoutePart: fc.record({
    ...module,
    hosts: routeHosts,
    part: uint32,
    partCount: uint32,
    revision: uint64,
    policy: text,
    meant: fc.constant(true),
    guarded: fc.constant(true),
  }, { ...noNull, requiredKeys: ["modId", "cmdId", "hosts", "part", "partCount"] }),
  ReportStatusRequest: fc.record({
    ...module,
    caller: uint32,
    results: fc.array(callResult, { maxLength: 50 }),
    ts: uint32,
  }, noNull),
};

for (const [name, arbitrary] of Object.entries(feedMessages)) {
  const codec = (from: unknown): Codec<unknown> => {
    const functions = from as Record<string, unknown>;
    return {
      encode: functions[`encode${name}`] as Codec<unknown>["encode"],
      decode: functions[`decode${name}`] as Codec<unknown>["decode"],
    };
  };
  test(`${name} by hand has the bytes of the generated code, and reads them back`, () => {
    const hand = codec(feed);
    const reference = codec(generated);
    fc.assert(
      fc.property(arbitrary, (message) => {
        const body = hand.encode(message);
        assert.deepEqual(body, reference.encode(message));
        assert.deepEqual(hand.decode(body), message);
        assert.deepEqual(reference.decode(body), message);
      }),
      { numRuns: 300 },
    );
  });
}

test("signed and unsigned numbers give the same bytes", () => {
  const unsigned = { seq: 1, modId: 4294967295, cmdId: 2147483648 };
  const signed = { seq: 1, modId: -1, cmdId: -2147483648 };
  assert.deepEqual(byHand.encodeGetHostRequest(signed), byHand.encodeGetHostRequest(unsigned));
  assert.deepEqual(generated.encodeGetHostRequest(signed), byHand.encodeGetHostRequest(unsigned));
});

test("an empty token, zone, nonce or status is as good as none", () => {
  const key = { modId: 1, cmdId: 2 };
  const empty = new Uint8Array();
  for (const codec of [byHand, generated]) {
    assert.deepEqual(
      codec.encodeGetHostRequest({ seq: 1, ...key, token: empty }),
      codec.encodeGetHostRequest({ seq: 1, ...key }),
    );
    assert.deepEqual(
      codec.encodeReportRequest({ ...key, host: { ip: 1, port: 2, zone: "" }, retcode: 0 }),
      codec.encodeReportRequest({ ...key, host: { ip: 1, port: 2 }, retcode: 0 }),
    );
    assert.deepEqual(
      codec.encodeHello({ protocol: 1, software: "a", role: "b", nonce: empty, status: "" }),
      codec.encodeHello({ protocol: 1, software: "a", role: "b" }),
    );
  }
});

test("readDatagram() refuses a wrong length and a missing head", () => {
  const good = byHand.frameGetHostRequest({ seq: 1, modId: 2, cmdId: 3 });
  for (let length = 0; length < good.length; length++) {
    assert.throws(() => byHand.readDatagram(good.subarray(0, length)), ProtocolError);
  }
  assert.throws(() => byHand.readDatagram(new Uint8Array([...good, 0])), ProtocolError);
  const negative = good.slice();
  negative[7] = 0x80;
  assert.throws(() => byHand.readDatagram(negative), ProtocolError);
  assert.deepEqual(byHand.readDatagram(new Uint8Array(8)), { msgId: 0, body: new Uint8Array() });
});

test("readDatagram() reads a view that does not start at 0", () => {
  const good = byHand.frameGetHostRequest({ seq: 1, modId: 2, cmdId: 3 });
  const inside = new Uint8Array([9, 9, 9, ...good]).subarray(3);
  assert.deepEqual(byHand.readDatagram(inside), byHand.readDatagram(good));
});
