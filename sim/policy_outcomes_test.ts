import assert from "node:assert/strict";
import { test } from "node:test";
import { measureOutcome, POLICY_FAULTS } from "./policy_faults.ts";
import { POLICY_OUTCOMES, SIMULATED_FAULTS } from "./policy_outcomes.ts";
import { POLICIES } from "./policies.ts";

/** A change of the rules that moves a value by more is one that people who choose must know. */
const POINTS_MAX = 2;
/** The same of times, as a share. */
const TIME_SHARE_MAX = 0.3;

test("every policy and preset has an outcome for every fault", () => {
  assert.deepEqual(Object.keys(POLICY_OUTCOMES).sort(), Object.keys(POLICIES).sort());
  assert.deepEqual(SIMULATED_FAULTS, POLICY_FAULTS.map(({ name, about }) => ({ name, about })));
  for (const outcomes of Object.values(POLICY_OUTCOMES)) {
    assert.equal(outcomes.length, POLICY_FAULTS.length);
  }
});

for (const policy of ["lars", "recommended", "p2c_ewma"]) {
  test(`the outcomes of ${policy} are what the simulator says (deno task policies)`, () => {
    POLICY_FAULTS.forEach((fault, index) => {
      const stored = POLICY_OUTCOMES[policy][index];
      const now = measureOutcome(policy, fault);
      const what = `${policy}, ${fault.name}: ${JSON.stringify(stored)} is now ${
        JSON.stringify(now)
      }`;
      assert.ok(Math.abs(now.lost - stored.lost) <= POINTS_MAX, what);
      assert.ok(Math.abs(now.refused - stored.refused) <= POINTS_MAX, what);
      assert.ok(Math.abs(now.p99Ms - stored.p99Ms) <= stored.p99Ms * TIME_SHARE_MAX, what);
    });
  });
}

test("recommended loses less than the original's rules in every fault", () => {
  POLICY_OUTCOMES.recommended.forEach(({ lost, p99Ms }, index) => {
    const original = POLICY_OUTCOMES.lars[index];
    assert.ok(lost <= original.lost, SIMULATED_FAULTS[index].name);
    assert.ok(p99Ms <= original.p99Ms * 1.1, SIMULATED_FAULTS[index].name);
  });
});
