import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeBatchedReport } from "../proto/codec.ts";
import { OUTCOME_BYTES, OutcomeField, RUN_OUTCOMES_MAX, RUN_TAG } from "../proto/table_layout.ts";
import { readDatagram } from "../proto/wire.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { BATCH_RECORDS, BATCH_WAIT_MS, OutcomeBatcher } from "./outcome_batcher.ts";

interface Sent {
  sender: number;
  first: number;
  count: number;
  /** Of each record `node code ms`, or `node xN ms`. */
  records: string[];
}

function recordsOf(outcomes: Uint8Array): string[] {
  const view = new DataView(outcomes.buffer, outcomes.byteOffset, outcomes.byteLength);
  return Array.from({ length: outcomes.length / OUTCOME_BYTES }, (_, i) => {
    const at = i * OUTCOME_BYTES;
    const isRun = view.getUint16(at + OutcomeField.Tag, true) === RUN_TAG;
    const code = view.getInt32(at + OutcomeField.RetCode, true);
    const node = view.getUint32(at + OutcomeField.Ip, true);
    return `${node} ${isRun ? "x" : ""}${code} ${view.getUint32(at + OutcomeField.TimeMs, true)}`;
  });
}

function makeBatcher(): { batcher: OutcomeBatcher; clock: ManualClock; sent: Sent[] } {
  const clock = new ManualClock();
  const sent: Sent[] = [];
  const batcher = new OutcomeBatcher({
    clock,
    rng: seededRng(9),
    send(datagram): void {
      const { msgId, body } = readDatagram(datagram);
      assert.equal(msgId, 83);
      const { sender, first, outcomes } = decodeBatchedReport(body);
      const count = outcomes.length / OUTCOME_BYTES;
      sent.push({ sender, first, count, records: recordsOf(outcomes) });
    },
  });
  return { batcher, clock, sent };
}

const outcome = (ip: number, retcode = 0) =>
  ({ modId: 1, cmdId: 2, ip, port: 80, retcode, timeMs: 3 }) as const;

test("outcomes leave after 10 ms, or when there are 512", () => {
  const { batcher, clock, sent } = makeBatcher();
  batcher.add(outcome(1));
  clock.advance(BATCH_WAIT_MS - 1);
  batcher.add(outcome(1));
  assert.equal(sent.length, 0);
  clock.advance(1);
  assert.deepEqual(sent.map(({ first, count }) => [first, count]), [[0, 2]]);
  for (let i = 0; i < BATCH_RECORDS + 1; i++) batcher.add(outcome(1));
  const { sender, first, count } = sent[1];
  assert.deepEqual([sender, first, count], [sent[0].sender, 2, BATCH_RECORDS]);
  clock.advance(BATCH_WAIT_MS);
  assert.deepEqual([sent.at(-1)?.first, sent.at(-1)?.count], [2 + BATCH_RECORDS, 1]);
  assert.equal(batcher.count, 3 + BATCH_RECORDS);
  clock.advance(1000);
  assert.equal(sent.length, 3);
});

test("the first failure of a node leaves at once, with what waits; the next ones wait", () => {
  const { batcher, clock, sent } = makeBatcher();
  batcher.add(outcome(1));
  batcher.add(outcome(2, 5));
  assert.deepEqual(sent.map(({ count }) => count), [2]);
  batcher.add(outcome(2, 5));
  assert.equal(sent.length, 1);
  batcher.add(outcome(3, 5));
  assert.deepEqual(sent.map(({ count }) => count), [2, 2]);
  batcher.add(outcome(2));
  batcher.add(outcome(2, 5));
  assert.deepEqual(sent.map(({ count }) => count), [2, 2, 2]);
  clock.advance(100);
  assert.equal(sent.length, 3, "no timer was left behind");
});

test("uses and refusals are records without a port", () => {
  const { batcher, sent } = makeBatcher();
  batcher.use(1, 2);
  batcher.refused(1, 2);
  batcher.flush();
  batcher.flush();
  assert.deepEqual(sent.map(({ count }) => count), [2]);
  assert.ok(sent[0].sender > 0);
});

test("equal outcomes become one record where the agent takes such", () => {
  const { batcher, clock, sent } = makeBatcher();
  batcher.takesRuns = true;
  for (const ip of [1, 2, 1, 1, 2]) batcher.add(outcome(ip));
  batcher.add({ ...outcome(1), timeMs: 4 });
  batcher.add({ ...outcome(1), timeMs: undefined });
  batcher.add({ ...outcome(1), cmdId: 3 });
  batcher.use(1, 2);
  batcher.use(1, 2);
  clock.advance(BATCH_WAIT_MS);
  assert.deepEqual(sent.map(({ records }) => records), [[
    ...["1 x3 3", "2 x2 3", "1 0 4", "1 0 4294967295", "1 0 3", "0 0 4294967295"],
    "0 0 4294967295",
  ]]);
  batcher.add(outcome(1));
  batcher.flush();
  assert.deepEqual([sent[1].first, sent[1].records], [10, ["1 0 3"]], "of another batch");
  assert.equal(batcher.count, 11);
});

test("no success is moved before a failure", () => {
  const { batcher, clock, sent } = makeBatcher();
  batcher.takesRuns = true;
  batcher.add(outcome(1, 5));
  for (const code of [0, 0, 5, 0, 0]) batcher.add(outcome(1, code));
  assert.deepEqual(sent.map(({ records }) => records), [["1 5 3"], ["1 x2 3", "1 5 3"]]);
  batcher.add(outcome(1, 5));
  batcher.add(outcome(1, 5));
  batcher.add(outcome(2));
  batcher.add(outcome(1, 5));
  batcher.add(outcome(2));
  clock.advance(BATCH_WAIT_MS);
  assert.deepEqual(sent[2].records, ["1 x2 3", "1 5 3"]);
  assert.deepEqual(sent[3].records, ["1 5 3", "2 0 3", "1 5 3", "2 0 3"]);
});

test("a batch has no more outcomes than an agent takes", () => {
  const { batcher, sent } = makeBatcher();
  batcher.takesRuns = true;
  for (let i = 0; i < RUN_OUTCOMES_MAX + 1; i++) batcher.add(outcome(1));
  batcher.flush();
  assert.deepEqual(sent.map(({ first, records }) => [first, ...records]), [
    [0, `1 x${RUN_OUTCOMES_MAX} 3`],
    [RUN_OUTCOMES_MAX, "1 0 3"],
  ]);
});

test("many nodes and times: what is sent comes to what was told", () => {
  const { batcher, sent } = makeBatcher();
  batcher.takesRuns = true;
  const told = new Map<string, number>();
  const rng = seededRng(5);
  for (let i = 0; i < 20_000; i++) {
    const ip = 1 + Math.floor(rng.next() * 40);
    const timeMs = Math.floor(rng.next() * 3);
    batcher.add({ modId: 1, cmdId: 1, ip, port: 80, retcode: 0, timeMs });
    told.set(`${ip} ${timeMs}`, (told.get(`${ip} ${timeMs}`) ?? 0) + 1);
  }
  batcher.flush();
  const came = new Map<string, number>();
  let count = 0;
  let records = 0;
  for (const batch of sent) {
    assert.equal(batch.first, count);
    for (const record of batch.records) {
      const [ip, code, timeMs] = record.split(" ");
      const times = code.startsWith("x") ? Number(code.slice(1)) : 1;
      came.set(`${ip} ${timeMs}`, (came.get(`${ip} ${timeMs}`) ?? 0) + times);
      count += times;
      records++;
    }
  }
  assert.deepEqual([...came].toSorted(), [...told].toSorted());
  assert.ok(records < 6000, `${records} records of 20,000 outcomes`);
});
