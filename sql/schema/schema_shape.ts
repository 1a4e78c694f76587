// Core. Which of our additions a database has, so that an original, un-migrated one works too.

import { type Dialect, numberOf, type Script, textOf } from "../drivers/sql_script.ts";

/** The additions that change how we speak to a database. */
export interface SchemaShape {
  /** RouteData has weight, zone and state. */
  readonly routeExtras: boolean;
  /** ServerCallStatus has succ_total and err_total. */
  readonly callTotals: boolean;
  /** ServiceInstance exists. */
  readonly instances: boolean;
  /** CallHistory and CallHistoryStep exist. */
  readonly callHistory: boolean;
  /** CallHistory has timed_calls and time_ms_sum. */
  readonly callTimes: boolean;
  /** RefusedCalls exists. */
  readonly refusedCalls: boolean;
  /** ReportMark exists. */
  readonly reportMarks: boolean;
  /** ReportGap exists. */
  readonly reportGaps: boolean;
  /** CallHistory has refused. */
  readonly callRefusals: boolean;
  /** Event exists. */
  readonly events: boolean;
  /** SchemaMigration exists. */
  readonly migrations: boolean;
  /** Module exists. */
  readonly modules: boolean;
  /** RouteChange has meant. */
  readonly changeMeant: boolean;
  /**
   * Columns of the key of ServerCallStatus that hold unsigned numbers: in the tutorial's schema of
   * the original none, in that of its latest sources ip, port and caller.
   */
  readonly statusUnsigned: ReadonlySet<string>;
  /** Number of the newest migration that anybody recorded, also one that is not known here; 0: none. */
  readonly newestVersion: number;
  /** Module has meant. */
  readonly moduleMeant: boolean;
  /** Lease, LeaseSeq, LeaseHolder and LeaseGuard exist. */
  readonly leases: boolean;
}

/** True when nothing is missing, so that there is no need to look again. */
export function isComplete(shape: SchemaShape): boolean {
  return Object.values(shape).every((present) => present !== false);
}

const COLUMNS_SQL = {
  mysql: "SELECT table_name AS tableName, column_name AS columnName, column_type AS columnType " +
    "FROM information_schema.columns WHERE table_schema = DATABASE()",
  sqlite: "SELECT m.name AS tableName, p.name AS columnName, p.type AS columnType " +
    "FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS p WHERE m.type = 'table'",
} as const;

/** Types of the columns of each table, all in lower case: some servers store table names that way. */
export type TableColumns = ReadonlyMap<string, ReadonlyMap<string, string>>;

/** Reads which tables and columns exist and may be seen by this account. */
export function* tableColumnsScript(dialect: Dialect): Script<TableColumns> {
  const tables = new Map<string, Map<string, string>>();
  for (const row of yield { sql: COLUMNS_SQL[dialect] }) {
    const table = textOf(row.tableName).toLowerCase();
    const columns = tables.get(table) ?? new Map<string, string>();
    columns.set(textOf(row.columnName).toLowerCase(), textOf(row.columnType).toLowerCase());
    tables.set(table, columns);
  }
  return tables;
}

/** The newest migration that is recorded; the table must exist. */
export function* newestVersionScript(): Script<number> {
  const rows = yield { sql: "SELECT MAX(version) AS newest FROM SchemaMigration" };
  return numberOf(rows[0]?.newest);
}

/** Reads the shape of the database. */
export function* schemaShapeScript(dialect: Dialect): Script<SchemaShape> {
  const tables = yield* tableColumnsScript(dialect);
  const newestVersion = tables.get("schemamigration")?.has("version") === true
    ? yield* newestVersionScript()
    : 0;
  const has = (table: string, ...columns: string[]): boolean =>
    columns.every((column) => tables.get(table)?.has(column) ?? false);
  return {
    routeExtras: has("routedata", "weight", "zone", "state"),
    callTotals: has("servercallstatus", "succ_total", "err_total"),
    instances: has("serviceinstance", "kind", "address", "detail"),
    callHistory: has("callhistory", "bucket_at") && has("callhistorystep", "rolled_to"),
    callTimes: has("callhistory", "timed_calls", "time_ms_sum"),
    refusedCalls: has("refusedcalls", "modid", "cmdid", "caller", "overload", "no_route", "ts"),
    reportMarks: has("reportmark", "session", "seq", "seen_at"),
    reportGaps: has("reportgap", "session", "seq_from", "seq_to"),
    callRefusals: has("callhistory", "refused"),
    events: has("event", "at_ms"),
    migrations: has("schemamigration", "version"),
    modules: has("module", "modid", "cmdid", "name", "policy", "updated_at"),
    changeMeant: has("routechange", "meant"),
    newestVersion,
    statusUnsigned: new Set(
      [...tables.get("servercallstatus") ?? []]
        .flatMap(([name, type]) => type.includes("unsigned") ? [name] : []),
    ),
    moduleMeant: has("module", "meant"),
    leases: has("lease", "incarnation", "seq", "node_check") && has("leaseseq", "seq") &&
      has("leaseholder", "beat") && has("leaseguard", "confirmed"),
  };
}
