import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { makeSchedule, SCHEDULE_ENTRIES_MAX } from "./schedule.ts";

const firm = (weights: readonly number[]): { share: number; isLoose: boolean }[] => {
  const sum = weights.reduce((all, weight) => all + weight, 0);
  return weights.map((weight) => ({ share: weight / sum, isLoose: false }));
};

function countsOf(turns: Uint16Array, length: number): number[] {
  const counts = new Array<number>(length).fill(0);
  for (const turn of turns) counts[turn]++;
  return counts;
}

test("equal shares take one turn each, in order", () => {
  assert.deepEqual([...makeSchedule(firm([5, 5, 5]))], [0, 1, 2]);
  assert.deepEqual([...makeSchedule(firm([7]))], [0]);
  assert.deepEqual([...makeSchedule([])], []);
});

test("a schedule is as short as exact shares allow", () => {
  assert.deepEqual(countsOf(makeSchedule(firm([300, 100, 200])), 3), [3, 1, 2]);
  assert.equal(makeSchedule(firm([37, 91, 100, 3])).length, 231);
});

test("a loose share makes no schedule long", () => {
  const shares = new Array(19).fill({ share: 10 / 11 / 19, isLoose: false });
  const turns = makeSchedule([...shares, { share: 1 / 11, isLoose: true }]);
  assert.ok(turns.length < 64, `${turns.length} turns`);
  assert.ok(countsOf(turns, 20)[19] / turns.length > 0.08);
});

test("shares are met, whatever they are, and every node has a turn", () => {
  const weight = fc.integer({ min: 1, max: 10_000 });
  fc.assert(
    fc.property(fc.array(weight, { minLength: 1, maxLength: 300 }), (weights) => {
      const shares = firm(weights);
      const turns = makeSchedule(shares);
      const counts = countsOf(turns, weights.length);
      assert.ok(turns.length <= Math.max(SCHEDULE_ENTRIES_MAX, 4 * weights.length));
      // The smallest ones get a whole turn, at the cost of the others together.
      const given = shares.filter(({ share }) => share * turns.length < 1).length;
      counts.forEach((count, node) => {
        assert.ok(count >= 1, `node ${node} has no turn`);
        const off = Math.abs(count - shares[node].share * turns.length);
        assert.ok(off <= 1 + given, `node ${node}: ${count} of ${turns.length}`);
      });
    }),
    { numRuns: 200 },
  );
});

test("turns of a node are spread evenly", () => {
  const turns = makeSchedule(firm([5, 1, 1, 1, 1, 1]));
  let run = 1;
  for (let i = 1; i < turns.length; i++) {
    run = turns[i] === turns[i - 1] ? run + 1 : 1;
    assert.ok(run <= 2, [...turns].join());
  }
});

test("thousands of nodes have four turns each at most", () => {
  const turns = makeSchedule(firm(Array.from({ length: 4096 }, (_, i) => 1 + i % 7)));
  assert.ok(turns.length <= 4 * 4096);
  assert.equal(new Set(turns).size, 4096);
});
