// Goal: calls stay near while they can, and no zone is loaded beyond its fair load and the slack.
// Method: tables worked out by hand, and the bound as a property over random zones.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { planZones, steadied, type ZoneRules } from "./zone_plan.ts";

const rules: ZoneRules = { ownZone: "a", callers: {}, evacuated: [], slack: 0.1 };

function plan(health: Record<string, number>, more: Partial<ZoneRules> = {}): number[] {
  const zones = Object.entries(health).map(([zone, part]) => ({ zone, health: part }));
  return planZones(zones, { ...rules, ...more }).map((share) => Number(share.toFixed(4)));
}

test("planZones() keeps calls in the own zone, and spills what is too much for it", () => {
  assert.deepEqual(plan({ a: 10, b: 10, c: 10 }), [1, 0, 0]);
  assert.deepEqual(plan({ a: 20, b: 5, c: 5 }), [1, 0, 0]);
  // A third of the callers, 0.2 of the health: 0.2 * 1.1 / (1/3) = 0.66; the rest goes where room
  // is: b has 0.5 - 1/3 = 0.1667 free, c has 0.3 < 1/3, none.
  assert.deepEqual(plan({ a: 4, b: 10, c: 6 }), [0.66, 0.34, 0]);
  assert.deepEqual(plan({ a: 0, b: 10, c: 10 }), [0, 0.5, 0.5]);
  // The own zone has no node: c has less than its own callers need, so all goes to b.
  assert.deepEqual(plan({ b: 30, c: 10 }), [1, 0]);
  // No zone is the own one: all share as they can bear.
  assert.deepEqual(plan({ b: 30, c: 10 }, { ownZone: undefined }), [0.75, 0.25]);
  assert.deepEqual(plan({ a: 0, b: 0 }), [0, 0]);
  assert.deepEqual(plan({}), []);
  assert.deepEqual(plan({ a: 1 }), [1]);
});

test("planZones() heeds where callers are", () => {
  assert.deepEqual(plan({ a: 10, b: 10 }, { callers: { a: 0.1 } }), [1, 0]);
  // 0.5 * 1.1 / 0.9.
  assert.deepEqual(plan({ a: 10, b: 10 }, { callers: { a: 0.9 } }), [0.6111, 0.3889]);
  assert.deepEqual(plan({ a: 10, b: 10 }, { callers: { a: 1, b: 0 } }), [0.55, 0.45]);
});

test("planZones() empties an evacuated zone unless nothing else is left", () => {
  assert.deepEqual(plan({ a: 10, b: 10, c: 10 }, { evacuated: ["a"] }), [0, 0.5, 0.5]);
  assert.deepEqual(plan({ a: 10, b: 10, c: 10 }, { evacuated: ["b"] })[1], 0);
  assert.deepEqual(plan({ a: 10, b: 0 }, { evacuated: ["a"] }), [1, 0]);
  assert.deepEqual(plan({ a: 10, b: 10 }, { evacuated: ["a", "b"] }), [1, 0]);
});

test("planZones() loads no zone above its fair load and the slack", () => {
  const zone = fc.record({ health: fc.integer({ min: 0, max: 50 }), callers: fc.nat(50) });
  fc.assert(fc.property(fc.array(zone, { minLength: 1, maxLength: 8 }), (drawn) => {
    const zones = drawn.map(({ health }, index) => ({ zone: `z${index}`, health }));
    const total = zones.reduce((sum, { health }) => sum + health, 0);
    const callersTotal = drawn.reduce((sum, { callers }) => sum + callers, 0);
    fc.pre(total > 0 && callersTotal > 0);
    const callers = Object.fromEntries(
      drawn.map((part, index) => [`z${index}`, part.callers / callersTotal]),
    );
    const load = zones.map(() => 0);
    for (const { zone: ownZone } of zones) {
      const shares = planZones(zones, { ownZone, callers, evacuated: [], slack: 0.1 });
      const sum = shares.reduce((all, share) => all + share, 0);
      assert.ok(Math.abs(sum - 1) < 1e-9, `shares sum to ${sum}`);
      shares.forEach((share, index) => load[index] += share * callers[ownZone]);
    }
    zones.forEach(({ health }, index) => {
      assert.ok(load[index] <= health / total * 1.1 + 1e-9, `${load} of ${JSON.stringify(zones)}`);
    });
  }));
});

test("steadied() falls at once and rises by steps", () => {
  const cases = [[0.5, 0.4, 0.4], [0.5, 0.49, 0.49], [0.5, 0.54, 0.5], [0.5, 0.55, 0.55]];
  for (const [now, wanted, then] of cases) assert.equal(steadied(now, wanted, 0.05), then);
  assert.equal(steadied(0.99, 1, 0.05), 1);
});
