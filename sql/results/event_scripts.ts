// Core. The conversations about Event: what happened, for people and alerts.

import { LimitError } from "../../reactor/errors.ts";
import {
  EVENT_COUNT_MAX,
  EVENT_DETAIL_LENGTH_MAX,
  EVENT_KEEP_S,
  EVENT_TEXT_LENGTH_MAX,
  type EventQuery,
  type EventRecord,
  type EventRetention,
  EVENTS_PER_CALL_MAX,
  EVENTS_READ_MAX,
  type NewEvent,
} from "./event.ts";
import { missingTable } from "../grants/grants.ts";
import type { SchemaShape } from "../schema/schema_shape.ts";
import {
  insertManyScript,
  jsonOf,
  moduleKeyOf,
  numberOf,
  type Script,
  type SqlRow,
  type SqlValue,
  textOf,
} from "../drivers/sql_script.ts";
import { UINT32_MAX } from "../../model/module.ts";
import { PORT_MAX } from "../../model/node.ts";

/** Events of one INSERT: small enough for the bound values of every database. */
const EVENTS_PER_STATEMENT = 100;
/** Kinds of one query. */
const KINDS_MAX = 100;
const KIND_PATTERN = /^[a-z0-9._-]{1,32}$/;
const COLUMNS = ["at_ms", "kind", "modid", "cmdid", "ip", "port", "host", "text", "detail"];

function requireTable(shape: SchemaShape): void {
  if (shape.events) return;
  throw missingTable("Event");
}

function numberIn(name: string, value: number | undefined, max: number): number | null {
  if (value === undefined) return null;
  if (Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw new RangeError(`Event ${name} must be from 0 to ${max}: current value is ${value}`);
}

function valuesOf(event: NewEvent): SqlValue[] {
  if (!KIND_PATTERN.test(event.kind)) {
    throw new RangeError(
      `Event kind must be 1 to 32 of a-z 0-9 . _ -: current value is ${JSON.stringify(event.kind)}`,
    );
  }
  const detail = JSON.stringify(event.detail ?? {});
  if (detail.length > EVENT_DETAIL_LENGTH_MAX) {
    throw new LimitError(
      "EVENT_DETAIL_LENGTH_MAX",
      `Event detail must be at most ${EVENT_DETAIL_LENGTH_MAX} characters as JSON: ` +
        `current value has ${detail.length}`,
    );
  }
  return [
    numberIn("atMs", Math.trunc(event.atMs), Number.MAX_SAFE_INTEGER),
    event.kind,
    numberIn("modId", event.module?.modId, UINT32_MAX),
    numberIn("cmdId", event.module?.cmdId, UINT32_MAX),
    numberIn("ip", event.node?.ip, UINT32_MAX),
    numberIn("port", event.node?.port, PORT_MAX),
    numberIn("host", event.host, UINT32_MAX),
    event.text.slice(0, EVENT_TEXT_LENGTH_MAX).toWellFormed(),
    detail,
  ];
}

/** Values of events in the order of the columns, checked before the database is asked. */
export function checkEvents(events: readonly NewEvent[]): SqlValue[][] {
  if (events.length <= EVENTS_PER_CALL_MAX) return events.map(valuesOf);
  throw new LimitError(
    "EVENTS_PER_CALL_MAX",
    `Events must be at most ${EVENTS_PER_CALL_MAX} a call: current value is ${events.length}`,
  );
}

/**
 * Stores events; the driver provides the transaction.
 *
 * @throws {StoreError} for good, when the table is missing.
 */
export function* addEventsScript(
  shape: SchemaShape,
  values: readonly (readonly SqlValue[])[],
): Script<void> {
  requireTable(shape);
  const insert = `INSERT INTO Event(${COLUMNS.join(", ")})`;
  const same = (row: readonly SqlValue[]): readonly SqlValue[] => row;
  yield* insertManyScript(insert, COLUMNS.length, values, same, EVENTS_PER_STATEMENT);
}

function kindTerm(kinds: readonly string[], params: SqlValue[]): string {
  if (kinds.length > KINDS_MAX) {
    throw new RangeError(`Kinds must be at most ${KINDS_MAX}: current value is ${kinds.length}`);
  }
  const terms = kinds.map((kind) => {
    if (!kind.endsWith(".")) {
      params.push(kind);
      return "kind = ?";
    }
    // "/" is the byte after ".": all words with this beginning, without wildcards to escape.
    params.push(kind, `${kind.slice(0, -1)}/`);
    return "(kind >= ? AND kind < ?)";
  });
  return `(${terms.join(" OR ")})`;
}

/** Events in order of their id; none when the table is missing. */
export function* readEventsScript(shape: SchemaShape, query: EventQuery): Script<EventRecord[]> {
  const { afterId, beforeId, kinds, module, limit = 100 } = query;
  if (!Number.isInteger(limit) || limit < 1 || limit > EVENTS_READ_MAX) {
    throw new RangeError(
      `Events must be from 1 to ${EVENTS_READ_MAX} a call: current value is ${limit}`,
    );
  }
  if (!shape.events || kinds?.length === 0) return [];
  const terms: string[] = [];
  const params: SqlValue[] = [];
  if (afterId !== undefined) {
    terms.push("id > ?");
    params.push(Math.trunc(afterId));
  }
  if (beforeId !== undefined) {
    terms.push("id < ?");
    params.push(Math.trunc(beforeId));
  }
  if (kinds !== undefined) terms.push(kindTerm(kinds, params));
  if (module !== undefined) {
    terms.push("modid = ?", "cmdid = ?");
    params.push(module.modId, module.cmdId);
  }
  const where = terms.length === 0 ? "" : ` WHERE ${terms.join(" AND ")}`;
  const rows = yield {
    sql: `SELECT id, ${COLUMNS.join(", ")} FROM Event${where} ` +
      `ORDER BY id ${afterId === undefined ? "DESC" : "ASC"} LIMIT ?`,
    params: [...params, limit],
  };
  const events = rows.map(eventOf);
  return afterId === undefined ? events.reverse() : events;
}

function eventOf(row: SqlRow): EventRecord {
  const has = (name: string): boolean => row[name] !== null && row[name] !== undefined;
  return {
    id: numberOf(row.id),
    atMs: numberOf(row.at_ms),
    kind: textOf(row.kind),
    ...(has("modid") ? { module: moduleKeyOf(row) } : {}),
    ...(has("ip") ? { node: { ip: numberOf(row.ip), port: numberOf(row.port) } } : {}),
    ...(has("host") ? { host: numberOf(row.host) } : {}),
    text: textOf(row.text),
    detail: jsonOf(row.detail),
  };
}

/** Deletes events past their time and the oldest of too many; nothing when the table is missing. */
export function* pruneEventsScript(shape: SchemaShape, retention: EventRetention): Script<void> {
  if (!shape.events) return;
  const { nowMs, keepSeconds = EVENT_KEEP_S, countMax = EVENT_COUNT_MAX } = retention;
  yield {
    sql: "DELETE FROM Event WHERE at_ms < ?",
    params: [Math.trunc(nowMs - keepSeconds * 1000)],
  };
  const rows = yield {
    sql: "SELECT id FROM Event ORDER BY id DESC LIMIT 1 OFFSET ?",
    params: [Math.trunc(countMax)],
  };
  if (rows.length === 0) return;
  yield { sql: "DELETE FROM Event WHERE id <= ?", params: [numberOf(rows[0].id)] };
}
