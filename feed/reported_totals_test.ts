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
  const gains = [5, 5, 9, 2].map((total) => totals.gainsOf(1, 1, result(80, total)));
  assert.deepEqual(gains.map(({ succ }) => succ), [5, 0, 4, 2]);
  assert.deepEqual(gains.map(({ timeMs }) => timeMs), [10, 0, 8, 4]);
  assert.equal(totals.gainsOf(1, 2, result(80, 7)).succ, 7, "another module");
  const refused = (overload: number, fresh = false) => ({
    ...{ overload, unusable: 1, noNode: 0, noRoute: 0, fresh },
  });
  const news = [refused(2, true), refused(2), refused(6), refused(1)];
  assert.deepEqual(news.map((one) => totals.refusedOf(1, 1, one)), [3, 0, 4, 2]);
});

test("ReportedTotals forgets the module told of longest ago, and then counts too little", () => {
  const totals = new ReportedTotals(6);
  for (const modId of [1, 2, 1]) totals.gainsOf(modId, 1, result(80, modId));
  totals.gainsOf(3, 1, result(80, 3));
  totals.gainsOf(3, 1, result(81, 3)); // Module 2 goes.
  assert.equal(totals.gainsOf(1, 1, result(80, 4)).succ, 3);
  assert.equal(totals.gainsOf(2, 1, result(80, 9)).succ, 0, "how much of it is new is not known");
  assert.equal(totals.gainsOf(4, 1, result(80, 6, 6)).succ, 6, "all that it ever had");
  const refused = { overload: 3, unusable: 0, noNode: 0, noRoute: 0 };
  assert.equal(totals.refusedOf(5, 1, { ...refused, fresh: false }), 0);
  assert.equal(totals.refusedOf(6, 1, { ...refused, fresh: true }), 3);
});
