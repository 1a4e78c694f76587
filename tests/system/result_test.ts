// Goal: each result counts once, whoever comes and goes: none twice, none lost while a reporter can be
// reached. Method: senders and reporters as shipped in virtual time, by seeds.

import assert from "node:assert/strict";
import { test } from "node:test";
import { replayOfResults, runResults } from "./result_run.ts";

const SEEDS = 30;

for (const isOrderly of [true, false]) {
  const who = isOrderly ? "all end in good order" : "some are killed";
  test(`each result counts once while senders and reporters come and go: ${who}`, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { broken } = await runResults(seed, { isOrderly });
      assert.deepEqual(broken, [], replayOfResults(seed, isOrderly));
    }
  });
}
