// Goal: a report that was kept says what it said. Method: any report, packed and unpacked.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type PackedReport, ReportPacker, unpackReport } from "./packed_reports.ts";
import type { TimedReport } from "./pending_reports.ts";

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

test("a packed report is the report again, whatever was packed and forgotten besides", () => {
  fc.assert(
    fc.property(fc.array(report, { maxLength: 60 }), fc.infiniteStream(fc.nat(7)), (all, dice) => {
      const packer = new ReportPacker();
      const kept: { one: TimedReport; packed: PackedReport }[] = [];
      for (const one of all) {
        kept.push({ one, packed: packer.pack(one) });
        // Mostly the oldest goes, and now and then one more than was added.
        for (let goes = dice.next().value % 3; goes > 0 && kept.length > 0; goes--) {
          const [gone] = kept.splice(dice.next().value === 0 ? kept.length - 1 : 0, 1);
          packer.forget(gone.packed);
        }
        for (const { one, packed } of kept) {
          assert.equal(packed.resultCount, one.results.length);
          assert.deepEqual(unpackReport(packed), one);
        }
      }
    }),
    { seed: 5 },
  );
});

test("memory of forgotten reports is used again", () => {
  const packer = new ReportPacker();
  const [one] = fc.sample(fc.array(result, { minLength: 300, maxLength: 300 }), { numRuns: 1 });
  const two = { modId: 1, cmdId: 1, ts: 1, refusedNew: 0, results: one };
  const pieces = new Set<unknown>();
  let before = packer.pack(two);
  for (let round = 0; round < 100; round++) {
    const next = packer.pack(two);
    packer.forget(before);
    before = next;
    pieces.add(next.piece);
  }
  assert.equal(pieces.size, 2);
  const long = packer.pack({ ...two, results: [...one, ...one, ...one] });
  assert.equal(unpackReport(long).results.length, 900);
});
