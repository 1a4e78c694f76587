// Goal: a report that was kept says what it said. Method: any report, packed and unpacked.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { packReport, resultCount, unpackReport } from "./packed_reports.ts";

const total = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const plain = { noNullPrototype: true };
const result = fc.record({
  ip: uint32,
  port: fc.integer({ min: 1, max: 65_535 }),
  succ: uint32,
  err: uint32,
  overload: fc.boolean(),
  succTotal: total,
  errTotal: total,
  timedTotal: total,
  timeMsTotal: total,
  gains: fc.record({ succ: total, err: total, timed: total, timeMs: total }, plain),
}, plain);
const refused = fc.record({
  ...{ overload: total, unusable: total, noNode: total, noRoute: total, fresh: fc.boolean() },
}, plain);
const report = fc.record(
  {
    ...{ modId: uint32, cmdId: uint32, ts: uint32, refusedNew: total },
    results: fc.array(result, { maxLength: 40 }),
    refused,
  },
  { ...plain, requiredKeys: ["modId", "cmdId", "ts", "refusedNew", "results"] },
);

test("a packed report is the report again", () => {
  fc.assert(
    fc.property(report, (one) => {
      const packed = packReport(one);
      assert.equal(resultCount(packed), one.results.length);
      assert.deepEqual(unpackReport(packed), one);
    }),
    { seed: 5 },
  );
});
