// Core. The conversations about ServerCallStatus.

import type { SchemaShape } from "../schema/schema_shape.ts";
import {
  type Dialect,
  moduleKeyOf,
  numberOf,
  onConflict,
  placeholders,
  type Script,
  type SqlRow,
  type SqlValue,
  textOf,
  whereAll,
} from "../drivers/sql_script.ts";
import {
  CALL_STATUS_ROWS_MAX,
  type CallerQuery,
  type CallStatusFilter,
  type CallStatusRow,
  type RecentCallers,
  type RefusedCounts,
  type RefusedTotal,
} from "../store.ts";

/** Rows of one upsert: 200 to 1000 is where a statement stops costing more than its rows. */
export const CALL_STATUS_CHUNK_ROWS = 1000;
/** Largest value of the signed INT columns. */
const INT_MAX = 2_147_483_647;
/** Largest count that numbers here hold exactly. */
const COUNT_MAX = Number.MAX_SAFE_INTEGER;

const KEY_COLUMNS = ["modid", "cmdid", "ip", "port", "caller"];
const VALUE_COLUMNS = ["succ_cnt", "err_cnt", "ts", "overload"];
const TOTAL_COLUMNS = ["succ_total", "err_total"];

/** A whole number from 0 to `max`; what is no number counts as 0. */
function clip(value: number | undefined, max: number): number {
  return value === undefined || !(value > 0) ? 0 : Math.min(Math.trunc(value), max);
}

/** A number of 32 bits as a column of the key of ServerCallStatus holds it. */
export function statusKeyValue(
  { statusUnsigned }: SchemaShape,
  column: string,
  value: number,
): number {
  return statusUnsigned.has(column) ? value >>> 0 : value | 0;
}

/** The primary key as its columns hold it, in their order. */
function keyOf(shape: SchemaShape, row: CallStatusRow): number[] {
  const values = [row.modId, row.cmdId, row.ip, row.port, row.caller];
  return values.map((value, index) => statusKeyValue(shape, KEY_COLUMNS[index], value));
}

/** Order of two rows by their primary keys; without making the keys, because there are many. */
function compareKeys(a: CallStatusRow, b: CallStatusRow): number {
  return (a.modId | 0) - (b.modId | 0) || (a.cmdId | 0) - (b.cmdId | 0) ||
    (a.ip | 0) - (b.ip | 0) || (a.port | 0) - (b.port | 0) || (a.caller | 0) - (b.caller | 0);
}

function hasTotals(row: CallStatusRow): boolean {
  return row.succTotal !== undefined || row.errTotal !== undefined;
}

/**
 * Orders rows by primary key, so that writers at work on the same rows never wait for each other
 * in a circle, and keeps the last of each key.
 */
export function sortCallStatus(rows: readonly CallStatusRow[]): CallStatusRow[] {
  const sorted = rows.toSorted(compareKeys); // Stable: of equal keys the later row stays last.
  return sorted.filter((row, index) =>
    index + 1 === sorted.length || compareKeys(row, sorted[index + 1]) !== 0
  );
}

function valuesOf(shape: SchemaShape, row: CallStatusRow, totals: boolean): SqlValue[] {
  return [
    ...keyOf(shape, row),
    clip(row.succCount, INT_MAX),
    clip(row.errCount, INT_MAX),
    clip(row.ts, Number.MAX_SAFE_INTEGER),
    row.overload ? "1" : "0",
    ...(totals
      ? [
        clip(row.succTotal, Number.MAX_SAFE_INTEGER),
        clip(row.errTotal, Number.MAX_SAFE_INTEGER),
      ]
      : []),
  ];
}

/**
 * A row as text. Every value is a whole number made here, so there is nothing to escape; binding
 * thousands of values takes the library ten times as long as the rest of a write.
 */
function valuesText(shape: SchemaShape, row: CallStatusRow, totals: boolean): string {
  const overload = row.overload ? "'1'" : "'0'";
  const text =
    `(${keyOf(shape, row).join(",")},${clip(row.succCount, INT_MAX)},${
      clip(row.errCount, INT_MAX)
    },` +
    `${clip(row.ts, Number.MAX_SAFE_INTEGER)},${overload}`;
  if (!totals) return `${text})`;
  return `${text},${clip(row.succTotal, Number.MAX_SAFE_INTEGER)},` +
    `${clip(row.errTotal, Number.MAX_SAFE_INTEGER)})`;
}

/**
 * A write whose writer is gone may still come when the database does, after newer ones. So a row that
 * is up to so much older than the stored one, by the clock of its host, and has no larger total, does
 * not take its place. Seconds.
 */
const LATE_WRITE_S = 900;

/** The end of an INSERT that overwrites `ts`, `values` and `totals`, unless it comes late. */
function unlessLate(
  dialect: Dialect,
  key: string,
  values: readonly string[],
  totals: readonly string[],
): string {
  const given = (name: string): string =>
    dialect === "mysql" ? `VALUES(${name})` : `excluded.${name}`;
  const isLate = [
    `${given("ts")} < ts`,
    `${given("ts")} >= ts - ${LATE_WRITE_S}`,
    ...totals.map((name) => `${given(name)} <= ${name}`),
  ].join(" AND ");
  // MySQL assigns from left to right, and reads what it has assigned: once it is in ts, it is not late.
  const columns = ["ts", ...values, ...totals];
  if (dialect === "sqlite") {
    const sets = columns.map((name) => `${name} = ${given(name)}`).join(", ");
    return ` ON CONFLICT(${key}) DO UPDATE SET ${sets} WHERE NOT (${isLate})`;
  }
  const sets = columns.map((name) => `${name} = IF(${isLate}, ${name}, ${given(name)})`);
  return ` ON DUPLICATE KEY UPDATE ${sets.join(", ")}`;
}

function upsertSql(dialect: Dialect, totals: boolean, values?: string): string {
  const columns = [...KEY_COLUMNS, ...VALUE_COLUMNS, ...(totals ? TOTAL_COLUMNS : [])];
  const insert = `INSERT INTO ServerCallStatus(${columns.join(", ")}) VALUES ` +
    (values ?? placeholders(1, columns.length));
  const key = KEY_COLUMNS.join();
  if (!totals) return insert + onConflict(dialect, key, VALUE_COLUMNS);
  const plain = VALUE_COLUMNS.filter((name) => name !== "ts");
  return insert + unlessLate(dialect, key, plain, TOTAL_COLUMNS);
}

/**
 * Writes one chunk of sorted rows. Rows without totals leave stored totals alone, so they go in a
 * statement of their own. MySQL takes all rows of a kind in one statement, SQLite is faster with
 * one prepared statement for each row; there the caller provides the transaction.
 */
export function* writeCallStatusScript(
  dialect: Dialect,
  shape: SchemaShape,
  rows: readonly CallStatusRow[],
): Script<void> {
  for (const totals of [false, true]) {
    const same = rows.filter((row) => (shape.callTotals && hasTotals(row)) === totals);
    if (same.length === 0) continue;
    if (dialect === "mysql") {
      const values = same.map((row) => valuesText(shape, row, totals)).join(",");
      yield { sql: upsertSql(dialect, totals, values) };
      continue;
    }
    const sql = upsertSql(dialect, totals);
    for (const row of same) yield { sql, params: valuesOf(shape, row, totals) };
  }
}

/** Columns of RefusedCalls that are counts, in the order of {@linkcode RefusedCounts}. */
const REFUSED_COLUMNS = ["overload", "unusable", "no_node", "no_route"] as const;
const REFUSED_KEY = "modid, cmdid, caller";

/** Writes rows about refused calls; on a schema without their table nothing. */
export function* writeRefusedScript(
  dialect: Dialect,
  shape: SchemaShape,
  rows: readonly CallStatusRow[],
): Script<void> {
  if (!shape.refusedCalls || rows.length === 0) return;
  const values = rows.map(({ modId, cmdId, caller, ts, refused }) =>
    `(${modId >>> 0},${cmdId >>> 0},${caller >>> 0},${clip(refused?.overload, COUNT_MAX)},` +
    `${clip(refused?.unusable, COUNT_MAX)},${clip(refused?.noNode, COUNT_MAX)},` +
    `${clip(refused?.noRoute, COUNT_MAX)},${clip(ts, COUNT_MAX)})`
  ).join(",");
  const columns = [...REFUSED_COLUMNS, "ts"];
  yield {
    sql: `INSERT INTO RefusedCalls(${REFUSED_KEY}, ${columns.join(", ")}) VALUES ${values}` +
      unlessLate(dialect, REFUSED_KEY, [], REFUSED_COLUMNS),
  };
}

function refusedOf(row: SqlRow): RefusedCounts {
  return {
    overload: numberOf(row.overload),
    unusable: numberOf(row.unusable),
    noNode: numberOf(row.no_node),
    noRoute: numberOf(row.no_route),
  };
}

/** Refused calls by module and caller. */
export function* readRefusedScript(shape: SchemaShape): Script<CallStatusRow[]> {
  if (!shape.refusedCalls) return [];
  const rows = yield {
    sql: `SELECT ${REFUSED_KEY}, ${REFUSED_COLUMNS.join(", ")}, ts FROM RefusedCalls ` +
      `ORDER BY ${REFUSED_KEY} LIMIT ?`,
    params: [CALL_STATUS_ROWS_MAX],
  };
  return rows.map((row) => ({
    ...moduleKeyOf(row),
    ip: 0,
    port: 0,
    caller: numberOf(row.caller),
    succCount: 0,
    errCount: 0,
    overload: false,
    ts: numberOf(row.ts),
    refused: refusedOf(row),
  }));
}

/** Refused calls by module, of callers that were refused since `sinceTs`. */
export function* refusedTotalsScript(shape: SchemaShape, sinceTs: number): Script<RefusedTotal[]> {
  if (!shape.refusedCalls) return [];
  // Not as whole numbers: their sum may be one that SQLite's driver refuses to give.
  const sums = REFUSED_COLUMNS.map((name) => `SUM(${name} * 1.0) AS ${name}`).join(", ");
  const rows = yield {
    sql: `SELECT modid, cmdid, ${sums}, MAX(ts) AS ts FROM RefusedCalls WHERE ts >= ? ` +
      "GROUP BY modid, cmdid ORDER BY modid, cmdid LIMIT ?",
    params: [sinceTs, CALL_STATUS_ROWS_MAX],
  };
  return rows.map((row) => ({ ...moduleKeyOf(row), ...refusedOf(row), ts: numberOf(row.ts) }));
}

/** Deletes what was told before `beforeTs`. */
export function* pruneRefusedScript(shape: SchemaShape, beforeTs: number): Script<void> {
  if (!shape.refusedCalls) return;
  yield { sql: "DELETE FROM RefusedCalls WHERE ts < ?", params: [beforeTs] };
}

/** Module numbers that have results. */
export function* statusModulesScript(): Script<number[]> {
  const rows = yield { sql: "SELECT DISTINCT modid FROM ServerCallStatus ORDER BY modid" };
  return rows.map(({ modid }) => numberOf(modid));
}

/**
 * Deletes results of one module number that were told before `beforeTs`. It looks first: a deletion
 * that finds nothing would still lock what reporters write.
 */
export function* pruneStatusScript(modId: number, beforeTs: number): Script<void> {
  const where = "FROM ServerCallStatus WHERE modid = ? AND ts < ?";
  const params = [modId, beforeTs];
  const [old] = yield { sql: `SELECT 1 AS found ${where} LIMIT 1`, params };
  if (old !== undefined) yield { sql: `DELETE ${where}`, params };
}

function callStatusOf(row: SqlRow): CallStatusRow {
  return {
    modId: numberOf(row.modid) >>> 0,
    cmdId: numberOf(row.cmdid) >>> 0,
    ip: numberOf(row.ip) >>> 0,
    port: numberOf(row.port),
    caller: numberOf(row.caller) >>> 0,
    succCount: numberOf(row.succ_cnt),
    errCount: numberOf(row.err_cnt),
    ts: numberOf(row.ts),
    overload: textOf(row.overload) === "1",
    ...(row.succ_total === undefined ? {} : {
      succTotal: numberOf(row.succ_total),
      errTotal: numberOf(row.err_total),
    }),
  };
}

/** Call results in order of the primary key. */
export function* readCallStatusScript(
  shape: SchemaShape,
  filter: CallStatusFilter,
): Script<CallStatusRow[]> {
  const columns = [...KEY_COLUMNS, ...VALUE_COLUMNS, ...(shape.callTotals ? TOTAL_COLUMNS : [])];
  const stored = (column: string, value: number | undefined): number | undefined =>
    value === undefined ? undefined : statusKeyValue(shape, column, value);
  const { where, params } = whereAll([
    ["modid = ?", stored("modid", filter.modId)],
    ["cmdid = ?", stored("cmdid", filter.cmdId)],
  ]);
  const rows = yield {
    sql: `SELECT ${columns.join(", ")} FROM ServerCallStatus${where} ` +
      `ORDER BY ${KEY_COLUMNS.join(", ")} LIMIT ?`,
    params: [...params, CALL_STATUS_ROWS_MAX],
  };
  return rows.map(callStatusOf);
}

/** Columns of addresses are signed in one schema and unsigned in another: both are looked for. */
function bothSigns(value: number): [number, number] {
  return [value | 0, value >>> 0];
}

/** Callers of a module or node with recent reports, added up and counted by the database. */
export function* recentCallersScript(query: CallerQuery): Script<RecentCallers> {
  const { modId, cmdId, node, sinceTs, limit } = query;
  const ofNode = node === undefined ? "" : " AND ip IN (?, ?) AND port = ?";
  const where = `FROM ServerCallStatus WHERE modid IN (?, ?) AND cmdid IN (?, ?)${ofNode} ` +
    "AND ts >= ? AND succ_cnt + err_cnt > 0";
  const params = [
    ...bothSigns(modId),
    ...bothSigns(cmdId),
    ...(node === undefined ? [] : [...bothSigns(node.ip), node.port]),
    sinceTs,
  ];
  const [counted] = yield { sql: `SELECT COUNT(DISTINCT caller) AS n ${where}`, params };
  const rows = yield {
    sql: `SELECT caller, SUM(succ_cnt + err_cnt) AS calls ${where} ` +
      "GROUP BY caller ORDER BY calls DESC, caller LIMIT ?",
    params: [...params, limit],
  };
  return {
    callers: rows.map((row) => ({
      caller: numberOf(row.caller) >>> 0,
      calls: numberOf(row.calls),
    })),
    count: numberOf(counted?.n),
  };
}
