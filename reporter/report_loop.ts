// Shell. One event loop of the reporter: accepts connections, and makes rows of reports.

import type { Address } from "../reactor/address.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";
import type { Rng } from "../reactor/time/rng.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import type { PeerTrust } from "../session/peer_trust.ts";
import { SessionServer, type SessionServerInit } from "../session/session_server.ts";
import type { LoopStats, LoopSurroundings, ServiceLoop } from "../service/loops/loop_group.ts";
import { MessageId } from "../proto/message_ids.ts";
import {
  decodeReportSession,
  decodeReportStatusRequest,
  encodeReportsStored,
  type ReportsStored,
} from "../proto/codec.ts";
import { ProtocolError } from "../reactor/errors.ts";
import type { Connection } from "../reactor/tcp/tcp_server.ts";
import { packRows, type ReportedRow, rowsOf } from "./report_rows.ts";
import { NO_SESSION } from "./spool/spool_format.ts";
import { ReportedColumns } from "./status_columns.ts";
import { StatusBatch } from "./store_queue.ts";

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
    /** It ends soon, and waits until all is stored. */
    readonly leaving: boolean;
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

/** A sender that keeps what it sends. */
interface ReportKeeper {
  readonly connection: Connection;
  readonly session: number;
  /** It was told that nothing is told of this connection: what it sends has no numbers. */
  isPlain: boolean;
}

/** Says that this reporter tells what is stored, whatever it is told yet. */
const KNOWS_SESSIONS = encodeReportsStored({ held: 0, plain: false });

/** A server that turns reports into rows. */
export class ReportLoop implements ServiceLoop<ReportTask> {
  readonly #clock: Clock;
  readonly #server: SessionServer;
  readonly #shipper: RowShipper | undefined;
  readonly #note: (note: ReportNote) => void;
  /** Senders that keep what they send, by the number of their connection. */
  readonly #keepers = new Map<number, ReportKeeper>();
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
      transport: around.sockets,
      // A sender that is told only when it asks may wait in vain, and take this for an older build.
      onWelcomed: (peer) => void peer.send(MessageId.ReportsStored, KNOWS_SESSIONS),
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
      systemRng,
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
    const keeper = this.#keepers.get(task.peer);
    if (task.type === "again") {
      keeper?.connection.close("its results cannot be taken in order: it has to send them again");
      return;
    }
    // From now on its totals are all it tells.
    if (keeper !== undefined) keeper.isPlain = task.answer.plain;
    keeper?.connection.send(MessageId.ReportsStored, encodeReportsStored(task.answer));
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
    const { session, stored, leaving } = decodeReportSession(body);
    if (session === NO_SESSION) {
      throw new ProtocolError(
        "ReportSession.session must be from 1 to 2^53 - 1: current value is 0",
      );
    }
    const known = this.#keepers.get(connection.id);
    // Each costs a look into the database, and a connection has one sender.
    if (known !== undefined && known.session !== session) {
      throw new ProtocolError("ReportSession must name the same session as before: it is another");
    }
    if (known === undefined) {
      this.#keepers.set(connection.id, { connection, session, isPlain: false });
    }
    this.#note({ type: "session", peer: connection.id, session, stored, leaving });
  }

  #report(body: Uint8Array, connection: Connection): void {
    const nowSeconds = Math.floor(this.#clock.wallMs() / 1000);
    const message = decodeReportStatusRequest(body);
    const keeper = this.#keepers.get(connection.id);
    const session = keeper?.isPlain === true ? undefined : keeper?.session;
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
    rng: Rng,
    keysMax: number,
    send: (packed: Float64Array<ArrayBuffer>) => void,
  ) {
    this.#clock = clock;
    this.#batch = new StatusBatch<ReportedRow>(keysMax, new ReportedColumns(), rng);
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
