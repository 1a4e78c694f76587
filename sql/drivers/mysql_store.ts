// Shell. MySQL and MariaDB through mysql2.

import { type Clock, sleep } from "../../reactor/time/clock.ts";
import type { Logger } from "../../reactor/log.ts";
import {
  type FaultKind,
  type LoadingDriver,
  type ScriptMaker,
  type SnapshotRun,
  StatementFault,
  type TransactOptions,
} from "./driver.ts";
import type { MysqlConnection } from "./mysql_connection.ts";
import { MysqlPool } from "./mysql_pool.ts";
import { runScriptAsync } from "./sql_script.ts";
import type { MysqlUrl } from "./store_url.ts";

/** Tries at finding out whether a transaction was committed, and the pause between them. */
const SETTLE_TRIES_MAX = 4;
const SETTLE_PAUSE_MS = 250;

/** Faults of one server that another one of the url need not have. */
const OTHER_SERVER: ReadonlySet<FaultKind> = new Set(["behind", "setBack"]);

/** Longest single statement of a migration or of a restore: ten minutes, for a table of millions of rows. */
const MIGRATION_TIMEOUT_MS = 600_000;

/** What a {@linkcode MysqlDriver} works with; see `StoreOptions` for the meaning. */
export interface MysqlDriverOptions {
  readonly queryTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly connectionsMax: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** MySQL or MariaDB as a driver. Connects when first asked, and again whenever needed. */
export class MysqlDriver implements LoadingDriver {
  readonly dialect = "mysql";
  readonly label: string;
  readonly #pool: MysqlPool;
  readonly #clock: Clock;

  constructor(url: MysqlUrl, options: MysqlDriverOptions) {
    this.label = url.label;
    this.#clock = options.clock;
    this.#pool = new MysqlPool({ url, ...options });
  }

  run<T>(makeScript: ScriptMaker<T>): Promise<T> {
    return this.#withConnection(async (connection) => {
      let last = "";
      try {
        return await runScriptAsync(makeScript(), (statement) => {
          last = statement.sql;
          return connection.query(statement);
        });
      } catch (error) {
        // Each statement is a transaction: of a write without an answer nobody knows.
        throw isLost(error) && !/^\s*SELECT\b/i.test(last) ? doubtOf(error) : error;
      }
    });
  }

  async transact<T>(makeScript: ScriptMaker<T>, options: TransactOptions<T>): Promise<T> {
    let done: { readonly result: T } | undefined;
    try {
      return await this.#withConnection(async (connection) => {
        await connection.query({ sql: "START TRANSACTION" });
        try {
          const result = await runOn(connection, makeScript);
          done = { result };
          await connection.query({ sql: "COMMIT" });
          return result;
        } catch (error) {
          await rollBack(connection);
          throw error;
        }
      });
    } catch (error) {
      // Before COMMIT was sent the server undoes what it cannot tell us of.
      if (done === undefined || !isLost(error)) throw error;
      return await this.#settle(done.result, error, options);
    }
  }

  /** The answer to COMMIT was lost: what the database says of the transaction once it has ended. */
  async #settle<T>(
    result: T,
    fault: StatementFault,
    { wasCommitted }: TransactOptions<T>,
  ): Promise<T> {
    if (wasCommitted === undefined) throw doubtOf(fault);
    for (let tries = 1; tries <= SETTLE_TRIES_MAX; tries++) {
      let was: boolean;
      try {
        was = await this.#withConnection(async (connection) => {
          await connection.query({ sql: "START TRANSACTION" });
          try {
            return await runOn(connection, () => wasCommitted(result));
          } finally {
            await rollBack(connection);
          }
        });
      } catch (error) {
        if (!(error instanceof StatementFault)) throw error;
        await sleep(this.#clock, SETTLE_PAUSE_MS * tries);
        continue;
      }
      if (was) return result;
      throw new StatementFault("deadlock", `${fault.message}; it was not committed`, {
        cause: fault,
      });
    }
    throw doubtOf(fault);
  }

  snapshot<T>(body: (run: SnapshotRun) => Promise<T>): Promise<T> {
    return this.#withConnection(async (connection) => {
      await connection.query({ sql: "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY" });
      try {
        return await body((makeScript) => runOn(connection, makeScript));
      } finally {
        await rollBack(connection);
      }
    });
  }

  load<T>(body: (run: SnapshotRun) => Promise<T>): Promise<T> {
    return this.#withConnection(async (connection) => {
      await connection.query({ sql: "START TRANSACTION" });
      try {
        const result = await body((makeScript) =>
          runOn(connection, makeScript, MIGRATION_TIMEOUT_MS)
        );
        await connection.query({ sql: "COMMIT" }, MIGRATION_TIMEOUT_MS);
        return result;
      } catch (error) {
        await rollBack(connection);
        throw error;
      }
    });
  }

  migrate<T>(makeScript: ScriptMaker<T>): Promise<T> {
    return this.#withConnection(async (connection) => {
      try {
        return await runOn(connection, makeScript, MIGRATION_TIMEOUT_MS);
      } finally {
        // Ends the lock and the session settings of the migration, however it went.
        connection.destroy();
      }
    });
  }

  close(): Promise<void> {
    this.#pool.close();
    return Promise.resolve();
  }

  async #withConnection<T>(work: (connection: MysqlConnection) => Promise<T>): Promise<T> {
    const connection = await this.#pool.acquire();
    try {
      return await work(connection);
    } catch (error) {
      if (error instanceof StatementFault && OTHER_SERVER.has(error.kind)) {
        connection.failOver("behind");
      }
      throw error;
    } finally {
      this.#pool.release(connection);
    }
  }
}

function runOn<T>(
  connection: MysqlConnection,
  makeScript: ScriptMaker<T>,
  timeoutMs?: number,
): Promise<T> {
  return runScriptAsync(makeScript(), (statement) => connection.query(statement, timeoutMs));
}

/** True when the server was away, or ended, before it answered. */
function isLost(error: unknown): error is StatementFault {
  return error instanceof StatementFault && error.kind === "transient";
}

function doubtOf(fault: StatementFault): StatementFault {
  return new StatementFault(fault.kind, fault.message, {
    cause: fault.cause ?? fault,
    inDoubt: true,
  });
}

/** Undoes the open transaction; a connection that cannot is dropped, which undoes it as well. */
async function rollBack(connection: MysqlConnection): Promise<void> {
  if (connection.broken) return;
  try {
    await connection.query({ sql: "ROLLBACK" });
  } catch {
    connection.destroy();
  }
}
