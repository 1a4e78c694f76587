// Shell. An in-process client's streams to dns and reporter, where no agent runs.

import type { ModuleReport } from "../balancer/routes/route_records.ts";
import { chooseCallerIp } from "../feed/caller_ip.ts";
import { REPORTER_HELLO_MS, ReportSender } from "../feed/report_sender.ts";
import { PUSH_GUARD_MS, RouteSubscriber } from "../feed/route_subscriber.ts";
import type { Address } from "../reactor/address.ts";
import type { Link } from "../session/link.ts";
import { CLOSE_MS_MAX, type UpstreamOptions } from "./agent_upstream.ts";
import type { Upstream, UpstreamStats } from "./upstream.ts";
import { openUpstreamLink } from "./upstream_link.ts";

/** Where dns and reporter are, and who this host is. */
export interface DirectAddresses {
  readonly dns: readonly Address[];
  readonly reporters: readonly Address[];
  /** Address of this host in reports; undefined: the one it talks to the reporter with. */
  readonly callerIp: number | undefined;
}

/** Routes from dns, results to the reporter: what an agent does, for one program. */
export class DirectUpstream implements Upstream {
  /** The reporter is told what the client's own balancer made of calls. */
  readonly calls = undefined;
  readonly #clock: UpstreamOptions["clock"];
  readonly #dns: RouteSubscriber;
  readonly #reporter: ReportSender;

  constructor({ dns, reporters, callerIp }: DirectAddresses, options: UpstreamOptions) {
    const { token, tls, clock, background, rng, events } = options;
    const shared = { token, tls, clock: background, rng };
    this.#clock = clock;
    this.#dns = new RouteSubscriber({
      openLink: (link) =>
        openUpstreamLink({ ...shared, ...link, addresses: dns, welcomeWaitMs: 0 }),
      clock: background,
      pushGuardMs: PUSH_GUARD_MS,
      pickableCount: events.pickableCount,
      onReady: events.onReady,
      onLost: events.onLost,
      onHeard: events.onHeard,
      onNodeUse: (request) =>
        this.#dns.answerNodeUse({ seq: request.seq, ...events.onNodeUse(request) }),
      onRoute: ({ modId, cmdId, hosts, policy }) => events.onRoute(modId, cmdId, hosts, policy),
    });
    this.#reporter = new ReportSender({
      openLink: (link) =>
        openUpstreamLink({
          ...shared,
          ...link,
          addresses: reporters,
          // Its answer decides what reports hold, and they have time.
          welcomeWaitMs: REPORTER_HELLO_MS,
        }),
      clock: background,
      rng,
      nodesMax: options.resultsMax,
      callerIp: () => {
        const locals = [this.#reporter.link.local?.hostname];
        return callerIp ?? chooseCallerIp({ configured: "", locals, interfaces: [] });
      },
    });
  }

  get source(): Link {
    return this.#dns.link;
  }

  get stats(): UpstreamStats {
    const { connects, resultsPending, resultsDropped, reportsSent } = this.#reporter.stats;
    return {
      connects: this.#dns.link.connectCount + connects,
      resultsPending,
      resultsDropped,
      batches: reportsSent,
    };
  }

  start(): void {
    this.#dns.link.start();
    this.#reporter.link.start();
  }

  ask(modId: number, cmdId: number): void {
    this.#dns.request(modId, cmdId);
  }

  /** Dns knows no end of a subscription but that of the connection. */
  forget(modId: number, cmdId: number): void {
    this.#dns.forget(modId, cmdId);
  }

  addReports(reports: readonly ModuleReport[]): void {
    this.#reporter.add(reports);
  }

  tick(): void {
    this.#reporter.flush();
  }

  async close(): Promise<void> {
    await this.#reporter.settled(this.#clock, CLOSE_MS_MAX);
    await Promise.all([this.#dns.close(), this.#reporter.close()]);
  }
}
