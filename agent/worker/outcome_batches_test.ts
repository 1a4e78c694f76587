import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultBalanceSettings, RouteLb } from "../../balancer/mod.ts";
import { encodeBatchedReport } from "../../proto/codec.ts";
import {
  OUTCOME_BYTES,
  OUTCOME_TIME_UNKNOWN,
  OUTCOMES_MAX,
  RUN_OUTCOMES_MAX,
  RUN_TAG,
} from "../../proto/table_layout.ts";
import { ProtocolError } from "../../reactor/errors.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import { BATCH_SENDERS_MAX, OutcomeBatches, TABLE_READER_MS } from "./outcome_batches.ts";

interface Outcome {
  modId?: number;
  ip?: number;
  port?: number;
  retcode?: number;
  timeMs?: number;
  /** The record is a run of so many. */
  run?: number;
}

function records(outcomes: readonly Outcome[]): Uint8Array {
  const bytes = new Uint8Array(outcomes.length * OUTCOME_BYTES);
  const view = new DataView(bytes.buffer);
  outcomes.forEach(({ modId = 1, ip = 1, port = 80, retcode = 0, timeMs = 5, run }, index) => {
    const at = index * OUTCOME_BYTES;
    view.setUint32(at, modId, true);
    view.setUint32(at + 4, 1, true);
    view.setUint32(at + 8, ip, true);
    view.setUint16(at + 12, port, true);
    view.setUint16(at + 14, run === undefined ? 1 : 1 | RUN_TAG, true);
    view.setUint32(at + 16, run ?? retcode, true);
    view.setUint32(at + 20, timeMs, true);
  });
  return bytes;
}

const batch = (first: number, outcomes: readonly Outcome[], sender = 7): Uint8Array =>
  encodeBatchedReport({ sender, first, outcomes: records(outcomes) });

function makeLb(): RouteLb {
  const options = { settings: defaultBalanceSettings, rng: seededRng(1), onPull: () => {} };
  const lb = new RouteLb(options);
  for (const modId of [1, 2]) {
    lb.use(modId, 1, 0);
    lb.update(modId, 1, [{ ip: 1, port: 80 }, { ip: 2, port: 80 }], 0);
  }
  return lb;
}

function makeBatches(lb = makeLb()): { lb: RouteLb; batches: OutcomeBatches } {
  return { lb, batches: new OutcomeBatches(() => lb) };
}

test("each outcome counts once, in its module and at its node", () => {
  const { lb, batches } = makeBatches();
  const unknown = OUTCOME_TIME_UNKNOWN;
  batches.take(batch(0, [{}, { retcode: 9 }, { modId: 2, ip: 2, timeMs: unknown }]), 4000, 1);
  assert.deepEqual(batches.stats, { reportBatches: 1, reportsLost: 0, reportsRepeated: 0 });
  assert.equal(lb.stats().reports, 3);
  const [one, two] = [lb.findHost(1, 1, 1, 80), lb.findHost(2, 1, 2, 80)];
  assert.deepEqual([one?.succTotal, one?.errTotal, one?.timedTotal], [1, 1, 2]);
  assert.deepEqual([two?.succTotal, two?.timedTotal], [1, 0]);
});

test("a batch that is sent again counts once, and its news are taken", () => {
  const { lb, batches } = makeBatches();
  batches.take(batch(0, [{}, {}]), 4000, 1);
  batches.take(batch(0, [{}, {}]), 4000, 2);
  assert.equal(lb.stats().reports, 2);
  batches.take(batch(1, [{}, {}, {}]), 4000, 3);
  assert.equal(lb.stats().reports, 4);
  assert.deepEqual(batches.stats, { reportBatches: 2, reportsLost: 0, reportsRepeated: 3 });
});

test("outcomes that never came are counted as lost", () => {
  const { lb, batches } = makeBatches();
  batches.take(batch(1000, [{}]), 4000, 1);
  batches.take(batch(1129, [{}]), 4000, 2);
  assert.deepEqual([lb.stats().reports, batches.stats.reportsLost], [2, 128]);
});

test("senders are told apart by number and by port", () => {
  const { lb, batches } = makeBatches();
  batches.take(batch(0, [{}], 7), 4000, 1);
  batches.take(batch(0, [{}], 8), 4000, 1);
  batches.take(batch(0, [{}], 7), 4001, 1);
  assert.equal(lb.stats().reports, 3);
  batches.take(batch(50_000_000, [{}], 7), 4000, 1);
  assert.equal(batches.stats.reportsLost, 0, "a number that is used by another program");
});

test("of very many senders the one that was silent longest is forgotten", () => {
  const { lb, batches } = makeBatches();
  for (let sender = 1; sender <= BATCH_SENDERS_MAX + 1; sender++) {
    batches.take(batch(0, [{}], sender), 4000, 1);
  }
  const before = lb.stats().reports;
  batches.take(batch(0, [{}], 2), 4000, 2);
  assert.equal(lb.stats().reports, before, "the second is known still");
  batches.take(batch(0, [{}], 1), 4000, 2);
  assert.equal(lb.stats().reports, before + 1, "the first was forgotten");
});

test("senders of the last minute are the readers of the table", () => {
  const { batches } = makeBatches();
  assert.equal(batches.readersAt(0), 0);
  batches.take(batch(0, [{}], 7), 4000, 1_000);
  batches.take(batch(0, [{}], 8), 4000, 2_000);
  batches.take(batch(0, [{}], 7), 4001, 3_000);
  // Again, with nothing new: a program that sends lives.
  batches.take(batch(0, [{}], 7), 4000, 4_000);
  const at = [4_000, 2_000 + TABLE_READER_MS, 2_001 + TABLE_READER_MS, 4_000 + TABLE_READER_MS];
  assert.deepEqual(at.map((nowMs) => batches.readersAt(nowMs)), [3, 3, 2, 1]);
  assert.equal(batches.readersAt(4_001 + TABLE_READER_MS), 0);
});

test("records without a port say that a module is used, or that a caller was refused", () => {
  const lb = makeLb();
  const { batches } = makeBatches(lb);
  batches.take(batch(0, [{ modId: 9, port: 0 }, { port: 0, retcode: 1 }]), 4000, 1);
  assert.equal(lb.stateOf(9, 1), "pulling");
  assert.equal(lb.stats().reports, 0);
  assert.equal(lb.drainReports(2000, true)[0].refused?.overload, 1);
});

test("outcomes of modules and nodes that are not known are counted as ignored", () => {
  const { lb, batches } = makeBatches();
  batches.take(batch(0, [{ modId: 77 }, { ip: 99 }]), 4000, 1);
  assert.deepEqual([lb.stats().reports, lb.stats().reportsIgnored], [0, 2]);
  assert.equal(lb.stateOf(77, 1), undefined);
});

test("what is no batch is refused as a whole", () => {
  const { lb, batches } = makeBatches();
  const many = new Uint8Array((OUTCOMES_MAX + 1) * OUTCOME_BYTES);
  for (const outcomes of [new Uint8Array(), new Uint8Array(25), many]) {
    const body = encodeBatchedReport({ sender: 1, first: 0, outcomes });
    assert.throws(() => batches.take(body, 4000, 1), ProtocolError);
  }
  assert.throws(() => batches.take(batch(0, [{}], 0), 4000, 1), /no sender/);
  assert.throws(() => batches.take(Uint8Array.of(255), 4000, 1), ProtocolError);
  assert.equal(lb.stats().reports, 0);
});

test("a run counts as often as it says", () => {
  const { lb, batches } = makeBatches();
  batches.take(batch(0, [{ run: 100, timeMs: 3 }, { retcode: 9 }, { run: 1 }]), 4000, 1);
  assert.deepEqual([lb.stats().reports, batches.stats.reportsLost], [102, 0]);
  const host = lb.findHost(1, 1, 1, 80);
  assert.deepEqual([host?.succTotal, host?.errTotal, host?.timeMsTotal], [101, 1, 310]);
  assert.equal(host?.continSucc, 1, "what failed keeps its place between them");
  batches.take(batch(102, [{ run: 7, modId: 77 }]), 4000, 1);
  assert.deepEqual([lb.stats().reportsIgnored, batches.stats.reportsLost], [7, 0]);
  batches.take(batch(120, [{}]), 4000, 1);
  assert.equal(batches.stats.reportsLost, 11, "numbers count outcomes, not records");
});

test("of a run that came in part only the rest is counted", () => {
  const { lb, batches } = makeBatches();
  batches.take(batch(0, [{ run: 10 }, {}]), 4000, 1);
  batches.take(batch(0, [{ run: 10 }, {}]), 4000, 1);
  assert.deepEqual([lb.stats().reports, batches.stats.reportsRepeated], [11, 11]);
  batches.take(batch(5, [{ run: 10 }, {}]), 4000, 1);
  assert.deepEqual([lb.stats().reports, batches.stats.reportsRepeated], [16, 17]);
});

test("runs that cannot be are refused with all of their batch", () => {
  const { lb, batches } = makeBatches();
  const wrong = [
    [{}, { run: 0 }],
    [{}, { run: 2, port: 0 }],
    [{}, { run: RUN_OUTCOMES_MAX }],
    [{ run: 0xffff_ffff }, { run: 0xffff_ffff }],
  ];
  for (const outcomes of wrong) {
    assert.throws(() => batches.take(batch(0, outcomes), 4000, 1), ProtocolError);
  }
  assert.equal(lb.stats().reports, 0);
  batches.take(batch(0, [{ run: RUN_OUTCOMES_MAX }]), 4000, 1);
  assert.equal(lb.stats().reports, RUN_OUTCOMES_MAX);
});

test("by batch and one by one the verdicts are the same", () => {
  const rng = seededRng(5);
  const outcomes = Array.from({ length: 600 }, () => ({
    ip: 1 + Math.floor(rng.next() * 2),
    retcode: rng.next() < 0.3 ? 1 : 0,
    timeMs: Math.floor(rng.next() * 400),
  }));
  const one = makeLb();
  const { lb: many, batches } = makeBatches();
  outcomes.forEach(({ ip, retcode, timeMs }, i) =>
    one.report(1, 1, ip, 80, retcode, timeMs, Math.floor(i / 100))
  );
  for (let i = 0; i < outcomes.length; i += 100) {
    batches.take(batch(i, outcomes.slice(i, i + 100)), 4000, i / 100);
  }
  const pick = (lb: RouteLb): unknown => [...lb.snapshot(10)].map(({ hosts }) => hosts);
  assert.deepEqual(pick(many), pick(one));
  assert.ok(many.stats().changesToOverload > 0);
});
