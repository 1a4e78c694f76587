// Core. The numbered schema changes: their texts, embedded, and how they are applied.

import { StoreError } from "../../reactor/errors.ts";
import originalTablesMysql from "../migrations/0001_original_tables.mysql.sql" with {
  type: "text",
};
import routeColumnsMysql from "../migrations/0002_route_weight_zone_state.mysql.sql" with {
  type: "text",
};
import callTotalsMysql from "../migrations/0003_call_totals.mysql.sql" with { type: "text" };
import serviceInstanceMysql from "../migrations/0004_service_instance.mysql.sql" with {
  type: "text",
};
import moduleMysql from "../migrations/0005_module.mysql.sql" with { type: "text" };
import consoleMysql from "../migrations/0006_console.mysql.sql" with { type: "text" };
import callHistoryMysql from "../migrations/0007_call_history_events.mysql.sql" with {
  type: "text",
};
import callTimesMysql from "../migrations/0008_call_history_times.mysql.sql" with { type: "text" };
import moduleMeantMysql from "../migrations/0009_module_meant.mysql.sql" with { type: "text" };
import refusedCallsMysql from "../migrations/0010_refused_calls.mysql.sql" with { type: "text" };
import webhookFormatsMysql from "../migrations/0011_webhook_formats.mysql.sql" with {
  type: "text",
};
import unsignedStatusMysql from "../migrations/0012_unsigned_call_status.mysql.sql" with {
  type: "text",
};
import originalNamesMysql from "../migrations/0013_names_of_the_original.mysql.sql" with {
  type: "text",
};
import leaseMysql from "../migrations/0014_lease.mysql.sql" with { type: "text" };
import relayMailMysql from "../migrations/0015_relay_mail.mysql.sql" with { type: "text" };
import reportMarksMysql from "../migrations/0016_report_marks.mysql.sql" with { type: "text" };
import scaleRuleMysql from "../migrations/0018_scale_rule.mysql.sql" with { type: "text" };
import reportGapsMysql from "../migrations/0021_report_gaps.mysql.sql" with { type: "text" };
import leaseCheckMysql from "../migrations/0017_lease_check.mysql.sql" with { type: "text" };
import originalTablesSqlite from "../migrations/0001_original_tables.sqlite.sql" with {
  type: "text",
};
import routeColumnsSqlite from "../migrations/0002_route_weight_zone_state.sqlite.sql" with {
  type: "text",
};
import callTotalsSqlite from "../migrations/0003_call_totals.sqlite.sql" with { type: "text" };
import serviceInstanceSqlite from "../migrations/0004_service_instance.sqlite.sql" with {
  type: "text",
};
import moduleSqlite from "../migrations/0005_module.sqlite.sql" with { type: "text" };
import consoleSqlite from "../migrations/0006_console.sqlite.sql" with { type: "text" };
import callHistorySqlite from "../migrations/0007_call_history_events.sqlite.sql" with {
  type: "text",
};
import callTimesSqlite from "../migrations/0008_call_history_times.sqlite.sql" with {
  type: "text",
};
import moduleMeantSqlite from "../migrations/0009_module_meant.sqlite.sql" with {
  type: "text",
};
import refusedCallsSqlite from "../migrations/0010_refused_calls.sqlite.sql" with {
  type: "text",
};
import webhookFormatsSqlite from "../migrations/0011_webhook_formats.sqlite.sql" with {
  type: "text",
};
import unsignedStatusSqlite from "../migrations/0012_unsigned_call_status.sqlite.sql" with {
  type: "text",
};
import originalNamesSqlite from "../migrations/0013_names_of_the_original.sqlite.sql" with {
  type: "text",
};
import leaseSqlite from "../migrations/0014_lease.sqlite.sql" with { type: "text" };
import relayMailSqlite from "../migrations/0015_relay_mail.sqlite.sql" with { type: "text" };
import reportMarksSqlite from "../migrations/0016_report_marks.sqlite.sql" with { type: "text" };
import scaleRuleSqlite from "../migrations/0018_scale_rule.sqlite.sql" with { type: "text" };
import reportGapsSqlite from "../migrations/0021_report_gaps.sqlite.sql" with { type: "text" };
import leaseCheckSqlite from "../migrations/0017_lease_check.sqlite.sql" with { type: "text" };
import { type TableColumns, tableColumnsScript } from "./schema_shape.ts";
import { type Dialect, insertIgnore, numberOf, type Script } from "../drivers/sql_script.ts";
import type { MigrateResult } from "../store.ts";

/** Something whose presence makes a statement needless. */
export interface Presence {
  readonly kind: "table" | "column" | "unsigned" | "index" | "row";
  readonly table: string;
  /** Column or index name, or the id of the row; empty for a table. */
  readonly name: string;
}

/** One statement of a migration, with what it provides; without that it runs each time. */
export interface MigrationStatement {
  readonly sql: string;
  readonly unless: Presence | undefined;
}

/** One numbered file. */
export interface Migration {
  readonly version: number;
  /** File name without dialect and ending. */
  readonly name: string;
  readonly statements: readonly MigrationStatement[];
}

/**
 * Attempts at a migration: on Galera the lock holds on one node alone, and two that run through two
 * nodes stand in each other's way at nearly every statement. Each attempt finds more done.
 */
export const MIGRATION_ATTEMPTS_MAX = 100;

/** Longest wait for somebody else's migration of the same database, in seconds. */
const MIGRATION_LOCK_TIMEOUT_S = 60;

/**
 * Cuts a migration file into statements. A statement ends with `;` at the end of a line. A line
 * `-- unless column RouteData zone` before it (or `table T`, `unsigned T name` of a column, `index T name`, `row T id`) says when
 * it has nothing to do; other comments are skipped.
 *
 * @throws {SyntaxError} when a directive is not understood or a statement does not end.
 */
export function parseMigration(text: string): MigrationStatement[] {
  const statements: MigrationStatement[] = [];
  let unless: Presence | undefined;
  let lines: string[] = [];
  for (const line of text.split("\n")) {
    const trimmed = line.trim();
    if (trimmed.startsWith("-- unless ")) unless = parsePresence(trimmed);
    if (trimmed === "" || trimmed.startsWith("--")) continue;
    lines.push(line);
    if (!trimmed.endsWith(";")) continue;
    statements.push({ sql: lines.join("\n").replace(/;\s*$/, ""), unless });
    unless = undefined;
    lines = [];
  }
  if (lines.length > 0 || unless !== undefined) {
    throw new SyntaxError("Migration must end with a complete statement");
  }
  return statements;
}

function parsePresence(line: string): Presence {
  const match = /^-- unless (table|column|unsigned|index|row) (\w+)(?: (\w+))?$/.exec(line);
  if (match === null || (match[1] === "table") !== (match[3] === undefined)) {
    throw new SyntaxError(`Directive must name what it looks for: current value is "${line}"`);
  }
  return { kind: match[1] as Presence["kind"], table: match[2], name: match[3] ?? "" };
}

const NAMES = [
  "0001_original_tables",
  "0002_route_weight_zone_state",
  "0003_call_totals",
  "0004_service_instance",
  "0005_module",
  "0006_console",
  "0007_call_history_events",
  "0008_call_history_times",
  "0009_module_meant",
  "0010_refused_calls",
  "0011_webhook_formats",
  "0012_unsigned_call_status",
  "0013_names_of_the_original",
  "0014_lease",
  "0015_relay_mail",
  "0016_report_marks",
  "0017_lease_check",
  "0018_scale_rule",
  "0021_report_gaps",
];

/** Version of a schema that has all migrations. */
export const SCHEMA_VERSION = Number(NAMES[NAMES.length - 1].slice(0, 4));

const TEXTS: Readonly<Record<Dialect, readonly string[]>> = {
  mysql: [
    originalTablesMysql,
    routeColumnsMysql,
    callTotalsMysql,
    serviceInstanceMysql,
    moduleMysql,
    consoleMysql,
    callHistoryMysql,
    callTimesMysql,
    moduleMeantMysql,
    refusedCallsMysql,
    webhookFormatsMysql,
    unsignedStatusMysql,
    originalNamesMysql,
    leaseMysql,
    relayMailMysql,
    reportMarksMysql,
    leaseCheckMysql,
    scaleRuleMysql,
    reportGapsMysql,
  ],
  sqlite: [
    originalTablesSqlite,
    routeColumnsSqlite,
    callTotalsSqlite,
    serviceInstanceSqlite,
    moduleSqlite,
    consoleSqlite,
    callHistorySqlite,
    callTimesSqlite,
    moduleMeantSqlite,
    refusedCallsSqlite,
    webhookFormatsSqlite,
    unsignedStatusSqlite,
    originalNamesSqlite,
    leaseSqlite,
    relayMailSqlite,
    reportMarksSqlite,
    leaseCheckSqlite,
    scaleRuleSqlite,
    reportGapsSqlite,
  ],
};

/** All migrations of a dialect, in order of version: the number their names begin with. */
export function migrationsOf(dialect: Dialect): Migration[] {
  return TEXTS[dialect].map((text, index) => ({
    version: Number(NAMES[index].slice(0, 4)),
    name: NAMES[index],
    statements: parseMigration(text),
  }));
}

const PRESENCE_SQL = {
  mysql: {
    table: "SELECT COUNT(*) AS n FROM information_schema.tables " +
      "WHERE table_schema = DATABASE() AND LOWER(table_name) = LOWER(?)",
    column: "SELECT COUNT(*) AS n FROM information_schema.columns " +
      "WHERE table_schema = DATABASE() AND LOWER(table_name) = LOWER(?) AND column_name = ?",
    unsigned: "SELECT COUNT(*) AS n FROM information_schema.columns " +
      "WHERE table_schema = DATABASE() AND LOWER(table_name) = LOWER(?) AND column_name = ? " +
      "AND column_type LIKE '%unsigned%'",
    index: "SELECT COUNT(*) AS n FROM information_schema.statistics " +
      "WHERE table_schema = DATABASE() AND LOWER(table_name) = LOWER(?) AND index_name = ?",
  },
  sqlite: {
    table: "SELECT COUNT(*) AS n FROM sqlite_master WHERE type = 'table' AND name = ?",
    column: "SELECT COUNT(*) AS n FROM pragma_table_info(?) WHERE name = ?",
    unsigned: "SELECT COUNT(*) AS n FROM pragma_table_info(?) WHERE name = ?",
    index: "SELECT COUNT(*) AS n FROM sqlite_master " +
      "WHERE type = 'index' AND tbl_name = ? AND name = ?",
  },
} as const;

function* isPresentScript(dialect: Dialect, presence: Presence): Script<boolean> {
  const { kind, table, name } = presence;
  const rows = kind === "row"
    ? yield { sql: `SELECT COUNT(*) AS n FROM ${table} WHERE id = ?`, params: [Number(name)] }
    : yield {
      sql: PRESENCE_SQL[dialect][kind],
      params: kind === "table" ? [table] : [table, name],
    };
  return numberOf(rows[0]?.n) > 0;
}

/**
 * Applies what is missing. What is recorded is not trusted: each statement looks for itself whether
 * its work is done, so that a crash in the middle, or original tables created anew from the
 * original file, are mended by the next run. In SQLite it must run inside a write transaction;
 * in MySQL on a connection of its own, which must be closed when the script fails.
 *
 * @throws {StoreError} transient, when another migration holds the lock for too long.
 */
export function* migrateScript(dialect: Dialect): Script<MigrateResult> {
  if (dialect === "mysql") yield* lockScript();
  const applied: string[] = [];
  for (const migration of migrationsOf(dialect)) {
    if (yield* applyScript(dialect, migration)) applied.push(migration.name);
  }
  if (dialect === "mysql") yield { sql: `DO RELEASE_LOCK(${LOCK_NAME})` };
  return { applied, version: yield* schemaVersionScript(dialect) };
}

/**
 * Lock names belong to the server, not to the database, and are at most 64 characters. Two databases
 * with the same sum would only wait for each other; stronger sums are not in every server (MySQL 9.6
 * has no MD5).
 */
const LOCK_NAME = "CONCAT('lars_migrate_', CRC32(DATABASE()))";

function* lockScript(): Script<void> {
  yield { sql: `SET SESSION lock_wait_timeout = ${MIGRATION_LOCK_TIMEOUT_S}` };
  const rows = yield {
    sql: `SELECT GET_LOCK(${LOCK_NAME}, ?) AS locked`,
    params: [MIGRATION_LOCK_TIMEOUT_S],
  };
  if (numberOf(rows[0]?.locked) === 1) return;
  throw new StoreError(
    `Another migration of this database is still running after ${MIGRATION_LOCK_TIMEOUT_S} s`,
    true,
  );
}

function* applyScript(dialect: Dialect, migration: Migration): Script<boolean> {
  let worked = false;
  for (const { sql, unless } of migration.statements) {
    if (unless !== undefined) {
      if (yield* isPresentScript(dialect, unless)) continue;
      worked = true;
    }
    yield { sql };
  }
  const recorded = yield {
    sql: "SELECT version FROM SchemaMigration WHERE version = ?",
    params: [migration.version],
  };
  if (recorded.length > 0) return worked;
  const now = dialect === "mysql" ? "UNIX_TIMESTAMP()" : "CAST(strftime('%s','now') AS INTEGER)";
  yield {
    sql: `${
      insertIgnore(dialect)
    } INTO SchemaMigration(version, name, applied_at) VALUES (?, ?, ${now})`,
    params: [migration.version, migration.name],
  };
  return true;
}

/** True when a visible table lacks a column the migration adds. */
function lacksColumn(migration: Migration, tables: TableColumns): boolean {
  return migration.statements.some(({ unless }) => {
    if (unless?.kind !== "column") return false;
    const columns = tables.get(unless.table.toLowerCase());
    return columns !== undefined && !columns.has(unless.name.toLowerCase());
  });
}

/**
 * The last migration in force: recorded, and so are all before it, and no table that this account
 * may see lacks its columns. 0 when nothing is recorded. A later program may have recorded one that
 * is not known here: then that one.
 */
export function* schemaVersionScript(dialect: Dialect): Script<number> {
  const tables = yield* tableColumnsScript(dialect);
  if (!tables.has("schemamigration")) return 0;
  const rows = yield { sql: "SELECT version FROM SchemaMigration" };
  const recorded = new Set(rows.map((row) => numberOf(row.version)));
  const newest = Math.max(0, ...recorded);
  if (newest > SCHEMA_VERSION) return newest;
  let version = 0;
  for (const migration of migrationsOf(dialect)) {
    if (!recorded.has(migration.version) || lacksColumn(migration, tables)) break;
    version = migration.version;
  }
  return version;
}
