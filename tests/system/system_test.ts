// Goal: dns, agents, reporters, discoveries and nodes keep their promises together, whatever fails; and
// the rules that say so find what they are for. Method: the shipped code in virtual time, by seeds; then
// with bugs planted. More seeds: deno task system-sim --seeds 1000

import assert from "node:assert/strict";
import { test } from "node:test";
import { PLANTED_BUGS } from "./planted_bugs.ts";
import { runSystem } from "./system_run.ts";

/** Seeds of the shipped code. */
const SEEDS = 6;

/** A planted bug is found within so many. */
const SEEDS_MAX = 60;

test("no rule is broken, whatever fails", async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { broken } = await runSystem(seed);
    assert.deepEqual(broken, [], `deno task system-sim --seeds 1 --from ${seed} --trace`);
  }
});

test("one seed gives the same run each time", async () => {
  const options = { chaosMs: 60_000 };
  assert.deepEqual(await runSystem(7, options), await runSystem(7, options));
});

for (const bug of PLANTED_BUGS) {
  test(`a planted bug is found: ${bug.name}`, async () => {
    for (let seed = 1; seed <= SEEDS_MAX; seed++) {
      if ((await runSystem(seed, { bug })).broken.length > 0) return;
    }
    assert.fail(`${SEEDS_MAX} seeds do not find it`);
  });
}
