import assert from "node:assert/strict";
import { test } from "node:test";
import type { CallHistoryRow } from "../sql/results/call_history.ts";
import type { ClosedBucket } from "./call_history.ts";
import { EVENT_BACKLOG_MAX, EventBacklog, HistoryBacklog } from "./history_backlog.ts";

function bucket(atSeconds: number, ports: readonly number[]): ClosedBucket {
  return {
    atSeconds,
    kept: new Map(),
    rows: ports.map((port): CallHistoryRow => ({
      modId: 1,
      cmdId: 1,
      ip: 1,
      port,
      caller: 1,
      atSeconds,
      succCount: 1,
      errCount: 2,
      reportCount: 3,
      overloadCount: 4,
      timedCount: 5,
      timeMsSum: 6,
      refusedCount: 0,
    })),
  };
}

function newBacklog(rowsMax: number): HistoryBacklog {
  let source = 0;
  return new HistoryBacklog(() => ++source, rowsMax);
}

test("HistoryBacklog hands buckets out in order and passes over empty ones", () => {
  const backlog = newBacklog(100);
  backlog.add(bucket(10, []));
  assert.equal(backlog.rowCount, 0);
  backlog.add(bucket(20, [1, 2]));
  backlog.add(bucket(30, [1]));
  assert.equal(backlog.rowCount, 3);
  assert.deepEqual([backlog.first?.atSeconds, backlog.first?.source], [20, 1]);
  backlog.settle();
  assert.equal(backlog.first?.atSeconds, 30);
});

test("HistoryBacklog draws another source when the clock was set back", () => {
  const backlog = newBacklog(100);
  const sources = [10, 20, 10, 20, 20].map((atSeconds) => {
    backlog.add(bucket(atSeconds, [1]));
    const source = backlog.first?.source;
    backlog.settle();
    return source;
  });
  assert.deepEqual(sources, [1, 1, 2, 2, 3], "no row replaces one of another bucket");
});

test("HistoryBacklog adds old buckets together when they are too many, and loses no call", () => {
  const backlog = newBacklog(4);
  for (let at = 10; at <= 100; at += 10) backlog.add(bucket(at, [1, at]));
  const sums = new Map<number, number>();
  const times: number[] = [];
  for (let one = backlog.first; one !== undefined; one = backlog.first) {
    times.push(one.atSeconds);
    for (const row of one.rows) {
      assert.equal(row.atSeconds, one.atSeconds);
      sums.set(row.port, (sums.get(row.port) ?? 0) + row.succCount);
      assert.deepEqual(
        [row.errCount, row.reportCount, row.overloadCount],
        [2, 3, 4].map((count) => count * row.succCount),
      );
    }
    backlog.settle();
  }
  assert.deepEqual(times, [10, 100], "the first may be on its way and stays");
  assert.equal(backlog.mergeCount, 8);
  assert.equal(sums.get(1), 10);
  assert.equal(sums.size, 11);
});

test("EventBacklog is bounded and counts what it drops", () => {
  const backlog = new EventBacklog();
  for (let index = 0; index < EVENT_BACKLOG_MAX + 5; index++) {
    backlog.add({ atMs: index, kind: "x", text: "" });
  }
  assert.equal(backlog.size, EVENT_BACKLOG_MAX);
  assert.equal(backlog.droppedCount, 5);
  assert.deepEqual(backlog.peek(2).map(({ atMs }) => atMs), [0, 1]);
  backlog.settle(2);
  assert.equal(backlog.peek(1)[0].atMs, 2);
});
