import assert from "node:assert/strict";
import { test } from "node:test";
import type { HostResult } from "../balancer/balance_records.ts";
import { ReportedTotals } from "./reported_totals.ts";

function result(port: number, succTotal: number, succ = 0): HostResult {
  return {
    ...{ ip: 1, port, succ, err: 0, overload: false },
    ...{ succTotal, errTotal: 0, timedTotal: 0, timeMsTotal: succTotal * 2 },
  };
}

test("ReportedTotals gives each call once, and all again of a count that began anew", () => {
  const totals = new ReportedTotals();
  const gains = [5, 5, 9, 2].map((total) => totals.take(1, 1, result(80, total)).gains);
  assert.deepEqual(gains.map(({ succ }) => succ), [5, 0, 4, 2]);
  assert.deepEqual(gains.map(({ timeMs }) => timeMs), [10, 0, 8, 4]);
  assert.equal(totals.take(1, 2, result(80, 7)).gains.succ, 7, "another module");
  const refused = (overload: number, fresh = false) => ({
    ...{ overload, unusable: 1, noNode: 0, noRoute: 0, fresh },
  });
  const news = [refused(2, true), refused(2), refused(6), refused(1)];
  assert.deepEqual(news.map((one) => totals.takeRefused(1, 1, one).refusedNew), [3, 0, 4, 2]);
});

test("ReportedTotals forgets the module told of longest ago, and then counts too little", () => {
  const totals = new ReportedTotals(6);
  for (const modId of [1, 2, 1]) totals.take(modId, 1, result(80, modId));
  totals.take(3, 1, result(80, 3));
  totals.take(3, 1, result(81, 3)); // Module 2 goes.
  assert.equal(totals.take(1, 1, result(80, 4)).gains.succ, 3);
  assert.equal(
    totals.take(2, 1, result(80, 9)).gains.succ,
    0,
    "how much of it is new is not known",
  );
  assert.equal(totals.take(4, 1, result(80, 6, 6)).gains.succ, 6, "all that it ever had");
  const refused = { overload: 3, unusable: 0, noNode: 0, noRoute: 0 };
  assert.equal(totals.takeRefused(5, 1, { ...refused, fresh: false }).refusedNew, 0);
  assert.equal(totals.takeRefused(6, 1, { ...refused, fresh: true }).refusedNew, 3);
});

test("ReportedTotals sums what several balancers count of one node, windows too", () => {
  const totals = new ReportedTotals();
  const told = [[0, 100, 100], [1, 5, 5], [0, 101, 1], [1, 5, 0], [1, 2, 2], [0, 103, 3]];
  const taken = told.map(([shard, total, succ]) =>
    totals.take(1, 1, result(80, total, succ), shard)
  );
  assert.deepEqual(taken.map(({ succTotal }) => succTotal), [
    ...[100, 105, 106, 106],
    ...[108, 110],
  ], "also when a count began anew");
  assert.deepEqual(taken.map(({ gains: { succ } }) => succ), [100, 5, 1, 0, 2, 2]);
  assert.deepEqual(taken.map(({ succ }) => succ), [100, 105, 6, 1, 3, 5]);
  assert.deepEqual(taken.map(({ timeMsTotal }) => timeMsTotal), [
    ...[200, 210, 212, 212],
    ...[216, 220],
  ]);
});

test("ReportedTotals sums refused calls, which are fresh as long as none was told before", () => {
  const totals = new ReportedTotals();
  const refused = (overload: number, fresh: boolean) => ({
    ...{ overload, unusable: 0, noNode: 1, noRoute: 0, fresh },
  });
  const told = [[0, 3, true], [2, 4, true], [0, 5, false], [2, 1, true]] as const;
  const taken = told.map(([shard, count, fresh]) =>
    totals.takeRefused(1, 1, refused(count, fresh), shard)
  );
  assert.deepEqual(taken.map((one) => one.refused.overload), [3, 7, 9, 10]);
  assert.deepEqual(taken.map((one) => one.refused.fresh), [true, false, false, false]);
  assert.deepEqual(taken.map((one) => one.refusedNew), [4, 5, 2, 2]);
});

test("ReportedTotals goes on after a restart of all balancers, whatever their first totals are", () => {
  const totals = new ReportedTotals();
  for (const shard of [0, 1]) totals.take(1, 1, result(80, 3), shard);
  const refused = { overload: 2, unusable: 0, noNode: 0, noRoute: 0, fresh: true };
  totals.takeRefused(1, 1, refused, 0);
  totals.restarted();
  const first = totals.take(1, 1, result(80, 9), 1);
  assert.deepEqual([first.succTotal, first.gains.succ], [15, 9], "more than before");
  const second = totals.take(1, 1, result(80, 1), 0);
  assert.deepEqual([second.succTotal, second.gains.succ], [16, 1]);
  const again = totals.takeRefused(1, 1, { ...refused, overload: 7 }, 0);
  assert.deepEqual([again.refused.overload, again.refused.fresh, again.refusedNew], [9, false, 7]);
});
