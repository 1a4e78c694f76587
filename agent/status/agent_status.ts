// Core. What the agent says of itself: the counters of its parts under their names in the status,
// its address as dns and callers know it, and when dns is told: seldom, because each message wakes
// somebody.

import { chooseCallerIp } from "../../feed/caller_ip.ts";
import type { ReportSender } from "../../feed/report_sender.ts";
import type { RouteSubscriber } from "../../feed/route_subscriber.ts";
import type { AgentStatus } from "../../proto/codec.ts";
import { formatAddress, formatIpv4 } from "../../reactor/address.ts";
import type { AgentSettings } from "../config.ts";
import type { TableFeed } from "../feed/table_feed.ts";
import type { HealthChecker } from "../health/health_checker.ts";
import type { CacheFile } from "../../daemon/cache_file.ts";
import type { RouteIntake } from "../routes/route_intake.ts";
import type { Supervisor } from "../supervisor/supervisor.ts";
import type { ShardStats, StatusDetail } from "../worker/messages.ts";

/** Parts of the agent that have something to say. */
export interface StatusParts {
  readonly dns: RouteSubscriber;
  readonly reporter: ReportSender;
  readonly supervisor: Supervisor;
  readonly intake: RouteIntake;
  readonly health: HealthChecker;
  readonly cache: Pick<CacheFile<never>, "stats"> | undefined;
  readonly feed: TableFeed | undefined;
}

/** What the status says that no part knows. */
export interface StatusFacts {
  readonly software: string;
  readonly firstPort: number;
  /** When the agent started, in unix seconds. */
  readonly startedAt: number;
  /** IPv4 addresses of this machine. */
  readonly interfaces: readonly string[];
}

/** The status, made anew each time it is asked for. */
export class StatusSource {
  readonly #parts: StatusParts;
  readonly #facts: StatusFacts;
  /** Under which the agent is known to dns; chosen with the first link, then kept. */
  #ownIp: number | undefined;
  /** Of reports: the address, and what it was chosen from. */
  #chosen: { readonly sources: readonly unknown[]; readonly ip: number } | undefined;

  constructor(parts: StatusParts, facts: StatusFacts) {
    this.#parts = parts;
    this.#facts = facts;
  }

  /** Address of this host in reports. */
  callerIp({ callerIp }: AgentSettings): number {
    const { reporter, dns } = this.#parts;
    const sources = [callerIp, reporter.link.local?.hostname, dns.link.local?.hostname] as const;
    // Each report asks.
    if (this.#chosen?.sources.every((one, i) => one === sources[i]) === true) {
      return this.#chosen.ip;
    }
    const [configured, ...locals] = sources;
    this.#chosen = { sources, ip: this.#chooseIp(configured, locals) };
    return this.#chosen.ip;
  }

  /** What dns is told. */
  told(settings: AgentSettings, nowMs: number, shards: Iterable<ShardStats>): AgentStatus {
    const { dns, reporter, intake } = this.#parts;
    return {
      ip: this.#nameIp(settings),
      port: this.#facts.firstPort,
      zone: settings.zone,
      startedAt: this.#facts.startedAt,
      modules: intake.registry.size,
      held: dns.guard.stats.modulesHeld,
      heldRoutes: dns.guard.describe(nowMs),
      policiesRefused: intake.policiesRefused,
      reporterConnected: reporter.link.ready,
      clients: this.#parts.feed?.stats.feedClients ?? 0,
      tableReaders: [...shards].reduce((sum, one) => sum + one.tableReaders, 0),
    };
  }

  /** Counters of everything but the shards. */
  status(settings: AgentSettings, nowMs: number): StatusDetail {
    const { supervisor, intake, health, feed } = this.#parts;
    const { link: dnsLink, stats: dns, guard, routeAgeMs = -1000 } = this.#parts.dns;
    const { link: reporterLink, stats: reporter } = this.#parts.reporter;
    const cache = this.#parts.cache?.stats;
    return {
      software: this.#facts.software,
      zone: settings.zone,
      address: `${formatIpv4(this.#nameIp(settings))}:${this.#facts.firstPort}`,
      callerIp: formatIpv4(this.callerIp(settings)),
      threads: settings.threads,
      udpPath: supervisor.path,
      loopMessagesDropped: supervisor.droppedCount,
      dnsAddress: formatAddress(dnsLink.address),
      // 0: of all dns it is the one that this agent takes by choice.
      dnsRank: dnsLink.choice?.rank ?? 0,
      dnsReturns: dnsLink.choice?.returns ?? 0,
      // -1: it reads the database; else for how long it has not, and how often one was left for that.
      dnsBehindS: Math.floor((dnsLink.choice?.behindMs ?? -1000) / 1000),
      dnsLeftBehind: dnsLink.choice?.fresher ?? 0,
      dnsConnected: Number(dnsLink.ready),
      dnsExtended: Number(dnsLink.extended),
      dnsConnects: dns.connects,
      dnsRequests: dns.requests,
      dnsRequestsOpen: dns.open,
      dnsRequestsDropped: dns.requestsDropped,
      dnsRoutes: dns.routes,
      // -1: never; with dns away, how old what is served may be.
      dnsRouteAgeS: Math.floor(routeAgeMs / 1000),
      dnsPartsDropped: dns.partsDropped,
      // Answers that said only that the route of before still holds.
      dnsRoutesUnchanged: dns.routesUnchanged,
      // Routes that were older than those that are served, and so not taken.
      dnsRoutesOlder: dns.routesOlder,
      // Dns has no room to push their changes: they come when the route is asked for again.
      dnsModulesNotPushed: dns.notPushed,
      dnsSilentFailOvers: dns.silentFailOvers,
      dnsSecretFault: dnsLink.secretFault ?? "",
      reporterSecretFault: reporterLink.secretFault ?? "",
      reporterAddress: formatAddress(reporterLink.address),
      reporterRank: reporterLink.choice?.rank ?? 0,
      reporterConnected: Number(reporterLink.ready),
      reporterConnects: reporter.connects,
      reportsSent: reporter.reportsSent,
      resultsSent: reporter.resultsSent,
      resultsResent: reporter.resultsResent,
      resultsPending: reporter.resultsPending,
      resultsDropped: reporter.resultsDropped,
      resultsUnconfirmed: reporter.resultsUnconfirmed,
      cacheWrites: cache?.writes ?? 0,
      cacheFailures: cache?.failures ?? 0,
      routeNodesCut: intake.nodesCut,
      policiesRefused: intake.policiesRefused,
      ...guard.stats,
      ...health.stats,
      routesHeldBack: guard.describe(nowMs),
      loopRestarts: supervisor.restarts,
      ...feed?.stats,
    };
  }

  /**
   * Part of the agent's name, so it stays while the agent runs, whichever interface leads to the dns
   * of the moment.
   */
  #nameIp({ callerIp }: AgentSettings): number {
    const local = this.#parts.dns.link.local?.hostname;
    const ip = this.#ownIp ?? this.#chooseIp(callerIp, [local]);
    if (local !== undefined) this.#ownIp = ip;
    return ip;
  }

  #chooseIp(configured: string, locals: readonly (string | undefined)[]): number {
    return chooseCallerIp({ configured, locals, interfaces: this.#facts.interfaces });
  }
}

/** Least time between two statuses on one connection, however often they differ. */
export const STATUS_PAUSE_MS = 10_000;

/** A status that stays the same is told again after this time. */
export const STATUS_REPEAT_MS = 60_000;

/** Remembers what dns was told last. */
export class StatusNotifier {
  #text: string | undefined;
  #atMs = 0;

  /** The connection is lost: whoever comes next knows nothing. */
  reset(): void {
    this.#text = undefined;
  }

  /**
   * Hands `status` to `tell` when it is time; call it as often as is convenient. What `tell` could
   * not pass on is tried again the next time.
   */
  offer(status: AgentStatus, nowMs: number, tell: (status: AgentStatus) => boolean): void {
    const text = JSON.stringify(status);
    if (this.#text !== undefined) {
      const waitedMs = nowMs - this.#atMs;
      if (waitedMs < (text === this.#text ? STATUS_REPEAT_MS : STATUS_PAUSE_MS)) return;
    }
    if (!tell(status)) return;
    this.#text = text;
    this.#atMs = nowMs;
  }
}
