import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeBatchedReport } from "../proto/codec.ts";
import { OUTCOME_BYTES } from "../proto/table_layout.ts";
import { readDatagram } from "../proto/wire.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { BATCH_OUTCOMES, BATCH_WAIT_MS, OutcomeBatcher } from "./outcome_batcher.ts";

interface Sent {
  sender: number;
  first: number;
  count: number;
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
      sent.push({ sender, first, count: outcomes.length / OUTCOME_BYTES });
    },
  });
  return { batcher, clock, sent };
}

const outcome = (ip: number, retcode = 0) =>
  ({ modId: 1, cmdId: 2, ip, port: 80, retcode, timeMs: 3 }) as const;

test("outcomes leave after 10 ms, or when there are 128", () => {
  const { batcher, clock, sent } = makeBatcher();
  batcher.add(outcome(1));
  clock.advance(BATCH_WAIT_MS - 1);
  batcher.add(outcome(1));
  assert.equal(sent.length, 0);
  clock.advance(1);
  assert.deepEqual(sent.map(({ first, count }) => [first, count]), [[0, 2]]);
  for (let i = 0; i < BATCH_OUTCOMES + 1; i++) batcher.add(outcome(1));
  assert.deepEqual(sent.at(-1), { sender: sent[0].sender, first: 2, count: BATCH_OUTCOMES });
  clock.advance(BATCH_WAIT_MS);
  assert.deepEqual([sent.at(-1)?.first, sent.at(-1)?.count], [130, 1]);
  assert.equal(batcher.count, 131);
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
