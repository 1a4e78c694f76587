import { test } from "node:test";
import assert from "node:assert/strict";
import { BUFFER_SIZE_CLASSES, BufferPool } from "./buffer_pool.ts";
import { FRAME_BODY_BYTES_MAX, HEAD_BYTES } from "../frame.ts";

test("acquire() gives the smallest class that fits", () => {
  const pool = new BufferPool();
  const cases = [
    [0, 512],
    [512, 512],
    [513, 4096],
    [4097, 16_384],
    [16_385, 65_536],
    [65_536, 65_536],
  ];
  for (const [bytes, size] of cases) assert.equal(pool.acquire(bytes).length, size);
  assert.throws(() => pool.acquire(65_537), RangeError);
});

test("the largest class holds the largest frame", () => {
  assert.ok((BUFFER_SIZE_CLASSES.at(-1) ?? 0) >= HEAD_BYTES + FRAME_BODY_BYTES_MAX);
});

test("release() lets acquire() hand the same buffer out again", () => {
  const pool = new BufferPool();
  const buffer = pool.acquire(10);
  pool.release(buffer);
  assert.equal(pool.freeBytes, 512);
  assert.equal(pool.acquire(20), buffer);
  assert.equal(pool.freeBytes, 0);
  assert.deepEqual(pool.stats, { reused: 1, made: 1, dropped: 0 });
});

test("release() drops what would pass the bound, and foreign sizes", () => {
  const pool = new BufferPool(8192);
  for (let index = 0; index < 3; index++) pool.release(new Uint8Array(4096));
  pool.release(new Uint8Array(100));
  assert.equal(pool.freeBytes, 8192);
  assert.equal(pool.stats.dropped, 2);
  assert.throws(() => new BufferPool(-1), RangeError);
});
