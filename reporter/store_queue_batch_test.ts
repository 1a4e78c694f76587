import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { CallStatusRow } from "../sql/store.ts";
import { StatusBatch } from "./store_queue.ts";

function row(modId: number, succCount: number): CallStatusRow {
  return {
    modId,
    cmdId: 1,
    ip: 2,
    port: 3,
    caller: 4,
    succCount,
    errCount: 0,
    ts: 5,
    overload: false,
  };
}

test("StatusBatch keeps the latest of each key, oldest key first", () => {
  const batch = new StatusBatch();
  assert.equal(batch.add(row(1, 1)), "added");
  assert.equal(batch.add(row(2, 2)), "added");
  assert.equal(batch.add(row(1, 3)), "replaced");
  assert.deepEqual(batch.take(10).map((one) => [one.modId, one.succCount]), [[1, 3], [2, 2]]);
  assert.equal(batch.size, 0);
});

test("StatusBatch refuses new keys when full and still updates known ones", () => {
  const batch = new StatusBatch(2);
  batch.add(row(1, 1));
  batch.add(row(2, 1));
  assert.equal(batch.add(row(3, 1)), "refused");
  assert.equal(batch.add(row(1, 9)), "replaced");
  const taken = batch.take(1);
  assert.equal(batch.add(row(3, 1)), "refused", "a row being written still has its place");
  batch.settle(taken);
  assert.equal(batch.add(row(3, 1)), "added");
});

test("StatusBatch loses no key and no newest row, whatever fails", () => {
  const step = fc.oneof(
    fc.record({ op: fc.constant("add" as const), modId: fc.integer({ min: 0, max: 6 }) }),
    fc.record({ op: fc.constantFrom("take" as const, "settle" as const, "back" as const) }),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
    const batch = new StatusBatch(5);
    const expected = new Map<number, number>();
    const written = new Map<number, number>();
    let taken: CallStatusRow[] = [];
    let serial = 0;
    const settle = (): void => {
      for (const one of taken) written.set(one.modId, one.succCount);
      batch.settle(taken);
      taken = [];
    };
    for (const one of steps) {
      if (one.op === "add") {
        serial++;
        if (batch.add(row(one.modId, serial)) !== "refused") expected.set(one.modId, serial);
      } else if (one.op === "take" && taken.length === 0) taken = batch.take(2);
      else if (one.op === "settle") settle();
      else if (one.op === "back") {
        batch.putBack(taken);
        taken = [];
      }
      assert.ok(batch.size + batch.takenCount <= 5 + 2);
    }
    settle();
    while (batch.size > 0) {
      taken = batch.take(2);
      settle();
    }
    assert.deepEqual([...written].sort(), [...expected].sort());
    assert.equal(batch.takenCount, 0);
  }));
});
