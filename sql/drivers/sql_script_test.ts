// Goal: what is written into a statement as text comes back as it was, whatever it is.

import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRng } from "../../reactor/time/rng.ts";
import {
  insertTextScript,
  type SqlValue,
  type Statement,
  textSql,
  wholeSql,
} from "./sql_script.ts";

test("textSql() writes plain text down, and binds what could mean something else", () => {
  for (const text of ["", "a", "10.0.0.1", '{"a":[1, 2]}', "-- x", "/* x */ ; %", "a.b/c@d:1"]) {
    const params: SqlValue[] = [];
    assert.equal(textSql(text, params), `'${text}'`);
    assert.deepEqual(params, []);
  }
  for (
    const text of ["'", "\\", "a?b", "ü", "\n", "\0", "\u007f", "x' OR ''='", "\u2028", "a\tb"]
  ) {
    const params: SqlValue[] = [];
    assert.equal(textSql(text, params), "?", JSON.stringify(text));
    assert.deepEqual(params, [text]);
  }
});

test("textSql() never lets a text leave its quotes", () => {
  const rng = seededRng(1);
  for (let round = 0; round < 20_000; round++) {
    const length = Math.floor(rng.next() * 6);
    const codes = Array.from({ length }, () => Math.floor(rng.next() * 0x180));
    const text = String.fromCharCode(...codes);
    const params: SqlValue[] = [];
    const sql = textSql(text, params);
    if (sql === "?") assert.deepEqual(params, [text]);
    else assert.ok(sql === `'${text}'` && !/['\\?]|[^ -~]/.test(text), JSON.stringify(text));
  }
});

test("wholeSql() takes whole numbers alone", () => {
  assert.equal(wholeSql(0), "0");
  assert.equal(wholeSql(2 ** 52), "4503599627370496");
  for (const value of [1.5, NaN, Infinity, 2 ** 60, "1", null, undefined, "1;--"]) {
    assert.throws(() => wholeSql(value as number), RangeError);
  }
});

test("insertTextScript() cuts rows into statements, each with its own values", () => {
  const rowOf = (text: string, params: SqlValue[]): string => `(1,${textSql(text, params)})`;
  const script = insertTextScript("INSERT INTO T(a, b)", ["x", "y'", "z"], rowOf, 2, " END");
  const statements: Statement[] = [];
  for (let step = script.next([]); step.done !== true; step = script.next([])) {
    statements.push(step.value);
  }
  assert.deepEqual(statements, [
    { sql: "INSERT INTO T(a, b) VALUES (1,'x'),(1,?) END", params: ["y'"] },
    { sql: "INSERT INTO T(a, b) VALUES (1,'z') END" },
  ]);
});
