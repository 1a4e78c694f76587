import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { BufferPool } from "./buffer_pool.ts";
import { encodeFrame, FRAME_BODY_BYTES_MAX, FrameDecoder, HEAD_BYTES } from "../frame.ts";
import { BY_REFERENCE_BYTES_MIN, OutputBuffer } from "./output_buffer.ts";

function drain(output: OutputBuffer): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let chunk = output.take(); chunk !== undefined; chunk = output.take()) {
    chunks.push(chunk.bytes.slice(0, chunk.length));
    output.written();
  }
  return chunks;
}

test("frames of one turn leave in one chunk", () => {
  const output = new OutputBuffer(10_000, new BufferPool());
  for (let index = 0; index < 10; index++) output.appendFrame(index, Uint8Array.of(index));
  output.appendBytes(encodeFrame(10, Uint8Array.of(10)));
  const chunks = drain(output);
  assert.equal(chunks.length, 1);
  const ids: number[] = [];
  new FrameDecoder().push(chunks[0], (msgId) => void ids.push(msgId));
  assert.deepEqual(ids, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test("append refuses what would pass the limit and changes nothing", () => {
  const output = new OutputBuffer(30, new BufferPool());
  assert.equal(output.appendFrame(1, new Uint8Array(12)), true);
  assert.equal(output.appendFrame(1, new Uint8Array(3)), false);
  assert.equal(output.appendBytes(new Uint8Array(11)), false);
  assert.equal(output.pendingBytes, 20);
  assert.equal(output.appendFrame(2, new Uint8Array(2)), true);
  assert.equal(output.pendingBytes, 30);
  output.take();
  assert.equal(output.appendBytes(new Uint8Array(1)), false, "in flight counts too");
  output.written();
  assert.equal(output.pendingBytes, 0);
  assert.equal(output.appendBytes(new Uint8Array(30)), true);
});

test("take() gives nothing while a chunk is in flight", () => {
  const output = new OutputBuffer(100, new BufferPool());
  output.appendFrame(1, new Uint8Array(1));
  assert.equal(output.take()?.length, 9);
  output.appendFrame(2, new Uint8Array(1));
  assert.equal(output.take(), undefined);
  output.written();
  assert.equal(output.take()?.length, 9);
});

test("long encoded frames are queued without a copy, in order", () => {
  const pool = new BufferPool();
  const output = new OutputBuffer(1_000_000, pool);
  const long = encodeFrame(2, new Uint8Array(BY_REFERENCE_BYTES_MIN));
  output.appendFrame(1, new Uint8Array(1));
  output.appendBytes(long);
  output.appendFrame(3, new Uint8Array(1));
  assert.equal(output.take()?.length, 9);
  output.written();
  assert.equal(output.take()?.bytes, long);
  output.written();
  assert.equal(output.take()?.length, 9);
  output.written();
  assert.equal(pool.freeBytes > 0, true, "copied chunks go back to the pool");
});

test("every chunk holds whole frames, whatever is sent", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: FRAME_BODY_BYTES_MAX }), fc.boolean()), {
        maxLength: 20,
      }),
      (sends) => {
        const output = new OutputBuffer(Infinity, new BufferPool());
        for (const [bodyBytes, encoded] of sends) {
          const body = new Uint8Array(bodyBytes);
          if (encoded) output.appendBytes(encodeFrame(bodyBytes, body));
          else output.appendFrame(bodyBytes, body);
        }
        const total = sends.reduce((sum, [bodyBytes]) => sum + bodyBytes + HEAD_BYTES, 0);
        assert.equal(output.pendingBytes, total);
        const ids: number[] = [];
        for (const chunk of drain(output)) {
          const decoder = new FrameDecoder();
          decoder.push(chunk, (msgId) => void ids.push(msgId));
          assert.equal(decoder.pendingBytes, 0);
        }
        assert.deepEqual(ids, sends.map(([bodyBytes]) => bodyBytes));
        assert.equal(output.pendingBytes, 0);
      },
    ),
    { numRuns: 100 },
  );
});

test("appendAllOf() moves what is not in flight, and clear() drops all", () => {
  const pool = new BufferPool();
  const first = new OutputBuffer(1000, pool);
  const second = new OutputBuffer(1000, pool);
  first.appendFrame(1, new Uint8Array(1));
  second.appendFrame(2, new Uint8Array(1));
  second.take();
  second.appendFrame(3, new Uint8Array(1));
  assert.equal(second.abandonInFlight(), 9);
  first.appendAllOf(second);
  assert.deepEqual([first.pendingBytes, second.pendingBytes], [18, 0]);
  const ids: number[] = [];
  const decoder = new FrameDecoder();
  for (const chunk of drain(first)) decoder.push(chunk, (msgId) => void ids.push(msgId));
  assert.deepEqual(ids, [1, 3]);
  second.appendFrame(4, new Uint8Array(1));
  second.take();
  second.appendFrame(5, new Uint8Array(1));
  assert.equal(second.clear(), 18);
  assert.equal(second.pendingBytes, 0);
  assert.equal(second.take(), undefined);
});

test("appendFrame() refuses a body that no frame can carry", () => {
  const output = new OutputBuffer(1_000_000, new BufferPool());
  assert.throws(() => output.appendFrame(1, new Uint8Array(FRAME_BODY_BYTES_MAX + 1)), RangeError);
});

test("what is written in place, appended and by reference leaves in its order, whoever is slow", () => {
  const step = fc.record({
    how: fc.constantFrom("append", "reserve", "bytes", "whole", "write", "drained"),
    length: fc.oneof(fc.nat(300), fc.nat(3 * BY_REFERENCE_BYTES_MIN)),
    taken: fc.boolean(),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const output = new OutputBuffer(20_000, new BufferPool());
    const wanted: number[] = [];
    const sent: number[] = [];
    let inFlight = 0;
    const sink = (taken: boolean) => ({
      write(bytes: Uint8Array, length: number): boolean {
        sent.push(...bytes.subarray(0, length));
        return taken;
      },
    });
    const writeOne = (taken: boolean): number => {
      const count = output.writeNext(sink(taken));
      if (count < 0) inFlight = -count;
      return count;
    };
    steps.forEach(({ how, length, taken }, index) => {
      const body = new Uint8Array(length).fill(index + 1);
      const frame = encodeFrame(index, body);
      if (how === "append" && output.appendFrame(index, body)) wanted.push(...frame);
      else if (how === "reserve") {
        const start = output.reserveFrame(index, length);
        if (start < 0) return;
        output.reserved.set(body, start);
        wanted.push(...frame);
      } else if (how === "bytes") {
        const start = output.reserveBytes(length);
        if (start < 0) return;
        output.reserved.set(body, start);
        wanted.push(...body);
      } else if (how === "whole" && output.appendBytes(frame)) wanted.push(...frame);
      else if (how === "write") assert.ok(writeOne(taken) === 0 || inFlight === 0 || !taken);
      else if (how === "drained" && inFlight > 0) {
        output.written();
        inFlight = 0;
      }
      assert.equal(output.pendingBytes, wanted.length - sent.length + inFlight);
      assert.ok(output.pendingBytes <= 20_000);
    });
    if (inFlight > 0) output.written();
    while (writeOne(true) > 0);
    assert.deepEqual(sent, wanted);
  }));
});
