// Goal: whatever fails, no edit is lost, nobody goes back, and no answer is one that never was true.
// Method: real processes and writers of every kind on a MariaDB, each fault once, all observations
// recorded and held against a model. Longer: deno task history --minutes 10

import assert from "node:assert/strict";
import { test } from "node:test";
import { noPrivateServerReason } from "../support/mariadb.ts";
import { checkHistory } from "./history_checker.ts";
import { historySummary, recordHistory } from "./history_lab.ts";
import { IDLE_WRITER } from "./history_notes.ts";

const options = { skip: noPrivateServerReason() ?? false, timeout: 300_000 };

test(
  "random edits under every fault: what was seen agrees with what was written",
  options,
  async () => {
    const lines: string[] = [];
    const run = await recordHistory({ seconds: 0, seed: 1, say: (line) => lines.push(line) });
    console.log(historySummary(run));
    assert.deepEqual(checkHistory(run.record), [], lines.join("\n"));
    for (let writer = 0; writer < IDLE_WRITER; writer++) {
      const own = run.record.edits.filter((edit) => edit.writer === writer);
      assert.ok(own.some(({ outcome }) => outcome === "done"), `writer ${writer} has edited`);
    }
  },
);
