// Core. Results over a link to the reporter: sends them, keeps the latest while it is away, and
// sends once more what may have been lost.

import type { HostResult } from "../balancer/balance_records.ts";
import type { ModuleReport } from "../balancer/routes/route_records.ts";
import { encodeReportStatusRequest } from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import type { Clock } from "../reactor/time/clock.ts";
import type { Link, LinkEvents } from "../session/link.ts";
import { PendingReports, type TimedReport } from "./pending_reports.ts";

/**
 * Reports sent less than this before a connection broke are sent again over the next one: nobody
 * answers a report, so the last ones may have been lost. To store a report twice does no harm, as it
 * says how things stand and not what is new.
 */
export const RESEND_MS = 3000;

/**
 * Reports sent to a reporter that has not answered the handshake are remembered longer: it may be
 * ours and slow, and then they go again, with totals.
 */
export const RESEND_PLAIN_MS = 30_000;

/** Results remembered for both, about 100 bytes each; those of the oldest reports go first. */
export const RESEND_RESULTS_MAX = 65_536;

/** Bytes that may wait in the connection before further reports wait, merged, in this object. */
const OUTPUT_HIGH_BYTES = 256 * 1024;

/** What a {@linkcode ReportSender} is given. */
export interface ReportSenderOptions {
  /** Makes the link to the reporter, which is told of nothing before it is started. */
  openLink(events: LinkEvents): Link;
  readonly clock: Clock;
  /** Address of this host at the time of sending. */
  callerIp(): number;
  /** Most nodes with results that wait. @default {PENDING_NODES_MAX} */
  readonly nodesMax?: number;
}

/** A report that may have to be sent once more. */
interface SentReport {
  readonly report: TimedReport;
  readonly sentAtMs: number;
}

/** Counters since the start of a {@linkcode ReportSender}, and the present `resultsPending`. */
export interface ReportSenderStats {
  readonly reportsSent: number;
  readonly resultsSent: number;
  readonly resultsResent: number;
  /** Nodes with results that wait. */
  readonly resultsPending: number;
  readonly resultsDropped: number;
  readonly connects: number;
}

/** The sender. */
export class ReportSender {
  readonly link: Link;
  readonly #options: ReportSenderOptions;
  readonly #pending: PendingReports;
  /** Oldest first; those before `#recentStart` are forgotten. */
  #recent: SentReport[] = [];
  #recentStart = 0;
  #recentResults = 0;
  readonly #counts = { reportsSent: 0, resultsSent: 0, resultsResent: 0 };
  #onEmpty: (() => void) | undefined;

  constructor(options: ReportSenderOptions) {
    this.#options = options;
    this.#pending = new PendingReports(options.nodesMax);
    this.link = options.openLink({
      onReady: () => this.flush(),
      onExtended: () => this.#restorePlain(),
      onLost: () => this.#restoreRecent(),
    });
  }

  get stats(): ReportSenderStats {
    return {
      ...this.#counts,
      resultsPending: this.#pending.nodeCount,
      resultsDropped: this.#pending.droppedCount,
      connects: this.link.connectCount,
    };
  }

  /** Takes results, and sends them when the reporter is there. */
  add(reports: readonly ModuleReport[]): void {
    const ts = Math.floor(this.#options.clock.wallMs() / 1000);
    for (const report of reports) this.#pending.add({ ...report, ts });
    this.flush();
  }

  /** Sends what waits, as far as the connection takes it. Call now and then. */
  flush(): void {
    while (this.link.ready && this.link.pendingBytes < OUTPUT_HIGH_BYTES) {
      const report = this.#pending.take();
      if (report === undefined) break;
      if (!this.#send(report)) {
        this.#pending.restore(report);
        break;
      }
      this.#remember(report);
    }
    if (this.#pending.nodeCount === 0) this.#onEmpty?.();
  }

  /** Resolves when nothing waits any more, or after `waitMs` by `clock`. */
  emptied(clock: Clock, waitMs: number): Promise<void> {
    this.flush();
    if (this.#pending.nodeCount === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = clock.setTimer(waitMs, resolve);
      this.#onEmpty = (): void => {
        timer.cancel();
        resolve();
      };
    });
  }

  /** Sends what waits, then ends the connection; at most a second. */
  async close(): Promise<void> {
    this.flush();
    await this.link.close();
  }

  #send(report: TimedReport): boolean {
    // Fields the original does not have are only for those who said that they know them.
    const results = this.link.extended ? report.results : report.results.map(plainResult);
    const { modId, cmdId, ts } = report;
    const caller = this.#options.callerIp();
    const body = encodeReportStatusRequest({ modId, cmdId, caller, results, ts });
    if (!this.link.send(MessageId.ReportStatusRequest, body)) return false;
    this.#counts.reportsSent++;
    this.#counts.resultsSent += results.length;
    return true;
  }

  #remember(report: TimedReport): void {
    const nowMs = this.#options.clock.nowMs();
    this.#recent.push({ report, sentAtMs: nowMs });
    this.#recentResults += report.results.length;
    const keptFromMs = nowMs - (this.link.extended ? RESEND_MS : RESEND_PLAIN_MS);
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
  #restorePlain(): void {
    // All that is remembered: before this nothing was sent in any other way.
    this.#restore(-Infinity);
    this.flush();
  }

  #restoreRecent(): void {
    this.#restore(this.#options.clock.nowMs() - RESEND_MS);
  }

  /** Forgets what was sent; what was sent since `fromMs` waits again. */
  #restore(fromMs: number): void {
    const recent = this.#recent.slice(this.#recentStart);
    this.#recent = [];
    this.#recentStart = 0;
    this.#recentResults = 0;
    // Newest first: what is restored first stays.
    for (const { report, sentAtMs } of recent.reverse()) {
      if (sentAtMs < fromMs) continue;
      this.#pending.restore(report);
      this.#counts.resultsResent += report.results.length;
    }
  }
}

function plainResult({ ip, port, succ, err, overload }: HostResult): HostResultPlain {
  return { ip, port, succ, err, overload };
}

type HostResultPlain = Pick<HostResult, "ip" | "port" | "succ" | "err" | "overload">;
