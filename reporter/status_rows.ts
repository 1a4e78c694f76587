// Core. Call results from the wire as rows, and rows packed to pass between threads.

import type { ReportStatusRequest } from "../proto/codec.ts";
import type { CallStatusRow } from "../sql/store.ts";
import { isNodePort } from "../model/node.ts";

/** A row with what agents of ours also tell, for the history only. */
export interface TimedStatusRow extends CallStatusRow {
  /** Calls since the agent knows the node whose time was told; absent: none. */
  readonly timedTotal?: number;
  /** What those took together, in milliseconds. */
  readonly timeMsTotal?: number;
}

/** A row, and over which connection of its loop it came. */
export interface ReportedRow extends TimedStatusRow {
  readonly peer: number;
}

/** Rows of one message, and how many results could not become one. */
export interface MessageRows {
  readonly rows: ReportedRow[];
  /** Results with a port outside 1 to 65535. */
  readonly skippedCount: number;
}

/**
 * The rows of a report that came over connection `peer`. Agents of the original may leave the time out (0): `nowSeconds` stands in.
 */
export function rowsOf(
  message: ReportStatusRequest,
  nowSeconds: number,
  peer: number,
): MessageRows {
  const { modId, cmdId, caller } = message;
  const ts = message.ts === 0 ? nowSeconds : message.ts;
  const rows: ReportedRow[] = [];
  for (const result of message.results) {
    const { ip, port, succ, err, overload, succTotal, errTotal, timedTotal, timeMsTotal } = result;
    if (!isNodePort(port)) continue;
    rows.push({
      modId,
      cmdId,
      ip,
      port,
      caller,
      succCount: succ,
      errCount: err,
      ts,
      overload,
      peer,
      ...(succTotal === undefined ? {} : { succTotal }),
      ...(errTotal === undefined ? {} : { errTotal }),
      ...(timedTotal === undefined ? {} : { timedTotal }),
      ...(timeMsTotal === undefined ? {} : { timeMsTotal }),
    });
  }
  return { rows, skippedCount: message.results.length - rows.length };
}

/** Numbers that one row takes when packed. */
const PACKED_FIELDS = 14;

/** Rows as one array of numbers, whose buffer can change threads without a copy. */
export function packRows(rows: readonly ReportedRow[]): Float64Array<ArrayBuffer> {
  const packed = new Float64Array(rows.length * PACKED_FIELDS);
  let at = 0;
  for (const row of rows) {
    packed[at++] = row.modId;
    packed[at++] = row.cmdId;
    packed[at++] = row.ip;
    packed[at++] = row.port;
    packed[at++] = row.caller;
    packed[at++] = row.succCount;
    packed[at++] = row.errCount;
    packed[at++] = row.ts;
    packed[at++] = row.overload ? 1 : 0;
    packed[at++] = row.succTotal ?? -1;
    packed[at++] = row.errTotal ?? -1;
    packed[at++] = row.peer;
    packed[at++] = row.timedTotal ?? -1;
    packed[at++] = row.timeMsTotal ?? -1;
  }
  return packed;
}

/** The rows that {@linkcode packRows} packed. */
export function unpackRows(packed: Float64Array): ReportedRow[] {
  const rows: ReportedRow[] = [];
  for (let at = 0; at < packed.length; at += PACKED_FIELDS) {
    rows.push({
      modId: packed[at],
      cmdId: packed[at + 1],
      ip: packed[at + 2],
      port: packed[at + 3],
      caller: packed[at + 4],
      succCount: packed[at + 5],
      errCount: packed[at + 6],
      ts: packed[at + 7],
      overload: packed[at + 8] === 1,
      peer: packed[at + 11],
      ...(packed[at + 9] < 0 ? {} : { succTotal: packed[at + 9] }),
      ...(packed[at + 10] < 0 ? {} : { errTotal: packed[at + 10] }),
      ...(packed[at + 12] < 0 ? {} : { timedTotal: packed[at + 12] }),
      ...(packed[at + 13] < 0 ? {} : { timeMsTotal: packed[at + 13] }),
    });
  }
  return rows;
}
