// Core. Results over a link to the reporter: keeps each report until it is stored, and the latest of
// each node while the reporter is away; and its way with reporters that do not tell what is stored.

import type { HostResult } from "../balancer/balance_records.ts";
import type { ModuleReport } from "../balancer/routes/route_records.ts";
import {
  decodeReportsStored,
  encodeReportSession,
  encodeReportStatusRequest,
} from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";
import type { Rng } from "../reactor/time/rng.ts";
import type { Link, LinkEvents } from "../session/link.ts";
import { KeptReports } from "./kept_reports.ts";
import { type PackedReport, ReportPacker, unpackReport } from "./packed_reports.ts";
import { PendingReports, RESULTS_PER_FRAME_MAX, type TimedReport } from "./pending_reports.ts";
import { NO_GAINS, ReportedTotals } from "./reported_totals.ts";

/** Time in which a reporter of ours answers Hello; then it counts as one of the original. */
export const REPORTER_HELLO_MS = 2_000;

/**
 * Time in which a reporter of ours says that it tells what is stored. One that does not is a build
 * from before that; results wait meanwhile.
 */
export const STORED_WAIT_MS = 5_000;

/**
 * Reports sent to a reporter that does not tell what is stored, less than this before a connection
 * broke, are sent again over the next one: the last ones may have been lost. To store one twice does
 * no harm, as it says how things stand and not what is new.
 */
export const RESEND_MS = 3000;

/**
 * Reports sent to a reporter that has not answered, neither the handshake nor the question after it,
 * are remembered longer: it may be ours and slow. Then it has counted none of them, and they go
 * again, with totals and numbers.
 */
export const RESEND_PLAIN_MS = 120_000;

/** Results remembered for both, about 100 bytes each; those of the oldest reports go first. */
export const RESEND_RESULTS_MAX = 65_536;

/** Bytes that may wait in the connection before further reports wait, merged, in this object. */
const OUTPUT_HIGH_BYTES = 256 * 1024;

/** What a {@linkcode ReportSender} is given. */
export interface ReportSenderOptions {
  /** Makes the link to the reporter, which is told of nothing before it is started. */
  openLink(events: LinkEvents): Link;
  readonly clock: Clock;
  readonly rng: Rng;
  /** Address of this host at the time of sending. */
  callerIp(): number;
  /** Most nodes with results that wait. @default {PENDING_NODES_MAX} */
  readonly nodesMax?: number;
}

/** A report that may have to be sent once more. */
interface SentReport {
  readonly report: PackedReport;
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
  /** Results kept that are sent, and not known to be stored; 0 where nobody tells. */
  readonly resultsUnconfirmed: number;
  readonly connects: number;
}

/**
 * How the reporter of this connection is talked to: `ask` while it has not said that it tells what is
 * stored, nor that it does not, `wait` while it does not know yet itself; `kept` when it tells;
 * `plain` when it does not.
 */
type Way = "ask" | "wait" | "kept" | "plain";

/** The sender. */
export class ReportSender {
  readonly link: Link;
  readonly #options: ReportSenderOptions;
  readonly #pending: PendingReports;
  readonly #kept = new KeptReports();
  readonly #totals = new ReportedTotals();
  /** Names this sender to every reporter that it meets. */
  readonly #session: number;
  #way: Way = "plain";
  /** True: that the way is plain was not said, so that what is sent may count only when sent again. */
  #isPresumed = true;
  /** The reporter of this connection has answered the handshake. */
  #isExtended = false;
  #askTimer: Timer | undefined;
  /** Oldest first; those before `#recentStart` are forgotten. */
  #recent: SentReport[] = [];
  readonly #recentPacker = new ReportPacker();
  #recentStart = 0;
  #recentResults = 0;
  readonly #counts = { reportsSent: 0, resultsSent: 0, resultsResent: 0 };
  /** It ends soon, and waits until all is stored. */
  #isLeaving = false;
  #onSettled: (() => void) | undefined;

  constructor(options: ReportSenderOptions) {
    this.#options = options;
    this.#pending = new PendingReports(options.nodesMax);
    this.#session = 1 + Math.floor(options.rng.next() * (Number.MAX_SAFE_INTEGER - 1));
    this.link = options.openLink({
      onReady: () => this.#begin(),
      onExtended: () => {
        this.#restoreUncounted();
        this.#begin();
      },
      onLost: () => this.#onLost(),
    });
    this.link.router.add(MessageId.ReportsStored, (body) => this.#noteStored(body));
  }

  get stats(): ReportSenderStats {
    return {
      ...this.#counts,
      resultsPending: this.#pending.nodeCount,
      resultsDropped: this.#pending.droppedCount,
      resultsUnconfirmed: this.#kept.resultCount,
      connects: this.link.connectCount,
    };
  }

  /** Takes results, and sends them when the reporter is there. */
  add(reports: readonly ModuleReport[]): void {
    const ts = Math.floor(this.#options.clock.wallMs() / 1000);
    for (const report of reports) {
      const timed = this.#timed(report, ts);
      if (!this.#sendAtOnce(timed)) this.#pending.add(timed);
    }
    this.flush();
  }

  /** Who reports is about to begin anew, with all counts at zero. */
  countersRestarted(): void {
    this.#totals.restarted();
  }

  /** Sends what waits, as far as the connection takes it. Call now and then. */
  flush(): void {
    if (this.#way === "kept") this.#flushKept();
    if (this.#way === "plain") this.#flushPlain();
    if (this.#isSettled) this.#onSettled?.();
  }

  /**
   * Has all that came stored, before this sender ends: a reporter that tells what is stored is asked to
   * do so soon; to another one all is sent.
   *
   * @returns false when that was not so after `waitMs` by `clock`.
   */
  settled(clock: Clock, waitMs: number): Promise<boolean> {
    this.flush();
    if (this.#isSettled) return Promise.resolve(true);
    this.#isLeaving = true;
    if (this.#way === "kept") this.#nameSession();
    return new Promise((resolve) => {
      const timer = clock.setTimer(waitMs, () => resolve(false));
      this.#onSettled = (): void => {
        timer.cancel();
        resolve(true);
      };
    });
  }

  /** Sends what waits, then ends the connection; at most a second. */
  async close(): Promise<void> {
    this.flush();
    await this.link.close();
  }

  /** True when nothing of what came is here any more, or kept in vain, as nobody tells what is stored. */
  get #isSettled(): boolean {
    if (this.#pending.nodeCount > 0) return false;
    return this.#kept.resultCount === 0 || (this.#way === "plain" && this.link.ready);
  }

  #timed(report: ModuleReport, ts: number): TimedReport {
    const { modId, cmdId, shard } = report;
    const results = report.results.map((one) => this.#totals.take(modId, cmdId, one, shard));
    const { refused, refusedNew } = report.refused === undefined
      ? { refused: undefined, refusedNew: 0 }
      : this.#totals.takeRefused(modId, cmdId, report.refused, shard);
    return { modId, cmdId, results, ts, refusedNew, ...(refused === undefined ? {} : { refused }) };
  }

  /** A connection is there, or has turned out to be to a reporter of ours. */
  #begin(): void {
    this.#askTimer?.cancel();
    const { extended } = this.link;
    this.#isExtended = extended;
    this.#isPresumed = true;
    if (extended) {
      this.#way = "ask";
      this.#nameSession();
      this.#askTimer = this.#options.clock.setTimer(STORED_WAIT_MS, () => this.#goPlain());
    } else {
      this.#goPlain();
    }
  }

  #nameSession(): void {
    const session = this.#session;
    const stored = this.#kept.storedSeq;
    const body = encodeReportSession({ session, stored, leaving: this.#isLeaving });
    this.link.send(MessageId.ReportSession, body);
  }

  /** What is kept goes as results without numbers, and stays for a reporter that knows numbers. */
  #goPlain(): void {
    this.#way = "plain";
    for (const report of this.#kept.newestFirst()) this.#pending.restore(withoutGains(report));
    this.flush();
  }

  #noteStored(body: Uint8Array): void {
    const { stored, held, plain } = decodeReportsStored(body);
    this.#askTimer?.cancel();
    if (plain) {
      this.#isPresumed = false;
      this.#goPlain();
      return;
    }
    if (stored === undefined) {
      if (this.#way !== "kept") this.#way = "wait";
      return;
    }
    this.#kept.noteStored(stored);
    if (this.#way !== "kept") {
      if (this.#isPresumed) this.#restoreUncounted();
      this.#way = "kept";
      this.#counts.resultsResent += this.#kept.rewind(Math.max(stored, held));
    }
    this.flush();
  }

  #onLost(): void {
    this.#askTimer?.cancel();
    this.#way = "ask";
    // An older build has counted what it was told with totals: so that goes without gains.
    if (this.#isExtended) this.#restoreRecent();
    else this.#restoreUncounted();
    this.#isExtended = false;
  }

  get #takes(): boolean {
    return this.link.ready && this.link.pendingBytes < OUTPUT_HIGH_BYTES;
  }

  /** What need not wait is not put among what waits; false: it has to wait. */
  #sendAtOnce(report: TimedReport): boolean {
    const { results, refused } = report;
    // Only what the agent itself counts: it would take a number, and a place among what is kept.
    const isEmpty = results.length === 0 && refused === undefined;
    const isFirst = this.#pending.nodeCount === 0 && this.#takes;
    if (isEmpty || !isFirst || results.length > RESULTS_PER_FRAME_MAX) return false;
    if (this.#way === "plain") {
      if (!this.#send(report)) return false;
      this.#remember(report);
      return true;
    }
    if (this.#way !== "kept" || this.#kept.isFull || this.#kept.hasUnsent) return false;
    const seq = this.#kept.add(report);
    if (this.#send(report, seq)) this.#kept.noteSent();
    return true;
  }

  #flushKept(): void {
    while (this.#takes) {
      let next = this.#kept.nextUnsent;
      if (next === undefined) {
        const report = this.#kept.isFull ? undefined : this.#pending.take();
        if (report === undefined) return;
        next = { report, seq: this.#kept.add(report) };
      }
      if (!this.#send(next.report, next.seq)) return;
      this.#kept.noteSent();
    }
  }

  #flushPlain(): void {
    while (this.#takes) {
      const report = this.#pending.take();
      if (report === undefined) return;
      if (!this.#send(report)) {
        this.#pending.restore(report);
        return;
      }
      this.#remember(report);
    }
  }

  #send(report: TimedReport, seq?: number): boolean {
    // Fields the original does not have are only for those who said that they know them.
    const { extended } = this.link;
    const results = seq !== undefined
      ? report.results
      : report.results.map(extended ? ungained : plainResult);
    const { modId, cmdId, ts, refusedNew } = report;
    const refused = extended ? report.refused : undefined;
    if (seq === undefined && results.length === 0 && refused === undefined) return true;
    const caller = this.#options.callerIp();
    const body = encodeReportStatusRequest({
      modId,
      cmdId,
      caller,
      results,
      ts,
      ...(refused === undefined ? {} : { refused }),
      ...(seq === undefined ? {} : { seq, refusedNew }),
    });
    if (!this.link.send(MessageId.ReportStatusRequest, body)) return false;
    this.#counts.reportsSent++;
    this.#counts.resultsSent += results.length;
    return true;
  }

  #remember(report: TimedReport): void {
    const nowMs = this.#options.clock.nowMs();
    this.#recent.push({ report: this.#recentPacker.pack(report), sentAtMs: nowMs });
    this.#recentResults += report.results.length;
    const keptFromMs = nowMs - (this.#isPresumed ? RESEND_PLAIN_MS : RESEND_MS);
    for (; this.#recentStart < this.#recent.length; this.#recentStart++) {
      const { report, sentAtMs } = this.#recent[this.#recentStart];
      if (sentAtMs >= keptFromMs && this.#recentResults <= RESEND_RESULTS_MAX) break;
      this.#recentResults -= report.resultCount;
      this.#recentPacker.forget(report);
    }
    // Half at a time, so that the cost of moving the rest is small for each report.
    if (this.#recentStart * 2 < this.#recent.length) return;
    this.#recent.splice(0, this.#recentStart);
    this.#recentStart = 0;
  }

  /**
   * What was sent to a reporter that had not answered goes again, with what is new in it: a node that
   * nobody picks any more has no later report to bring it, and a reporter of ours has counted nothing
   * of it. One of the original counts nothing at all.
   */
  #restoreUncounted(): void {
    this.#restore(-Infinity, (report) => report);
  }

  #restoreRecent(): void {
    this.#restore(this.#options.clock.nowMs() - RESEND_MS, withoutGains);
  }

  /** Forgets what was sent; what was sent since `fromMs` waits again. */
  #restore(fromMs: number, asSent: (report: TimedReport) => TimedReport): void {
    const recent = this.#recent.slice(this.#recentStart);
    this.#recent = [];
    this.#recentStart = 0;
    this.#recentResults = 0;
    // Newest first: what is restored first stays.
    for (const { report, sentAtMs } of recent.reverse()) {
      if (sentAtMs >= fromMs) {
        this.#pending.restore(asSent(unpackReport(report)));
        this.#counts.resultsResent += report.resultCount;
      }
      this.#recentPacker.forget(report);
    }
  }
}

/** A report that may have been counted already: what is new in it is not told twice. */
function withoutGains(report: TimedReport): TimedReport {
  const results = report.results.map((result) => ({ ...result, gains: NO_GAINS }));
  return { ...report, results, refusedNew: 0 };
}

function ungained({ gains: _, ...result }: TimedReport["results"][number]): HostResult {
  return result;
}

function plainResult({ ip, port, succ, err, overload }: HostResult): HostResultPlain {
  return { ip, port, succ, err, overload };
}

type HostResultPlain = Pick<HostResult, "ip" | "port" | "succ" | "err" | "overload">;
