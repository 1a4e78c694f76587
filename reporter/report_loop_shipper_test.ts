import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import {
  type ReportedRow,
  RowShipper,
  SHIP_DELAY_MS,
  SHIP_ROWS_MAX,
  unpackRows,
} from "./report_loop.ts";

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
  const shipper = new RowShipper(clock, 10_000, (packed) => parcels.push(unpackRows(packed)));
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
  const shipper = new RowShipper(clock, keysMax, (packed) => {
    shipped += unpackRows(packed).length;
  });
  shipper.add(Array.from({ length: keysMax + 7 }, (_, modId) => row(modId, 1)));
  assert.equal(shipper.refusedCount, 7);
  shipper.flush();
  assert.equal(shipped, keysMax);
  assert.equal(clock.pendingCount, 0);
});
