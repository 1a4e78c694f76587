// Shell. MySQL and MariaDB through mysql2.

import type { Clock } from "../../reactor/time/clock.ts";
import type { Logger } from "../../reactor/log.ts";
import { type Driver, type ScriptMaker, type SnapshotRun, StatementFault } from "./driver.ts";
import type { MysqlConnection } from "./mysql_connection.ts";
import { MysqlPool } from "./mysql_pool.ts";
import { runScriptAsync } from "./sql_script.ts";
import type { MysqlUrl } from "./store_url.ts";

/** Longest single statement of a migration: ten minutes, for a table of millions of rows. */
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
export class MysqlDriver implements Driver {
  readonly dialect = "mysql";
  readonly label: string;
  readonly #pool: MysqlPool;

  constructor(url: MysqlUrl, options: MysqlDriverOptions) {
    this.label = url.label;
    this.#pool = new MysqlPool({ url, ...options });
  }

  run<T>(makeScript: ScriptMaker<T>): Promise<T> {
    return this.#withConnection((connection) => runOn(connection, makeScript));
  }

  transact<T>(makeScript: ScriptMaker<T>): Promise<T> {
    return this.#withConnection(async (connection) => {
      await connection.query({ sql: "START TRANSACTION" });
      try {
        const result = await runOn(connection, makeScript);
        await connection.query({ sql: "COMMIT" });
        return result;
      } catch (error) {
        await rollBack(connection);
        throw error;
      }
    });
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
      if (error instanceof StatementFault && error.kind === "behind") connection.failOver();
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

/** Undoes the open transaction; a connection that cannot is dropped, which undoes it as well. */
async function rollBack(connection: MysqlConnection): Promise<void> {
  if (connection.broken) return;
  try {
    await connection.query({ sql: "ROLLBACK" });
  } catch {
    connection.destroy();
  }
}
