import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { join } from "node:path";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { withTempDir } from "../../tests/support/temp_dir.ts";
import type { LoadingDriver } from "../drivers/driver.ts";
import { openDriver, openStore } from "../open_store.ts";
import { migrationsOf, SCHEMA_VERSION } from "../schema/migrations.ts";
import { BackupReader, type LineHash, restoreBackup, writeBackup } from "./backup.ts";
import { BackupError } from "./backup_format.ts";
import { BACKUP_LEFT_OUT, BACKUP_TABLES } from "./backup_scripts.ts";

function sum(): LineHash {
  const hash = createHash("sha256");
  return { update: (text) => void hash.update(text), hexDigest: () => hash.digest("hex") };
}

async function linesOf(driver: LoadingDriver): Promise<string[]> {
  let text = "";
  await writeBackup({
    ...{ driver, clock: new ManualClock(), program: "test", hash: sum() },
    write: (more) => {
      text += more;
      return Promise.resolve();
    },
  });
  return text.split("\n").slice(0, -1);
}

function reader(lines: readonly string[]): Promise<BackupReader> {
  async function* all(): AsyncGenerator<string> {
    yield* lines;
  }
  return BackupReader.open({ lines: all(), hash: sum() });
}

async function check(lines: readonly string[]): Promise<number> {
  return await (await reader(lines)).read(() => Promise.resolve());
}

async function withDatabase(
  body: (url: string, driver: LoadingDriver) => Promise<void>,
): Promise<void> {
  await withTempDir(async (folder) => {
    const url = `sqlite:${join(folder, "lars.db")}`;
    const store = await openStore(url);
    await store.migrate();
    await store.editRoutes([{ op: "add", modId: 1, cmdId: 2, ip: 3, port: 4 }]);
    await store.close();
    const driver = await openDriver(url);
    try {
      await body(url, driver);
    } finally {
      await driver.close();
    }
  });
}

test("each table is copied, or left out on purpose", () => {
  const known = new Set([...BACKUP_TABLES, ...BACKUP_LEFT_OUT]);
  for (const dialect of ["mysql", "sqlite"] as const) {
    const statements = migrationsOf(dialect).flatMap((one) => one.statements);
    const made = statements.flatMap(({ sql }) =>
      /^\s*CREATE TABLE (?:IF NOT EXISTS )?`?(\w+)/.exec(sql)?.[1] ?? []
    );
    assert.ok(made.length > 20);
    assert.deepEqual(made.filter((name) => !known.has(name)), [], "put it into backup_scripts.ts");
  }
});

test("a file is refused when anything of it is wrong", async () => {
  await withDatabase(async (_url, driver) => {
    const lines = await linesOf(driver);
    assert.ok(await check(lines) > 0);
    const at = lines.findIndex((line) => line.startsWith("["));
    const changed = (line: number, text: string): string[] => lines.with(line, text);
    const head = JSON.parse(lines[0]);
    const cases: [string[], RegExp][] = [
      [[], /It is empty/],
      [["{}"], /no file of `lars backup`/],
      [["no"], /first line is no JSON/],
      [changed(0, JSON.stringify({ ...head, lars_backup: 2 })), /version 2 of the format/],
      [
        changed(0, JSON.stringify({ ...head, schema_version: SCHEMA_VERSION + 1 })),
        /It is of schema version \d+, and this program knows/,
      ],
      [
        changed(0, JSON.stringify({ ...head, tables: [{ name: "a b" }] })),
        /names a table that can/,
      ],
      [lines.slice(0, -1), /It has no end/],
      [lines.slice(0, at + 1), /It has no end/],
      [lines.toSpliced(at, 1), /must be a list|no end|sum/],
      [changed(at, lines[at].replace(/\d+/, "77")), /sum does not match/],
      [changed(at, "[1,{}]"), /Line \d+ must be a list of 2 numbers and texts/],
      [[...lines, "[]"], /Something follows its end/],
    ];
    for (const [wrong, said] of cases) {
      const isSaid = (error: unknown): boolean =>
        error instanceof BackupError && said.test(error.message);
      await assert.rejects(check(wrong), isSaid, String(said));
    }
  });
});

test("a restore that fails leaves all as it was, and one that does not raises epoch and version", async () => {
  await withDatabase(async (url, driver) => {
    const lines = await linesOf(driver);
    const store = await openStore(url);
    await store.editRoutes([{ op: "add", modId: 5, cmdId: 6, ip: 7, port: 8 }]);
    const before = await store.routeMark();
    const restored = async (some: readonly string[], replace: boolean): Promise<unknown> =>
      await restoreBackup(driver, await reader(some), replace);
    await assert.rejects(restored(lines, false), /in use, table RouteData has rows/);
    await assert.rejects(restored(lines.slice(0, -1), true), /no end/);
    assert.deepEqual(await store.routeMark(), before);
    await restored(lines, true);
    const after = await store.routeMark();
    assert.ok(after.version > before.version && (after.epoch ?? 0) > (before.epoch ?? 0));
    assert.equal((await store.readModules([{ modId: 5, cmdId: 6 }])).length, 0);
    assert.equal((await store.readModules([{ modId: 1, cmdId: 2 }])).length, 1);
    await restored(lines, true);
    assert.ok(((await store.routeMark()).epoch ?? 0) > (after.epoch ?? 0), "and each time");
    await store.close();
  });
});

test("a database that was never brought up to date is not copied", async () => {
  await withTempDir(async (folder) => {
    const driver = await openDriver(`sqlite:${join(folder, "empty.db")}`);
    await assert.rejects(linesOf(driver), /schema version 0: bring it up to date first/);
    await driver.close();
  });
});
