// Core. Results over a link to the reporter: sends them, keeps the latest while it is away, and
// sends once more what may have been lost; and the address under which they are stored.

import type { HostResult } from "../balancer/balance_records.ts";
import type { ModuleReport, RefusedTotals } from "../balancer/routes/route_records.ts";
import { encodeReportStatusRequest } from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import { isLoopback, parseIpv4 } from "../reactor/address.ts";
import type { Clock } from "../reactor/time/clock.ts";
import { type ModuleId, moduleId } from "../model/module.ts";
import type { Link, LinkEvents } from "../session/link.ts";

/** Nodes with results that wait, about 200 bytes each; beyond it the oldest are dropped. */
export const PENDING_NODES_MAX = 65_536;

/**
 * Results in one frame. One takes at most 82 bytes: tag and length 2, ip 11, port 4, succ and err
 * 6 each, overload 2, four totals of 2 + 8, and some to spare; 780 of them fit 65,527.
 */
export const RESULTS_PER_FRAME_MAX = 780;

/** Results of one module with the time they are from. */
export interface TimedReport extends ModuleReport {
  /** Unix seconds. */
  readonly ts: number;
}

interface PendingModule {
  readonly modId: number;
  readonly cmdId: number;
  ts: number;
  readonly results: Map<number, HostResult>;
  /** Counts as one node. */
  refused: RefusedTotals | undefined;
}

/** The later of two; what was fresh and did not go out yet still is. */
function laterRefused(
  known: RefusedTotals | undefined,
  more: RefusedTotals | undefined,
  replace: boolean,
): RefusedTotals | undefined {
  if (known === undefined || more === undefined) return known ?? more;
  return { ...(replace ? more : known), fresh: known.fresh || more.fresh };
}

/**
 * While the reporter is away, a later result of a node takes the place of an earlier one: counts of
 * a window are replaced in the database anyway, and totals only grow.
 */
export class PendingReports {
  readonly #nodesMax: number;
  readonly #modules = new Map<ModuleId, PendingModule>();
  #nodeCount = 0;
  #dropped = 0;

  constructor(nodesMax = PENDING_NODES_MAX) {
    this.#nodesMax = nodesMax;
  }

  /** Nodes with results that wait. */
  get nodeCount(): number {
    return this.#nodeCount;
  }

  /** Results dropped because too many waited. */
  get droppedCount(): number {
    return this.#dropped;
  }

  /** Adds results; they replace earlier ones of the same nodes. */
  add(report: TimedReport): void {
    this.#merge(report, true);
  }

  /** Puts back what may not have arrived; newer results of the same nodes stay. */
  restore(report: TimedReport): void {
    this.#merge(report, false);
  }

  /** Takes out the oldest module's results, at most one frame of them; undefined when none wait. */
  take(): TimedReport | undefined {
    const [first] = this.#modules;
    if (first === undefined) return undefined;
    const [key, module] = first;
    const results: HostResult[] = [];
    for (const [host, result] of module.results) {
      if (results.length >= RESULTS_PER_FRAME_MAX) break;
      results.push(result);
      module.results.delete(host);
    }
    this.#nodeCount -= results.length;
    if (module.results.size === 0) this.#modules.delete(key);
    const { modId, cmdId, ts, refused } = module;
    if (refused === undefined) return { modId, cmdId, ts, results };
    module.refused = undefined;
    this.#nodeCount--;
    return { modId, cmdId, ts, results, refused };
  }

  #merge(report: TimedReport, replace: boolean): void {
    const { modId, cmdId, ts } = report;
    const key = moduleId(modId, cmdId);
    let module = this.#modules.get(key);
    if (module === undefined) {
      module = { modId, cmdId, ts, results: new Map(), refused: undefined };
      this.#modules.set(key, module);
    }
    module.ts = Math.max(module.ts, ts);
    if (module.refused === undefined && report.refused !== undefined) this.#nodeCount++;
    module.refused = laterRefused(module.refused, report.refused, replace);
    for (const result of report.results) {
      const host = result.ip * 65536 + result.port;
      const known = module.results.has(host);
      if (known && !replace) continue;
      if (!known) this.#nodeCount++;
      module.results.set(host, result);
    }
    if (module.results.size === 0 && module.refused === undefined) this.#modules.delete(key);
    while (this.#nodeCount > this.#nodesMax) this.#dropOldest();
  }

  #dropOldest(): void {
    const [first] = this.#modules;
    if (first === undefined) return;
    const [key, module] = first;
    const [host] = module.results.keys();
    if (host === undefined) module.refused = undefined;
    else module.results.delete(host);
    if (module.results.size === 0 && module.refused === undefined) this.#modules.delete(key);
    this.#nodeCount--;
    this.#dropped++;
  }
}

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
    const { extended } = this.link;
    const results = extended ? report.results : report.results.map(plainResult);
    const { modId, cmdId, ts } = report;
    const refused = extended ? report.refused : undefined;
    if (results.length === 0 && refused === undefined) return true;
    const caller = this.#options.callerIp();
    const body = encodeReportStatusRequest({
      modId,
      cmdId,
      caller,
      results,
      ts,
      ...(refused === undefined ? {} : { refused }),
    });
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

const LOOPBACK = 0x7f000001;

/** Where an address may come from, best first. */
export interface CallerIpSources {
  /** `[agent] caller_ip`; empty when not set. */
  readonly configured: string;
  /** This side of the connections to reporter and dns, as far as they stand. */
  readonly locals: readonly (string | undefined)[];
  /** IPv4 addresses of this machine's interfaces. */
  readonly interfaces: readonly string[];
}

/** True for text that is an IPv4 address others can reach. */
function isUsable(text: string | undefined): text is string {
  return text !== undefined && /^\d{1,3}(\.\d{1,3}){3}$/.test(text) && !isLoopback(text) &&
    text !== "0.0.0.0";
}

/**
 * The configured address; else the local one of a connection that does not stay on this machine;
 * else the first of an interface that is not loopback; else 127.0.0.1. Host names are not asked:
 * many machines give 127.0.1.1 for their own.
 *
 * @throws {RangeError} when the configured address is not an IPv4 address.
 */
export function chooseCallerIp(sources: CallerIpSources): number {
  const { configured, locals, interfaces } = sources;
  if (configured !== "") return parseIpv4(configured);
  const found = [...locals, ...interfaces].find(isUsable);
  return found === undefined ? LOOPBACK : parseIpv4(found);
}
