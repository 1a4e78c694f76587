// Shell. One connection to MySQL or MariaDB, which always answers in time or is given up.

import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { type Connection, createConnection, type QueryError } from "mysql2";
import { type Address, formatAddress } from "../../reactor/address.ts";
import { connectionFault } from "../../reactor/runtime/common.ts";
import { ed25519Proof } from "./ed25519_auth.ts";
import { type FaultKind, StatementFault } from "./driver.ts";
import { type NodePosition, nodePositionScript } from "./galera_node.ts";
import { runScriptAsync, type SqlRow, type Statement } from "./sql_script.ts";
import type { MysqlUrl } from "./store_url.ts";

// Numbers from the server's own list of errors; names in the comments.
const FAULT_KINDS: ReadonlyMap<number, FaultKind> = new Map([
  [1020, "deadlock"], // ER_CHECKREAD: changed since it was read, where snapshots are isolated
  [1206, "deadlock"], // ER_LOCK_TABLE_FULL
  [1412, "deadlock"], // ER_TABLE_DEF_CHANGED
  [1615, "deadlock"], // ER_NEED_REPREPARE
  [1213, "deadlock"], // ER_LOCK_DEADLOCK; in Galera also a certification conflict at COMMIT
  // What another migration has made meanwhile: on Galera no lock holds on more than one node.
  [1050, "deadlock"], // ER_TABLE_EXISTS_ERROR
  [1060, "deadlock"], // ER_DUP_FIELDNAME
  [1061, "deadlock"], // ER_DUP_KEYNAME
  [1044, "rights"], // ER_DBACCESS_DENIED_ERROR
  [1142, "rights"], // ER_TABLEACCESS_DENIED_ERROR
  [1143, "rights"], // ER_COLUMNACCESS_DENIED_ERROR
  [1046, "schema"], // ER_NO_DB_ERROR: the database was dropped and made anew under us
  [1054, "schema"], // ER_BAD_FIELD_ERROR
  [1146, "schema"], // ER_NO_SUCH_TABLE
  [1264, "rows"], // ER_WARN_DATA_OUT_OF_RANGE
  [1265, "rows"], // WARN_DATA_TRUNCATED
  [1292, "rows"], // ER_TRUNCATED_WRONG_VALUE
  [1366, "rows"], // ER_TRUNCATED_WRONG_VALUE_FOR_FIELD
  [1406, "rows"], // ER_DATA_TOO_LONG
  [3819, "rows"], // ER_CHECK_CONSTRAINT_VIOLATED of MySQL
  [4025, "rows"], // ER_CONSTRAINT_FAILED of MariaDB
  [1021, "transient"], // ER_DISK_FULL
  [1040, "transient"], // ER_CON_COUNT_ERROR
  [1047, "transient"], // ER_UNKNOWN_COM_ERROR: a Galera node without quorum
  [1053, "transient"], // ER_SERVER_SHUTDOWN
  [1114, "transient"], // ER_RECORD_FILE_FULL
  [1129, "transient"], // ER_HOST_IS_BLOCKED
  [1152, "transient"], // ER_ABORTING_CONNECTION
  [1158, "transient"], // ER_NET_READ_ERROR
  [1159, "transient"], // ER_NET_READ_INTERRUPTED
  [1160, "transient"], // ER_NET_ERROR_ON_WRITE
  [1161, "transient"], // ER_NET_WRITE_INTERRUPTED
  [1184, "transient"], // ER_NEW_ABORTING_CONNECTION
  [1637, "transient"], // ER_TOO_MANY_CONCURRENT_TRXS
  [4031, "transient"], // ER_CLIENT_INTERACTION_TIMEOUT
  [1180, "transient"], // ER_ERROR_DURING_COMMIT
  [1203, "transient"], // ER_TOO_MANY_USER_CONNECTIONS
  [1205, "transient"], // ER_LOCK_WAIT_TIMEOUT
  [1226, "transient"], // ER_USER_LIMIT_REACHED
  [1290, "transient"], // ER_OPTION_PREVENTS_STATEMENT: read_only, while another becomes primary
  [1317, "transient"], // ER_QUERY_INTERRUPTED
  [1836, "transient"], // ER_READ_ONLY_MODE
  [1927, "transient"], // ER_CONNECTION_KILLED
  [1969, "transient"], // ER_STATEMENT_TIMEOUT of MariaDB
  [3024, "transient"], // ER_QUERY_TIMEOUT of MySQL
]);

/** Of 1180 and 1105: a Galera cluster takes no transaction of so many rows, or so large. */
const WRITE_SET_LIMIT = /max_ws_rows exceeded|maximum writeset size exceeded/i;

/** The session has lost its database; a new one finds the database of that name. */
const NO_DATABASE_ERRNO = 1046;

/** Faults that say this server cannot serve now, while another of the url may. */
const FAIL_OVER_ERRNOS: ReadonlySet<number> = new Set([1047, 1053, 1290, 1836]);

function faultOf(error: QueryError, host: Address): StatementFault {
  const isTooMany = WRITE_SET_LIMIT.test(error.message ?? "");
  const known = isTooMany
    ? "rows"
    : error.errno === undefined
    ? undefined
    : FAULT_KINDS.get(error.errno);
  // Without an SQL state no server has spoken: the fault is of the network or of the library.
  const isNetwork = error.sqlState === undefined;
  const kind = known ?? (isNetwork ? "transient" : "permanent");
  const said = isNetwork ? connectionFault(error) : error.message;
  const text = said || error.code || "unknown fault";
  const message = isNetwork ? `${formatAddress(host)}: ${text}` : text;
  return new StatementFault(kind, message, { cause: error });
}

/** Of a fault on the way in: what a server refuses there for good, it refuses to all that is asked. */
function unusableOf(error: unknown): unknown {
  if (!(error instanceof StatementFault) || error.kind !== "permanent") return error;
  return new StatementFault("unusable", error.message, { cause: error.cause ?? error });
}

/** It said that it cannot serve, or it lacked what was read before. */
export type FailOverReason = "refused" | "behind";

/** What a connection needs to know. */
export interface ConnectionOptions {
  readonly url: MysqlUrl;
  readonly host: Address;
  readonly connectTimeoutMs: number;
  readonly queryTimeoutMs: number;
}

/** What a server has signed; a byte more may follow. */
const ED25519_CHALLENGE_BYTES = 32;

/** One statement at a time; the pool sees to that. */
export class MysqlConnection {
  readonly host: Address;
  /** Longest wait for a statement, in milliseconds; the connection is broken after it. */
  readonly queryTimeoutMs: number;
  readonly #connectTimeoutMs: number;
  readonly #connection: Connection;
  #broken = false;
  #failedOver: FailOverReason | undefined;
  #rejectPending: ((error: Error) => void) | undefined;

  /** Starts to connect; {@linkcode MysqlConnection.open} tells how it went. */
  constructor(options: ConnectionOptions) {
    const { url, host } = options;
    this.host = host;
    this.queryTimeoutMs = options.queryTimeoutMs;
    this.#connectTimeoutMs = options.connectTimeoutMs;
    this.#connection = createConnection({
      host: host.hostname,
      port: host.port,
      user: url.user,
      password: url.password,
      database: url.database,
      charset: "utf8mb4",
      connectTimeout: options.connectTimeoutMs,
      enableKeepAlive: true,
      multipleStatements: false,
      flags: ["-LOCAL_FILES"],
      supportBigNumbers: true,
      stringifyObjects: true,
      dateStrings: true,
      authPlugins: {
        client_ed25519: () => (challenge) =>
          Buffer.from(ed25519Proof(url.password, challenge.subarray(0, ED25519_CHALLENGE_BYTES))),
      },
      ...tlsOptions(url),
    });
    checkedByAddress(this.#connection, host);
    this.#connection.on("error", () => (this.#broken = true));
    this.#connection.on("end", () => (this.#broken = true));
  }

  /**
   * Waits for the connection and prepares the session.
   *
   * @throws {StatementFault} transient when the host cannot serve now, else of a kind that lasts.
   */
  async open(): Promise<void> {
    try {
      await this.#connected();
      await this.#prepareSession(this.#connectTimeoutMs);
    } catch (error) {
      this.destroy();
      throw unusableOf(error);
    }
  }

  /** True once the connection is of no further use. */
  get broken(): boolean {
    return this.#broken;
  }

  /** Why another host should be tried now; undefined when none should. */
  get failedOver(): FailOverReason | undefined {
    return this.#failedOver;
  }

  /** This server is of no use now: the next connection goes to another one, if there is one. */
  failOver(reason: FailOverReason): void {
    this.#failedOver = reason;
    this.#broken = true;
  }

  /**
   * Runs one statement and gives its rows, none for one that returns none.
   *
   * @throws {StatementFault} always within the time-out; a connection that let it pass is broken,
   * because its answer may still come.
   */
  query(statement: Statement, timeoutMs = this.queryTimeoutMs): Promise<readonly SqlRow[]> {
    if (this.#broken) {
      return Promise.reject(this.#lost("connection was lost"));
    }
    const { sql, params } = statement;
    // Null, and not undefined: else the library looks for placeholders in all of a long text.
    const values = params === undefined || params.length === 0 ? null : [...params];
    return this.#pending((resolve, reject) => {
      this.#connection.query(
        { sql, values, timeout: timeoutMs },
        (error, rows) => {
          if (error === null) resolve(Array.isArray(rows) ? rows as SqlRow[] : []);
          else reject(this.#failed(error));
        },
      );
    });
  }

  /**
   * How far this server is; see {@linkcode nodePositionScript}.
   *
   * @throws {StatementFault} when it is a node of a cluster that cannot serve now.
   */
  position(): Promise<NodePosition | undefined> {
    const ask = (statement: Statement): Promise<readonly SqlRow[]> =>
      this.query(statement, this.#connectTimeoutMs);
    return runScriptAsync(nodePositionScript(), ask);
  }

  /** Whether this server takes no edits now. */
  async isReadOnly(): Promise<boolean> {
    const [row] = await this.query({ sql: "SELECT @@global.read_only AS readOnly" });
    return Number(row?.readOnly) !== 0;
  }

  /** Ends the connection at once; a statement under way fails as transient. */
  destroy(reason = "connection was closed"): void {
    this.#broken = true;
    this.#connection.destroy();
    this.#rejectPending?.(this.#lost(reason));
  }

  #lost(reason: string): StatementFault {
    return new StatementFault("transient", `${formatAddress(this.host)}: ${reason}`);
  }

  /** The library forgets its callbacks when a connection is destroyed; this keeps hold of them. */
  #pending<T>(
    start: (resolve: (value: T) => void, reject: (error: Error) => void) => void,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#rejectPending = reject;
      start(resolve, reject);
    }).finally(() => (this.#rejectPending = undefined));
  }

  #connected(): Promise<void> {
    return this.#pending((resolve, reject) => {
      this.#connection.connect((error) => {
        if (error === null || error === undefined) resolve();
        else reject(this.#failed(error));
      });
    });
  }

  #failed(error: QueryError): StatementFault {
    const isLost = error.fatal || error.sqlState === undefined;
    if (isLost || error.errno === NO_DATABASE_ERRNO) this.#broken = true;
    if (error.errno !== undefined && FAIL_OVER_ERRNOS.has(error.errno)) this.failOver("refused");
    return faultOf(error, this.host);
  }

  /** Settings the rest of this room relies on, whatever the server's defaults are. */
  async #prepareSession(timeoutMs: number): Promise<void> {
    // Strict, so that nothing is clipped unseen; without NO_BACKSLASH_ESCAPES and ANSI_QUOTES,
    // which would undo the escaping of bound text.
    const lockTimeoutS = Math.max(1, Math.floor(this.queryTimeoutMs / 2000));
    // Who was cut off in a transaction is rolled back before others give up to wait for its locks. MySQL
    // has no such setting, and takes it for a comment.
    const idleTimeoutS = Math.max(1, lockTimeoutS - 1);
    await this.query({
      sql: "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', " +
        `autocommit = 1, innodb_lock_wait_timeout = ${lockTimeoutS} ` +
        `/*M!100300 , idle_transaction_timeout = ${idleTimeoutS} */`,
    }, timeoutMs);
    await this.query({ sql: "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ" }, timeoutMs);
  }
}

/**
 * The name that a certificate is checked for is that of the url. The library names none for an
 * address, and then the runtimes take "localhost", but for what the socket says of itself.
 */
function checkedByAddress(connection: Connection, { hostname }: Address): void {
  const { stream } = connection as unknown as { stream?: { _host?: string } };
  if (stream !== undefined && isIP(hostname) !== 0) stream._host = hostname;
}

function tlsOptions(url: MysqlUrl): { ssl?: { ca?: string; verifyIdentity: boolean } } {
  if (!url.tls) return {};
  if (url.tlsCaFile === undefined) return { ssl: { verifyIdentity: true } };
  try {
    return { ssl: { ca: readFileSync(url.tlsCaFile, "utf8"), verifyIdentity: true } };
  } catch (error) {
    throw new StatementFault("unusable", `tls_ca file ${url.tlsCaFile} cannot be read`, {
      cause: error,
    });
  }
}
