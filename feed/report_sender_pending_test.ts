import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeReportStatusRequest } from "../proto/codec.ts";
import { FRAME_BODY_BYTES_MAX } from "../reactor/frame.ts";
import type { RefusedTotals } from "../balancer/routes/route_records.ts";
import { PendingReports, RESULTS_PER_FRAME_MAX, type TimedReport } from "./pending_reports.ts";
import { type GainedResult, NO_GAINS } from "./reported_totals.ts";

const result = (ip: number, succTotal: number): GainedResult => ({
  ip,
  port: 80,
  succ: 0,
  err: 0,
  overload: false,
  succTotal,
  errTotal: 0,
  timedTotal: 0,
  timeMsTotal: 0,
  gains: NO_GAINS,
});
const report = (modId: number, ts: number, ...results: GainedResult[]): TimedReport => ({
  modId,
  cmdId: 0,
  ts,
  results,
  refusedNew: 0,
});

test("PendingReports keeps the latest of each node, modules in order", () => {
  const pending = new PendingReports();
  pending.add(report(1, 10, result(1, 1), result(2, 1)));
  pending.add(report(2, 11, result(1, 5)));
  pending.add(report(1, 12, result(2, 9)));
  assert.equal(pending.nodeCount, 3);
  assert.deepEqual(pending.take(), report(1, 12, result(1, 1), result(2, 9)));
  assert.deepEqual(pending.take(), report(2, 11, result(1, 5)));
  assert.equal(pending.take(), undefined);
  assert.equal(pending.nodeCount, 0);
});

test("PendingReports.restore() does not replace what is newer", () => {
  const pending = new PendingReports();
  pending.add(report(1, 12, result(1, 9)));
  pending.restore(report(1, 10, result(1, 1), result(2, 1)));
  assert.deepEqual(pending.take(), report(1, 12, result(1, 9), result(2, 1)));
  pending.restore(report(1, 10));
  assert.equal(pending.take(), undefined);
});

test("PendingReports drops the oldest when it is full, and counts", () => {
  const pending = new PendingReports(3);
  pending.add(report(1, 1, result(1, 1), result(2, 1)));
  pending.add(report(2, 1, result(1, 1), result(2, 1)));
  assert.deepEqual([pending.nodeCount, pending.droppedCount], [3, 1]);
  pending.add(report(3, 1, ...Array.from({ length: 10 }, (_, ip) => result(ip, 1))));
  assert.deepEqual([pending.nodeCount, pending.droppedCount], [3, 11]);
  assert.deepEqual(pending.take()?.results.map((one) => one.ip), [7, 8, 9]);
});

test("PendingReports.take() gives what fits one frame, with the largest numbers too", () => {
  const pending = new PendingReports();
  const largest = (ip: number): GainedResult => ({
    ip: 0xffffffff - ip,
    port: 65535,
    succ: 0xffffffff,
    err: 0xffffffff,
    overload: true,
    succTotal: Number.MAX_SAFE_INTEGER,
    errTotal: Number.MAX_SAFE_INTEGER,
    timedTotal: Number.MAX_SAFE_INTEGER,
    timeMsTotal: Number.MAX_SAFE_INTEGER,
    gains: {
      succ: Number.MAX_SAFE_INTEGER,
      err: Number.MAX_SAFE_INTEGER,
      timed: Number.MAX_SAFE_INTEGER,
      timeMs: Number.MAX_SAFE_INTEGER,
    },
  });
  pending.add(
    report(0xffffffff, 0xffffffff, ...Array.from({ length: 1500 }, (_, i) => largest(i))),
  );
  const first = pending.take();
  assert.equal(first?.results.length, RESULTS_PER_FRAME_MAX);
  const most = { overload: Number.MAX_SAFE_INTEGER, unusable: 0, noNode: 0, noRoute: 0 };
  const body = encodeReportStatusRequest({
    ...{ caller: 0xffffffff, ...first, cmdId: 0xffffffff },
    ...{ refused: { ...most, fresh: true }, refusedNew: Number.MAX_SAFE_INTEGER },
    seq: Number.MAX_SAFE_INTEGER,
  });
  assert.ok(body.length <= FRAME_BODY_BYTES_MAX, String(body.length));
  const rest = [pending.take(), pending.take()].map((one) => one?.results.length);
  assert.deepEqual(rest, [RESULTS_PER_FRAME_MAX, 1500 - 2 * RESULTS_PER_FRAME_MAX]);
  assert.equal(pending.take(), undefined);
});

const refused = (overload: number, fresh: boolean): RefusedTotals => ({
  ...{ overload, unusable: 0, noNode: 0, noRoute: 0, fresh },
});

test("PendingReports keeps the latest refused calls, and that they were never told", () => {
  const pending = new PendingReports();
  pending.add({ ...report(1, 1), refused: refused(1, true) });
  pending.add({ ...report(1, 2), refused: refused(5, false) });
  pending.restore({ ...report(1, 1), refused: refused(2, false) });
  assert.equal(pending.nodeCount, 1);
  assert.deepEqual(pending.take(), { ...report(1, 2), refused: refused(5, true) });
  assert.deepEqual([pending.take(), pending.nodeCount], [undefined, 0]);
});

test("PendingReports counts refused calls of a module as a node", () => {
  const pending = new PendingReports(2);
  for (const modId of [1, 2, 3]) pending.add({ ...report(modId, 1), refused: refused(1, true) });
  assert.deepEqual([pending.nodeCount, pending.droppedCount], [2, 1]);
  assert.deepEqual([pending.take()?.modId, pending.take()?.modId, pending.take()], [
    2,
    3,
    undefined,
  ]);
});
