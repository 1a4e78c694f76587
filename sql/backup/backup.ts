// Core. A whole database as lines, and back into an empty one, of either kind.

import type { Clock } from "../../reactor/time/clock.ts";
import type { DatabaseState } from "../../model/database_state.ts";
import type { Driver, LoadingDriver, SnapshotRun } from "../drivers/driver.ts";
import type { SqlValue } from "../drivers/sql_script.ts";
import { acceptRestoredScript } from "../routes/route_scripts.ts";
import { serverStateScript } from "../routes/plan_scripts.ts";
import { SCHEMA_VERSION, schemaVersionScript } from "../schema/migrations.ts";
import {
  BACKUP_LINE_CHARS_MAX,
  BACKUP_VERSION,
  type BackupEnd,
  BackupError,
  BackupFileError,
  type BackupHead,
  type BackupTable,
  formatBackupEnd,
  formatBackupHead,
  parseBackupEnd,
  parseBackupHead,
  parseBackupRow,
} from "./backup_format.ts";
import {
  emptyScript,
  fillScript,
  pageScript,
  type SourceTable,
  sourceTablesScript,
  usedTableScript,
} from "./backup_scripts.ts";

/** Before it, addresses may be signed numbers: such a database is to be migrated first. */
export const BACKUP_SCHEMA_MIN = 12;

/** Rows and characters of one INSERT. */
const FILL_ROWS_MAX = 500;
const FILL_CHARS_MAX = 256 * 1024;

/** Sums up what is written or read: SHA-256. */
export interface LineHash {
  update(text: string): void;
  hexDigest(): string;
}

/** How far a backup or a restore is. */
export interface BackupProgress {
  readonly table: string;
  /** Rows done, of this table. */
  readonly done: number;
  readonly rows: number;
}

/** What {@linkcode writeBackup} is given. */
export interface WriteBackupOptions {
  readonly driver: Driver;
  readonly clock: Clock;
  readonly program: string;
  readonly hash: LineHash;
  /** Takes the next characters. */
  write(text: string): Promise<void>;
  onProgress?(progress: BackupProgress): void;
}

/**
 * Writes a database as it is at one instant, whoever writes to it meanwhile.
 *
 * @throws {BackupError} when its schema is newer than this program, or too old.
 */
export async function writeBackup(options: WriteBackupOptions): Promise<BackupHead> {
  const { driver } = options;
  return await driver.snapshot(async (run) => {
    const { head, tables } = await readHead(run, options);
    const put = async (text: string): Promise<void> => {
      options.hash.update(text);
      await options.write(text);
    };
    await put(`${formatBackupHead(head)}\n`);
    let rows = 0;
    for (const table of tables) rows += await writeTable(run, table, options, put);
    const end: BackupEnd = { rows, sha256: options.hash.hexDigest() };
    await options.write(`${formatBackupEnd(end)}\n`);
    return head;
  });
}

async function readHead(
  run: SnapshotRun,
  { driver: { dialect, label }, clock, program }: WriteBackupOptions,
): Promise<{ head: BackupHead; tables: SourceTable[] }> {
  const schemaVersion = await run(() => schemaVersionScript(dialect));
  if (schemaVersion < BACKUP_SCHEMA_MIN) {
    throw new BackupError(
      `${label} has schema version ${schemaVersion}: bring it up to date first, with ` +
        "`lars sql migrate`",
    );
  }
  refuseNewer(`${label} has`, schemaVersion);
  const { epoch, version } = await run(() => serverStateScript());
  const tables = await run(() => sourceTablesScript(dialect));
  const head = {
    ...{ backupVersion: BACKUP_VERSION, schemaVersion, dialect, program, epoch, version },
    madeAt: Math.floor(clock.wallMs() / 1000),
    tables: tables.map(({ name, columns, rows }) => ({ name, columns, rows })),
  };
  return { head, tables };
}

function refuseNewer(who: string, schemaVersion: number, Fault = BackupError): void {
  if (schemaVersion <= SCHEMA_VERSION) return;
  throw new Fault(
    `${who} schema version ${schemaVersion}, and this program knows ${SCHEMA_VERSION}: take the ` +
      "program that made it, or a later one",
  );
}

async function writeTable(
  run: SnapshotRun,
  table: SourceTable,
  { driver: { dialect }, onProgress }: WriteBackupOptions,
  put: (text: string) => Promise<void>,
): Promise<number> {
  let done = 0;
  let after: readonly SqlValue[] | undefined;
  do {
    const page = await run(() => pageScript(dialect, table, after));
    if (page.rows.length > 0) {
      await put(page.rows.map((row) => `${rowLine(table, row)}\n`).join(""));
    }
    done += page.rows.length;
    after = page.last;
    onProgress?.({ table: table.name, done, rows: table.rows });
  } while (after !== undefined);
  if (done === table.rows) return done;
  throw new BackupError(`Table ${table.name} gave ${done} rows of ${table.rows}`);
}

/** A row that could not be read back must not be thought to be saved. */
function rowLine({ name }: SourceTable, row: readonly SqlValue[]): string {
  const line = JSON.stringify(row);
  if (line.length <= BACKUP_LINE_CHARS_MAX) return line;
  throw new BackupError(
    `Table ${name} has a row of ${line.length} characters: a backup takes at most ` +
      `${BACKUP_LINE_CHARS_MAX}`,
  );
}

/** What {@linkcode readBackup} and {@linkcode restoreBackup} are given. */
export interface ReadBackupOptions {
  /** Lines of the file, without their ends. */
  readonly lines: AsyncIterator<string>;
  readonly hash: LineHash;
  onProgress?(progress: BackupProgress): void;
}

/** Told of the rows of a file. */
type OnRows = (table: BackupTable, rows: readonly (readonly SqlValue[])[]) => Promise<void>;

/** A file of which the first line has been read. */
export class BackupReader {
  readonly head: BackupHead;
  readonly #options: ReadBackupOptions;
  #line = 1;

  private constructor(head: BackupHead, options: ReadBackupOptions) {
    this.head = head;
    this.#options = options;
  }

  /**
   * Reads the first line.
   *
   * @throws {BackupFileError} when it is none, or of a schema that is newer than this program.
   */
  static async open(options: ReadBackupOptions): Promise<BackupReader> {
    const first = await options.lines.next();
    if (first.done === true) throw new BackupFileError("It is empty");
    const head = parseBackupHead(first.value);
    refuseNewer("It is of", head.schemaVersion, BackupFileError);
    options.hash.update(`${first.value}\n`);
    return new BackupReader(head, options);
  }

  /**
   * Reads the rest.
   *
   * @throws {BackupFileError} when a line is not what it should be, some are missing, or the sum does not
   * match: what was told before is not to be believed then.
   */
  async read(onRows: OnRows): Promise<number> {
    const { hash, lines } = this.#options;
    let rows = 0;
    for (const table of this.head.tables) {
      await this.#readTable(table, onRows);
      rows += table.rows;
    }
    const last = await this.#next();
    const end = parseBackupEnd(last);
    if (end.rows !== rows || end.sha256 !== hash.hexDigest()) {
      throw new BackupFileError("It is damaged: its sum does not match");
    }
    if ((await lines.next()).done !== true) throw new BackupFileError("Something follows its end");
    return rows;
  }

  async #next(): Promise<string> {
    const next = await this.#options.lines.next();
    if (next.done === true) throw new BackupFileError("It has no end: it was cut off");
    this.#line++;
    return next.value;
  }

  async #readTable(table: BackupTable, onRows: OnRows): Promise<void> {
    const { hash, onProgress } = this.#options;
    let some: SqlValue[][] = [];
    let chars = 0;
    for (let done = 1; done <= table.rows; done++) {
      const text = await this.#next();
      hash.update(`${text}\n`);
      some.push(parseBackupRow(text, table.columns.length, this.#line));
      chars += text.length;
      if (some.length < FILL_ROWS_MAX && chars < FILL_CHARS_MAX && done < table.rows) continue;
      await onRows(table, some);
      onProgress?.({ table: table.name, done, rows: table.rows });
      some = [];
      chars = 0;
    }
  }
}

/**
 * Looks whether a database, of any schema, holds anything.
 *
 * @throws {BackupError} when it does.
 */
export async function refuseUsed(
  { dialect, label }: Driver,
  run: SnapshotRun,
): Promise<void> {
  const used = await run(() => usedTableScript(dialect));
  if (used === undefined) return;
  throw new BackupError(
    `${label} is in use, table ${used} has rows: give --replace to put the file in their place`,
  );
}

/** What became of a restore. */
export interface RestoreResult {
  readonly rows: number;
  /** State of the routes from now on, above all that anybody has read. */
  readonly state: DatabaseState;
}

/**
 * Puts a file into a database that has the newest schema, in one transaction: either all of it, with
 * a new epoch, or nothing.
 *
 * @param replace Allows it to have rows; they go.
 * @throws {BackupError} as {@linkcode BackupReader.read}, or because the database is in use.
 */
export async function restoreBackup(
  driver: LoadingDriver,
  reader: BackupReader,
  replace: boolean,
): Promise<RestoreResult> {
  const { dialect } = driver;
  return await driver.load(async (run) => {
    if (!replace) await refuseUsed(driver, run);
    const before = await run(() => serverStateScript());
    const targets = await run(() => emptyScript(dialect, reader.head.tables));
    const rows = await reader.read(async ({ name }, some) => {
      const table = targets.get(name);
      if (table !== undefined) await run(() => fillScript(table, some));
    });
    const state = await run(() => acceptRestoredScript(dialect, before));
    return { rows, state };
  });
}
