import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  encodeRelayFrame,
  readRelayFrame,
  readTransitTarget,
  RELAY_DATA_BYTES,
  RELAY_FRAME_BYTES,
  type RelayFrame,
  RelayFrameCutter,
  transitData,
} from "./relay_frame.ts";

const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const frames = fc.record({
  kind: int32,
  cpid: int32,
  sid: int32,
  msgid: int32,
  data: fc.uint8Array({ maxLength: RELAY_DATA_BYTES }),
});

function padded(frame: RelayFrame): RelayFrame {
  const data = new Uint8Array(RELAY_DATA_BYTES);
  data.set(frame.data);
  return { ...frame, data };
}

const copied = (frame: RelayFrame): RelayFrame => ({ ...frame, data: frame.data.slice() });

test("a relay frame has its four numbers at 0, 4, 8 and 12, little-endian, and data at 16", () => {
  const data = Uint8Array.of(65);
  const bytes = encodeRelayFrame({ kind: 1, cpid: 0x01020304, sid: -1, msgid: 7, data });
  assert.equal(bytes.length, RELAY_FRAME_BYTES);
  assert.deepEqual([...bytes.subarray(0, 18)], [
    ...[1, 0, 0, 0, 4, 3, 2, 1, 255, 255, 255, 255, 7, 0, 0, 0, 65, 0],
  ]);
  assert.throws(
    () => encodeRelayFrame({ kind: 1, cpid: 0, sid: 0, msgid: 0, data: new Uint8Array(185) }),
    /at most 184 bytes: current value is 185/,
  );
});

test("relay frames come out of a stream as they went in, however it is split", () => {
  fc.assert(fc.property(
    fc.array(frames, { maxLength: 8 }),
    fc.array(fc.integer({ min: 1, max: 450 }), { minLength: 1, maxLength: 30 }),
    fc.nat(199),
    (sent, pieces, rest) => {
      const stream = new Uint8Array(sent.length * RELAY_FRAME_BYTES + rest);
      sent.forEach((frame, index) =>
        stream.set(encodeRelayFrame(frame), index * RELAY_FRAME_BYTES)
      );
      const cutter = new RelayFrameCutter();
      const got: RelayFrame[] = [];
      let at = 0;
      for (let turn = 0; at < stream.length; turn++) {
        const piece = stream.slice(at, at + pieces[turn % pieces.length]);
        at += piece.length;
        cutter.push(piece, (frame) => got.push(copied(frame)) > 0);
        piece.fill(255); // what it was lent is not kept
      }
      assert.deepEqual(got, sent.map(padded));
      assert.equal(cutter.pendingBytes, rest);
    },
  ));
});

test("a frame of any length but 200 leaves what is over for the next one", () => {
  for (let length = 0; length <= 400; length++) {
    const cutter = new RelayFrameCutter();
    let count = 0;
    cutter.push(new Uint8Array(length), () => ++count > 0);
    assert.equal(count, Math.floor(length / 200));
    assert.equal(cutter.pendingBytes, length % 200);
  }
});

test("a cutter stops in the middle of a piece when it is told to", () => {
  const cutter = new RelayFrameCutter();
  let count = 0;
  cutter.push(new Uint8Array(1000), () => ++count < 2);
  assert.equal(count, 2);
});

test("the target of a frame from client to client is an address, with a port or without", () => {
  const of = (text: string): unknown => readTransitTarget(new TextEncoder().encode(text));
  assert.deepEqual(of("10.0.0.7\0garbage"), { hostname: "10.0.0.7", port1: undefined });
  assert.deepEqual(of("10.0.0.7:1023\0"), { hostname: "10.0.0.7", port1: 1023 });
  assert.deepEqual(of("255.255.255.255:65535".padEnd(24, "\0") + "payload"), {
    hostname: "255.255.255.255",
    port1: 65535,
  });
  for (const bad of ["", "\0", "host", "10.0.0", "10.0.0.7:", "10.0.0.7:x", "x".repeat(24)]) {
    assert.equal(of(bad), undefined, bad);
  }
});

test("the receiver sees the sender's address in front of the payload", () => {
  const data = new Uint8Array(RELAY_DATA_BYTES).fill(7);
  const moved = transitData({ hostname: "255.255.255.255", port1: 65535 }, data);
  assert.equal(new TextDecoder().decode(moved.subarray(0, 21)), "255.255.255.255:65535");
  assert.deepEqual([...moved.subarray(21, 24)], [0, 0, 0]);
  assert.deepEqual(moved.subarray(24), data.subarray(24));
  assert.equal(readRelayFrame(new Uint8Array(400), 200).data.length, RELAY_DATA_BYTES);
});
