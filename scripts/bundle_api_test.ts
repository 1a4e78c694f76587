// Runs on Deno only: Deno is the bundler.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { findProgram } from "../tests/support/mariadb.ts";
import { freePort } from "../tests/support/free_port.ts";
import { withProcesses } from "../tests/support/processes.ts";

const NEEDS_NODE = { skip: findProgram("node") === undefined ? "node is not on PATH" : false };

test(
  "deno task api makes one file that Node runs, with types and no path of this machine",
  NEEDS_NODE,
  async () => {
    await withProcesses(async (processes) => {
      const { directory } = processes;
      const made = await processes.run("scripts/bundle_api.ts", ["--out", directory]);
      assert.equal(made.code, 0, made.stderr);
      assert.deepEqual(made.stdout.trim().split("\n"), [
        `${directory}/lars_api.js`,
        `${directory}/lars_api.d.ts`,
      ]);
      const types = readFileSync(`${directory}/lars_api.d.ts`, "utf8");
      assert.match(types, /export declare class LarsClient|class LarsClient/);
      assert.ok(!readFileSync(`${directory}/lars_api.js`, "utf8").includes("../"));
      const port = await freePort();
      writeFileSync(
        `${directory}/caller.mjs`,
        `import { LarsClient } from "./lars_api.js";
      const lars = new LarsClient({ port: ${port} });
      console.log((await lars.tryGetHost(1, 1)).retcode);
      await lars.close();`,
      );
      const caller = processes.spawnCommand("caller", ["node", `${directory}/caller.mjs`]);
      assert.deepEqual((({ code, stdout }) => ({ code, stdout }))(await caller.untilEnded()), {
        code: 0,
        stdout: "2\n",
      });
    });
  },
);

test("deno task api refuses what it does not know with exit code 2", async () => {
  await withProcesses(async (processes) => {
    const { code, stderr } = await processes.run("scripts/bundle_api.ts", ["--nope"]);
    assert.equal(code, 2);
    assert.match(stderr, /unknown option '--nope'/);
  });
});
