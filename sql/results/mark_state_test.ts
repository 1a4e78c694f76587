import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  afterRange,
  afterRanges,
  MARK_GAPS_MAX,
  type MarkState,
  NO_MARK,
  withinGaps,
} from "./mark_state.ts";

/** Reports that are in the history by a state, up to `max`. */
function countedOf({ seq, gaps }: MarkState, max: number): number[] {
  const all = Array.from({ length: max }, (_, i) => i + 1);
  return all.filter((one) => one <= seq && !gaps.some(({ from, to }) => from < one && one <= to));
}

test("no report is taken twice, and every other one is", () => {
  const range = fc.tuple(fc.nat(20), fc.integer({ min: 1, max: 8 }))
    .map(([from, count]) => ({ from, to: from + count }));
  fc.assert(fc.property(fc.array(range, { maxLength: 30 }), (ranges) => {
    const model = new Set<number>();
    let state = NO_MARK;
    for (const { from, to } of ranges) {
      const own = Array.from({ length: to - from }, (_, i) => from + 1 + i);
      const isNew = own.every((one) => !model.has(one));
      const after = afterRange(state, { from, to });
      assert.equal(after !== undefined, isNew);
      if (after === undefined) continue;
      own.forEach((one) => model.add(one));
      state = after;
      assert.deepEqual(countedOf(state, 40), [...model].sort((a, b) => a - b));
    }
  }));
});

test("a list of reports counts whole or not at all", () => {
  const state = { seq: 10, gaps: [{ from: 2, to: 5 }] };
  assert.deepEqual(afterRanges(state, [{ from: 2, to: 4 }, { from: 10, to: 12 }]), {
    ...{ seq: 12, gaps: [{ from: 4, to: 5 }] },
  });
  assert.equal(afterRanges(state, [{ from: 2, to: 4 }, { from: 9, to: 12 }]), undefined);
  assert.deepEqual(afterRange(state, { from: 7, to: 7 }), state, "nothing is no report");
});

test("of ever more gaps the latest are remembered, and no report counts twice by that", () => {
  const count = MARK_GAPS_MAX + 5;
  const ranges = Array.from({ length: count }, (_, i) => ({ from: 10 * i + 9, to: 10 * i + 10 }));
  const all = afterRanges(NO_MARK, ranges);
  assert.ok(all !== undefined);
  assert.equal(all.gaps.length, count);
  const { state, givenUp } = withinGaps(all);
  assert.deepEqual([state.seq, state.gaps.length, givenUp], [10 * count, MARK_GAPS_MAX, 5]);
  assert.equal(afterRange(state, { from: 40, to: 49 }), undefined, "given up");
  assert.notEqual(afterRange(state, { from: 50, to: 59 }), undefined);
  for (const range of ranges) assert.equal(afterRange(state, range), undefined);
  assert.deepEqual(withinGaps(state), { state, givenUp: 0 });
});
