// Shell. SQLite through node:sqlite: the embedded store, no server needed.

import { close, existsSync, fdatasync, mkdirSync, open } from "node:fs";
import { dirname, resolve } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { promisify } from "node:util";
import { messageOf } from "../../reactor/errors.ts";
import type { Logger } from "../../reactor/log.ts";
import { loopTurn } from "../../reactor/time/system_clock.ts";
import {
  type FaultKind,
  type LoadingDriver,
  type ScriptMaker,
  type SnapshotRun,
  StatementFault,
} from "./driver.ts";
import { Checkpoints, LOG_PAGES_MAX } from "./sqlite_checkpoints.ts";
import { runScript, type SqlRow, type SqlValue, type Statement } from "./sql_script.ts";
import type { SqliteUrl } from "./store_url.ts";

/**
 * How long one statement waits for another process, in milliseconds. Such a wait holds up everything
 * else of this thread, and services of one process have several statements waiting at once: so there
 * is none, and the store asks again after pauses in which others go on.
 */
const BUSY_TIMEOUT_MS = 0;
/** The same for a program that does nothing else meanwhile. */
const LOAD_BUSY_TIMEOUT_MS = 20_000;
/**
 * Prepared statements kept; when full all are dropped. Those longer than this are never kept, as they
 * hold values and do not come again. What is not kept stays in memory until garbage is collected, which
 * knows nothing of its size, some 10 kB: so nothing that is run for each row may be longer.
 */
const PREPARED_MAX = 64;
const PREPARED_LENGTH_MAX = 2_000;
/** Statements of one script before others in the process get their turn. */
const STATEMENTS_PER_TURN = 4;
/** Snapshots read at once, each a connection of its own; one more is refused, transient. */
export const SQLITE_SNAPSHOTS_MAX = 8;

// Deno gives no error code for faults of exec(), so faults are told apart by SQLite's own words.
const FAULTS: readonly (readonly [RegExp, FaultKind])[] = [
  [/\b(?:database|table|schema)\b.* is locked|database is busy/i, "busy"],
  [/no such (?:table|column)|has no column named/i, "schema"],
  [/(?:CHECK|NOT NULL) constraint failed|cannot store \w+ value/i, "rows"],
  [/disk I\/O error|database or disk is full|unable to open database/i, "transient"],
  [/file is not a database|disk image is malformed|readonly database/i, "unusable"],
];

function faultOf(error: unknown, otherwise: FaultKind = "permanent"): StatementFault {
  const message = messageOf(error);
  const kind = FAULTS.find(([pattern]) => pattern.test(message))?.[1] ?? otherwise;
  return new StatementFault(kind, message, { cause: error });
}

/**
 * Deno gives text only up to its first NUL when it is read, so that two texts may look like one. No
 * text of ours needs one; those of strangers get the sign for what cannot be shown in its place.
 */
function whole(params: readonly SqlValue[]): readonly SqlValue[] {
  if (!params.some((value) => typeof value === "string" && value.includes("\0"))) return params;
  return params.map((value) =>
    typeof value === "string" ? value.replaceAll("\0", "\uFFFD") : value
  );
}

const openFile = promisify(open) as (path: string, flags: string) => Promise<number>;
const syncFile = promisify(fdatasync);
const closeFile = promisify(close);

/**
 * Has the log of a database that was written reach the disk, as SQLite itself does with
 * `synchronous = FULL`, but on a thread of the runtime: a disk that is busy takes a second for it, in
 * which nothing else of this thread would go on. One is under way at most; who comes meanwhile shares
 * the next.
 */
class LogSync {
  readonly #path: string;
  /**
   * Descriptor of the log: kept, as none may be left to be opened when it is needed. No `FileHandle`,
   * as one that is not closed before it is collected ends a program in Bun.
   */
  #log: number | undefined;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** `path`: of the database. */
  constructor(path: string) {
    this.#path = path;
  }

  /** Resolves when all that was written before the call is on disk. @throws {StatementFault} */
  done(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return this.#begin();
    return this.#next ??= running.catch(() => {}).then(() => this.#begin());
  }

  /** After what is under way. */
  async close(): Promise<void> {
    await (this.#next ?? this.#running)?.catch(() => {});
    const log = this.#log;
    this.#log = undefined;
    if (log !== undefined) await closeFile(log);
  }

  #begin(): Promise<void> {
    this.#next = undefined;
    const sync = this.#sync().finally(() => {
      if (this.#running === sync) this.#running = undefined;
    });
    return this.#running = sync;
  }

  async #sync(): Promise<void> {
    try {
      this.#log ??= await this.#open();
      await syncFile(this.#log);
    } catch (error) {
      // Whoever closes a database last has all of its log reach the disk, and removes it.
      if ((error as { code?: unknown }).code === "ENOENT") return;
      const message = `written, and not known to be on disk: ${messageOf(error)}`;
      throw new StatementFault("permanent", message, { cause: error, inDoubt: true });
    }
  }

  /** Has the name of a log that is new reach the disk too. */
  async #open(): Promise<number> {
    const log = await openFile(`${this.#path}-wal`, "r+");
    try {
      const folder = await openFile(dirname(this.#path), "r");
      // Not every system can; SQLite passes over that too.
      await syncFile(folder).catch(() => {});
      await closeFile(folder);
      return log;
    } catch (error) {
      await closeFile(log);
      throw error;
    }
  }
}

/** One open file with its prepared statements. */
class Connection {
  /** Undefined: the file system allows no log beside the database, SQLite waits by itself. */
  readonly logSync: LogSync | undefined;
  readonly #database: DatabaseSync;
  readonly #prepared = new Map<string, StatementSync>();

  constructor(path: string) {
    this.#database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    try {
      const [mode] = this.all({ sql: "PRAGMA journal_mode = WAL" });
      this.logSync = mode?.journal_mode === "wal" ? new LogSync(path) : undefined;
      this.exec("PRAGMA synchronous = NORMAL");
      this.exec(`PRAGMA wal_autocheckpoint = ${LOG_PAGES_MAX}`);
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  exec(sql: string): void {
    try {
      this.#database.exec(sql);
    } catch (error) {
      throw faultOf(error);
    }
  }

  /** Rows of one statement. Reads with all(): in Deno iterate() ends silently at an error. */
  all({ sql, params = [] }: Statement): SqlRow[] {
    try {
      return this.#statement(sql).all(...whole(params)) as SqlRow[];
    } catch (error) {
      throw faultOf(error);
    }
  }

  /** Runs a script between BEGIN and COMMIT. Nothing else can run in between: no waits inside. */
  transact<T>(makeScript: ScriptMaker<T>): T {
    this.exec("BEGIN IMMEDIATE");
    try {
      const result = runScript(makeScript(), (statement) => this.all(statement));
      this.exec("COMMIT");
      return result;
    } catch (error) {
      // Some faults end the transaction by themselves; then there is nothing to undo.
      if (this.#database.isTransaction !== false) this.#rollback();
      throw error;
    }
  }

  close(): void {
    void this.logSync?.close();
    this.#prepared.clear();
    this.#database.close();
  }

  #rollback(): void {
    try {
      this.#database.exec("ROLLBACK");
    } catch (error) {
      if (!/no transaction is active/i.test(messageOf(error))) throw faultOf(error);
    }
  }

  #statement(sql: string): StatementSync {
    const known = this.#prepared.get(sql);
    if (known !== undefined) return known;
    const statement = this.#database.prepare(sql);
    if (sql.length > PREPARED_LENGTH_MAX) return statement;
    if (this.#prepared.size >= PREPARED_MAX) this.#prepared.clear();
    this.#prepared.set(sql, statement);
    return statement;
  }
}

/**
 * SQLite as a driver. The file and its folder are made by the first call. Every transaction runs
 * in one go, so that two stores of one process on the same file never wait for each other.
 */
export class SqliteDriver implements LoadingDriver {
  readonly dialect = "sqlite";
  readonly label: string;
  readonly #path: string;
  readonly #log: Logger;
  readonly #checkpoints: Checkpoints;
  #connection: Connection | undefined;
  #snapshotCount = 0;
  #closed = false;

  /** `log` is told when there is no such file and an empty database is made. */
  constructor(url: SqliteUrl, log: Logger) {
    this.label = url.label;
    this.#path = url.path;
    this.#log = log;
    this.#checkpoints = new Checkpoints(url.path, (reason) => {
      log.warn("The log of the database is moved into it later", { reason });
    });
  }

  // Not async functions in disguise: a fault must become a rejection, so each is marked async.
  /** Others get their turn within a long script: no transaction holds it together. */
  async run<T>(makeScript: ScriptMaker<T>): Promise<T> {
    const script = makeScript();
    let step = script.next();
    for (let count = 1; !step.done; count++) {
      step = script.next(this.#open().all(step.value));
      if (count % STATEMENTS_PER_TURN === 0 && !step.done) await loopTurn();
    }
    return step.value;
  }

  async transact<T>(makeScript: ScriptMaker<T>, options: { durable: boolean }): Promise<T> {
    const result = await this.#transact(makeScript, options);
    this.#checkpoints.wrote();
    return result;
  }

  async #transact<T>(makeScript: ScriptMaker<T>, options: { durable: boolean }): Promise<T> {
    const connection = this.#open();
    if (!options.durable) return connection.transact(makeScript);
    if (connection.logSync !== undefined) {
      const result = connection.transact(makeScript);
      await connection.logSync.done();
      return result;
    }
    connection.exec("PRAGMA synchronous = FULL");
    try {
      return connection.transact(makeScript);
    } finally {
      connection.exec("PRAGMA synchronous = NORMAL");
    }
  }

  async snapshot<T>(body: (run: SnapshotRun) => Promise<T>): Promise<T> {
    this.#checkOpen();
    if (this.#snapshotCount >= SQLITE_SNAPSHOTS_MAX) {
      throw new StatementFault(
        "transient",
        `at most ${SQLITE_SNAPSHOTS_MAX} snapshots can be read at once`,
      );
    }
    this.#snapshotCount++;
    let connection: Connection | undefined;
    try {
      const own = connection = openConnection(this.#path, this.#log);
      own.exec("BEGIN");
      // deno-lint-ignore require-await
      return await body(async (makeScript) => {
        this.#checkOpen();
        return runScript(makeScript(), (statement) => own.all(statement));
      });
    } finally {
      connection?.close(); // Ends the read transaction too.
      this.#snapshotCount--;
    }
  }

  async load<T>(body: (run: SnapshotRun) => Promise<T>): Promise<T> {
    this.#checkOpen();
    const own = openConnection(this.#path, this.#log);
    try {
      own.exec("PRAGMA synchronous = FULL");
      own.exec(`PRAGMA busy_timeout = ${LOAD_BUSY_TIMEOUT_MS}`);
      own.exec("BEGIN IMMEDIATE");
      // deno-lint-ignore require-await
      const result = await body(async (makeScript) =>
        runScript(makeScript(), (statement) => own.all(statement))
      );
      own.exec("COMMIT");
      this.#checkpoints.wrote();
      return result;
    } finally {
      own.close(); // Undoes what is not committed.
    }
  }

  migrate<T>(makeScript: ScriptMaker<T>): Promise<T> {
    return this.transact(makeScript, { durable: true });
  }

  async close(): Promise<void> {
    this.#closed = true;
    const { running } = this.#checkpoints;
    if (running !== undefined) await running;
    this.#connection?.close();
    this.#connection = undefined;
  }

  #checkOpen(): void {
    if (this.#closed) throw new StatementFault("permanent", "the store is closed");
  }

  #open(): Connection {
    this.#checkOpen();
    this.#connection ??= openConnection(this.#path, this.#log);
    return this.#connection;
  }
}

function openConnection(path: string, log: Logger): Connection {
  try {
    mkdirSync(dirname(path), { recursive: true });
    const isNew = !existsSync(path);
    const connection = new Connection(path);
    if (isNew) {
      log.warn(
        `There was no database at ${resolve(path)}: an empty one has been made. It gets ` +
          "its tables when a console starts on it, or by `lars sql migrate`. If another is meant, name it: [store] url or [mysql] " +
          "in the file of -c, or --store URL, --data DIR, LARS_STORE_URL",
      );
    }
    return connection;
  } catch (error) {
    throw error instanceof StatementFault ? error : faultOf(error, "unusable");
  }
}
