// Core. The conversations about ServiceInstance: which services are alive.

import { LimitError } from "../../reactor/errors.ts";
import { missingTable } from "../grants/grants.ts";
import type { SchemaShape } from "../schema/schema_shape.ts";
import {
  type Dialect,
  jsonOf,
  numberOf,
  onConflict,
  placeholders,
  type Script,
  type SqlRow,
  type SqlValue,
  textOf,
} from "../drivers/sql_script.ts";
import type { ServiceInstance } from "../store.ts";

/** Longest address and software text, in characters. */
const TEXT_LENGTH_MAX = 128;
/** Longest detail as JSON, in UTF-16 units: half of what the column holds in the worst case. */
export const INSTANCE_DETAIL_LENGTH_MAX = 16_384;
/** An instance silent for this long is forgotten: 7 days, in seconds. */
export const INSTANCE_AGE_MAX_S = 7 * 86_400;
/** Unix seconds stay below this until the year 5138; milliseconds passed it in 1973. */
const UNIX_SECONDS_MAX = 100_000_000_000;

function requireTable(shape: SchemaShape): void {
  if (shape.instances) return;
  throw missingTable("ServiceInstance");
}

function checkInstance(instance: ServiceInstance): void {
  if (instance.address.length > TEXT_LENGTH_MAX) {
    throw new RangeError(
      `Address must be at most ${TEXT_LENGTH_MAX} characters: ` +
        `current value has ${instance.address.length}`,
    );
  }
  for (const name of ["startedAt", "seenAt"] as const) {
    const value = instance[name];
    if (value >= 0 && value < UNIX_SECONDS_MAX) continue;
    throw new RangeError(`${name} must be in unix seconds: current value is ${value}`);
  }
}

/** What a row holds, in the order of its columns. */
function valuesOf(instance: ServiceInstance): SqlValue[] {
  checkInstance(instance);
  const detail = JSON.stringify(instance.detail);
  if (detail.length > INSTANCE_DETAIL_LENGTH_MAX) {
    throw new LimitError(
      "INSTANCE_DETAIL_LENGTH_MAX",
      `Detail must be at most ${INSTANCE_DETAIL_LENGTH_MAX} characters as JSON: ` +
        `current value has ${detail.length}`,
    );
  }
  return [
    instance.kind,
    instance.address,
    instance.software.slice(0, TEXT_LENGTH_MAX).toWellFormed(),
    Math.trunc(instance.startedAt),
    detail,
    Math.trunc(instance.seenAt),
  ];
}

const KEY_COLUMNS = "kind, address";
/** Columns besides the key. `seen_at` is last: MySQL assigns from left to right. */
const VALUE_COLUMNS = ["software", "started_at", "detail", "seen_at"];

function insertSql(rowCount: number): string {
  return `INSERT INTO ServiceInstance(${KEY_COLUMNS}, ${VALUE_COLUMNS.join(", ")}) VALUES ` +
    placeholders(rowCount, 2 + VALUE_COLUMNS.length);
}

/**
 * Writes the sign of life of one service, and forgets those silent for too long.
 *
 * @throws {StoreError} for good, when the table is missing.
 * @throws {RangeError} when the address is too long or a time is not in unix seconds.
 * @throws {LimitError} when the detail is too long.
 */
export function* heartbeatScript(
  dialect: Dialect,
  shape: SchemaShape,
  instance: ServiceInstance,
): Script<void> {
  requireTable(shape);
  yield {
    sql: insertSql(1) + onConflict(dialect, KEY_COLUMNS, VALUE_COLUMNS),
    params: valuesOf(instance),
  };
}

/**
 * Instances in order of their key, as locks want them; of several with one key the one seen last.
 */
export function sortInstances(instances: readonly ServiceInstance[]): ServiceInstance[] {
  const latest = new Map<string, ServiceInstance>();
  for (const instance of instances) {
    const key = `${instance.kind} ${instance.address}`;
    const known = latest.get(key);
    if (known === undefined || known.seenAt <= instance.seenAt) latest.set(key, instance);
  }
  return [...latest].sort(([a], [b]) => a < b ? -1 : 1).map(([, instance]) => instance);
}

/**
 * Writes what somebody knows of other services, sorted, in one statement. A row that was seen later
 * stays as it is: several may know of one service, and whoever heard it last knows best.
 *
 * @throws as {@linkcode heartbeatScript}.
 */
export function* sightingsScript(
  dialect: Dialect,
  shape: SchemaShape,
  instances: readonly ServiceInstance[],
): Script<void> {
  requireTable(shape);
  const mysqlSet = VALUE_COLUMNS.map((name) =>
    `${name} = IF(VALUES(seen_at) >= seen_at, VALUES(${name}), ${name})`
  );
  yield {
    sql: insertSql(instances.length) +
      (dialect === "mysql"
        ? ` ON DUPLICATE KEY UPDATE ${mysqlSet}`
        : onConflict(dialect, KEY_COLUMNS, VALUE_COLUMNS) +
          " WHERE excluded.seen_at >= ServiceInstance.seen_at"),
    params: instances.flatMap(valuesOf),
  };
}

/**
 * Deletes the rows of a kind that are too many, those seen longest ago first; of those seen in the
 * same second all stay.
 */
export function* trimInstancesScript(kind: string, rowsMax: number): Script<void> {
  const rows = yield {
    sql:
      "SELECT seen_at FROM ServiceInstance WHERE kind = ? ORDER BY seen_at DESC LIMIT 1 OFFSET ?",
    params: [kind, rowsMax - 1],
  };
  if (rows.length === 0) return;
  yield {
    sql: "DELETE FROM ServiceInstance WHERE kind = ? AND seen_at < ?",
    params: [kind, numberOf(rows[0].seen_at)],
  };
}

/** Forgets instances not seen for {@linkcode INSTANCE_AGE_MAX_S} before `nowS`. */
export function* forgetSilentScript(nowS: number): Script<void> {
  yield {
    sql: "DELETE FROM ServiceInstance WHERE seen_at < ?",
    params: [Math.trunc(nowS) - INSTANCE_AGE_MAX_S],
  };
}

/** Removes one instance; nothing happens when it is unknown, or the table is missing. */
export function* forgetInstanceScript(
  shape: SchemaShape,
  kind: string,
  address: string,
): Script<void> {
  if (!shape.instances) return;
  yield {
    sql: "DELETE FROM ServiceInstance WHERE kind = ? AND address = ?",
    params: [kind, address],
  };
}

function detailOf(value: unknown): ServiceInstance["detail"] {
  const isPlain = (entry: [string, unknown]): entry is [string, number | string] =>
    typeof entry[1] === "number" || typeof entry[1] === "string";
  return Object.fromEntries(Object.entries(jsonOf(value)).filter(isPlain));
}

function instanceOf(row: SqlRow): ServiceInstance {
  return {
    kind: textOf(row.kind) as ServiceInstance["kind"],
    address: textOf(row.address),
    software: textOf(row.software),
    startedAt: numberOf(row.started_at),
    seenAt: numberOf(row.seen_at),
    detail: detailOf(row.detail),
  };
}

/** Every known instance, or those of some kinds; none when the table is missing. */
export function* instancesScript(
  shape: SchemaShape,
  kinds?: readonly string[],
): Script<ServiceInstance[]> {
  if (!shape.instances || kinds?.length === 0) return [];
  const where = kinds === undefined ? "" : `WHERE kind IN ${placeholders(1, kinds.length)} `;
  const rows = yield {
    sql: "SELECT kind, address, software, started_at, seen_at, detail " +
      `FROM ServiceInstance ${where}ORDER BY kind, address`,
    params: kinds ?? [],
  };
  return rows.map(instanceOf);
}
