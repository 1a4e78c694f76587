import { test } from "node:test";
import assert from "node:assert/strict";
import process from "node:process";
import fc from "fast-check";
import { ProtocolError } from "./errors.ts";
import {
  encodeFrame,
  FRAME_BODY_BYTES_MAX,
  FrameDecoder,
  HEAD_BYTES,
  readHead,
  writeHead,
} from "./frame.ts";

interface Frame {
  msgId: number;
  body: number[];
}

function collector(): { frames: Frame[]; sink: (msgId: number, body: Uint8Array) => void } {
  const frames: Frame[] = [];
  return { frames, sink: (msgId, body) => void frames.push({ msgId, body: [...body] }) };
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}

function headOnly(msgId: number, bodyBytes: number): Uint8Array {
  const head = new Uint8Array(HEAD_BYTES);
  writeHead(head, 0, msgId, bodyBytes);
  return head;
}

const three: Frame[] = [
  { msgId: 1, body: [7, 8, 9] },
  { msgId: -5, body: [] },
  { msgId: 0x7fffffff, body: [0] },
];
const threeBytes = concat(three.map((f) => encodeFrame(f.msgId, Uint8Array.from(f.body))));

test("encodeFrame() writes the head little-endian", () => {
  const frame = encodeFrame(0x01020304, Uint8Array.of(0xaa));
  assert.deepEqual([...frame], [4, 3, 2, 1, 1, 0, 0, 0, 0xaa]);
  assert.deepEqual(readHead(frame), { msgId: 0x01020304, bodyBytes: 1 });
});

test("encodeFrame() refuses a body that no frame can carry", () => {
  assert.equal(encodeFrame(1, new Uint8Array(FRAME_BODY_BYTES_MAX)).length, 65_535);
  assert.throws(() => encodeFrame(1, new Uint8Array(FRAME_BODY_BYTES_MAX + 1)), RangeError);
});

test("readHead() wants eight bytes", () => {
  assert.throws(() => readHead(new Uint8Array(7)), RangeError);
  assert.throws(() => readHead(new Uint8Array(10), 3), RangeError);
  assert.throws(() => readHead(new Uint8Array(10), -1), RangeError);
  assert.deepEqual(readHead(headOnly(-2, -1)), { msgId: -2, bodyBytes: -1 });
});

test("FrameDecoder.push() takes a stream byte by byte", () => {
  const { frames, sink } = collector();
  const decoder = new FrameDecoder();
  for (const byte of threeBytes) decoder.push(Uint8Array.of(byte), sink);
  assert.deepEqual(frames, three);
  assert.equal(decoder.pendingBytes, 0);
});

test("FrameDecoder.push() takes a stream cut at any two places", () => {
  for (let first = 0; first <= threeBytes.length; first++) {
    for (let second = first; second <= threeBytes.length; second++) {
      const { frames, sink } = collector();
      const decoder = new FrameDecoder();
      decoder.push(threeBytes.subarray(0, first), sink);
      decoder.push(threeBytes.subarray(first, second), sink);
      decoder.push(threeBytes.subarray(second), sink);
      assert.deepEqual(frames, three, `cut at ${first} and ${second}`);
      assert.equal(decoder.pendingBytes, 0);
    }
  }
});

test("FrameDecoder.push() gives the same frames for any frames in any pieces", () => {
  const frameArbitrary = fc.record({
    msgId: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    body: fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 600 }),
  }, { noNullPrototype: true });
  fc.assert(
    fc.property(
      fc.array(frameArbitrary, { maxLength: 12 }),
      fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 8 }),
      (frames, pieces) => {
        const bytes = concat(frames.map((f) => encodeFrame(f.msgId, Uint8Array.from(f.body))));
        const got = collector();
        const decoder = new FrameDecoder();
        let offset = 0;
        for (let turn = 0; offset < bytes.length; turn++) {
          const end = offset + pieces[turn % pieces.length];
          decoder.push(bytes.subarray(offset, end), got.sink);
          offset = end;
        }
        assert.deepEqual(got.frames, frames);
        assert.equal(decoder.pendingBytes, 0);
      },
    ),
    { numRuns: 300 },
  );
});

test("FrameDecoder.push() never throws anything but ProtocolError on random bytes", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), (chunks) => {
      const decoder = new FrameDecoder();
      try {
        for (const chunk of chunks) decoder.push(chunk, () => {});
      } catch (error) {
        assert.ok(error instanceof ProtocolError);
      }
      assert.ok(decoder.pendingBytes <= HEAD_BYTES + FRAME_BODY_BYTES_MAX);
    }),
    { numRuns: 500 },
  );
});

test("FrameDecoder.push() hands on a whole frame without a copy", () => {
  let seen: ArrayBufferLike | undefined;
  new FrameDecoder().push(threeBytes, (_msgId, body) => (seen = body.buffer));
  assert.equal(seen, threeBytes.buffer);
});

test("FrameDecoder.push() accepts empty bodies and empty pieces", () => {
  const { frames, sink } = collector();
  const decoder = new FrameDecoder();
  decoder.push(new Uint8Array(0), sink);
  decoder.push(headOnly(3, 0), sink);
  decoder.push(new Uint8Array(0), sink);
  assert.deepEqual(frames, [{ msgId: 3, body: [] }]);
});

for (const bodyBytes of [-1, -2147483648, FRAME_BODY_BYTES_MAX + 1, 2147483647]) {
  test(`FrameDecoder.push() refuses the length ${bodyBytes}`, () => {
    const message = new RegExp(`current value is ${bodyBytes} \\(message id 9\\)`);
    const whole = new FrameDecoder();
    assert.throws(() => whole.push(headOnly(9, bodyBytes), () => {}), ProtocolError);
    const split = new FrameDecoder();
    split.push(headOnly(9, bodyBytes).subarray(0, 7), () => {});
    assert.throws(() => split.push(headOnly(9, bodyBytes).subarray(7), () => {}), message);
  });
}

test("FrameDecoder.push() takes the longest frame whole and split", () => {
  const bytes = encodeFrame(1, new Uint8Array(FRAME_BODY_BYTES_MAX).fill(5));
  for (const piece of [bytes.length, 65_534, 1000, 9]) {
    let count = 0;
    const decoder = new FrameDecoder();
    for (let offset = 0; offset < bytes.length; offset += piece) {
      decoder.push(bytes.subarray(offset, offset + piece), (_msgId, body) => {
        count++;
        assert.equal(body.length, FRAME_BODY_BYTES_MAX);
        assert.ok(body.every((byte) => byte === 5));
      });
    }
    assert.equal(count, 1);
  }
});

test("FrameDecoder grows with bytes received, not with the announced length", () => {
  // 2,000 peers that announce the longest frame and send ten bytes: were the announced length
  // allocated, this would take 131 MB.
  const decoders = Array.from({ length: 2000 }, () => new FrameDecoder());
  const chunk = concat([headOnly(1, FRAME_BODY_BYTES_MAX), new Uint8Array(2)]);
  const before = process.memoryUsage().arrayBuffers;
  for (const decoder of decoders) decoder.push(chunk, () => {});
  const grownBytes = process.memoryUsage().arrayBuffers - before;
  assert.ok(grownBytes < 8 * 1024 * 1024, `${grownBytes} bytes`);
  assert.equal(decoders[0].pendingBytes, 10);
});

test("FrameDecoder.reset() forgets the frame that has begun", () => {
  const { frames, sink } = collector();
  const decoder = new FrameDecoder();
  decoder.push(threeBytes.subarray(0, 10), sink);
  assert.equal(decoder.pendingBytes, 10);
  decoder.reset();
  assert.equal(decoder.pendingBytes, 0);
  decoder.push(threeBytes, sink);
  assert.deepEqual(frames, three);
});

test("FrameDecoder.reset() inside a handler ends the push", () => {
  const decoder = new FrameDecoder();
  let count = 0;
  decoder.push(threeBytes, () => {
    count++;
    decoder.reset();
  });
  assert.equal(count, 1);
  assert.equal(decoder.pendingBytes, 0);
});

test("FrameDecoder.push() gives copies of bodies below its limit, and views of others", () => {
  const chunk = new Uint8Array([
    ...encodeFrame(1, Uint8Array.of(1, 2, 3)),
    ...encodeFrame(2, Uint8Array.of(4, 5, 6, 7)),
  ]);
  const bodies: Uint8Array[] = [];
  new FrameDecoder(4).push(chunk, (_msgId, body) => void bodies.push(body));
  assert.deepEqual(bodies.map((body) => [...body]), [[1, 2, 3], [4, 5, 6, 7]]);
  assert.deepEqual(bodies.map((body) => body.buffer === chunk.buffer), [false, true]);
});
