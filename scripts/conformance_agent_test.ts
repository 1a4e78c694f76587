// Goal: an agent of an exchange that cannot start leaves nothing behind.
// Method: an address that is no address of this host; the folder for its secret in a folder of its own.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { withTempDir } from "../tests/support/temp_dir.ts";
import { ConformanceAgent } from "./conformance_agent.ts";

test("ConformanceAgent.open() removes the secret of an agent that does not start", async () => {
  await withTempDir(async (folder) => {
    const { TMPDIR } = process.env;
    process.env.TMPDIR = folder;
    try {
      const place = { address: "203.0.113.1", secret: "a secret of these words" };
      await assert.rejects(ConformanceAgent.open({ routes: {}, place }), /203\.0\.113\.1/);
      assert.deepEqual(readdirSync(folder), []);
    } finally {
      if (TMPDIR === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = TMPDIR;
    }
  });
});
