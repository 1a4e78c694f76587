import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { RowShipper, SHIP_DELAY_MS, SHIP_ROWS_MAX } from "./report_loop.ts";
import { packRows, type ReportedRow, rowsOf, unpackRows } from "./report_rows.ts";

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
    refused: fc.option(
      fc.record({ overload: uint32, unusable: uint32, noNode: uint32, noRoute: uint32 }),
      { nil: undefined },
    ),
    refusedFresh: fc.boolean(),
    again: fc.boolean(),
  });
  fc.assert(fc.property(fc.array(rowArbitrary, { maxLength: 20 }), (rows) => {
    const plain = rows.map((
      { succTotal, errTotal, timedTotal, timeMsTotal, refused, refusedFresh, again, ...row },
    ): ReportedRow => ({
      ...row,
      ...(succTotal === undefined ? {} : { succTotal }),
      ...(errTotal === undefined ? {} : { errTotal }),
      ...(timedTotal === undefined ? {} : { timedTotal }),
      ...(timeMsTotal === undefined ? {} : { timeMsTotal }),
      ...(refused === undefined ? {} : { refused: { ...refused }, refusedFresh }),
      ...(again ? { again } : {}),
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

function row(modId: number, succCount: number): ReportedRow {
  return {
    modId,
    cmdId: 1,
    ip: 2,
    port: 3,
    caller: 4,
    succCount,
    errCount: 0,
    ts: 5,
    overload: false,
    peer: 1,
  };
}

test("RowShipper sends one parcel at a time and the latest of each key", () => {
  const clock = new ManualClock();
  const parcels: ReportedRow[][] = [];
  const shipper = new RowShipper(
    clock,
    seededRng(1),
    10_000,
    (packed) => parcels.push(unpackRows(packed)),
  );
  shipper.add([row(1, 1)]);
  assert.equal(parcels.length, 0);
  clock.advance(SHIP_DELAY_MS);
  assert.deepEqual(parcels, [[row(1, 1)]]);
  shipper.add([row(1, 2), row(2, 1)]);
  shipper.add([row(1, 3)]);
  clock.advance(10 * SHIP_DELAY_MS);
  assert.equal(parcels.length, 1);
  shipper.received();
  assert.deepEqual(parcels[1], [row(1, 3), row(2, 1)]);
  shipper.received();
  shipper.add([row(5, 1)]);
  clock.advance(SHIP_DELAY_MS);
  assert.equal(parcels.length, 3);
});

test("RowShipper refuses new keys when full, and flushes all it has", () => {
  const clock = new ManualClock();
  let shipped = 0;
  const keysMax = 2 * SHIP_ROWS_MAX;
  const shipper = new RowShipper(clock, seededRng(1), keysMax, (packed) => {
    shipped += unpackRows(packed).length;
  });
  shipper.add(Array.from({ length: keysMax + 7 }, (_, modId) => row(modId, 1)));
  assert.equal(shipper.refusedCount, 7);
  shipper.flush();
  assert.equal(shipped, keysMax);
  assert.equal(clock.pendingCount, 0);
});

test("rowsOf() makes a row without a node of refused calls", () => {
  const refused = { overload: 1, unusable: 2, noNode: 3, noRoute: 4, fresh: true };
  const message = { modId: 1, cmdId: 2, caller: 9, ts: 5, results: [], refused };
  const { fresh: _fresh, ...totals } = refused;
  assert.deepEqual(rowsOf(message, 1234, 6), {
    rows: [{
      ...{ modId: 1, cmdId: 2, ip: 0, port: 0, caller: 9, succCount: 0, errCount: 0, ts: 5 },
      ...{ overload: false, peer: 6, refused: totals, refusedFresh: true },
    }],
    skippedCount: 0,
  });
});

test("rowsOf() marks what its sender tells again: without totals, or without numbers", () => {
  const plain = { ip: 1, port: 80, succ: 2, err: 3, overload: false };
  const whole = { ...plain, succTotal: 9, errTotal: 3 };
  const refused = { overload: 1, unusable: 0, noNode: 0, noRoute: 0, fresh: true };
  const about = { modId: 1, cmdId: 2, caller: 9, ts: 1 };
  const marks = (results: typeof plain[], session?: number, extended = true, seq?: number) =>
    rowsOf({ ...about, results, refused, seq }, 1, 6, session, extended).rows
      .map(({ again = false }) => again);
  assert.deepEqual(marks([plain, whole]), [true, false, false]);
  assert.deepEqual(marks([plain], undefined, false), [false, false], "one of the original");
  assert.deepEqual(marks([whole], 7), [true, true]);
  assert.deepEqual(marks([whole], 7, true, 1), [false, false]);
});
