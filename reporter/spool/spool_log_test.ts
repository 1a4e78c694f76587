import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { FakeDisk } from "../testing/fake_disk.ts";
import { encodeSpoolRecord, SPOOL_RECORD_BYTES_MAX, SpoolReader } from "./spool_format.ts";
import {
  SPOOL_FILE_BYTES,
  SPOOL_GROUP_MS,
  SPOOL_RETRY_MS,
  SPOOL_WAITING_BYTES_MAX,
  spoolFileName,
  spoolIdIn,
  SpoolLog,
} from "./spool_log.ts";

const ID = 9;

/** A record of about this size. */
function recordOf(seq: number, bytes = 60): Uint8Array {
  const result = { ip: 1, port: 80, succ: 1, err: 0, overload: false };
  const results = Array.from({ length: Math.max(1, Math.floor(bytes / 12)) }, () => result);
  const report = { modId: 1, cmdId: 1, caller: 1, results, ts: 1, seq };
  return encodeSpoolRecord({ atMs: 1, session: 7, report });
}

/** One that fills a file soon. */
const LARGE = recordOf(1, 60_000);

class Bench {
  readonly clock = new ManualClock();
  readonly disk = new FakeDisk();
  readonly durable: [number, number][] = [];
  readonly states: (string | undefined)[] = [];
  readonly log: SpoolLog;

  constructor(bytesMax = 100 * 1024 * 1024) {
    this.log = new SpoolLog({
      ...{ disk: this.disk.handle(() => true), clock: this.clock, id: ID, bytesMax, usedBytes: 0 },
      onDurable: (reached) => this.durable.push(...reached),
      onState: (fault) => this.states.push(fault),
    });
  }

  append(seq: number, bytes?: number): boolean {
    const record = bytes === undefined ? recordOf(seq) : LARGE;
    return this.log.append(record, 7, seq);
  }

  async pass(ms: number): Promise<void> {
    this.clock.advance(ms);
    for (let i = 0; i < 20; i++) await Promise.resolve();
  }

  /** Numbers of the records on disk. */
  get onDisk(): number[] {
    const names = [...this.disk.files.keys()].sort();
    return names.flatMap((name) => {
      const bytes = this.disk.files.get(name) ?? new Uint8Array();
      return [...new SpoolReader(bytes).records()].map(({ number }) => number);
    });
  }

  store(to: number): void {
    this.log.noteStored([{ session: ID, from: 0, to }]);
  }
}

test("a record that no reader takes is refused, and harms none of the others", async () => {
  const bench = new Bench();
  assert.ok(bench.append(1));
  assert.ok(!bench.log.append(recordOf(2, 2 * SPOOL_RECORD_BYTES_MAX), 7, 2));
  assert.ok(bench.append(2));
  await bench.pass(SPOOL_GROUP_MS);
  assert.deepEqual(bench.onDisk, [1, 2]);
  assert.equal(bench.log.stats.spool_records_refused, 1);
  assert.deepEqual(bench.states, [], "its disk has room");
});

test("what was refused is missing at the end only until what came after it is stored", async () => {
  for (const isStored of [false, true]) {
    const bench = new Bench();
    bench.append(1);
    bench.log.append(recordOf(2, 2 * SPOOL_RECORD_BYTES_MAX), 7, 2);
    bench.append(3);
    await bench.pass(SPOOL_GROUP_MS);
    if (isStored) bench.store(2);
    bench.append(4);
    assert.equal(await bench.log.end(), isStored);
  }
});

test("records are written together, and told when they are on disk", async () => {
  const bench = new Bench();
  for (let seq = 1; seq <= 5; seq++) assert.ok(bench.append(seq));
  await bench.pass(SPOOL_GROUP_MS - 1);
  assert.deepEqual(bench.durable, []);
  await bench.pass(1);
  assert.deepEqual(bench.durable, [[7, 5]]);
  assert.deepEqual(bench.onDisk, [1, 2, 3, 4, 5]);
  assert.equal(bench.log.stats.spool_syncs, 1);
  assert.deepEqual(bench.log.close(), [{ session: ID, from: 0, to: 5 }]);
  assert.deepEqual(bench.log.close(), [], "nothing since");
});

test("what comes during a slow write goes with the next one", async () => {
  const bench = new Bench();
  bench.disk.isFast = false;
  bench.append(1);
  await bench.pass(SPOOL_GROUP_MS);
  for (let seq = 2; seq <= 4; seq++) bench.append(seq);
  await bench.pass(10_000);
  assert.deepEqual(bench.durable, [], "it is not on disk yet");
  bench.disk.isFast = true;
  bench.disk.release();
  await bench.pass(0);
  assert.deepEqual(bench.durable, [[7, 1]]);
  await bench.pass(SPOOL_GROUP_MS);
  assert.deepEqual(bench.durable, [[7, 1], [7, 4]]);
  assert.deepEqual(bench.onDisk, [1, 2, 3, 4]);
});

test("a disk that is too slow makes nothing grow without bound", async () => {
  const bench = new Bench(1e9);
  bench.disk.isFast = false;
  let bytes = 0;
  for (let seq = 1; bench.append(seq, LARGE.length); seq++) {
    bytes += LARGE.length;
    await bench.pass(SPOOL_GROUP_MS);
  }
  assert.ok(bytes <= SPOOL_WAITING_BYTES_MAX && bytes > SPOOL_WAITING_BYTES_MAX / 2);
  assert.deepEqual(bench.states, ["the disk is too slow"]);
  assert.equal(bench.log.stats.spool_records_refused, 1);
  bench.disk.isFast = true;
  bench.disk.release();
  await bench.pass(SPOOL_GROUP_MS);
  assert.ok(bench.append(1_000));
  assert.deepEqual(bench.states.at(-1), undefined);
});

test("a write that failed is tried again in its place", async () => {
  const bench = new Bench();
  bench.append(1);
  await bench.pass(SPOOL_GROUP_MS);
  bench.disk.fault = new Error("ENOSPC: no space left on device");
  bench.append(2);
  await bench.pass(SPOOL_GROUP_MS);
  assert.deepEqual(bench.states, ["ENOSPC: no space left on device"]);
  assert.ok(bench.append(3), "it waits for the next try");
  await bench.pass(SPOOL_RETRY_MS - 1);
  bench.disk.fault = undefined;
  await bench.pass(1);
  assert.deepEqual(bench.durable, [[7, 1], [7, 3]]);
  assert.deepEqual(bench.onDisk, [1, 2, 3]);
  assert.deepEqual(bench.states.at(-1), undefined);
  assert.equal(bench.log.stats.spool_failures, 1);
});

test("beyond its bytes nothing is taken until some are stored", async () => {
  const bench = new Bench(4 * SPOOL_FILE_BYTES);
  let seq = 1;
  for (; bench.append(seq, LARGE.length); seq++) await bench.pass(SPOOL_GROUP_MS);
  assert.match(bench.states[0] ?? "", /^\d+ bytes are full$/);
  const { spool_bytes: bytes } = bench.log.stats;
  assert.ok(bytes <= 4 * SPOOL_FILE_BYTES && bytes > 3.8 * SPOOL_FILE_BYTES, `${bytes}`);
  assert.equal(bench.disk.files.size, 4);
  const half = Math.floor(seq / 2);
  bench.store(half);
  await bench.pass(0);
  assert.ok(bench.onDisk[0] > 1, "files whose records are all stored are gone");
  assert.ok(bench.onDisk[0] <= half + 1);
  assert.ok(bench.append(seq));
  assert.equal(bench.states.at(-1), undefined);
});

test("when all is stored no file stays", async () => {
  const bench = new Bench();
  for (let seq = 1; seq <= 3; seq++) bench.append(seq);
  await bench.pass(SPOOL_GROUP_MS);
  bench.store(3);
  await bench.pass(0);
  assert.equal(bench.disk.files.size, 1, "a small one is used on");
  assert.equal(await bench.log.end(), true);
  assert.equal(bench.disk.files.size, 0);
  assert.equal(bench.append(4), false, "it takes no more");
});

test("the end writes what waits", async () => {
  const bench = new Bench();
  bench.append(1);
  assert.equal(await bench.log.end(), true);
  assert.deepEqual(bench.onDisk, [1]);
  const other = new Bench();
  other.disk.fault = new Error("EIO");
  other.append(1);
  assert.equal(await other.log.end(), false);
});

test("of a session whose sender sends again nobody is told what was not on disk then", async () => {
  const bench = new Bench();
  bench.append(1);
  await bench.pass(SPOOL_GROUP_MS);
  bench.disk.fault = new Error("EIO");
  bench.append(2);
  bench.append(3);
  assert.equal(await bench.log.flush(), false);
  bench.log.leaveUntold(7, bench.log.number);
  bench.append(2);
  bench.disk.fault = undefined;
  await bench.pass(SPOOL_RETRY_MS);
  assert.deepEqual(bench.durable, [[7, 1], [7, 2]], "of the second 2 alone");
  assert.deepEqual(bench.onDisk, [1, 2, 3, 4]);
});

test("a file's name says which spool it belongs to", () => {
  for (const id of [1, ID, Number.MAX_SAFE_INTEGER]) {
    assert.equal(spoolIdIn(spoolFileName(1_700_000_000_000, id, 5)), id);
  }
  for (
    const name of ["damaged.bad", "x.spool", "1-?-2.spool", "1-0-2.spool", "1-zzzzzzzzzzzz-2.spool"]
  ) {
    assert.equal(spoolIdIn(name), undefined, name);
  }
});
