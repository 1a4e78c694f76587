// Shell. One event loop of the reporter: accepts connections, and makes rows of reports.

import type { Address } from "../reactor/address.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";
import type { PeerTrust } from "../session/peer_trust.ts";
import { SessionServer, type SessionServerInit } from "../session/session_server.ts";
import type { LoopStats, LoopSurroundings, ServiceLoop } from "../service/loops/loop_group.ts";
import { MessageId } from "../proto/message_ids.ts";
import {
  type CallGains,
  decodeReportSession,
  decodeReportStatusRequest,
  encodeReportsStored,
  type ReportsStored,
  type ReportStatusRequest,
} from "../proto/codec.ts";
import type { Connection } from "../reactor/tcp/tcp_server.ts";
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

/** Plain values that a loop is started with. */
export interface ReportLoopInit extends SessionServerInit {
  /** Most rows a loop in a worker keeps for the main thread. */
  readonly keysMax: number;
  /** True when rows have to change threads. */
  readonly inWorker: boolean;
}

/**
 * Loop to main thread: rows, packed when they changed threads; a sender that keeps what it sends; a
 * connection that has ended.
 */
export type ReportNote =
  | {
    readonly type: "session";
    readonly peer: number;
    readonly session: number;
    /** Up to this report the sender keeps none any more. */
    readonly stored: number;
  }
  | { readonly type: "rows"; readonly rows: readonly ReportedRow[] }
  | { readonly type: "packed"; readonly packed: Float64Array }
  | { readonly type: "gone"; readonly peer: number };

/**
 * Main thread to loop: the last packed rows were received; how far the reports of a connection are
 * stored; it is to begin again, from what is stored.
 */
export type ReportTask =
  | { readonly type: "received" }
  | {
    readonly type: "stored";
    readonly peer: number;
    readonly answer: ReportsStored;
  }
  | { readonly type: "again"; readonly peer: number };

/** A server that turns reports into rows. */
export class ReportLoop implements ServiceLoop<ReportTask> {
  readonly #clock: Clock;
  readonly #server: SessionServer;
  readonly #shipper: RowShipper | undefined;
  readonly #note: (note: ReportNote) => void;
  /** Senders that keep what they send, by the number of their connection. */
  readonly #keepers = new Map<number, { readonly connection: Connection; session: number }>();
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
      onClose: (peer) => {
        this.#keepers.delete(peer.id);
        around.note({ type: "gone", peer: peer.id });
      },
    });
    this.#server.router
      .add(MessageId.ReportStatusRequest, (body, peer) => this.#report(body, peer))
      .add(MessageId.ReportSession, (body, peer) => this.#session(body, peer));
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

  onTask(task: ReportTask): void {
    if (task.type === "received") {
      this.#shipper?.received();
      return;
    }
    const connection = this.#keepers.get(task.peer)?.connection;
    if (task.type === "again") {
      connection?.close("its results cannot be taken in order: it has to send them again");
      return;
    }
    // From now on its totals are all it tells.
    if (task.answer.plain) this.#keepers.delete(task.peer);
    connection?.send(MessageId.ReportsStored, encodeReportsStored(task.answer));
  }

  setTrust(trust: PeerTrust): void {
    this.#server.setTrust(trust);
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

  leave(): Promise<void> {
    return this.#server.leave();
  }

  async close(): Promise<void> {
    const closed = this.#server.close();
    this.#shipper?.flush();
    await closed;
  }

  #session(body: Uint8Array, connection: Connection): void {
    const { session, stored } = decodeReportSession(body);
    this.#keepers.set(connection.id, { connection, session });
    this.#note({ type: "session", peer: connection.id, session, stored });
  }

  #report(body: Uint8Array, connection: Connection): void {
    const nowSeconds = Math.floor(this.#clock.wallMs() / 1000);
    const message = decodeReportStatusRequest(body);
    const session = this.#keepers.get(connection.id)?.session;
    const extended = this.#server.isExtended(connection);
    const { rows, skippedCount } = rowsOf(message, nowSeconds, connection.id, session, extended);
    this.#reportCount++;
    this.#rowCount += rows.length;
    this.#skippedCount += skippedCount;
    if (rows.length === 0) {
      // It would be missing in the row of numbers.
      if (session !== undefined) connection.close("a numbered report without any result");
      return;
    }
    if (this.#shipper === undefined) this.#note({ type: "rows", rows });
    else if (!this.#shipper.add(rows)) connection.close("too many results wait: send them later");
  }
}

/** Time a row waits for others, in milliseconds. */
export const SHIP_DELAY_MS = 10;

/** Rows in one parcel. */
export const SHIP_ROWS_MAX = 5_000;

/**
 * Sends the next parcel only when the last one has been received, so that a busy main thread is not
 * buried: meanwhile rows of one key replace each other here, and new keys beyond the limit are
 * refused and counted. Reports that their senders keep go one by one and whole; beyond the limit
 * they are not taken.
 */
export class RowShipper {
  readonly #clock: Clock;
  readonly #send: (packed: Float64Array<ArrayBuffer>) => void;
  readonly #batch: StatusBatch<ReportedRow>;
  readonly #keysMax: number;
  #kept: (readonly ReportedRow[])[] = [];
  #keptRows = 0;
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
    this.#keysMax = keysMax;
    this.#send = send;
  }

  /** Rows refused because too many were waiting. */
  get refusedCount(): number {
    return this.#refusedCount;
  }

  /**
   * Takes the rows of a report, to be sent soon.
   *
   * @returns false for one that its sender keeps, and has to keep on.
   */
  add(rows: readonly ReportedRow[]): boolean {
    if (rows[0].kept !== undefined) {
      if (this.#keptRows + rows.length > this.#keysMax) return false;
      this.#kept.push(rows);
      this.#keptRows += rows.length;
    } else {
      for (const row of rows) if (this.#batch.add(row) === "refused") this.#refusedCount++;
    }
    if (this.#underway === undefined) {
      this.#timer ??= this.#clock.setTimer(SHIP_DELAY_MS, () => this.#ship());
    }
    return true;
  }

  /** The last parcel was received. */
  received(): void {
    if (this.#underway !== undefined) this.#batch.settle(this.#underway);
    this.#underway = undefined;
    if (this.#isWaiting) this.#ship();
  }

  /** Sends everything that is left, without waiting. */
  flush(): void {
    while (this.#isWaiting) this.#ship();
  }

  get #isWaiting(): boolean {
    return this.#batch.size > 0 || this.#kept.length > 0;
  }

  #ship(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const whole = this.#takeKept();
    this.#underway = this.#batch.take(Math.max(0, SHIP_ROWS_MAX - whole.length));
    const rows = whole.length === 0 ? this.#underway : [...whole, ...this.#underway];
    if (rows.length > 0) this.#send(packRows(rows));
  }

  #takeKept(): ReportedRow[] {
    const rows: ReportedRow[] = [];
    let count = 0;
    for (const report of this.#kept) {
      if (count > 0 && rows.length + report.length > SHIP_ROWS_MAX) break;
      for (const row of report) rows.push(row);
      count++;
    }
    this.#kept = this.#kept.slice(count);
    this.#keptRows -= rows.length;
    return rows;
  }
}
