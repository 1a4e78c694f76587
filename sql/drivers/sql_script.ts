// Core. Conversations with a database as generators: written once, run by any driver.

import type { ModuleKey } from "../../model/module.ts";

/** A value bound to a placeholder. */
export type SqlValue = number | string | null;

/** A result row by column name; numbers may come as text when they do not fit a double. */
export type SqlRow = Record<string, unknown>;

/** One statement with `?` placeholders. */
export interface Statement {
  readonly sql: string;
  readonly params?: readonly SqlValue[];
}

/**
 * A conversation: yields statements, is given the rows of each (none for those that return none),
 * and returns its result. It knows neither driver nor promise, so that SQLite can run it in one go
 * inside a transaction and MySQL between its waits.
 */
export type Script<T> = Generator<Statement, T, readonly SqlRow[]>;

/** The two kinds of SQL that are spoken. */
export type Dialect = "mysql" | "sqlite";

/** Runs a script with a driver that answers at once. */
export function runScript<T>(script: Script<T>, run: (statement: Statement) => SqlRow[]): T {
  let step = script.next();
  while (!step.done) step = script.next(run(step.value));
  return step.value;
}

/** Runs a script with a driver that answers later. */
export async function runScriptAsync<T>(
  script: Script<T>,
  run: (statement: Statement) => Promise<readonly SqlRow[]>,
): Promise<T> {
  let step = script.next();
  while (!step.done) step = script.next(await run(step.value));
  return step.value;
}

/** A script of one statement that gives its rows. */
export function* rowsScript(sql: string, params: readonly SqlValue[] = []): Script<
  readonly SqlRow[]
> {
  return yield { sql, params };
}

/** Cuts a list into pieces of at most `size`. */
export function* chunksOf<T>(items: readonly T[], size: number): Generator<T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}

/** What locks the rows of a SELECT until the transaction ends; SQLite lets one writer in anyway. */
export function forUpdate(dialect: Dialect): string {
  return dialect === "mysql" ? " FOR UPDATE" : "";
}

/** The beginning of an INSERT that leaves rows alone whose key is there. */
export function insertIgnore(dialect: Dialect): string {
  return dialect === "mysql" ? "INSERT IGNORE" : "INSERT OR IGNORE";
}

/** The end of an INSERT that overwrites `columns` of a row whose key is there. */
export function onConflict(dialect: Dialect, key: string, columns: readonly string[]): string {
  return dialect === "mysql"
    ? ` ON DUPLICATE KEY UPDATE ${columns.map((name) => `${name} = VALUES(${name})`).join(", ")}`
    : ` ON CONFLICT(${key}) DO UPDATE SET ` +
      columns.map((name) => `${name} = excluded.${name}`).join(", ");
}

/** One INSERT of a row. `columns`: separated by `, `. */
export function insertOne(
  table: string,
  columns: string,
  params: readonly SqlValue[],
): Statement {
  const places = params.map(() => "?").join(", ");
  return { sql: `INSERT INTO ${table}(${columns}) VALUES (${places})`, params };
}

/**
 * Inserts rows, `rowsMax` by one statement.
 *
 * @param insert The beginning, with table and columns.
 * @param columnCount Values of each row.
 * @param end What follows the values, as {@linkcode onConflict}.
 */
export function* insertManyScript<T>(
  insert: string,
  columnCount: number,
  items: readonly T[],
  valuesOf: (item: T) => readonly SqlValue[],
  rowsMax = 1000,
  end = "",
): Script<void> {
  for (const chunk of chunksOf(items, rowsMax)) {
    yield {
      sql: `${insert} VALUES ${placeholders(chunk.length, columnCount)}${end}`,
      params: chunk.flatMap(valuesOf),
    };
  }
}

/** Rows deleted by one statement. */
const DELETE_ROWS = 1000;

/** Deletes rows by their ids. */
export function* deleteIdsScript(table: string, ids: readonly number[]): Script<void> {
  for (const chunk of chunksOf(ids, DELETE_ROWS)) {
    yield {
      sql: `DELETE FROM ${table} WHERE id IN ${placeholders(1, chunk.length)}`,
      params: chunk,
    };
  }
}

/** Printable text without quote, backslash and question mark: it means itself between quotes. */
const PLAIN_TEXT = /^[ -&(->@-[\]-~]*$/;

/** A text inside of a statement; what is not plain becomes a placeholder, its value one of `params`. */
export function textSql(text: string, params: SqlValue[]): string {
  if (PLAIN_TEXT.test(text)) return `'${text}'`;
  params.push(text);
  return "?";
}

/** A whole number inside of a statement. @throws {RangeError} for any other value. */
export function wholeSql(value: number): string {
  if (Number.isSafeInteger(value)) return String(value);
  throw new RangeError(`A column must be a whole number: current value is ${String(value)}`);
}

/**
 * INSERTs of very many rows: binding each value takes longer than writing it down.
 *
 * @param rowOf `(1,'a',?)`, by {@linkcode wholeSql} and {@linkcode textSql} alone.
 * @param end What follows the values, as {@linkcode onConflict}.
 */
export function* insertTextScript<T>(
  insert: string,
  items: readonly T[],
  rowOf: (item: T, params: SqlValue[]) => string,
  rowsMax = 1000,
  end = "",
): Script<void> {
  for (const chunk of chunksOf(items, rowsMax)) {
    const params: SqlValue[] = [];
    let rows = "";
    for (const item of chunk) rows += (rows === "" ? "" : ",") + rowOf(item, params);
    const sql = `${insert} VALUES ${rows}${end}`;
    yield params.length === 0 ? { sql } : { sql, params };
  }
}

/** Conditions that must all hold, each with the value of its placeholder; undefined ones are none. */
export function whereAll(
  conditions: readonly (readonly [string, SqlValue | undefined])[],
): { where: string; params: SqlValue[] } {
  const terms: string[] = [];
  const params: SqlValue[] = [];
  for (const [term, value] of conditions) {
    if (value === undefined) continue;
    terms.push(term);
    params.push(value);
  }
  return { where: terms.length === 0 ? "" : ` WHERE ${terms.join(" AND ")}`, params };
}

/** `(?,?),(?,?)`: placeholders for `rowCount` rows of `columnCount` values. */
export function placeholders(rowCount: number, columnCount: number): string {
  const row = `(${new Array(columnCount).fill("?").join(",")})`;
  return new Array(rowCount).fill(row).join(",");
}

/** The value of a column as a number; NULL and what is no number give 0. */
export function numberOf(value: unknown): number {
  const number = Number(value);
  return Number.isFinite(number) ? number : 0;
}

/** The value of a column as text; NULL gives the empty text. */
export function textOf(value: unknown): string {
  return value === null || value === undefined ? "" : String(value);
}

/** The value of a column as a number; NULL stays. */
export function numberOrNull(value: unknown): number | null {
  return value === null || value === undefined ? null : numberOf(value);
}

/** The value of a column as a JSON object; what is none gives the empty one. */
export function jsonOf(value: unknown): Record<string, unknown> {
  const text = textOf(value);
  if (text === "") return {}; // An error would cost a hundred times as much.
  try {
    const parsed: unknown = JSON.parse(text);
    if (parsed === null || typeof parsed !== "object" || Array.isArray(parsed)) return {};
    return parsed as Record<string, unknown>;
  } catch {
    return {}; // Not written by us; the rest of the row still tells what it is about.
  }
}

/** The module that a row names. */
export function moduleKeyOf(row: SqlRow): ModuleKey {
  return { modId: numberOf(row.modid), cmdId: numberOf(row.cmdid) };
}
