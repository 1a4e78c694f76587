// Shell. One event loop of the reporter: accepts connections and takes reports.

import type { Address } from "../reactor/address.ts";
import { MessageRouter } from "../reactor/message_router.ts";
import { type Connection, TcpServer } from "../reactor/tcp_server.ts";
import { HelloGate } from "../daemon/hello.ts";
import type { LoopStats, LoopSurroundings, ServiceLoop } from "../daemon/loop_group.ts";
import { MessageId } from "../proto/message_ids.ts";
import { decodeReportStatusRequest } from "../proto/messages.ts";
import type { CallStatusRow } from "../sql/store.ts";
import { RowShipper } from "./row_shipper.ts";
import { rowsOf } from "./status_rows.ts";

/** Plain values that a loop is started with. */
export interface ReportLoopInit {
  readonly hostname: string;
  readonly connectionsMax: number;
  /** Most rows a loop in a worker keeps for the main thread. */
  readonly keysMax: number;
  readonly software: string;
  readonly token: Uint8Array | undefined;
  /** True when rows have to change threads. */
  readonly inWorker: boolean;
}

/** Loop to main thread: rows, packed when they changed threads. */
export type ReportNote =
  | { readonly type: "rows"; readonly rows: readonly CallStatusRow[] }
  | { readonly type: "packed"; readonly packed: Float64Array };

/** Main thread to loop: the last packed rows were received. */
export type ReportTask = "received";

/** A server that turns reports into rows. */
export class ReportLoop implements ServiceLoop<ReportTask> {
  readonly #init: ReportLoopInit;
  readonly #around: LoopSurroundings<ReportNote>;
  readonly #router: MessageRouter<Connection>;
  readonly #gate: HelloGate<Connection>;
  readonly #shipper: RowShipper | undefined;
  #server: TcpServer | undefined;
  #reportCount = 0;
  #rowCount = 0;
  #skippedCount = 0;

  constructor(init: ReportLoopInit, around: LoopSurroundings<ReportNote>) {
    const { clock, log } = around;
    this.#init = init;
    this.#around = around;
    this.#router = new MessageRouter<Connection>({ log, clock });
    this.#gate = new HelloGate<Connection>({
      software: init.software,
      role: "reporter",
      ...(init.token === undefined ? {} : { token: init.token }),
      clock,
      log,
    });
    this.#gate.install(this.#router);
    this.#router.add(MessageId.ReportStatusRequest, (body) => this.#report(body));
    if (!init.inWorker) return;
    this.#shipper = new RowShipper(
      clock,
      init.keysMax,
      (packed) => around.note({ type: "packed", packed }, [packed.buffer]),
    );
  }

  listen(port: number, reusePort: boolean): Promise<Address> {
    const { hostname, connectionsMax } = this.#init;
    this.#server = new TcpServer({
      hostname,
      port,
      reusePort,
      connectionsMax,
      router: this.#router,
      clock: this.#around.clock,
      log: this.#around.log,
      onAccept: (peer) => this.#gate.accept(peer),
      onClose: (peer) => this.#gate.forget(peer),
    });
    return this.#server.listen();
  }

  onTask(_task: ReportTask): void {
    this.#shipper?.received();
  }

  stats(): LoopStats {
    const server = this.#server?.stats;
    return {
      connections: server?.open ?? 0,
      connections_accepted: server?.accepted ?? 0,
      connections_refused: server?.refusedOverLimit ?? 0,
      reports: this.#reportCount,
      results: this.#rowCount,
      results_bad_port: this.#skippedCount,
      results_refused_in_loop: this.#shipper?.refusedCount ?? 0,
      protocol_errors: server?.protocolErrors ?? 0,
      unknown_ids: server?.unknownIds ?? 0,
      frame_timeouts: server?.frameTimeouts ?? 0,
      handler_errors: server?.handlerErrors ?? 0,
      not_authenticated: this.#gate.refusedCount,
    };
  }

  async close(): Promise<void> {
    const closed = this.#server?.close();
    this.#shipper?.flush();
    await closed;
  }

  #report(body: Uint8Array): void {
    const nowSeconds = Math.floor(this.#around.clock.wallMs() / 1000);
    const { rows, skippedCount } = rowsOf(decodeReportStatusRequest(body), nowSeconds);
    this.#reportCount++;
    this.#rowCount += rows.length;
    this.#skippedCount += skippedCount;
    if (rows.length === 0) return;
    if (this.#shipper === undefined) this.#around.note({ type: "rows", rows });
    else this.#shipper.add(rows);
  }
}
