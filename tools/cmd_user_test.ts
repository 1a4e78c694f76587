import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { withStore } from "../sql/testing/store_conformance.ts";
import { withProcesses } from "../tests/support/processes.ts";

test(
  "lars user: added, listed, reset and removed; the last admin stays",
  { timeout: 120_000 },
  async () => {
    await withProcesses(async (processes) => {
      const url = `sqlite:${join(processes.directory, "lars.db")}`;
      await withStore(url, (store) => store.migrate());
      const user = async (...words: string[]): Promise<{ code: number | null; text: string }> => {
        const ended = await processes.run("tools/lars.ts", ["user", ...words, "--store", url]);
        return { code: ended.code, text: ended.stdout + ended.stderr };
      };
      assert.match((await user("ls")).text, /No users/);
      assert.match(
        (await user("add", "ann", "--role", "admin")).text,
        /one-time password \S{23}\n/,
      );
      assert.match((await user("add", "ann")).text, /User ann exists already/);
      assert.match((await user("add", "a b")).text, /must be letters/);
      assert.match((await user("add", "")).text, /Name must not be empty: current value is ""/);
      assert.match((await user("add", "x".repeat(65))).text, /Name must have at most 64 charact/);
      assert.equal((await user("add", "bob")).code, 0);
      const list = JSON.parse((await user("ls", "--json")).text);
      assert.deepEqual(list.map(({ name, role }: Record<string, string>) => `${name} ${role}`), [
        "ann admin",
        "bob viewer",
      ]);
      await withStore(url, async ({ console }) => {
        const before = (await console.user("ann"))?.passwordHash;
        assert.match((await user("reset", "ann")).text, /one-time password of ann: \S{23}\n/);
        assert.notEqual((await console.user("ann"))?.passwordHash, before);
      });
      assert.match((await user("reset", "eve")).text, /There is no user eve/);
      assert.match((await user("rm", "ann")).text, /At least one admin/);
      assert.equal((await user("rm", "bob")).code, 0);
    });
  },
);
