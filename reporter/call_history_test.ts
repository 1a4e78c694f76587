import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { NewEvent } from "../sql/results/event.ts";
import type { CallStatusRow } from "../sql/store.ts";
import type { TimedStatusRow } from "./report_rows.ts";
import {
  ADOPT_MS,
  BASELINE_AGE_MAX_MS,
  CallTracker,
  type CallTrackerOptions,
} from "./call_history.ts";

const NO_GAINS = { succ: 0, err: 0, timed: 0, timeMs: 0 };

/** A whole bucket. */
const WALL_MS = 1_700_000_000_000;

function row(succTotal: number, more: Partial<TimedStatusRow> = {}): TimedStatusRow {
  return {
    modId: 1,
    cmdId: 2,
    ip: 3_232_235_953,
    port: 80,
    caller: 9,
    succCount: 0,
    errCount: 0,
    ts: WALL_MS / 1000,
    overload: false,
    succTotal,
    errTotal: 0,
    ...more,
  };
}

function newTracker(
  options: Partial<CallTrackerOptions> = {},
): { tracker: CallTracker; events: NewEvent[] } {
  const events: NewEvent[] = [];
  const tracker = new CallTracker({ onEvent: (event) => void events.push(event), ...options });
  return { tracker, events };
}

/** Successes by port, 0 for the sum of the module, of the bucket that ends now. */
function close(tracker: CallTracker, wallMs = WALL_MS): Record<number, number> {
  const bucket = tracker.close(wallMs, true);
  return Object.fromEntries((bucket?.rows ?? []).map((one) => [one.port, one.succCount]));
}

test("CallTracker weighs nodes of a module alike, however often each is spoken of", () => {
  const { tracker } = newTracker();
  const shareAt = (wallMs: number): number => {
    const sum = tracker.close(wallMs, true)?.rows.find(({ port }) => port === 0);
    assert.ok(sum);
    return sum.overloadCount / sum.reportCount;
  };
  tracker.add("a", [80, 81, 82, 83].map((port) => row(100, { port })), WALL_MS);
  assert.equal(shareAt(WALL_MS), 0);
  // One is out: it is spoken of again and again, one of the others once, and two not at all.
  for (let again = 0; again < 20; again++) {
    tracker.add("a", [row(100, { port: 83, overload: true })], WALL_MS);
  }
  tracker.add("a", [row(101, { port: 80 })], WALL_MS);
  assert.equal(shareAt(WALL_MS), 0.25);
  // Another host keeps none out.
  tracker.add("b", [80, 81, 82, 83].map((port) => row(1, { port, caller: 10 })), WALL_MS);
  tracker.add("a", [row(100, { port: 83, overload: true })], WALL_MS);
  assert.equal(shareAt(WALL_MS), 0.125);
  // Nodes that nobody has spoken of for long are none of it any more.
  const laterMs = WALL_MS + 700_000;
  tracker.add("a", [row(100, { port: 83, overload: true }), row(101, { port: 80 })], laterMs);
  assert.equal(shareAt(laterMs), 0.5);
});

test("CallTracker counts what totals gain, once", () => {
  const { tracker } = newTracker();
  tracker.add("a", [row(100)], WALL_MS);
  assert.deepEqual(close(tracker), { 0: 0, 80: 0 }, "who counted the first hundred is unknown");
  tracker.add("a", [row(107)], WALL_MS);
  tracker.add("a", [row(107), row(3, { port: 81, succCount: 3 })], WALL_MS);
  tracker.add("a", [row(110, { errTotal: 4, overload: true })], WALL_MS);
  const bucket = tracker.close(WALL_MS, true);
  assert.equal(bucket?.atSeconds, WALL_MS / 1000);
  const common = { modId: 1, cmdId: 2, atSeconds: WALL_MS / 1000 };
  assert.deepEqual(bucket?.rows, [
    {
      ...common,
      ip: 0,
      port: 0,
      caller: 0,
      succCount: 13,
      errCount: 4,
      reportCount: 2,
      overloadCount: 1,
      timedCount: 0,
      timeMsSum: 0,
      refusedCount: 0,
    },
    {
      ...common,
      ip: 3_232_235_953,
      port: 80,
      caller: 9,
      succCount: 10,
      errCount: 4,
      reportCount: 3,
      overloadCount: 1,
      timedCount: 0,
      timeMsSum: 0,
      refusedCount: 0,
    },
    {
      ...common,
      ip: 3_232_235_953,
      port: 81,
      caller: 9,
      succCount: 3,
      errCount: 0,
      reportCount: 1,
      overloadCount: 0,
      timedCount: 0,
      timeMsSum: 0,
      refusedCount: 0,
    },
  ]);
  assert.equal(tracker.close(WALL_MS, true), undefined, "nothing came");
});

test("CallTracker knows an agent that has started again by its smaller totals", () => {
  const { tracker } = newTracker();
  tracker.add("a", [row(100)], WALL_MS);
  tracker.add("a", [row(7)], WALL_MS);
  assert.equal(close(tracker)[80], 7);
  // Over a new connection: all it ever counted is in its first window.
  tracker.add("b", [row(5, { succCount: 5 })], WALL_MS);
  tracker.add("b", [row(6, { succCount: 6 })], WALL_MS);
  assert.equal(close(tracker)[80], 6);
});

test("CallTracker counts the times of calls as it counts calls", () => {
  const timed = (timedTotal: number, timeMsTotal: number): Partial<TimedStatusRow> => ({
    timedTotal,
    timeMsTotal,
  });
  const times = (tracker: CallTracker): number[][] =>
    (tracker.close(WALL_MS, true)?.rows ?? []).map((
      one,
    ) => [one.port, one.timedCount, one.timeMsSum]);
  const { tracker } = newTracker();
  // An agent that has just started, then calls without a time, then one that took none.
  tracker.add("a", [row(5, { succCount: 5, ...timed(3, 40) })], WALL_MS);
  tracker.add("a", [row(9, timed(3, 40))], WALL_MS);
  tracker.add("a", [row(10, timed(4, 40))], WALL_MS);
  tracker.add("b", [row(2, { caller: 8, succCount: 2, ...timed(2, 100) })], WALL_MS);
  assert.deepEqual(times(tracker), [[0, 6, 140], [80, 4, 40], [80, 2, 100]]);
  // What another reporter has counted already.
  tracker.add("c", [row(1000, timed(900, 9000))], WALL_MS);
  tracker.add("c", [row(1001, timed(901, 9007))], WALL_MS);
  assert.deepEqual(times(tracker), [[0, 1, 7], [80, 1, 7]]);
  // Started again, with more calls by now but fewer times.
  tracker.add("c", [row(2000, timed(5, 50))], WALL_MS);
  assert.deepEqual(times(tracker), [[0, 5, 50], [80, 5, 50]]);
  // What the database held knows no times: the calls of the gap count without them.
  const adopting = newTracker().tracker;
  adopting.adopt([row(100)], WALL_MS);
  adopting.add("a", [row(130, timed(130, 1300))], WALL_MS);
  adopting.add("a", [row(131, timed(131, 1310))], WALL_MS);
  const [sum] = adopting.close(WALL_MS, true)?.rows ?? [];
  assert.deepEqual([sum.succCount, sum.timedCount, sum.timeMsSum], [31, 1, 10]);
  // Totals that came once without, from an agent that did not know us yet.
  const bare = newTracker().tracker;
  bare.add("a", [row(0, { succCount: 4, succTotal: undefined, errTotal: undefined })], WALL_MS);
  bare.add("a", [row(400, { succCount: 4, ...timed(400, 4000) })], WALL_MS);
  bare.add("a", [row(401, { succCount: 5, ...timed(401, 4030) })], WALL_MS);
  assert.deepEqual(times(bare), [[0, 1, 30], [80, 1, 30]]);
});

test("CallTracker keeps connections apart that report under one address", () => {
  const { tracker } = newTracker();
  for (const [peer, start] of [["a", 1000], ["b", 10]] as const) {
    tracker.add(peer, [row(start)], WALL_MS);
  }
  for (let round = 1; round <= 5; round++) {
    tracker.add("a", [row(1000 + round)], WALL_MS);
    tracker.add("b", [row(10 + 2 * round)], WALL_MS);
  }
  const bucket = tracker.close(WALL_MS, true);
  assert.deepEqual(bucket?.rows.map((one) => [one.port, one.succCount]), [[0, 15], [80, 15]]);
  // A connection that is lost and comes again may have reported elsewhere in between.
  tracker.drop("a");
  tracker.add("a", [row(5000)], WALL_MS);
  assert.equal(close(tracker)[80], 0);
});

test("CallTracker takes windows of original agents for what they are", () => {
  const { tracker } = newTracker();
  const plain = (succCount: number): CallStatusRow => ({
    ...row(0, { succCount }),
    succTotal: undefined,
    errTotal: undefined,
  });
  for (const succCount of [5, 8, 2, 2, 6]) tracker.add("a", [plain(succCount)], WALL_MS);
  assert.equal(close(tracker)[80], 3 + 2 + 4);
  // Our agent says what it reports again as soon as it is known to know totals.
  tracker.add("b", [plain(4)], WALL_MS);
  tracker.add("b", [row(4, { succCount: 4 })], WALL_MS);
  tracker.add("b", [row(9, { succCount: 9 })], WALL_MS);
  assert.equal(close(tracker)[80], 9);
  tracker.add("c", [plain(4)], WALL_MS);
  tracker.add("c", [row(400, { succCount: 4 })], WALL_MS);
  tracker.add("c", [row(401, { succCount: 5 })], WALL_MS);
  assert.equal(close(tracker)[80], 1);
});

test("CallTracker goes on from what the database held at the start, once and for a while", () => {
  const stored = [
    row(100),
    row(50, { port: 81 }),
    row(9, { port: 82, ts: WALL_MS / 1000 - 3600 }),
    row(9, { port: 83, overload: true }),
  ];
  const { tracker, events } = newTracker();
  tracker.adopt(stored, WALL_MS);
  tracker.add("a", [row(130), row(40, { port: 81 }), row(19, { port: 82 })], WALL_MS);
  tracker.add("a", [row(10, { port: 83, overload: true })], WALL_MS);
  assert.deepEqual(close(tracker), { 0: 31, 80: 30, 81: 0, 82: 0, 83: 1 });
  assert.deepEqual(events, [], "it was out before");
  tracker.drop("a");
  tracker.add("b", [row(200)], WALL_MS);
  assert.equal(close(tracker)[80], 0, "counted already");

  // An agent may say once without totals what it then says with them.
  const bare = newTracker().tracker;
  bare.adopt(stored, WALL_MS);
  bare.add("a", [{ ...row(0), succTotal: undefined, errTotal: undefined }], WALL_MS);
  bare.add("a", [row(130)], WALL_MS);
  assert.equal(close(bare)[80], 30);

  const late = newTracker().tracker;
  late.adopt(stored, WALL_MS);
  late.add("a", [row(130)], WALL_MS + ADOPT_MS);
  assert.equal(close(late)[80], 0);
});

test("CallTracker ends a bucket when its time is over, or the clock was set back", () => {
  const { tracker } = newTracker();
  assert.equal(tracker.close(WALL_MS), undefined);
  tracker.add("a", [row(1)], WALL_MS + 3_000);
  assert.equal(tracker.bucketSeconds, WALL_MS / 1000);
  assert.equal(tracker.close(WALL_MS + 9_999), undefined);
  assert.equal(tracker.close(WALL_MS + 10_000)?.atSeconds, WALL_MS / 1000);
  tracker.add("a", [row(2)], WALL_MS + 25_000);
  assert.equal(tracker.close(WALL_MS)?.atSeconds, WALL_MS / 1000 + 20);
});

test("CallTracker tells when a node is out and back, by host", () => {
  const { tracker, events } = newTracker();
  for (const overload of [false, true, true, false, false]) {
    tracker.add("a", [row(1, { overload, succCount: 2, errCount: 3 })], WALL_MS);
  }
  tracker.add("b", [row(1, { overload: true, caller: 10 })], WALL_MS);
  assert.deepEqual(events.map(({ kind, host }) => [kind, host]), [
    ["node.overload", 9],
    ["node.idle", 9],
    ["node.overload", 10],
  ]);
  assert.deepEqual(events[0], {
    atMs: WALL_MS,
    kind: "node.overload",
    module: { modId: 1, cmdId: 2 },
    node: { ip: 3_232_235_953, port: 80 },
    host: 9,
    text: "Node 192.168.1.177:80 of module 1/2 is out for callers on 0.0.0.9",
    detail: { succ: 2, err: 3 },
  });
});

test("CallTracker is bounded: nodes, rows of a bucket, and what is silent for an hour", () => {
  const { tracker } = newTracker({ keysMax: 10, rowsMax: 4 });
  const rows = Array.from({ length: 12 }, (_, index) => row(1, { port: index + 1, succCount: 1 }));
  tracker.add("a", rows, WALL_MS);
  const bucket = tracker.close(WALL_MS, true);
  assert.equal(bucket?.rows.length, 1 + 4);
  assert.equal(bucket?.rows[0].succCount, 10, "the sum of the module is whole");
  assert.deepEqual(tracker.stats, { keys: 10, refused: 2, detailDropped: 6 });
  tracker.add("a", rows.slice(0, 3), WALL_MS + BASELINE_AGE_MAX_MS / 2);
  tracker.sweep(WALL_MS + BASELINE_AGE_MAX_MS);
  assert.equal(tracker.stats.keys, 3);
  tracker.add("b", rows.slice(0, 2), WALL_MS);
  tracker.dropAll("b");
  assert.equal(tracker.stats.keys, 3);
  tracker.drop("a");
  assert.equal(tracker.stats.keys, 0);
  tracker.drop("a");
});

test("CallTracker never counts a call twice, nor loses one of a connection that stays", () => {
  const step = fc.record({
    calls: fc.integer({ min: 0, max: 50 }),
    close: fc.boolean(),
    repeat: fc.boolean(),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const { tracker } = newTracker();
    let made = 0;
    let counted = 0;
    tracker.add("a", [row(0)], WALL_MS);
    for (const { calls, close: ends, repeat } of steps) {
      made += calls;
      tracker.add("a", [row(made)], WALL_MS);
      if (repeat) tracker.add("a", [row(made)], WALL_MS);
      if (ends) counted += close(tracker)[80] ?? 0;
    }
    assert.equal(counted + (close(tracker)[80] ?? 0), made);
  }));
});

test("CallTracker counts refused calls for the module and for each caller, of no node", () => {
  const { tracker, events } = newTracker();
  const refused = (overload: number, more: Partial<TimedStatusRow> = {}): TimedStatusRow => {
    const { succTotal: _succ, errTotal: _err, ...plain } = row(0);
    const totals = { overload, unusable: 1, noNode: 0, noRoute: 0 };
    return { ...plain, ip: 0, port: 0, refused: totals, ...more };
  };
  const closed = (): number[][] =>
    (tracker.close(WALL_MS, true)?.rows ?? []).map((one) => [
      ...[one.port, one.caller, one.refusedCount, one.reportCount, one.succCount],
    ]);
  tracker.add("a", [refused(100), row(5, { succCount: 5 })], WALL_MS);
  assert.deepEqual(
    closed(),
    [[0, 0, 0, 1, 5], [0, 9, 0, 0, 0], [80, 9, 0, 1, 5]],
    "who counted the first hundred is unknown",
  );
  tracker.add("a", [refused(107)], WALL_MS);
  tracker.add("b", [refused(4, { caller: 8, refusedFresh: true })], WALL_MS);
  assert.deepEqual(closed(), [[0, 0, 12, 1, 0], [0, 9, 7, 0, 0], [0, 8, 5, 0, 0]]);
  tracker.add("a", [refused(2)], WALL_MS);
  assert.deepEqual(closed(), [[0, 0, 3, 1, 0], [0, 9, 3, 0, 0]], "the agent started anew");
  assert.deepEqual(events, []);
  assert.deepEqual(tracker.callTotals().map((one) => one.refused), [15]);
});

test("CallTracker has what a caller without an address was refused in the module's sum alone", () => {
  const { tracker } = newTracker({ rowsMax: 2 });
  const refused = { overload: 3, unusable: 0, noNode: 0, noRoute: 0 };
  const nowhere = { ip: 0, port: 0, caller: 0, refused, refusedFresh: true };
  const { succTotal: _succ, errTotal: _err, ...plain } = row(0);
  const kept = { session: 7, seq: 1, gains: NO_GAINS, refusedNew: 5 };
  tracker.add("a", [{ ...plain, ...nowhere }], WALL_MS);
  tracker.add("b", [{ ...plain, ...nowhere, kept }], WALL_MS);
  // A node that is told of without a caller is none of that.
  tracker.add("c", [row(5, { succCount: 5, caller: 0 }), row(2, { succCount: 2 })], WALL_MS);
  const bucket = tracker.close(WALL_MS, true);
  assert.deepEqual(
    bucket?.rows.map((one) => [one.port, one.caller, one.refusedCount, one.succCount]),
    [[0, 0, 8, 7], [80, 0, 0, 5], [80, 9, 0, 2]],
    "a second row of that key would replace the sum in SQL",
  );
  assert.deepEqual(bucket?.kept.get(7)?.map((one) => [one.port, one.refusedCount]), [[0, 5]]);
  assert.equal(tracker.stats.detailDropped, 0);
});

test("CallTracker goes on with refused calls after a restart of the reporter", () => {
  const { tracker } = newTracker();
  const { succTotal: _succ, errTotal: _err, ...plain } = row(0);
  const stored = (overload: number): TimedStatusRow => ({
    ...{ ...plain, ip: 0, port: 0 },
    refused: { overload, unusable: 0, noNode: 0, noRoute: 0 },
  });
  tracker.adopt([stored(40)], WALL_MS);
  tracker.add("a", [stored(45)], WALL_MS);
  assert.deepEqual(tracker.close(WALL_MS, true)?.rows.map((one) => one.refusedCount), [5, 5]);
});
