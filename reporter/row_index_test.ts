// Goal: rows in arrays of numbers are the rows that were put there, in their order, whatever comes.
// Method: against a map of objects, by random steps that let the arrays grow and shrink.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { nextInt, seededRng } from "../reactor/time/rng.ts";
import type { CallStatusRow } from "../sql/store.ts";
import { callsId } from "../model/node.ts";
import type { ReportedRow } from "./report_rows.ts";
import { RowIndex } from "./row_index.ts";
import { ReportedColumns, StatusColumns, type WaitingStatus } from "./status_columns.ts";

const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const total = fc.integer({ min: 0, max: 2 ** 53 - 1 });
const optional = <T>(of: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(of, { nil: undefined });

const STATUS = {
  ...{ modId: uint32, cmdId: uint32, ip: uint32, port: fc.integer({ min: 0, max: 65_535 }) },
  ...{ caller: uint32, succCount: uint32, errCount: uint32, ts: uint32, overload: fc.boolean() },
  ...{ succTotal: optional(total), errTotal: optional(total) },
  refused: optional(
    fc.record({ overload: total, unusable: total, noNode: total, noRoute: total }),
  ),
};

/** Without what is not there. */
function plain<T extends object>(row: T): T {
  return Object.fromEntries(Object.entries(row).filter(([, value]) => value !== undefined)) as T;
}

test("columns give back what was put into them", () => {
  const kept = fc.record({ ...STATUS, keptBy: optional(fc.integer({ min: 1, max: 2 ** 53 - 1 })) });
  fc.assert(fc.property(fc.array(kept, { minLength: 1, maxLength: 30 }), (rows) => {
    const columns = new StatusColumns();
    rows.forEach((row, place) => {
      columns.resize(place + 1);
      columns.write(0, row as WaitingStatus);
      columns.write(place, row as WaitingStatus);
    });
    columns.write(0, rows[0] as WaitingStatus);
    rows.forEach((row, place) => assert.deepEqual(columns.read(place), plain(row)));
  }));
  const kept1 = { session: 1, seq: 2, gains: { succ: 0, err: 0, timed: 0, timeMs: 0 } };
  const columns = new StatusColumns();
  columns.resize(1);
  const row: ReportedRow = { ...rowOf(1), peer: 1, kept: { ...kept1, refusedNew: 0 } };
  columns.write(0, row);
  assert.equal(columns.read(0).keptBy, 1, "one that its sender keeps");
});

test("columns of reports give back what was put into them", () => {
  const reported = fc.record({
    ...{ ...STATUS, peer: uint32, timedTotal: optional(total), timeMsTotal: optional(total) },
    ...{ again: optional(fc.constant(true)), refusedFresh: fc.boolean() },
  });
  fc.assert(fc.property(reported, ({ refusedFresh, ...row }) => {
    const columns = new ReportedColumns();
    columns.resize(2);
    const said = row.refused === undefined ? {} : { refusedFresh };
    columns.write(1, { ...plain(row), ...said } as ReportedRow);
    assert.deepEqual(columns.read(1), { ...plain(row), ...said });
  }));
});

function rowOf(number: number): CallStatusRow {
  const ip = 0x0a00_0000 + (number >>> 3);
  return {
    ...{ modId: number % 3, cmdId: 1, ip, port: 1 + number % 8, caller: number % 5 },
    ...{ succCount: 0, errCount: 0, ts: 1, overload: false },
  };
}

test("an index finds, replaces and gives out rows as a map does", { timeout: 120_000 }, () => {
  const rng = seededRng(5);
  const index = new RowIndex<WaitingStatus>(
    new StatusColumns(),
    RowIndex.factors(() => rng.next()),
  );
  const model = new Map<string, { row: WaitingStatus; mark: number }>();
  const takeAndCompare = (): void => {
    const [first] = model;
    const taken = index.takeOldest();
    if (first === undefined) return assert.equal(taken, undefined);
    model.delete(first[0]);
    const { row, mark } = first[1];
    const isSame = taken?.mark === mark && taken.row.succCount === row.succCount &&
      callsId(taken.row) === first[0];
    if (!isSame) assert.deepEqual(taken, first[1]);
  };
  for (let round = 0; round < 3; round++) {
    // Up to some 20,000 rows, and down to few or none.
    for (let step = 0; step < 30_000; step++) {
      const row = { ...rowOf(nextInt(rng, 50_000)), succCount: step };
      const key = callsId(row);
      const place = index.find(row);
      if (place !== undefined !== model.has(key)) assert.fail(`${key}: ${place}`);
      if (place === undefined) {
        index.add(row, step);
        model.set(key, { row, mark: step });
      } else if (step % 2 === 0) {
        index.replace(place, row);
        model.set(key, { row, mark: index.markOf(place) });
      } else {
        index.setMark(place, step);
        model.set(key, { row: index.read(place), mark: step });
      }
      if (step % 16 === 0) takeAndCompare();
    }
    assert.ok(model.size > 16_384, `${model.size} rows`);
    const counts = (rows: Iterable<WaitingStatus>): string =>
      [...rows].map((row) => `${callsId(row)} ${row.succCount}`).join("\n");
    assert.ok(counts(index.rows()) === counts([...model.values()].map(({ row }) => row)), "rows");
    while (model.size > (round % 2 === 0 ? 0 : 100)) takeAndCompare();
    assert.equal(index.size, model.size);
  }
});

test("keys that differ little, or much, are spread over the chains", () => {
  // Each look at a place is counted: a chain that holds many would show.
  for (const spread of [1, 256, 65_536, 16_777_216]) {
    const columns = new StatusColumns();
    let looks = 0;
    const isAt = columns.isAt.bind(columns);
    columns.isAt = (place, row): boolean => {
      looks++;
      return isAt(place, row);
    };
    const rng = seededRng(spread);
    const index = new RowIndex<WaitingStatus>(columns, RowIndex.factors(() => rng.next()));
    const count = 20_000;
    for (let number = 0; number < count; number++) {
      const row = { ...rowOf(0), ip: (number * spread) >>> 0, modId: number };
      assert.equal(index.find(row), undefined);
      index.add(row, 0);
    }
    assert.ok(looks < 10 * count, `${looks} looks for ${count} rows, ${spread} apart`);
  }
});
