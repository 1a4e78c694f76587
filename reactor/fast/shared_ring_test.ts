import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { until } from "../../tests/support/until.ts";
import { SharedRing } from "./shared_ring.ts";

test("SharedRing gives records back in order, whatever their lengths", () => {
  fc.assert(fc.property(
    fc.array(fc.array(fc.uint8Array({ maxLength: 252 }), { maxLength: 12 }), { maxLength: 60 }),
    (rounds) => {
      const ring = SharedRing.create(1024);
      const reader = new SharedRing(ring.memory);
      let refused = 0;
      for (const round of rounds) {
        const kept = round.filter((record) => ring.push(record));
        refused += round.length - kept.length;
        const got: Uint8Array[] = [];
        assert.equal(reader.drain((record) => void got.push(record.slice())), kept.length);
        assert.deepEqual(got.map((one) => [...one]), kept.map((one) => [...one]));
        assert.equal(reader.waitingBytes, 0);
      }
      assert.equal(reader.refusedCount, refused);
    },
  ));
});

test("SharedRing.push() refuses when full, and works again when drained", () => {
  const ring = SharedRing.create(1024);
  const record = new Uint8Array(124);
  let count = 0;
  while (ring.push(record)) count++;
  assert.equal(count, 8, "8 records of 4 + 124 bytes fill 1024 bytes");
  assert.equal(ring.refusedCount, 1);
  assert.equal(ring.drain(() => {}), 8);
  assert.ok(ring.push(record));
  assert.throws(() => ring.push(new Uint8Array(ring.recordBytesMax + 1)), RangeError);
  for (const capacity of [512, 1000, 2 ** 31]) {
    assert.throws(() => SharedRing.create(capacity), RangeError);
  }
});

test("SharedRing keeps the records after one whose reader throws", () => {
  const ring = SharedRing.create(1024);
  for (const byte of [1, 2]) ring.push(Uint8Array.of(byte));
  assert.throws(() =>
    ring.drain(() => {
      throw new Error("boom");
    }), /boom/);
  const got: number[] = [];
  ring.drain((record) => void got.push(...record));
  assert.deepEqual(got, [2]);
});

test("SharedRing positions may pass 2^32", () => {
  const ring = SharedRing.create(1024);
  const words = new Int32Array(ring.memory);
  words[0] = words[1] = -256;
  for (let i = 0; i < 100; i++) {
    assert.ok(ring.push(Uint8Array.of(i, i, i)));
    ring.drain((record) => assert.deepEqual([...record], [i, i, i]));
  }
});

test("SharedRing wakes a reader that waits for a promise, and ends it", async () => {
  const ring = SharedRing.create(1024);
  let woken = 0;
  const listen = (): void => void ring.news().then(() => woken++);
  listen();
  ring.push(Uint8Array.of(1));
  await until(() => woken === 1, { what: "news of a record" });
  listen();
  await until(() => woken === 2, { what: "news of what waits already" });
  ring.drain(() => {});
  listen();
  ring.stop();
  await until(() => woken === 3, { what: "news of the end" });
  assert.ok(ring.stopping);
});

test("SharedRing tells the writer once when a reader sleeps in the kernel", () => {
  const ring = SharedRing.create(1024);
  assert.equal(ring.mustWake(), false);
  assert.ok(ring.fallAsleep());
  assert.ok(ring.mustWake());
  assert.equal(ring.mustWake(), false);
  ring.push(Uint8Array.of(1));
  assert.equal(ring.fallAsleep(), false, "there is news");
  assert.equal(ring.mustWake(), false);
});
