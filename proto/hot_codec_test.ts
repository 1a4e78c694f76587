import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ProtocolError } from "../reactor/errors.ts";
import * as codec from "./codec.ts";
import {
  GET_HOST_RESPONSE_BYTES_MAX,
  hotMessageId,
  HotReader,
  NO_MESSAGE,
  writeGetHostResponse,
} from "./hot_codec.ts";
import { MessageId, RetCode } from "./message_ids.ts";
import { oracleOf } from "./testing/codecs.ts";
import { readDatagram } from "./wire.ts";

const uint32 = fc.oneof(
  fc.constantFrom(0, 1, 127, 128, 16383, 16384, 2147483647, 2147483648, 4294967295),
  fc.integer({ min: 0, max: 4294967295 }),
);
const keys = { modId: uint32, cmdId: uint32 };
const token = fc.uint8Array({ minLength: 1, maxLength: 200 });
const key = fc.uint8Array({ minLength: 1, maxLength: 256 });
const getHost = fc.record({ seq: uint32, ...keys, token, key }, {
  noNullPrototype: true,
  requiredKeys: ["seq", "modId", "cmdId"],
});
const report = fc.record({
  ...keys,
  host: fc.record({ ip: uint32, port: uint32, weight: uint32, zone: fc.string() }, {
    noNullPrototype: true,
    requiredKeys: ["ip", "port"],
  }),
  retcode: uint32.map((value) => value | 0),
  timecostMs: uint32,
  token,
}, { noNullPrototype: true, requiredKeys: ["modId", "cmdId", "host", "retcode"] });

const reader = new HotReader();

/** Puts the bytes between others that must not be read. */
function embed(body: Uint8Array): { bytes: Uint8Array; start: number; end: number } {
  const bytes = new Uint8Array(body.length + 20).fill(0x08);
  bytes.set(body, 10);
  return { bytes, start: 10, end: 10 + body.length };
}

/** What all three codecs make of a body; undefined = refused. The hot one may also be unsure. */
function agree(kind: "GetHost" | "Report", body: Uint8Array): boolean {
  const outcome = <T>(decode: (bytes: Uint8Array) => T): T | undefined => {
    try {
      return decode(body);
    } catch (error) {
      assert.ok(error instanceof ProtocolError, `${error}`);
      return undefined;
    }
  };
  const { bytes, start, end } = embed(body);
  if (kind === "GetHost") {
    const message = outcome(codec.decodeGetHostRequest);
    assert.deepEqual(outcome(oracleOf("GetHostRequest").decode), message);
    if (!reader.readGetHost(bytes, start, end)) return false;
    assert.ok(message !== undefined, "accepted what is to be refused");
    const { seq, modId, cmdId } = reader;
    const { token: _token, ...plain } = message;
    assert.ok(!("key" in plain), "a keyed pick is for the other codec");
    assert.deepEqual({ seq, modId, cmdId }, plain);
    return true;
  }
  const message = outcome(codec.decodeReportRequest);
  assert.deepEqual(outcome(oracleOf("ReportRequest").decode), message);
  if (!reader.readReport(bytes, start, end)) return false;
  assert.ok(message !== undefined, "accepted what is to be refused");
  const { modId, cmdId, ip, port, retcode, timecostMs } = reader;
  assert.deepEqual({ modId, cmdId, ip, port, retcode, timecostMs }, {
    modId: message.modId,
    cmdId: message.cmdId,
    ip: message.host.ip,
    port: message.host.port,
    retcode: message.retcode,
    timecostMs: message.timecostMs ?? -1,
  });
  return true;
}

test("HotReader reads every ordinary request as the other codecs do", () => {
  fc.assert(
    fc.property(getHost, (message) => {
      const read = agree("GetHost", codec.encodeGetHostRequest(message));
      assert.equal(read, message.key === undefined, "only a key needs the other codec");
    }),
    { numRuns: 500 },
  );
  fc.assert(
    fc.property(report, (message) => {
      const read = agree("Report", codec.encodeReportRequest(message));
      assert.equal(read, !message.host.zone, "only text needs the other codec");
    }),
    { numRuns: 500 },
  );
});

/** A varint of any length up to eleven bytes, most of them longer than they need be. */
const overlong = fc.tuple(fc.uint8Array({ maxLength: 11 }), fc.integer({ min: 0, max: 127 }))
  .map(([head, last]) => [...head.map((byte) => byte | 128), last]);
const piece = fc.oneof(
  fc.tuple(fc.constantFrom(0x08, 0x10, 0x18, 0x20, 0x28, 0x78), overlong)
    .map(([tag, value]) => [tag, ...value]),
  // Tags that are longer than they need be.
  fc.tuple(fc.constantFrom(0x88, 0x90, 0x98), overlong).map(([tag, value]) => [tag, 0, ...value]),
  fc.uint8Array({ maxLength: 9 }).map((bytes) => [0x79, ...bytes]),
  fc.uint8Array({ maxLength: 5 }).map((bytes) => [0x7d, ...bytes]),
  fc.tuple(fc.constantFrom(0x7a, 0x1a), overlong, fc.uint8Array({ maxLength: 12 }))
    .map(([tag, length, bytes]) => [tag, ...length, ...bytes]),
  fc.tuple(fc.constantFrom(0x1a, 0x7a), fc.uint8Array({ maxLength: 40 }))
    .map(([tag, bytes]) => [tag, bytes.length, ...bytes]),
  fc.tuple(fc.constantFrom(0x82, 0x8a), fc.uint8Array({ maxLength: 40 }))
    .map(([tag, bytes]) => [tag, 1, bytes.length, ...bytes]),
  fc.constantFrom([0x7b, 0x7c], [0x7b, 0x08, 0x01, 0x7c], [0x7b], [0x00, 0x01], [0x7e]),
  fc.uint8Array({ maxLength: 4 }).map((bytes) => [0x8a, 1, bytes.length, ...bytes]),
  fc.uint8Array({ maxLength: 6 }).map((bytes) => [...bytes]),
);
const host = fc.array(piece, { maxLength: 4 }).map((pieces) => {
  const bytes = pieces.flat().slice(0, 127);
  return [0x1a, bytes.length, ...bytes];
});
const anything = fc.array(fc.oneof(piece, host), { maxLength: 8 })
  .map((pieces) => Uint8Array.from(pieces.flat()));

test("HotReader never reads what another codec refuses or reads differently", () => {
  const counts = { read: 0, unsure: 0 };
  fc.assert(
    fc.property(anything, (body) => {
      for (const kind of ["GetHost", "Report"] as const) {
        counts[agree(kind, body) ? "read" : "unsure"]++;
      }
    }),
    { numRuns: 5000 },
  );
  assert.ok(counts.read > 200 && counts.unsure > 200, JSON.stringify(counts));
});

test("HotReader is held to the others at every cut and every changed byte of a message", () => {
  const bodies = {
    GetHost: codec.encodeGetHostRequest({
      seq: 4294967295,
      modId: 4294967295,
      cmdId: 300,
      token: Uint8Array.of(1, 2, 3),
    }),
    Report: codec.encodeReportRequest({
      modId: 4294967295,
      cmdId: 300,
      host: { ip: 3232235953, port: 80, weight: 5 },
      retcode: -1,
      timecostMs: 250,
      token: Uint8Array.of(1, 2, 3),
    }),
  };
  for (const kind of ["GetHost", "Report"] as const) {
    const body = bodies[kind];
    for (let at = 0; at < body.length; at++) {
      agree(kind, body.subarray(0, at));
      for (let byte = 0; byte < 256; byte++) agree(kind, body.with(at, byte));
    }
  }
});

test("writeGetHostResponse() gives the bytes of the other codecs", () => {
  const retcodes = fc.constantFrom(...Object.values(RetCode));
  fc.assert(
    fc.property(
      uint32,
      uint32,
      uint32,
      retcodes,
      uint32,
      uint32,
      (seq, modId, cmdId, retcode, ip, port) => {
        const bytes = new Uint8Array(GET_HOST_RESPONSE_BYTES_MAX + 10).fill(0xee);
        const length = writeGetHostResponse(bytes, 5, seq, modId, cmdId, retcode, ip, port);
        const message = retcode === RetCode.Success
          ? { seq, modId, cmdId, retcode, host: { ip, port } }
          : { seq, modId, cmdId, retcode };
        assert.deepEqual(bytes.slice(5, 5 + length), codec.frameGetHostResponse(message));
        assert.deepEqual(bytes.slice(13, 5 + length), oracleOf("GetHostResponse").encode(message));
        assert.ok(bytes.slice(0, 5).every((byte) => byte === 0xee));
        assert.ok(length <= GET_HOST_RESPONSE_BYTES_MAX);
      },
    ),
    { numRuns: 1000 },
  );
});

test("hotMessageId() is what readDatagram() says", () => {
  const good = codec.frameGetHostRequest({ seq: 1, modId: 2, cmdId: 3 });
  const datagrams = [good, new Uint8Array(8), new Uint8Array([...good, 0])];
  for (let at = 0; at < good.length; at++) {
    datagrams.push(good.subarray(0, at));
    for (const byte of [0, 1, 127, 128, 255]) datagrams.push(good.with(at, byte));
  }
  for (const datagram of datagrams) {
    const { bytes, start, end } = embed(datagram);
    let expected = NO_MESSAGE;
    try {
      expected = readDatagram(datagram).msgId;
    } catch (error) {
      assert.ok(error instanceof ProtocolError);
    }
    assert.equal(hotMessageId(bytes, start, end), expected);
  }
  const { bytes, start, end } = embed(good);
  assert.equal(hotMessageId(bytes, start, end), MessageId.GetHostRequest);
});
