// Runs on Deno only: it is the task's runtime.

import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { freePort } from "../tests/support/free_port.ts";
import { findProgram } from "../tests/support/mariadb.ts";
import { withProcesses } from "../tests/support/processes.ts";

/** The compiler looks at the whole library, and the checking programs come from npm at first. */
const PACK_TIMEOUT_MS = 300_000;

const NEEDS_NPM = { skip: findProgram("npm") === undefined ? "npm is not on PATH" : false };

test(
  "deno task npm makes a package that its checkers accept and that Node and Bun run",
  NEEDS_NPM,
  async () => {
    await withProcesses(async (processes) => {
      const { directory } = processes;
      // Elsewhere, as for a release, which keeps the archive alone.
      const words = ["--out", `${directory}/npm`, "--archive", `${directory}/kept`];
      const made = await processes.spawn("npm", "scripts/pack_api.ts", words)
        .untilEnded(PACK_TIMEOUT_MS);
      assert.equal(made.code, 0, made.stderr);
      assert.match(made.stderr, /publint.*\n.*arethetypeswrong/);
      const archive = made.stdout.trim();
      const { version } = JSON.parse(readFileSync(`${directory}/npm/package.json`, "utf8"));
      assert.equal(archive, `${directory}/kept/lars-api-${version}.tgz`);
      assert.deepEqual(readdirSync(`${directory}/kept`), [`lars-api-${version}.tgz`]);

      const user = `${directory}/user`;
      mkdirSync(user);
      writeFileSync(`${user}/package.json`, '{ "type": "module", "private": true }');
      writeFileSync(
        `${user}/caller.mjs`,
        `import { LarsClient } from "lars-api";
      const lars = new LarsClient({ port: ${await freePort()} });
      console.log((await lars.tryGetHost(1, 1)).retcode);
      await lars.close();`,
      );
      const install = ["npm", "install", "--silent", "--no-audit", "--no-fund", archive];
      const installed = await processes.spawnCommand("install", install, { cwd: user })
        .untilEnded(PACK_TIMEOUT_MS);
      assert.equal(installed.code, 0, installed.stderr);
      for (const runner of [["node"], ["npx", "-y", "bun@1.4.5"]]) {
        const argv = [...runner, "caller.mjs"];
        const { code, stdout, stderr } = await processes.spawnCommand("caller", argv, { cwd: user })
          .untilEnded(PACK_TIMEOUT_MS);
        assert.deepEqual({ code, stdout }, { code: 0, stdout: "2\n" }, `${runner}: ${stderr}`);
      }
    });
  },
);
