// Core. Reports as rows: with what the history wants to know of each, and packed to change threads.

import type { CallGains, ReportStatusRequest } from "../proto/codec.ts";
import { isNodePort } from "../model/node.ts";
import type { CallStatusRow } from "../sql/store.ts";

/** A row with what agents of ours also tell, for the history only. */
export interface TimedStatusRow extends CallStatusRow {
  /** Calls since the agent knows the node whose time was told; absent: none. */
  readonly timedTotal?: number;
  /** What those took together, in milliseconds. */
  readonly timeMsTotal?: number;
  /** Of a row about refused calls: they were never told before. */
  readonly refusedFresh?: boolean;
}

/** Of a row of a sender that keeps it until it is stored: which report of which session it is from. */
export interface KeptRow {
  readonly session: number;
  readonly seq: number;
  /** What is new in its totals. */
  readonly gains: CallGains;
  /** What is new in its refused calls. */
  readonly refusedNew: number;
}

/** A row, and over which connection of its loop it came. */
export interface ReportedRow extends TimedStatusRow {
  readonly peer: number;
  /** Absent: its sender does not keep it. */
  readonly kept?: KeptRow;
  /** Its calls are told once more in another way, so the history is not to count them now. */
  readonly again?: boolean;
}

/** Rows of one message, and how many results could not become one. */
export interface MessageRows {
  readonly rows: ReportedRow[];
  /** Results with a port outside 1 to 65535. */
  readonly skippedCount: number;
}

const NO_GAINS: CallGains = { succ: 0, err: 0, timed: 0, timeMs: 0 };

/**
 * The rows of a report that came over connection `peer`. Agents of the original may leave the time
 * out (0): `nowSeconds` stands in. Calls that were refused are a row without a node.
 *
 * A peer that said Hello and has not read the answer yet leaves the totals out, and tells them once
 * it has; one that keeps what it sends and has not heard that it is asked to leaves the numbers out.
 * Both may take long on a busy machine, so the history has to wait for the better report.
 *
 * @param session That of the connection, if its sender keeps what it sends.
 * @param extended True: the sender said Hello.
 */
export function rowsOf(
  message: ReportStatusRequest,
  nowSeconds: number,
  peer: number,
  session?: number,
  extended = false,
): MessageRows {
  const { modId, cmdId, caller, refused, seq } = message;
  const kept = (gains = NO_GAINS, refusedNew = 0): { kept?: KeptRow } =>
    session === undefined || seq === undefined ? {} : { kept: { session, seq, gains, refusedNew } };
  const isUnnumbered = session !== undefined && seq === undefined;
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
      ...kept(result.gains),
      ...(isUnnumbered || (extended && succTotal === undefined) ? { again: true } : {}),
    });
  }
  const skippedCount = message.results.length - rows.length;
  if (refused !== undefined) {
    const { fresh, ...totals } = refused;
    const row = { ...NO_NODE, modId, cmdId, caller, ts, peer };
    const news = kept(NO_GAINS, message.refusedNew);
    const again = isUnnumbered ? { again: true } : {};
    rows.push({ ...row, refused: totals, refusedFresh: fresh, ...news, ...again });
  }
  return { rows, skippedCount };
}

/** What a row about refused calls has in place of a node and its calls. */
const NO_NODE = { ip: 0, port: 0, succCount: 0, errCount: 0, overload: false };

/** Numbers that one row takes when packed. */
const PACKED_FIELDS = 27;

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
    packed[at++] = row.refused?.overload ?? -1;
    packed[at++] = row.refused?.unusable ?? -1;
    packed[at++] = row.refused?.noNode ?? -1;
    packed[at++] = row.refused?.noRoute ?? -1;
    packed[at++] = row.refusedFresh === true ? 1 : 0;
    packed[at++] = row.kept?.session ?? -1;
    packed[at++] = row.kept?.seq ?? 0;
    packed[at++] = row.kept?.gains.succ ?? 0;
    packed[at++] = row.kept?.gains.err ?? 0;
    packed[at++] = row.kept?.gains.timed ?? 0;
    packed[at++] = row.kept?.gains.timeMs ?? 0;
    packed[at++] = row.kept?.refusedNew ?? 0;
    packed[at++] = row.again === true ? 1 : 0;
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
      ...(packed[at + 14] < 0 ? {} : unpackRefused(packed, at + 14)),
      ...(packed[at + 19] < 0 ? {} : { kept: unpackKept(packed, at + 19) }),
      ...(packed[at + 26] === 1 ? { again: true } : {}),
    });
  }
  return rows;
}

function unpackRefused(
  packed: Float64Array,
  at: number,
): Pick<ReportedRow, "refused" | "refusedFresh"> {
  const [overload, unusable, noNode, noRoute, fresh] = packed.subarray(at, at + 5);
  return { refused: { overload, unusable, noNode, noRoute }, refusedFresh: fresh === 1 };
}

function unpackKept(packed: Float64Array, at: number): KeptRow {
  const [session, seq, succ, err, timed, timeMs, refusedNew] = packed.subarray(at, at + 7);
  return { session, seq, gains: { succ, err, timed, timeMs }, refusedNew };
}
