// Shell. The agent's link to the reporter: sends results, keeps the latest while it is away.

import { type ModuleReport } from "../../balancer/mod.ts";
import { PendingReports, type TimedReport } from "../../feed/pending_reports.ts";
import { GreetingClient } from "../../session/greeting_client.ts";
import { PING_UNUSED_INTERVAL_MS } from "../../session/hello.ts";
import { MessageId } from "../../proto/message_ids.ts";
import { encodeReportStatusRequest } from "../../proto/messages.ts";
import type { Address } from "../../reactor/address.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import type { Logger } from "../../reactor/log.ts";
import type { Rng } from "../../reactor/time/rng.ts";

/**
 * Reports sent less than this before a connection broke are sent again over the next one: nobody
 * answers a report, so the last ones may have been lost. To store a report twice does no harm.
 */
export const RESEND_MS = 3000;

/**
 * Reports sent to a reporter that has not answered the greeting are remembered longer: it may be
 * ours and slow, and then they go again, with totals.
 */
export const RESEND_BARE_MS = 30_000;

/** Results remembered for both, about 100 bytes each; those of the oldest reports go first. */
export const RESEND_RESULTS_MAX = 65_536;

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

/** A report that may have to be sent once more. */
interface SentReport {
  readonly report: TimedReport;
  readonly sentAtMs: number;
}

/** The link. */
export class ReportClient {
  readonly #options: ReportClientOptions;
  readonly #link: GreetingClient;
  readonly #pending = new PendingReports();
  /** Oldest first; those before `#recentStart` are forgotten. */
  #recent: SentReport[] = [];
  #recentStart = 0;
  #recentResults = 0;
  readonly #counts = { reportsSent: 0, resultsSent: 0, resultsResent: 0 };

  constructor(options: ReportClientOptions) {
    this.#options = options;
    this.#link = new GreetingClient({
      name: "reporter",
      role: "agent",
      addresses: options.addresses,
      clock: options.clock,
      rng: options.rng,
      log: options.log,
      software: options.software,
      token: options.token,
      pingUnusedIntervalMs: PING_UNUSED_INTERVAL_MS,
      onReady: () => this.flush(),
      onExtended: () => this.#restoreBare(),
      onLost: () => this.#restoreRecent(),
    });
  }

  get connected(): boolean {
    return this.#link.connected;
  }

  /** The reporter in use, or tried next. */
  get address(): Address {
    return this.#link.address;
  }

  /** This side of the connection. */
  get local(): Address | undefined {
    return this.#link.local;
  }

  /** Counters since the start, and the number of nodes with results that wait. */
  get stats(): Readonly<Record<string, number>> {
    return {
      ...this.#counts,
      resultsPending: this.#pending.nodeCount,
      resultsDropped: this.#pending.droppedCount,
      connects: this.#link.connectCount,
    };
  }

  /** Begins to connect. */
  start(): void {
    this.#link.start();
  }

  /** Takes results, and sends them when the reporter is there. */
  add(reports: readonly ModuleReport[]): void {
    const ts = Math.floor(this.#options.clock.wallMs() / 1000);
    for (const report of reports) this.#pending.add({ ...report, ts });
    this.flush();
  }

  /** Sends what waits, as far as the connection takes it. Call now and then. */
  flush(): void {
    while (this.#link.ready && this.#link.pendingBytes < OUTPUT_HIGH_BYTES) {
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
    this.#link.setAddresses(addresses);
  }

  /** Sends what waits, then ends the connection; at most a second. */
  async close(): Promise<void> {
    this.flush();
    await this.#link.close();
  }

  #send(report: TimedReport): boolean {
    // Fields the original does not have are only for those who said that they know them.
    const { extended } = this.#link;
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
    if (!this.#link.send(MessageId.ReportStatusRequest, body)) return false;
    this.#counts.reportsSent++;
    this.#counts.resultsSent += results.length;
    return true;
  }

  #remember(report: TimedReport): void {
    const { extended } = this.#link;
    const nowMs = this.#options.clock.nowMs();
    this.#recent.push({ report, sentAtMs: nowMs });
    this.#recentResults += report.results.length;
    const keptFromMs = nowMs - (extended ? RESEND_MS : RESEND_BARE_MS);
    for (; this.#recentStart < this.#recent.length; this.#recentStart++) {
      const { report: { results }, sentAtMs } = this.#recent[this.#recentStart];
      if (sentAtMs >= keptFromMs && this.#recentResults <= RESEND_RESULTS_MAX) break;
      this.#recentResults -= results.length;
    }
    // Half at a time, so that the cost of moving the rest is small for each report.
    if (this.#recentStart * 2 < this.#recent.length) return;
    this.#recent.splice(0, this.#recentStart);
    this.#recentStart = 0;
  }

  /**
   * The reporter has only now said that it knows totals. What was sent to it without them goes
   * again, because a node that nobody picks any more has no later report to bring them.
   */
  #restoreBare(): void {
    // All that is remembered: before this nothing was sent in any other way.
    this.#restore(this.#forgetRecent());
    this.flush();
  }

  #restoreRecent(): void {
    const fromMs = this.#options.clock.nowMs() - RESEND_MS;
    this.#restore(this.#forgetRecent().filter(({ sentAtMs }) => sentAtMs >= fromMs));
  }

  #forgetRecent(): SentReport[] {
    const recent = this.#recent.slice(this.#recentStart);
    this.#recent = [];
    this.#recentStart = 0;
    this.#recentResults = 0;
    return recent;
  }

  #restore(sent: SentReport[]): void {
    // Newest first: what is restored first stays.
    for (const { report } of sent.reverse()) {
      this.#pending.restore(report);
      this.#counts.resultsResent += report.results.length;
    }
  }
}
