import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { StoreError } from "../reactor/errors.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { seededRng } from "../reactor/time/rng.ts";
import type { RefusedRow } from "../sql/results/divided_write.ts";
import type { CallStatusRow } from "../sql/store.ts";
import { StatusColumns } from "./status_columns.ts";
import {
  FLUSH_ROWS_MAX,
  RETRY_MAX_MS,
  STATUS_KEYS_MAX,
  StatusBatch,
  StoreQueue,
} from "./store_queue.ts";

function row(modId: number, succCount = 1): CallStatusRow {
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

function newBatch(keysMax = STATUS_KEYS_MAX): StatusBatch {
  return new StatusBatch(keysMax, new StatusColumns(), seededRng(1));
}

test("StatusBatch keeps the latest of each key, oldest key first", () => {
  const batch = newBatch();
  assert.equal(batch.add(row(1, 1)), "added");
  assert.equal(batch.add(row(2, 2)), "added");
  assert.equal(batch.add(row(1, 3)), "replaced");
  assert.deepEqual(batch.take(10).map((one) => [one.modId, one.succCount]), [[1, 3], [2, 2]]);
  assert.equal(batch.size, 0);
});

test("StatusBatch refuses new keys when full and still updates known ones", () => {
  const batch = newBatch(2);
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
    const batch = newBatch(5);
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

/** A store that answers when told to. */
class FakeStore {
  readonly calls: (readonly CallStatusRow[])[] = [];
  readonly #pending: PromiseWithResolvers<readonly RefusedRow<CallStatusRow>[]>[] = [];

  writeCallStatus(
    rows: readonly CallStatusRow[],
  ): Promise<readonly RefusedRow<CallStatusRow>[]> {
    this.calls.push(rows);
    const pending = Promise.withResolvers<readonly RefusedRow<CallStatusRow>[]>();
    this.#pending.push(pending);
    return pending.promise;
  }

  async answer(error?: Error, bad: readonly RefusedRow<CallStatusRow>[] = []): Promise<void> {
    const pending = this.#pending.shift();
    assert.ok(pending !== undefined, "a write is under way");
    if (error === undefined) pending.resolve(bad);
    else pending.reject(error);
    for (let i = 0; i < 10; i++) await Promise.resolve();
  }
}

interface Setup {
  clock: ManualClock;
  store: FakeStore;
  queue: StoreQueue;
  outcomes: boolean[];
}

function setUp(keysMax = 10_000): Setup {
  const clock = new ManualClock();
  const store = new FakeStore();
  const outcomes: boolean[] = [];
  const queue = new StoreQueue({
    store,
    clock,
    rng: seededRng(1),
    keysMax,
    flushIntervalMs: 100,
    onOutcome: (error) => void outcomes.push(error === undefined),
  });
  return { clock, store, queue, outcomes };
}

const away = new StoreError("away", true);

test("StoreQueue writes after the interval, or at once when a batch is full", async () => {
  const { clock, store, queue } = setUp();
  queue.add(row(1));
  clock.advance(99);
  assert.equal(store.calls.length, 0);
  clock.advance(1);
  assert.deepEqual(store.calls, [[row(1)]]);
  await store.answer();
  for (let modId = 0; modId < FLUSH_ROWS_MAX; modId++) queue.add(row(modId));
  assert.equal(store.calls[1].length, FLUSH_ROWS_MAX);
  for (let modId = 0; modId < 2500; modId++) queue.add(row(modId));
  assert.equal(store.calls.length, 2, "one write at a time");
  await store.answer();
  await store.answer();
  await store.answer();
  assert.deepEqual(store.calls.map((rows) => rows.length), [1, 1000, 1000, 1000]);
  clock.advance(100);
  assert.equal(store.calls[4].length, 500);
  await store.answer();
  assert.equal(queue.stats.written, 3501);
  assert.equal(clock.pendingCount, 0);
});

test("StoreQueue keeps rows of a failed write unless newer ones came, and backs off", async () => {
  const { clock, store, queue, outcomes } = setUp();
  queue.add(row(1, 1));
  queue.add(row(2, 1));
  clock.advance(100);
  queue.add(row(1, 2));
  await store.answer(away);
  assert.deepEqual(outcomes, [false]);
  queue.add(row(3, 1));
  let waitedMs = 0;
  const pauses: number[] = [];
  for (let attempt = 2; attempt < 12; attempt++) {
    for (waitedMs = 0; store.calls.length < attempt; waitedMs++) clock.advance(1);
    pauses.push(waitedMs);
    await store.answer(away);
  }
  assert.ok(pauses[0] >= 50 && pauses[0] <= 100, `${pauses}`);
  assert.ok(pauses.every((pause) => pause <= RETRY_MAX_MS), `${pauses}`);
  assert.ok(pauses[9] >= RETRY_MAX_MS / 2, `${pauses}`);
  clock.advance(RETRY_MAX_MS);
  await store.answer();
  const last = store.calls[store.calls.length - 1];
  assert.deepEqual(
    last.map((one) => [one.modId, one.succCount]).sort(),
    [[1, 2], [2, 1], [3, 1]],
  );
  queue.add(row(4));
  clock.advance(100);
  assert.equal(store.calls.length, 13, "the usual interval again");
});

test("StoreQueue refuses and counts new keys when the database stays away", async () => {
  const { clock, store, queue } = setUp(1000);
  for (let modId = 0; modId < 1500; modId++) queue.add(row(modId));
  assert.equal(queue.stats.refused, 500);
  await store.answer(away);
  for (let modId = 0; modId < 1500; modId++) queue.add(row(modId, 2));
  assert.equal(queue.stats.refused, 1000);
  assert.equal(queue.stats.waiting, 1000);
  clock.advance(100);
  assert.ok(store.calls[1].every((one) => one.succCount === 2));
});

test("StoreQueue stop() writes all out, and counts what a dead database leaves", async () => {
  const good = setUp();
  for (let modId = 0; modId < 500; modId++) good.queue.add(row(modId));
  const stopped = good.queue.stop(1000);
  await good.store.answer();
  assert.deepEqual(await stopped, []);
  assert.equal(good.queue.stats.written, 500);

  const dead = setUp();
  dead.queue.add(row(1));
  dead.queue.add(row(2));
  const left = dead.queue.stop(1000);
  await Promise.resolve();
  dead.clock.advance(1000);
  assert.deepEqual((await left).map(({ modId }) => modId), [1, 2]);
});

test("StoreQueue counts rows that are refused for good, and goes on", async () => {
  const { clock, store, queue, outcomes } = setUp();
  queue.add(row(1));
  queue.add(row(2));
  clock.advance(100);
  await store.answer(undefined, [{ row: row(1), reason: "bad" }]);
  const { waiting, written, bad } = queue.stats;
  assert.deepEqual([waiting, written, bad, outcomes], [0, 1, 1, [true]]);
});

test("StatusBatch knows when all that came before a division is written", () => {
  const batch = newBatch(100);
  batch.add(row(1));
  batch.add(row(2));
  const first = batch.divide();
  batch.add(row(1, 9)); // Newer, in place of one from before.
  batch.add(row(3));
  const second = batch.divide();
  const taken = batch.take(2);
  batch.add(row(2, 9));
  assert.equal(batch.isWritten(first), false, "on its way");
  batch.putBack(taken);
  assert.equal(batch.isWritten(first), false, "came back; one of them in a newer row");
  batch.settle(batch.take(1));
  assert.equal(batch.isWritten(first), false);
  batch.settle(batch.take(2));
  assert.deepEqual([batch.isWritten(first), batch.isWritten(second), batch.size], [true, true, 0]);
});
