// Core. A whole database as lines of JSON: what each line is, and reading one that may be anything.

import { LarsError } from "../../reactor/errors.ts";
import type { Dialect, SqlValue } from "../drivers/sql_script.ts";

/** Changes whenever the lines do; files of other versions are refused. */
export const BACKUP_VERSION = 1;

/** Longest line, of one row: the largest message of a relay is far below. A longer one is refused. */
export const BACKUP_LINE_CHARS_MAX = 64 * 1024 * 1024;

/** Most tables and columns that a file may name. */
const NAMES_MAX = 1_000;

/** A database cannot be copied, or be filled from a file. */
export class BackupError extends LarsError {
  override name: string = "BackupError";
}

/** The file is not what it should be. */
export class BackupFileError extends BackupError {
  override name = "BackupFileError";
}

/** A table, as the first line of a file names it. */
export interface BackupTable {
  readonly name: string;
  readonly columns: readonly string[];
  /** Rows in the file. */
  readonly rows: number;
}

/** The first line. */
export interface BackupHead {
  readonly backupVersion: number;
  /** Number of the last migration of the database that was copied. */
  readonly schemaVersion: number;
  /** Which database it was. */
  readonly dialect: Dialect;
  /** Program and version that wrote the file. */
  readonly program: string;
  /** Unix seconds. */
  readonly madeAt: number;
  /** State of the routes. */
  readonly epoch: number;
  readonly version: number;
  /** In the order in which their rows follow. */
  readonly tables: readonly BackupTable[];
}

/** The last line: what came before it. */
export interface BackupEnd {
  readonly rows: number;
  /** SHA-256 of all lines before this one with their ends, in hexadecimal. */
  readonly sha256: string;
}

/** The first line, without its end. */
export function formatBackupHead(head: BackupHead): string {
  const { backupVersion, schemaVersion, dialect, program, madeAt, epoch, version, tables } = head;
  return JSON.stringify({
    ...{ lars_backup: backupVersion, schema_version: schemaVersion, database: dialect, program },
    ...{ made_at: madeAt, epoch, version, tables },
  });
}

/** The last line, without its end. */
export function formatBackupEnd({ rows, sha256 }: BackupEnd): string {
  return JSON.stringify({ rows, sha256 });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/** Names of tables and columns go into statements. */
function isName(value: unknown): value is string {
  return typeof value === "string" && /^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(value);
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new BackupFileError(`${what} is no JSON`, { cause: error });
  }
}

/**
 * The first line of a file.
 *
 * @throws {BackupFileError} naming what is wrong.
 */
export function parseBackupHead(text: string): BackupHead {
  const head = parseJson(text, "Its first line");
  if (!isRecord(head) || head.lars_backup === undefined) {
    throw new BackupFileError("It is no file of `lars backup`");
  }
  if (head.lars_backup !== BACKUP_VERSION) {
    throw new BackupFileError(
      `It has version ${head.lars_backup} of the format, and this program knows ${BACKUP_VERSION}`,
    );
  }
  const { schema_version, database, program, made_at, epoch, version, tables } = head;
  const dialect = database === "mysql" || database === "sqlite" ? database : undefined;
  const isWhole = isCount(schema_version) && dialect !== undefined && isCount(made_at) &&
    isCount(epoch) && isCount(version) && Array.isArray(tables) && tables.length <= NAMES_MAX;
  if (!isWhole) throw new BackupFileError("Its first line lacks what it should say");
  return {
    ...{ backupVersion: BACKUP_VERSION, schemaVersion: schema_version, dialect },
    ...{ program: String(program), madeAt: made_at, epoch, version },
    tables: tables.map(parseTable),
  };
}

function parseTable(table: unknown): BackupTable {
  if (isRecord(table)) {
    const { name, columns, rows } = table;
    const areNames = Array.isArray(columns) && columns.length > 0 &&
      columns.length <= NAMES_MAX && columns.every(isName);
    if (isName(name) && areNames && isCount(rows)) return { name, columns, rows };
  }
  throw new BackupFileError("Its first line names a table that cannot be");
}

/**
 * A row: its values in the order of the columns.
 *
 * @throws {BackupFileError} naming the line.
 */
export function parseBackupRow(text: string, columnCount: number, line: number): SqlValue[] {
  const row = parseJson(text, `Line ${line}`);
  const isValue = (value: unknown): value is SqlValue =>
    value === null || typeof value === "string" || typeof value === "number";
  if (!Array.isArray(row) || row.length !== columnCount || !row.every(isValue)) {
    throw new BackupFileError(`Line ${line} must be a list of ${columnCount} numbers and texts`);
  }
  return row;
}

/**
 * The last line of a file.
 *
 * @throws {BackupFileError} when it is none: then the file was cut off.
 */
export function parseBackupEnd(text: string): BackupEnd {
  const end = parseJson(text, "Its last line");
  if (!isRecord(end) || !isCount(end.rows) || typeof end.sha256 !== "string") {
    throw new BackupFileError("It has no end: it was cut off");
  }
  return { rows: end.rows, sha256: end.sha256 };
}
