// Goal: no agent ever goes back to an older route, nor to none, whatever lags, is restarted or is set
// back. Method: dns and agents as shipped in thousands of random schedules in virtual time. More of
// them: deno task never-older --schedules 1000000

import assert from "node:assert/strict";
import { test } from "node:test";
import { neverOlderFaults, type NeverOlderFlaws } from "./support/never_older.ts";

/** Schedules that broke the rule once. */
const FOUND_SEEDS = [
  // A dns came upon a later epoch in a full read, forgot it, and took a server that had not heard of it.
  ...[270_577, 329_646],
  // A database that was set back was taken for one that lagged, once what showed it had been pruned.
  ...[27_103, 63_375, 135_575, 186_459, 386_722, 563_931, 574_864, 587_231, 591_032],
];

const SLOW = { timeout: 120_000 };

test(
  "no schedule takes an agent back to an older route, and all end with the newest",
  SLOW,
  async () => {
    for (let seed = 1; seed <= 300; seed++) assert.deepEqual(await neverOlderFaults(seed), []);
    for (const seed of FOUND_SEEDS) assert.deepEqual(await neverOlderFaults(seed), []);
  },
);

/** How many schedules it takes until the rule is broken; undefined: it never is. */
async function schedulesUntilFound(flaws: NeverOlderFlaws): Promise<number | undefined> {
  for (let seed = 1; seed <= 500; seed++) {
    if ((await neverOlderFaults(seed, flaws)).length > 0) return seed;
  }
  return undefined;
}

test("agents that compare nothing, and dns that remember nothing, are found", SLOW, async () => {
  assert.ok(await schedulesUntilFound({ agentsForget: true }) !== undefined, "agents");
  assert.ok(await schedulesUntilFound({ dnsForget: true }) !== undefined, "dns");
});
