// Shell. The agent's link to the reporter: sends results, keeps the latest while it is away.

import type { ModuleReport } from "../balancer/mod.ts";
import { HelloPeer } from "../daemon/hello.ts";
import { MessageId } from "../proto/message_ids.ts";
import { encodeReportStatusRequest } from "../proto/messages.ts";
import type { Address } from "../reactor/address.ts";
import type { Clock } from "../reactor/clock.ts";
import type { Logger } from "../reactor/log.ts";
import { MessageRouter } from "../reactor/message_router.ts";
import type { Rng } from "../reactor/rng.ts";
import { TcpClient } from "../reactor/tcp_client.ts";
import { PendingReports, type TimedReport } from "./pending_reports.ts";

/**
 * Reports sent less than this before a connection broke are sent again over the next one: nobody
 * answers a report, so the last ones may have been lost. To store a report twice does no harm.
 */
export const RESEND_MS = 3000;

/** Sent reports remembered for that; older ones are forgotten first. */
const RESEND_REPORTS_MAX = 4096;

/** Bytes that may wait in the connection before further reports wait, merged, in this object. */
const OUTPUT_HIGH_BYTES = 256 * 1024;

/** What a {@linkcode ReportClient} is given. */
export interface ReportClientOptions {
  readonly addresses: readonly Address[];
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  readonly software: string;
  readonly token: Uint8Array | undefined;
  /** Address of this host at the time of sending. */
  callerIp(): number;
}

/** The link. */
export class ReportClient {
  readonly #options: ReportClientOptions;
  readonly #client: TcpClient;
  readonly #hello: HelloPeer;
  readonly #pending = new PendingReports();
  #recent: { sentAtMs: number; report: TimedReport }[] = [];
  #ready = false;
  readonly #counts = { reportsSent: 0, resultsSent: 0, resultsResent: 0 };

  constructor(options: ReportClientOptions) {
    const { addresses, clock, rng, log, software, token } = options;
    this.#options = options;
    const router = new MessageRouter<TcpClient>({ log, clock });
    this.#hello = new HelloPeer({
      client: () => this.#client,
      router,
      software,
      role: "agent",
      token,
      clock,
      log,
      onReady: () => {
        this.#ready = true;
        this.flush();
      },
    });
    this.#client = new TcpClient({
      addresses,
      router,
      clock,
      rng,
      log,
      name: "reporter",
      bufferWhileDisconnected: false,
      onConnect: () => this.#hello.onConnect(),
      onDisconnect: () => this.#disconnected(),
      onFrame: () => this.#hello.onFrame(),
    });
  }

  get connected(): boolean {
    return this.#client.connected;
  }

  /** The reporter in use, or tried next. */
  get address(): Address {
    return this.#client.address;
  }

  /** This side of the connection. */
  get local(): Address | undefined {
    return this.#client.local;
  }

  /** Counters since the start, and the number of nodes with results that wait. */
  get stats(): Readonly<Record<string, number>> {
    return {
      ...this.#counts,
      resultsPending: this.#pending.nodeCount,
      resultsDropped: this.#pending.droppedCount,
      connects: this.#client.stats.connects,
    };
  }

  /** Begins to connect. */
  start(): void {
    this.#client.start();
  }

  /** Takes results, and sends them when the reporter is there. */
  add(reports: readonly ModuleReport[]): void {
    const ts = Math.floor(this.#options.clock.wallMs() / 1000);
    for (const report of reports) this.#pending.add({ ...report, ts });
    this.flush();
  }

  /** Sends what waits, as far as the connection takes it. Call now and then. */
  flush(): void {
    while (this.#ready && this.#client.pendingBytes < OUTPUT_HIGH_BYTES) {
      const report = this.#pending.take();
      if (report === undefined) return;
      if (!this.#send(report)) {
        this.#pending.restore(report);
        return;
      }
      this.#remember(report);
    }
  }

  /** Replaces the list of reporters; see {@linkcode TcpClient.setAddresses}. */
  setAddresses(addresses: readonly Address[]): void {
    this.#client.setAddresses(addresses);
  }

  /** Sends what waits, then ends the connection; at most a second. */
  async close(): Promise<void> {
    this.flush();
    this.#ready = false;
    this.#hello.close();
    await this.#client.close();
  }

  #send(report: TimedReport): boolean {
    // Fields the original does not have are only for those who said that they know them.
    const { extended } = this.#hello;
    const results = extended
      ? report.results
      : report.results.map(({ ip, port, succ, err, overload }) => ({
        ip,
        port,
        succ,
        err,
        overload,
      }));
    const { modId, cmdId, ts } = report;
    const caller = this.#options.callerIp();
    const body = encodeReportStatusRequest({ modId, cmdId, caller, results, ts });
    if (!this.#client.send(MessageId.ReportStatusRequest, body)) return false;
    this.#counts.reportsSent++;
    this.#counts.resultsSent += results.length;
    return true;
  }

  #remember(report: TimedReport): void {
    const sentAtMs = this.#options.clock.nowMs();
    this.#recent.push({ sentAtMs, report });
    if (this.#recent.length < RESEND_REPORTS_MAX) return;
    // Half at a time, so that the cost of moving the rest is small for each report.
    this.#recent = this.#recent.slice(RESEND_REPORTS_MAX / 2);
  }

  #disconnected(): void {
    this.#ready = false;
    this.#hello.onDisconnect();
    const recent = this.#recent;
    this.#recent = [];
    const fromMs = this.#options.clock.nowMs() - RESEND_MS;
    // Newest first: what is restored first stays.
    for (const { sentAtMs, report } of recent.reverse()) {
      if (sentAtMs < fromMs) break;
      this.#pending.restore(report);
      this.#counts.resultsResent += report.results.length;
    }
  }
}
