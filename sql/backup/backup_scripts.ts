// Core. The conversations of a backup: which tables there are, their rows in pages, and all of it back.

import {
  type Dialect,
  insertManyScript,
  numberOf,
  type Script,
  type SqlRow,
  type SqlValue,
  textOf,
} from "../drivers/sql_script.ts";
import { BackupError, type BackupTable } from "./backup_format.ts";

/** What is not copied: what says which services run now and who is logged in, and the schema itself. */
export const BACKUP_LEFT_OUT: ReadonlySet<string> = new Set([
  "SchemaMigration",
  "ServiceInstance",
  "ConsoleSession",
]);

/** Tables of ours and of the original, in the order in which they are copied. */
export const BACKUP_TABLES: readonly string[] = [
  ...["RouteVersion", "RouteData", "RouteChange", "Module", "ModIDConfig", "CmdIDConfig"],
  ...["ServerCallStatus", "RefusedCalls", "ReportMark", "ReportGap"],
  ...["CallHistoryStep", "CallHistory", "Event"],
  ...["Lease", "LeaseSeq", "LeaseHolder", "LeaseGuard", "ScaleRule"],
  ...["ConsoleUser", "ConsoleToken", "ConsoleAudit"],
  ...["ConsoleChange", "ConsoleChangeModule", "ConsoleChangePart"],
  ...["AlertRule", "AlertSilence", "AlertWebhook", "ConsoleState"],
  ...["RelayMailbox", "RelayMail"],
];

/** Tables that have rows in a database that nobody has used yet. */
const NEVER_EMPTY = new Set([
  ...["RouteVersion", "CallHistoryStep", "LeaseSeq", "ConsoleState", "RelayMailbox"],
  ...["LeaseHolder"],
]);

/** Rows of one page, and of one where each may be long. */
const PAGE_ROWS = 5_000;
const LONG_PAGE_ROWS = 200;

/** A table of this database. */
export interface SourceTable extends BackupTable {
  /** Columns of its primary key, in order. */
  readonly key: readonly string[];
  /** Its rows may be long. */
  readonly isLong: boolean;
  /** Columns that hold unsigned numbers as the signed ones of the same bits. */
  readonly signed: ReadonlySet<string>;
}

/** Columns of ServerCallStatus that are signed in some databases; a file has them unsigned. */
const MAYBE_SIGNED = new Set(["modid", "cmdid", "ip", "port", "caller"]);

function signedColumns(table: string, columns: readonly Column[]): Set<string> {
  if (table !== "ServerCallStatus") return new Set();
  const signed = columns.filter(({ name, type }) =>
    MAYBE_SIGNED.has(name) && !type.includes("unsigned")
  );
  return new Set(signed.map(({ name }) => name));
}

const SCHEMA_SQL = {
  mysql: "SELECT c.table_name AS tableName, c.column_name AS columnName, " +
    "c.column_type AS type, k.ordinal_position AS keyPlace FROM information_schema.columns AS c " +
    "LEFT JOIN information_schema.key_column_usage AS k ON k.table_schema = c.table_schema " +
    "AND k.table_name = c.table_name AND k.column_name = c.column_name " +
    "AND k.constraint_name = 'PRIMARY' " +
    "WHERE c.table_schema = DATABASE() ORDER BY c.table_name, c.ordinal_position",
  sqlite: "SELECT m.name AS tableName, p.name AS columnName, p.type AS type, " +
    "NULLIF(p.pk, 0) AS keyPlace FROM sqlite_master AS m " +
    "JOIN pragma_table_info(m.name) AS p WHERE m.type = 'table' ORDER BY m.name, p.cid",
} as const;

interface Column {
  readonly name: string;
  readonly type: string;
  readonly keyPlace: number | undefined;
}

function* columnsScript(dialect: Dialect): Script<Map<string, Column[]>> {
  // Some servers store names of tables in lower case.
  const known = new Map(
    [...BACKUP_TABLES, ...BACKUP_LEFT_OUT].map((name) => [name.toLowerCase(), name]),
  );
  const tables = new Map<string, Column[]>();
  for (const row of yield { sql: SCHEMA_SQL[dialect] }) {
    const name = known.get(textOf(row.tableName).toLowerCase());
    if (name === undefined) continue;
    const keyPlace = row.keyPlace === null ? undefined : numberOf(row.keyPlace);
    const column = {
      ...{ name: textOf(row.columnName), type: textOf(row.type).toLowerCase(), keyPlace },
    };
    const columns = tables.get(name);
    if (columns === undefined) tables.set(name, [column]);
    else columns.push(column);
  }
  return tables;
}

/** The tables to be copied, with the number of their rows. To be run within a snapshot. */
export function* sourceTablesScript(dialect: Dialect): Script<SourceTable[]> {
  const found = yield* columnsScript(dialect);
  const tables: SourceTable[] = [];
  for (const name of BACKUP_TABLES) {
    const columns = found.get(name);
    if (columns === undefined) continue;
    const [row] = yield { sql: `SELECT COUNT(*) AS n FROM ${name}` };
    const key = columns.filter(({ keyPlace }) => keyPlace !== undefined)
      .sort((one, other) => (one.keyPlace ?? 0) - (other.keyPlace ?? 0))
      .map((column) => column.name);
    if (key.length === 0) throw new BackupError(`Table ${name} must have a primary key`);
    tables.push({
      ...{ name, key, rows: numberOf(row.n), columns: columns.map((column) => column.name) },
      isLong: columns.some(({ type }) => /text|blob/.test(type)),
      signed: signedColumns(name, columns),
    });
  }
  return tables;
}

/** What follows a row in the order of the key, so that every database finds it in its index. */
function afterCondition(dialect: Dialect, key: readonly string[]): string {
  if (dialect === "sqlite") return `(${key.join(", ")}) > (${key.map(() => "?").join(", ")})`;
  const terms = key.map((name, index) =>
    [...key.slice(0, index).map((one) => `${one} = ?`), `${name} > ?`].join(" AND ")
  );
  return terms.map((term) => `(${term})`).join(" OR ");
}

function afterParams(dialect: Dialect, values: readonly SqlValue[]): SqlValue[] {
  if (dialect === "sqlite") return [...values];
  return values.flatMap((_, index) => values.slice(0, index + 1));
}

function valueOf(value: unknown): SqlValue {
  if (value === null || typeof value === "number" || typeof value === "string") return value;
  if (typeof value === "bigint") return value.toString();
  throw new BackupError(`A value of the kind ${typeof value} cannot be copied`);
}

/** A page of rows, and the key that it ended with. */
export interface BackupPage {
  readonly rows: readonly (readonly SqlValue[])[];
  /** Undefined: there are no more. */
  readonly last: readonly SqlValue[] | undefined;
}

/** The rows after a key, in its order. */
export function* pageScript(
  dialect: Dialect,
  { name, columns, key, isLong, signed }: SourceTable,
  after: readonly SqlValue[] | undefined,
): Script<BackupPage> {
  const limit = isLong ? LONG_PAGE_ROWS : PAGE_ROWS;
  const where = after === undefined ? "" : ` WHERE ${afterCondition(dialect, key)}`;
  const found: readonly SqlRow[] = yield {
    sql: `SELECT ${columns.map(quoted).join(", ")} FROM ${name}${where} ` +
      `ORDER BY ${key.join(", ")} LIMIT ${limit}`,
    params: after === undefined ? [] : afterParams(dialect, after),
  };
  const rows = found.map((row) =>
    columns.map((column) => {
      const value = valueOf(row[column]);
      return signed.has(column) ? Number(value) >>> 0 : value;
    })
  );
  const last = found.length < limit ? undefined : found[found.length - 1];
  return { rows, last: last && key.map((column) => valueOf(last[column])) };
}

/** Some of the original's columns have names that are words of SQL. */
function quoted(column: string): string {
  return `\`${column}\``;
}

/** Whether somebody has used this database. @returns a table with rows; undefined: none has any. */
export function* usedTableScript(dialect: Dialect): Script<string | undefined> {
  const found = yield* columnsScript(dialect);
  for (const name of BACKUP_TABLES) {
    if (!found.has(name) || NEVER_EMPTY.has(name)) continue;
    const rows = yield { sql: `SELECT 1 AS one FROM ${name} LIMIT 1` };
    if (rows.length > 0) return name;
  }
  return undefined;
}

/** A table of a file in the database that it goes into. */
export interface TargetTable extends BackupTable {
  /** As in {@linkcode SourceTable}. */
  readonly signed: ReadonlySet<string>;
}

/**
 * Empties all tables that a backup may hold.
 *
 * @returns those of the file, by name.
 * @throws {BackupError} when one of the file is not in this database, or lacks a column.
 */
export function* emptyScript(
  dialect: Dialect,
  tables: readonly BackupTable[],
): Script<Map<string, TargetTable>> {
  const found = yield* columnsScript(dialect);
  const targets = new Map<string, TargetTable>();
  for (const table of tables) {
    const { name, columns } = table;
    const own = found.get(name);
    if (own === undefined || !BACKUP_TABLES.includes(name)) {
      throw new BackupError(`There is no table ${name} here`);
    }
    targets.set(name, { ...table, signed: signedColumns(name, own) });
    const known = own.map((column) => column.name);
    const missing = columns.find((column) => !known.includes(column));
    if (missing === undefined) continue;
    throw new BackupError(`Table ${name} has no column ${missing} here`);
  }
  for (const name of [...found.keys()].filter((one) => one !== "SchemaMigration")) {
    yield { sql: `DELETE FROM ${name}` };
  }
  return targets;
}

/** Puts rows into a table. */
export function* fillScript(
  { name, columns, signed }: TargetTable,
  rows: readonly (readonly SqlValue[])[],
): Script<void> {
  const insert = `INSERT INTO ${name}(${columns.map(quoted).join(", ")})`;
  const valuesOf = (row: readonly SqlValue[]): readonly SqlValue[] =>
    signed.size === 0
      ? row
      : row.map((value, index) => signed.has(columns[index]) ? Number(value) | 0 : value);
  yield* insertManyScript(insert, columns.length, rows, valuesOf, rows.length);
}
