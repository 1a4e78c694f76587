// Core. The conversations about ServiceInstance: which services are alive.

import { LimitError, StoreError } from "../reactor/errors.ts";
import type { SchemaShape } from "./schema_shape.ts";
import { type Dialect, numberOf, type Script, type SqlRow, textOf } from "./sql_script.ts";
import type { ServiceInstance } from "./store.ts";

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
  throw new StoreError("Table ServiceInstance must exist: run the migrations", false);
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
  checkInstance(instance);
  const detail = JSON.stringify(instance.detail);
  if (detail.length > INSTANCE_DETAIL_LENGTH_MAX) {
    throw new LimitError(
      "INSTANCE_DETAIL_LENGTH_MAX",
      `Detail must be at most ${INSTANCE_DETAIL_LENGTH_MAX} characters as JSON: ` +
        `current value has ${detail.length}`,
    );
  }
  const columns = ["software", "started_at", "seen_at", "detail"];
  yield {
    sql: `INSERT INTO ServiceInstance(kind, address, ${columns.join(", ")}) ` +
      "VALUES (?, ?, ?, ?, ?, ?) " +
      (dialect === "mysql"
        ? `ON DUPLICATE KEY UPDATE ${columns.map((name) => `${name} = VALUES(${name})`)}`
        : `ON CONFLICT(kind, address) DO UPDATE SET ${
          columns.map((name) => `${name} = excluded.${name}`)
        }`),
    params: [
      instance.kind,
      instance.address,
      instance.software.slice(0, TEXT_LENGTH_MAX).toWellFormed(),
      Math.trunc(instance.startedAt),
      Math.trunc(instance.seenAt),
      detail,
    ],
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

function detailOf(value: unknown): Record<string, number | string> {
  try {
    const parsed: unknown = JSON.parse(textOf(value));
    if (parsed === null || typeof parsed !== "object" || Array.isArray(parsed)) return {};
    return Object.fromEntries(
      Object.entries(parsed).filter(([, item]) =>
        typeof item === "number" || typeof item === "string"
      ),
    );
  } catch {
    return {}; // Not written by us; the rest of the row still tells who is alive.
  }
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

/** Every known instance; none when the table is missing. */
export function* instancesScript(shape: SchemaShape): Script<ServiceInstance[]> {
  if (!shape.instances) return [];
  const rows = yield {
    sql: "SELECT kind, address, software, started_at, seen_at, detail " +
      "FROM ServiceInstance ORDER BY kind, address",
  };
  return rows.map(instanceOf);
}
