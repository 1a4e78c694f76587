// Shell. An in-process client's streams to dns and reporter, where no agent runs.

import { PendingReports, type TimedReport } from "../feed/pending_reports.ts";
import type { ModuleReport } from "../balancer/routes/route_lb.ts";
import { RouteParts } from "../feed/route_parts.ts";
import {
  decodeNodeUseRequest,
  decodeRoutePart,
  encodeNodeUse,
  encodeReportStatusRequest,
} from "../proto/feed_codec.ts";
import { decodeGetRouteResponse, encodeGetRouteRequest } from "../proto/host_codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import { type Address, parseIpv4 } from "../reactor/address.ts";
import { CLOSE_MS_MAX, type UpstreamOptions } from "./agent_upstream.ts";
import { FeedLink } from "./feed_link.ts";
import type { Upstream, UpstreamStats } from "./upstream.ts";

/** A dns that has been asked and has said nothing for this long is left for the next one. */
export const SILENCE_MS_MAX = 6000;

/**
 * Reports sent less than this before a connection broke are sent again: nobody answers a report. To
 * store one twice does no harm, as it says how things stand and not what is new.
 */
export const RESEND_MS = 3000;

/** Reports kept for that; older ones are forgotten first. */
const RESEND_REPORTS_MAX = 4096;

/** Time in which a reporter of ours answers Hello. */
const REPORTER_HELLO_MS = 500;

/** Where dns and reporter are, and who this host is. */
export interface DirectAddresses {
  readonly dns: readonly Address[];
  readonly reporters: readonly Address[];
  /** Address of this host in reports; undefined: the one it talks to the reporter with. */
  readonly callerIp: number | undefined;
}

/** Routes from dns, results to the reporter: what an agent does, for one program. */
export class DirectUpstream implements Upstream {
  readonly #options: UpstreamOptions;
  readonly #dns: FeedLink;
  readonly #reporter: FeedLink;
  readonly #callerIp: number | undefined;
  readonly #parts = new RouteParts();
  readonly #pending: PendingReports;
  #recent: { sentAtMs: number; report: TimedReport }[] = [];
  #batches = 0;
  /** Called when the reporter has come and has been sent everything, while closing. */
  #emptied: (() => void) | undefined;
  /** Since when dns owes an answer. */
  #askedAtMs: number | undefined;

  constructor(addresses: DirectAddresses, options: UpstreamOptions) {
    const { token, background, rng, events } = options;
    this.#options = options;
    this.#callerIp = addresses.callerIp;
    this.#pending = new PendingReports(options.resultsMax);
    const shared = { role: "client", token, clock: background, rng };
    this.#dns = new FeedLink({
      ...shared,
      addresses: addresses.dns,
      helloWaitMs: 0,
      onReady: () => events.onReady(),
      onLost: () => {
        this.#askedAtMs = undefined;
        this.#parts.clear();
        events.onLost();
      },
      onMessage: (msgId, body) => this.#message(msgId, body),
    });
    this.#reporter = new FeedLink({
      ...shared,
      addresses: addresses.reporters,
      // Its answer decides what reports hold, and they have time.
      helloWaitMs: REPORTER_HELLO_MS,
      onReady: () => {
        this.#flush();
        if (this.#pending.nodeCount === 0) this.#emptied?.();
      },
      onLost: () => this.#restore(),
      onMessage: () => {},
    });
  }

  get connected(): boolean {
    return this.#dns.ready;
  }

  get address(): Address {
    return this.#dns.address;
  }

  get fault(): string | undefined {
    return this.#dns.fault;
  }

  get stats(): UpstreamStats {
    return {
      connects: this.#dns.connectCount + this.#reporter.connectCount,
      resultsPending: this.#pending.nodeCount,
      resultsDropped: this.#pending.droppedCount,
      batches: this.#batches,
    };
  }

  start(): void {
    this.#dns.start();
    this.#reporter.start();
  }

  ask(modId: number, cmdId: number): void {
    const sent = this.#dns.send(
      MessageId.GetRouteRequest,
      encodeGetRouteRequest({ modId, cmdId }),
    );
    if (sent) this.#askedAtMs ??= this.#options.background.nowMs();
  }

  /** Dns knows no end of a subscription but that of the connection. */
  forget(_modId: number, _cmdId: number): void {}

  /** The reporter is told what the client's own balancer made of it. */
  addCall(): void {}

  addReports(reports: readonly ModuleReport[]): void {
    const ts = Math.floor(this.#options.background.wallMs() / 1000);
    for (const report of reports) this.#pending.add({ ...report, ts });
    this.#flush();
  }

  tick(nowMs: number): void {
    this.#flush();
    if (this.#askedAtMs === undefined || nowMs - this.#askedAtMs < SILENCE_MS_MAX) return;
    this.#askedAtMs = undefined;
    this.#dns.failOver(`no answer to route requests for ${SILENCE_MS_MAX / 1000} s`);
  }

  async close(): Promise<void> {
    this.#flush();
    const { clock } = this.#options;
    if (this.#pending.nodeCount > 0) {
      await new Promise<void>((resolve) => {
        const timer = clock.setTimer(CLOSE_MS_MAX, resolve);
        this.#emptied = (): void => {
          timer.cancel();
          resolve();
        };
      });
    }
    await Promise.all([
      this.#dns.close(clock, CLOSE_MS_MAX),
      this.#reporter.close(clock, CLOSE_MS_MAX),
    ]);
  }

  #message(msgId: number, body: Uint8Array): void {
    this.#askedAtMs = undefined;
    const { events } = this.#options;
    events.onHeard();
    if (msgId === MessageId.GetRouteResponse) {
      const { modId, cmdId, hosts, policy = "", revision } = decodeGetRouteResponse(body);
      // Every route of a dns of ours has a revision, once it has heard Hello.
      events.onRoute(modId, cmdId, hosts, revision === undefined ? undefined : policy);
    } else if (msgId === MessageId.NodeUseRequest) {
      const request = decodeNodeUseRequest(body);
      const usage = events.onNodeUse(request);
      this.#dns.send(MessageId.NodeUse, encodeNodeUse({ seq: request.seq, ...usage }));
    } else if (msgId === MessageId.RoutePart) {
      const part = decodeRoutePart(body);
      const hosts = this.#parts.take(part);
      if (hosts !== undefined) events.onRoute(part.modId, part.cmdId, hosts, part.policy ?? "");
    }
  }

  #flush(): void {
    while (this.#reporter.ready) {
      const report = this.#pending.take();
      if (report === undefined) return;
      if (!this.#send(report)) {
        this.#pending.restore(report);
        return;
      }
      this.#recent.push({ sentAtMs: this.#options.background.nowMs(), report });
      if (this.#recent.length > RESEND_REPORTS_MAX) {
        this.#recent = this.#recent.slice(RESEND_REPORTS_MAX / 2);
      }
    }
  }

  #send({ modId, cmdId, ts, results }: TimedReport): boolean {
    // Fields the original does not have are only for those who said that they know them.
    const plain = this.#reporter.extended ? results : results.map((
      { ip, port, succ, err, overload },
    ) => ({ ip, port, succ, err, overload }));
    const sent = this.#reporter.send(
      MessageId.ReportStatusRequest,
      encodeReportStatusRequest({ modId, cmdId, ts, caller: this.#caller(), results: plain }),
    );
    if (sent) this.#batches++;
    return sent;
  }

  #caller(): number {
    if (this.#callerIp !== undefined) return this.#callerIp;
    try {
      return parseIpv4((this.#reporter.localIp ?? "").replace(/^::ffff:/, ""));
    } catch {
      return parseIpv4("127.0.0.1");
    }
  }

  #restore(): void {
    const recent = this.#recent;
    this.#recent = [];
    const fromMs = this.#options.background.nowMs() - RESEND_MS;
    // Newest first: what is restored first stays.
    for (const { sentAtMs, report } of recent.reverse()) {
      if (sentAtMs >= fromMs) this.#pending.restore(report);
    }
  }
}
