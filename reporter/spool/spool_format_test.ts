import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ReportedRow } from "../report_rows.ts";
import {
  encodeSpoolHead,
  encodeSpoolRecord,
  recordRows,
  reportOf,
  type SpoolFault,
  SpoolReader,
  type SpoolRecord,
} from "./spool_format.ts";

const GAINS = { succ: 5, err: 1, timed: 4, timeMs: 90 };

function record(seq: number): SpoolRecord {
  const result = { ip: 0x0a000001, port: 80, succ: 7, err: 1, overload: true, gains: GAINS };
  return {
    ...{ atMs: 1_700_000_000_123, session: 77 },
    report: { modId: 1, cmdId: 2, caller: 0x0a000009, results: [result], ts: 1_700_000_000, seq },
  };
}

function fileOf(records: readonly SpoolRecord[], first = 1): Uint8Array {
  return Uint8Array.from([
    ...encodeSpoolHead({ id: 5, first }),
    ...records.flatMap((one) => [...encodeSpoolRecord(one)]),
  ]);
}

interface Read {
  readonly records: { number: number; record: SpoolRecord }[];
  readonly fault: SpoolFault | undefined;
}

function read(bytes: Uint8Array): Read {
  const reader = new SpoolReader(bytes);
  const records = [...reader.records()].map((one) => ({ number: one.number, record: one.read() }));
  return { records, fault: reader.fault };
}

test("records come back as they were, with their numbers", () => {
  const { records, fault } = read(fileOf([record(3), record(4)], 10));
  assert.equal(fault, undefined);
  assert.deepEqual(records, [
    { number: 10, record: record(3) },
    { number: 11, record: record(4) },
  ]);
  assert.deepEqual(new SpoolReader(fileOf([], 10)).head, { id: 5, first: 10 });
});

test("rows come back as they were, with what the history counts of them", () => {
  const base = { modId: 1, cmdId: 2, caller: 9, ts: 100, peer: 0 };
  const node = { ...base, ip: 3, port: 80, succCount: 7, errCount: 1, overload: false };
  const gains = { succ: 1, err: 2, timed: 3, timeMs: 4 };
  const kept = (refusedNew: number, own = gains) => ({
    kept: { session: 77, seq: 5, gains: own, refusedNew },
  });
  const totals = { succTotal: 70, errTotal: 10, timedTotal: 60, timeMsTotal: 600 };
  const refused = { overload: 1, unusable: 2, noNode: 3, noRoute: 4 };
  const none = { ip: 0, port: 0, succCount: 0, errCount: 0, overload: false };
  const NONE = { succ: 0, err: 0, timed: 0, timeMs: 0 };
  const rows: ReportedRow[] = [
    { ...node, ...totals, ...kept(0) },
    { ...node, port: 81, ...kept(0) },
    { ...base, ...none, refused, refusedFresh: true, ...kept(10, NONE) },
  ];
  const gainsOf = (index: number) => {
    const own = rows[index].kept;
    return own && { ...own.gains, refused: own.refusedNew };
  };
  const one = { atMs: 1, session: 77, report: reportOf(rows, gainsOf) };
  const { records: [{ record: back }] } = read(fileOf([one]));
  assert.deepEqual(recordRows(back), rows);
  // Of a sender that keeps nothing: what counts was found on arrival.
  const plain = rows.slice(0, 2).map(({ kept: _, ...row }) => row);
  const other = { atMs: 1, session: 0, report: reportOf(plain, gainsOf) };
  const { records: [{ record: again }] } = read(fileOf([other]));
  assert.deepEqual(
    recordRows(again),
    plain.map((row) => ({ ...row, kept: { session: 0, seq: 0, gains, refusedNew: 0 } })),
  );
});

test("a file that ends anywhere gives its whole records, and is torn", () => {
  const whole = fileOf([record(1), record(2)]);
  const ends = [28, 28 + (whole.length - 28) / 2, whole.length];
  for (let length = 0; length <= whole.length; length++) {
    const { records, fault } = read(whole.subarray(0, length));
    const count = ends.filter((end) => end <= length).length - 1;
    assert.equal(records.length, Math.max(0, count), `${length} bytes`);
    assert.equal(fault?.isTorn, ends.includes(length) ? undefined : true, `${length} bytes`);
  }
  const zeros = Uint8Array.from([...fileOf([record(1)]), ...new Uint8Array(4096)]);
  assert.deepEqual(read(zeros).records.length, 1, "space that was never written");
  assert.equal(read(zeros).fault?.isTorn, true);
});

test("a changed byte is found, and nothing behind it is read", () => {
  const whole = fileOf([record(1), record(2), record(3)]);
  fc.assert(fc.property(
    fc.nat(whole.length - 1),
    fc.integer({ min: 1, max: 255 }),
    (at, change) => {
      const bytes = whole.slice();
      bytes[at] ^= change;
      const { records, fault } = read(bytes);
      const before = at < 28 ? 0 : Math.floor((at - 28) / ((whole.length - 28) / 3));
      assert.equal(records.length, before);
      assert.ok(fault !== undefined);
    },
  ));
});

test("files of another kind or version are named", () => {
  assert.match(read(new Uint8Array(100)).fault?.reason ?? "", /no spool/);
  const newer = fileOf([]);
  newer[4] = 9;
  assert.match(read(newer).fault?.reason ?? "", /version 9 is not 1/);
});
