// Core. Conversations with a database as generators: written once, run by any driver.

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
