import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { packRows, type ReportedRow, rowsOf, unpackRows } from "./report_loop.ts";

const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const total = fc.option(fc.integer({ min: 0, max: 2 ** 53 - 1 }), { nil: undefined });

test("unpackRows() undoes packRows()", () => {
  const rowArbitrary = fc.record({
    modId: uint32,
    cmdId: uint32,
    ip: uint32,
    port: fc.integer({ min: 1, max: 65_535 }),
    caller: uint32,
    succCount: uint32,
    errCount: uint32,
    ts: uint32,
    overload: fc.boolean(),
    peer: uint32,
    succTotal: total,
    errTotal: total,
    timedTotal: total,
    timeMsTotal: total,
  });
  fc.assert(fc.property(fc.array(rowArbitrary, { maxLength: 20 }), (rows) => {
    const plain = rows.map((
      { succTotal, errTotal, timedTotal, timeMsTotal, ...row },
    ): ReportedRow => ({
      ...row,
      ...(succTotal === undefined ? {} : { succTotal }),
      ...(errTotal === undefined ? {} : { errTotal }),
      ...(timedTotal === undefined ? {} : { timedTotal }),
      ...(timeMsTotal === undefined ? {} : { timeMsTotal }),
    }));
    assert.deepEqual(unpackRows(packRows(plain)), plain);
  }));
});

test("rowsOf() fills in a missing time and skips results with a bad port", () => {
  const result = { ip: 1, port: 80, succ: 2, err: 3, overload: true };
  const message = {
    modId: 1,
    cmdId: 2,
    caller: 9,
    ts: 0,
    results: [result, { ...result, port: 0 }, { ...result, port: 70_000, succTotal: 7 }],
  };
  assert.deepEqual(rowsOf(message, 1234, 6), {
    rows: [{
      modId: 1,
      cmdId: 2,
      ip: 1,
      port: 80,
      caller: 9,
      succCount: 2,
      errCount: 3,
      ts: 1234,
      overload: true,
      peer: 6,
    }],
    skippedCount: 2,
  });
  assert.equal(rowsOf({ ...message, ts: 55 }, 1234, 6).rows[0].ts, 55);
  const timed = { ...result, timedTotal: 0, timeMsTotal: 0 };
  const [row] = rowsOf({ ...message, results: [timed] }, 1234, 6).rows;
  assert.deepEqual([row.timedTotal, row.timeMsTotal], [0, 0]);
});
