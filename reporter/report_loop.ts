// Shell. One event loop of the reporter: accepts connections, and makes rows of reports.

import type { Address } from "../reactor/address.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";
import { SessionServer, type SessionServerInit } from "../session/session_server.ts";
import type { LoopStats, LoopSurroundings, ServiceLoop } from "../service/loops/loop_group.ts";
import { MessageId } from "../proto/message_ids.ts";
import { decodeReportStatusRequest, type ReportStatusRequest } from "../proto/codec.ts";
import { isNodePort } from "../model/node.ts";
import type { CallStatusRow } from "../sql/store.ts";
import { StatusBatch } from "./store_queue.ts";

/** A row with what agents of ours also tell, for the history only. */
export interface TimedStatusRow extends CallStatusRow {
  /** Calls since the agent knows the node whose time was told; absent: none. */
  readonly timedTotal?: number;
  /** What those took together, in milliseconds. */
  readonly timeMsTotal?: number;
  /** Of a row about refused calls: they were never told before. */
  readonly refusedFresh?: boolean;
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
 * The rows of a report that came over connection `peer`. Agents of the original may leave the time
 * out (0): `nowSeconds` stands in. Calls that were refused are a row without a node.
 */
export function rowsOf(
  message: ReportStatusRequest,
  nowSeconds: number,
  peer: number,
): MessageRows {
  const { modId, cmdId, caller, refused } = message;
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
  const skippedCount = message.results.length - rows.length;
  if (refused !== undefined) {
    const { fresh, ...totals } = refused;
    const row = { ...NO_NODE, modId, cmdId, caller, ts, peer };
    rows.push({ ...row, refused: totals, refusedFresh: fresh });
  }
  return { rows, skippedCount };
}

/** What a row about refused calls has in place of a node and its calls. */
const NO_NODE = { ip: 0, port: 0, succCount: 0, errCount: 0, overload: false };

/** Numbers that one row takes when packed. */
const PACKED_FIELDS = 19;

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

/** Plain values that a loop is started with. */
export interface ReportLoopInit extends SessionServerInit {
  /** Most rows a loop in a worker keeps for the main thread. */
  readonly keysMax: number;
  /** True when rows have to change threads. */
  readonly inWorker: boolean;
}

/** Loop to main thread: rows, packed when they changed threads; a connection that has ended. */
export type ReportNote =
  | { readonly type: "rows"; readonly rows: readonly ReportedRow[] }
  | { readonly type: "packed"; readonly packed: Float64Array }
  | { readonly type: "gone"; readonly peer: number };

/** Main thread to loop: the last packed rows were received. */
export type ReportTask = "received";

/** A server that turns reports into rows. */
export class ReportLoop implements ServiceLoop<ReportTask> {
  readonly #clock: Clock;
  readonly #server: SessionServer;
  readonly #shipper: RowShipper | undefined;
  readonly #note: (note: ReportNote) => void;
  #reportCount = 0;
  #rowCount = 0;
  #skippedCount = 0;

  constructor(init: ReportLoopInit, around: LoopSurroundings<ReportNote>) {
    const { clock, log } = around;
    this.#clock = clock;
    this.#note = (note): void => around.note(note);
    this.#server = new SessionServer({
      role: "reporter",
      init,
      clock,
      log,
      onClose: (peer) => around.note({ type: "gone", peer: peer.id }),
    });
    this.#server.router.add(
      MessageId.ReportStatusRequest,
      (body, peer) => this.#report(body, peer.id),
    );
    if (!init.inWorker) return;
    this.#shipper = new RowShipper(
      clock,
      init.keysMax,
      (packed) => around.note({ type: "packed", packed }, [packed.buffer]),
    );
  }

  listen(port: number, reusePort: boolean): Promise<Address> {
    return this.#server.listen(port, reusePort);
  }

  onTask(_task: ReportTask): void {
    this.#shipper?.received();
  }

  setSecrets(all: readonly Uint8Array[]): void {
    this.#server.setSecrets(all);
  }

  stats(): LoopStats {
    return {
      ...this.#server.stats(),
      reports: this.#reportCount,
      results: this.#rowCount,
      results_bad_port: this.#skippedCount,
      results_refused_in_loop: this.#shipper?.refusedCount ?? 0,
    };
  }

  async close(): Promise<void> {
    const closed = this.#server.close();
    this.#shipper?.flush();
    await closed;
  }

  #report(body: Uint8Array, peer: number): void {
    const nowSeconds = Math.floor(this.#clock.wallMs() / 1000);
    const { rows, skippedCount } = rowsOf(decodeReportStatusRequest(body), nowSeconds, peer);
    this.#reportCount++;
    this.#rowCount += rows.length;
    this.#skippedCount += skippedCount;
    if (rows.length === 0) return;
    if (this.#shipper === undefined) this.#note({ type: "rows", rows });
    else this.#shipper.add(rows);
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
