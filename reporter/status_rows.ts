// Core. Rows of results: made from reports, gathered by key, packed and shipped to another thread.

import { callsId, isNodePort } from "../model/node.ts";
import type { ReportStatusRequest } from "../proto/codec.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";
import type { CallStatusRow } from "../sql/store.ts";

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

/** Most keys a batch holds unless told otherwise; about 60 MB when full. */
export const STATUS_KEYS_MAX = 200_000;

/** What {@linkcode StatusBatch.add} did. */
export type AddResult = "added" | "replaced" | "refused";

/**
 * Rows by (modId, cmdId, ip, port, caller), in the order in which their keys came. Rows that are
 * being written still count against the limit, because they may come back.
 */
export class StatusBatch<Row extends CallStatusRow = CallStatusRow> {
  readonly #keysMax: number;
  readonly #rows = new Map<string, Row>();
  #takenCount = 0;

  constructor(keysMax = STATUS_KEYS_MAX) {
    this.#keysMax = keysMax;
  }

  /** Rows waiting. */
  get size(): number {
    return this.#rows.size;
  }

  /** Rows being written. */
  get takenCount(): number {
    return this.#takenCount;
  }

  /** Replaces the waiting row of the same key, or adds one unless the batch is full. */
  add(row: Row): AddResult {
    const key = callsId(row);
    if (this.#rows.has(key)) {
      this.#rows.set(key, row);
      return "replaced";
    }
    if (this.#rows.size + this.#takenCount >= this.#keysMax) return "refused";
    this.#rows.set(key, row);
    return "added";
  }

  /** Hands out up to `rowsMax` of the oldest keys; they are out until `settle` or `putBack`. */
  take(rowsMax: number): Row[] {
    const taken: Row[] = [];
    for (const [key, row] of this.#rows) {
      if (taken.length >= rowsMax) break;
      taken.push(row);
      this.#rows.delete(key);
    }
    this.#takenCount += taken.length;
    return taken;
  }

  /** Rows taken before have been written. */
  settle(rows: readonly Row[]): void {
    this.#takenCount -= rows.length;
  }

  /** Rows taken before could not be written; those without a newer row wait again. */
  putBack(rows: readonly Row[]): void {
    this.#takenCount -= rows.length;
    for (const row of rows) {
      const key = callsId(row);
      if (!this.#rows.has(key)) this.#rows.set(key, row);
    }
  }
}

/** Time a row waits for others, in milliseconds. */
export const SHIP_DELAY_MS = 10;

/** Rows in one parcel. */
export const SHIP_ROWS_MAX = 5_000;

/**
 * Sends the next parcel only when the last one has been received, so that a busy main thread is not
 * buried: meanwhile rows of one key replace each other here, and new keys beyond the limit are
 * refused and counted.
 */
export class RowShipper {
  readonly #clock: Clock;
  readonly #send: (packed: Float64Array<ArrayBuffer>) => void;
  readonly #batch: StatusBatch<ReportedRow>;
  #timer: Timer | undefined;
  #underway: ReportedRow[] | undefined;
  #refusedCount = 0;

  constructor(
    clock: Clock,
    keysMax: number,
    send: (packed: Float64Array<ArrayBuffer>) => void,
  ) {
    this.#clock = clock;
    this.#batch = new StatusBatch<ReportedRow>(keysMax);
    this.#send = send;
  }

  /** Rows refused because too many were waiting. */
  get refusedCount(): number {
    return this.#refusedCount;
  }

  /** Takes rows to be sent soon. */
  add(rows: readonly ReportedRow[]): void {
    for (const row of rows) if (this.#batch.add(row) === "refused") this.#refusedCount++;
    if (this.#underway !== undefined) return;
    this.#timer ??= this.#clock.setTimer(SHIP_DELAY_MS, () => this.#ship());
  }

  /** The last parcel was received. */
  received(): void {
    if (this.#underway !== undefined) this.#batch.settle(this.#underway);
    this.#underway = undefined;
    if (this.#batch.size > 0) this.#ship();
  }

  /** Sends everything that is left, without waiting. */
  flush(): void {
    while (this.#batch.size > 0) this.#ship();
  }

  #ship(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#underway = this.#batch.take(SHIP_ROWS_MAX);
    if (this.#underway.length > 0) this.#send(packRows(this.#underway));
  }
}
