import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { withTempDir } from "../../tests/support/temp_dir.ts";
import { withStore } from "../testing/store_conformance.ts";
import { sqliteFileFault } from "./sqlite_file.ts";

function makeDatabase(path: string, ...statements: string[]): void {
  const database = new DatabaseSync(path);
  for (const statement of statements) database.exec(statement);
  database.close();
}

test("sqliteFileFault(): what is no database of ours is known, and left as it is", async () => {
  await withTempDir(async (folder) => {
    const at = (name: string): string => join(folder, name);
    mkdirSync(at("folder"));
    writeFileSync(at("empty"), "");
    writeFileSync(at("text"), "hello");
    writeFileSync(at("long"), new Uint8Array(5_000).fill(7));
    writeFileSync(at("cut"), "SQLite format 3\0");
    makeDatabase(at("other"), "CREATE TABLE t (a)");
    makeDatabase(at("original"), "CREATE TABLE RouteData (id INTEGER)");
    makeDatabase(at("log"), "PRAGMA journal_mode = WAL", "CREATE TABLE t (a)");
    await withStore(`sqlite:${at("ours")}`, (store) => store.migrate());
    const names = readdirSync(folder).sort();
    const bytesOf = (name: string): string =>
      name === "folder" ? "" : readFileSync(at(name)).toString("base64");
    const before = names.map(bytesOf);
    const said = Object.fromEntries(
      names.filter((name) => !name.startsWith("ours-"))
        .map((name) => [name, sqliteFileFault(at(name))]),
    );
    assert.deepEqual(said, {
      folder: "is a folder",
      empty: "is empty",
      text: "is no file of SQLite",
      long: "is no file of SQLite",
      other: "has no table RouteData",
      original: undefined,
      log: undefined,
      ours: undefined,
      cut: undefined,
    });
    assert.throws(() => sqliteFileFault(at("none")), /ENOENT|no such file/i);
    assert.deepEqual(readdirSync(folder).sort(), names);
    assert.deepEqual(names.map(bytesOf), before);
  });
});
