// Shell. One event loop of the reporter: accepts connections and takes reports.

import type { Address } from "../reactor/address.ts";
import type { Clock } from "../reactor/time/clock.ts";
import { SessionServer, type SessionServerInit } from "../session/session_server.ts";
import type { LoopStats, LoopSurroundings, ServiceLoop } from "../service/loops/loop_group.ts";
import { MessageId } from "../proto/message_ids.ts";
import { decodeReportStatusRequest } from "../proto/codec.ts";
import { type ReportedRow, RowShipper, rowsOf } from "./status_rows.ts";

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
