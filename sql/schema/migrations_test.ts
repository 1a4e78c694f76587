import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { migrationsOf, parseMigration, SCHEMA_VERSION } from "./migrations.ts";

test("parseMigration() cuts statements and keeps what each provides", () => {
  const text =
    "-- About.\n\n-- unless column T c\nALTER TABLE T\n  ADD c INT; \n-- note\nSELECT ';'\n;\n" +
    "-- unless table U\nCREATE TABLE U (a INT);";
  assert.deepEqual(parseMigration(text), [
    { sql: "ALTER TABLE T\n  ADD c INT", unless: { kind: "column", table: "T", name: "c" } },
    { sql: "SELECT ';'\n", unless: undefined },
    { sql: "CREATE TABLE U (a INT)", unless: { kind: "table", table: "U", name: "" } },
  ]);
});

test("parseMigration() refuses what it does not understand", () => {
  for (
    const text of [
      "SELECT 1",
      "-- unless table T\n",
      "-- unless view V\nSELECT 1;",
      "-- unless column T\nSELECT 1;",
      "-- unless table T x\nSELECT 1;",
    ]
  ) assert.throws(() => parseMigration(text), SyntaxError, text);
});

test("migrationsOf() embeds every file of the folder, the same for both databases", () => {
  const folder = fileURLToPath(new URL("../migrations/", import.meta.url));
  const files = readdirSync(folder).sort();
  const names = (["mysql", "sqlite"] as const).flatMap((dialect) =>
    migrationsOf(dialect).map(({ name }) => `${name}.${dialect}.sql`)
  ).sort();
  assert.deepEqual(names, files);
  for (const dialect of ["mysql", "sqlite"] as const) {
    assert.equal(migrationsOf(dialect).at(-1)?.version, SCHEMA_VERSION);
    for (const { version, name, statements } of migrationsOf(dialect)) {
      assert.equal(Number(name.slice(0, 4)), version);
      assert.ok(statements.length > 0);
      const alters = statements.filter(({ sql }) => /^(ALTER|CREATE INDEX)/.test(sql));
      assert.ok(alters.every(({ unless }) => unless !== undefined), `${name} can be repeated`);
    }
  }
});

test("no statement calls a function that MySQL has given up", () => {
  // PASSWORD to FOUND_ROWS() are gone or going since MySQL 8; MD5 and SHA1 since 9.6.
  const gone = /\b(MD5|SHA1?|PASSWORD|ENCRYPT|ENCODE|DECODE|DES_\w+|FOUND_ROWS)\(/;
  const folder = fileURLToPath(new URL("../", import.meta.url));
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => /\.(sql|ts)$/.test(file) && !file.endsWith("_test.ts"));
  assert.ok(files.length > 20);
  for (const file of files) {
    assert.doesNotMatch(readFileSync(join(folder, file), "utf8"), gone, file);
  }
});
