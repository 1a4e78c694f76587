import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openStore } from "../sql/mod.ts";
import { withProcesses } from "../tests/support/processes.ts";
import { withTempDir } from "../tests/support/temp_dir.ts";
import { copySqlite } from "./sqlite_copy.ts";

test("copySqlite() copies one state of a database that is written to meanwhile", async () => {
  await withTempDir(async (folder) => {
    const path = join(folder, "lars.db");
    const store = await openStore(`sqlite:${path}`);
    await store.migrate();
    let isOver = false;
    // Each edit moves a node: a state between two of them has two nodes or none.
    const write = async (): Promise<number> => {
      const node = { modId: 1, cmdId: 1, ip: 1 };
      await store.editRoutes([{ op: "add", ...node, port: 1 }]);
      let port = 1;
      for (; !isOver; port++) {
        await store.editRoutes([
          { op: "add", ...node, port: port + 1 },
          { op: "remove", ...node, port },
        ]);
        // The store answers at once: without this nothing else would have its turn.
        await new Promise((resolve) => setImmediate(resolve));
      }
      return port;
    };
    const writing = write();
    for (let copy = 0; copy < 5; copy++) {
      const to = join(folder, `copy${copy}.db`);
      const bytes = await copySqlite(path, to);
      assert.ok(bytes > 10_000);
      const copied = await openStore(`sqlite:${to}`);
      const { length } = await copied.readModules([{ modId: 1, cmdId: 1 }]);
      await copied.close();
      assert.ok(length <= 1, `${length} nodes`);
    }
    isOver = true;
    assert.ok(await writing > 1);
    await store.close();
  });
});

test("copySqlite() leaves no file when there is nothing to copy", async () => {
  await withTempDir(async (folder) => {
    const to = join(folder, "copy.db");
    await assert.rejects(copySqlite(join(folder, "none.db"), to), /There is no database at/);
    writeFileSync(
      join(folder, "text.db"),
      "this is no database, however long it may be".repeat(99),
    );
    await assert.rejects(copySqlite(join(folder, "text.db"), to), /cannot be copied/);
    assert.ok(!existsSync(to) && !existsSync(`${to}.new`));
  });
});

test("lars sql backup copies the embedded database, and no other", async () => {
  await withProcesses(async (processes) => {
    const lars = (...words: string[]) => processes.run("tools/lars.ts", words);
    assert.equal((await lars("sql", "migrate")).code, 0);
    assert.equal((await lars("route", "add", "1", "1", "10.0.0.1:80")).code, 0);
    const made = await lars("sql", "backup", "copy.db");
    assert.match(made.stdout, /^copy\.db: \d+ bytes\n$/, made.stderr);
    const again = await lars("sql", "backup", "copy.db");
    assert.equal(again.code, 1);
    assert.match(again.stderr, /copy\.db is there already: give --force/);
    assert.equal((await lars("sql", "backup", "copy.db", "--force")).code, 0);
    const listed = await lars("route", "ls", "--store", "sqlite:copy.db");
    assert.match(listed.stdout, /10\.0\.0\.1:80/);
    const other = await lars("sql", "backup", "x", "--store", "mysql://127.0.0.1:1/lars");
    assert.equal(other.code, 2);
    assert.match(other.stderr, /mariadb-dump/);
  });
});
