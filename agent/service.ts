// Shell. The agent: UDP loops for callers, links to dns and reporter, the cache, one status.

import {
  describeStateChange,
  parseModulePolicy,
  PULLS_BURST_MAX,
  PULLS_PER_SECOND_MAX,
} from "../balancer/mod.ts";
import { METRICS_PORTS, requireSafeListen } from "../daemon/settings/common_settings.ts";
import type { DaemonContext, DaemonDefinition, RunningService } from "../daemon/daemon.ts";
import { PING_INTERVAL_MS, PING_UNUSED_INTERVAL_MS } from "../session/heartbeat.ts";
import { ipv4OfInterfaces } from "../daemon/reachable_address.ts";
import { AGENT_PORT_COUNT, agentPortIndex, MessageId } from "../proto/message_ids.ts";
import {
  type AgentStatus as ToldStatus,
  encodeAgentStatus,
  type NodeUseRequest,
  type TableSettings,
} from "../proto/codec.ts";
import { type Address, formatAddress, formatIpv4 } from "../reactor/address.ts";
import { setAligned, type Timer } from "../reactor/time/clock.ts";
import { BindError, ConfigError, messageOf } from "../reactor/errors.ts";
import { type LogFields, LogRateLimiter } from "../reactor/log.ts";
import { CacheFile } from "./routes/cache_file.ts";
import { chooseCallerIp } from "../feed/caller_ip.ts";
import { type AgentSettings, agentSettings, balanceSettingsOf } from "./config.ts";
import { type ArrivedRoute, RouteSubscriber } from "../feed/route_subscriber.ts";
import { ReportSender } from "../feed/report_sender.ts";
import { runtimeTransport } from "../session/runtime_transport.ts";
import { SessionClient, type SessionClientOptions } from "../session/session_client.ts";
import type { Link, LinkEvents } from "../session/link.ts";
import { callTasks, type FeedTask, useTasks } from "./loops/feed_tasks.ts";
import {
  type AgentLoopInit,
  type AgentNote,
  type AgentStatus,
  mergeStatus,
  type ModuleEvent,
  type ShardStats,
} from "./loops/loop_messages.ts";
import { type AgentLoops, claimPorts, shardInits, startLoops } from "./loops/loops.ts";
import { HealthChecker } from "./health/health_checker.ts";
import type { HealthVerdict } from "./health/health_plan.ts";
import { parseHealthCheck } from "./health/health_settings.ts";
import { agentMetrics } from "./status/metrics.ts";
import { type PackedRoute, packRoute, unpackNodes } from "./loops/packed_route.ts";
import { NodeUseDesk } from "./status/node_use_desk.ts";
import { RouteRegistry } from "./routes/route_registry.ts";
import { StatusTeller } from "./status/status_teller.ts";
import { TableFeed } from "./feed/table_feed.ts";

/**
 * Time between two rounds of housekeeping: status to the loops, reports that wait. That of the
 * pings, with which it shares its turns: an agent at rest wakes for both at once.
 */
const HOUSEKEEPING_MS = PING_INTERVAL_MS;

/** The loops are told the status at least this often; ages in it are as old as this at most. */
const STATUS_MS_MAX = 5000;

/** Pause before loops that died are started again. */
const RESTART_MS = 1000;

/** Keys that take effect at the next start only. */
const FIXED_KEYS = [
  "listenIp",
  "listenPort",
  "threads",
  "fastPath",
  "modulesMax",
  "cacheDir",
  "tableFeed",
  "zone",
] as const;

/** Tries to find three UDP ports of which the first is free for TCP too. */
const FREE_FEED_TRIES = 20;

function checkCallerIp({ callerIp }: AgentSettings): void {
  try {
    chooseCallerIp({ configured: callerIp, locals: [], interfaces: [] });
  } catch (error) {
    throw new ConfigError(`[agent] caller_ip: ${messageOf(error)}`, { cause: error });
  }
}

/** What in-process clients are to know of the configuration. */
function tableSettingsOf(settings: AgentSettings): TableSettings {
  return { rules: JSON.stringify(balanceSettingsOf(settings)), zone: settings.zone };
}

/** A running agent. */
class AgentService implements RunningService {
  readonly name = "agent";
  readonly #context: DaemonContext;
  readonly #firstPort: number;
  readonly #interfaces = ipv4OfInterfaces();
  readonly #registry = new RouteRegistry();
  readonly #cache: CacheFile | undefined;
  readonly #dns: RouteSubscriber;
  readonly #reporter: ReportSender;
  readonly #feed: TableFeed | undefined;
  readonly #logLimiter: LogRateLimiter;
  readonly #desk: NodeUseDesk;
  readonly #teller = new StatusTeller();
  readonly #startedAt: number;
  readonly #health: HealthChecker;
  readonly #shardStats = new Map<number, ShardStats>();
  #settings: AgentSettings;
  #loops: AgentLoops | undefined;
  #timers: Timer[] = [];
  #stopping = false;
  /** The cache on disk held routes. */
  #routesLoaded = false;
  #nodesCut = 0;
  #policiesRefused = 0;
  /** False once it is known that it cannot. */
  #takesFastPath: boolean;
  #loopRestarts = 0;
  /** What the loops were told last, and when. */
  #statusText = "";
  #statusAtMs = -Infinity;
  /** Under which it is known to dns; chosen with the first link, then kept. */
  #ownIp: number | undefined;

  constructor(settings: AgentSettings, context: DaemonContext, firstPort: number) {
    const { clock, rng, log, software, authToken } = context;
    this.#settings = settings;
    this.#context = context;
    this.#firstPort = firstPort;
    this.#takesFastPath = settings.fastPath !== "off";
    this.#startedAt = Math.trunc(clock.wallMs() / 1000);
    this.#logLimiter = new LogRateLimiter(clock, 20);
    this.#health = new HealthChecker({
      clock,
      rng,
      software,
      onVerdict: (verdict) => this.#tellHealth(verdict),
    });
    this.#desk = new NodeUseDesk({
      clock,
      ask: (shard, id, { modId, cmdId, ip, port }) =>
        void this.#loops?.send(shard, { type: "nodeUse", shard, id, modId, cmdId, ip, port }),
      answer: (message) => this.#dns.answerNodeUse(message),
    });
    const shared = { clock, rng, log, software, token: authToken };
    const linkTo =
      (name: string, addresses: readonly Address[], more: Partial<SessionClientOptions>) =>
      (events: LinkEvents): Link =>
        new SessionClient({
          ...shared,
          ...events,
          ...more,
          name,
          role: "agent",
          addresses,
          transport: runtimeTransport,
        });
    this.#dns = new RouteSubscriber({
      openLink: linkTo("dns", settings.dnsAddresses, { revision: () => this.#dns.revision }),
      clock,
      pushGuardMs: settings.pushGuardMs,
      pickableCount: (modId, cmdId) => this.#registry.pickableCount(modId, cmdId),
      onReady: () => this.#loops?.broadcast({ type: "resubscribe" }),
      onLost: () => {
        this.#teller.reset();
        this.#loops?.broadcast({ type: "offline" });
      },
      onRoute: (route) => this.#takeRoute(route),
      onNodeUse: (request) => this.#takeNodeUse(request),
      onGuard: (event) => this.#warn("guard", event),
    });
    this.#reporter = new ReportSender({
      openLink: linkTo("reporter", settings.reporterAddresses, {
        heartbeat: { unusedIntervalMs: PING_UNUSED_INTERVAL_MS },
      }),
      clock,
      callerIp: () => this.#callerIp(),
    });
    if (settings.cacheDir !== "") {
      const options = { directory: settings.cacheDir, clock, log };
      this.#cache = new CacheFile({ ...options, routes: () => this.#registry.routes() });
    }
    if (settings.tableFeed) {
      this.#feed = new TableFeed({
        ...shared,
        hostname: settings.listenIp,
        modulesMax: settings.modulesMax,
        settings: tableSettingsOf(settings),
        routeOf: (modId, cmdId) => this.#registry.routeOf(modId, cmdId),
        onUse: (keys) => void this.#giveTasks(useTasks(keys)),
        onCalls: (modules) => this.#giveTasks(callTasks(modules)),
      });
    }
  }

  get addresses(): readonly string[] {
    const { listenIp } = this.#settings;
    return Array.from(
      { length: AGENT_PORT_COUNT },
      (_, i) => `${listenIp}:${this.#firstPort + i}`,
    );
  }

  /** @throws {BindError} when the TCP port of the feed is taken; nothing runs then. */
  async start(): Promise<this> {
    await this.#listenForClients();
    for (const cached of await this.#cache?.load() ?? []) {
      // The file may be of another version, which knew other policies.
      const policy = this.#policyOf(cached.modId, cached.cmdId, cached.policy);
      const route = { ...cached, policy };
      this.#registry.preload(route, agentPortIndex(route.modId, route.cmdId));
      this.#routesLoaded = true;
      this.#setHealth(route);
    }
    try {
      await this.#startLoops();
    } catch (error) {
      await this.#feed?.close();
      throw error;
    }
    this.#dns.link.start();
    this.#reporter.link.start();
    this.#timers.push(
      setAligned(this.#context.clock, HOUSEKEEPING_MS, () => this.#keepHouse()),
    );
    return this;
  }

  stats(): Record<string, number | string> {
    return mergeStatus(this.#status(), this.#shardStats.values());
  }

  /** Without dns the agent serves the routes it has; without both it can answer nobody. */
  readiness(): string | undefined {
    if (this.#dns.link.ready || this.#dns.stats.routes > 0 || this.#routesLoaded) return undefined;
    return "there is no connection to dns, and no route from before";
  }

  /** @throws {ConfigError} when `caller_ip` is no address; nothing is taken over then. */
  reload(settings: AgentSettings): void {
    checkCallerIp(settings);
    const fixed = FIXED_KEYS.filter((key) => settings[key] !== this.#settings[key]);
    if (fixed.length > 0) {
      this.#context.log.warn("Some keys take effect at the next start only", { keys: fixed });
    }
    const kept = Object.fromEntries(fixed.map((key) => [key, this.#settings[key]]));
    this.#settings = { ...settings, ...kept };
    this.#loops?.broadcast({ type: "settings", settings: balanceSettingsOf(settings) });
    this.#feed?.setSettings(tableSettingsOf(this.#settings));
    this.#dns.guard.setHold(settings.pushGuardMs);
    this.#dns.link.setAddresses(settings.dnsAddresses);
    this.#reporter.link.setAddresses(settings.reporterAddresses);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    for (const timer of this.#timers) timer.cancel();
    this.#desk.close();
    this.#health.close();
    // First, so that no batch of calls is confirmed that no loop will count.
    await this.#feed?.close();
    await this.#loops?.close();
    await Promise.all([this.#reporter.close(), this.#dns.close(), this.#cache?.close()]);
  }

  /**
   * An agent without its feed would leave in-process clients outside, or at some other program's
   * port, and nobody would know why: so it does not start, and says how to go without.
   */
  async #listenForClients(): Promise<void> {
    try {
      await this.#feed?.listen(this.#firstPort);
    } catch (error) {
      if (!(error instanceof BindError)) throw error;
      const hint = "in-process clients are fed there; [agent] table_feed = 0 goes without";
      const message = `${error.message} (TCP: ${hint})`;
      throw new BindError(error.address, error.inUse, message, { cause: error });
    }
  }

  /** @returns false when no loop runs, as between a crash and the next start. */
  #giveTasks(tasks: readonly FeedTask[]): boolean {
    for (const task of tasks) this.#loops?.send(task.shard, task);
    return this.#loops !== undefined;
  }

  async #startLoops(): Promise<void> {
    const settings = this.#settings;
    const { clock, rng, log, software, authToken } = this.#context;
    const init: AgentLoopInit = {
      hostname: settings.listenIp,
      shards: shardInits(this.#firstPort, (shard) => [...this.#registry.routesOf(shard)]),
      settings: balanceSettingsOf(settings),
      // Limits are those of the agent; modules are spread evenly over its shards.
      modulesMax: Math.ceil(settings.modulesMax / AGENT_PORT_COUNT),
      pullsBurstMax: Math.ceil(PULLS_BURST_MAX / AGENT_PORT_COUNT),
      pullsPerSecondMax: PULLS_PER_SECOND_MAX / AGENT_PORT_COUNT,
      token: authToken,
      software,
      zone: settings.zone,
    };
    this.#loops = await startLoops({
      threads: Number(settings.threads),
      fast: this.#takesFastPath,
      init,
      clock,
      rng,
      log,
      onNote: (note) => this.#takeNote(note),
      onCrash: (error) => void this.#restartLoops(error),
    });
    const { fastPathFault: reason } = this.#loops;
    if (reason === undefined) return;
    // Said once: it will be the same when loops are started again.
    this.#takesFastPath = false;
    log.info("Fast UDP path is not used", { reason });
  }

  /** A loop that died takes its counters with it; its routes are still here. */
  async #restartLoops(error: Error): Promise<void> {
    const loops = this.#loops;
    if (loops === undefined || this.#stopping) return;
    const { clock, log } = this.#context;
    this.#loops = undefined;
    this.#loopRestarts++;
    log.error("UDP loop died and is started again", { error: error.message });
    await loops.close();
    this.#startAgain(clock.nowMs());
  }

  #startAgain(sinceMs: number): void {
    if (this.#stopping) return;
    this.#startLoops().then(
      () => {
        this.#statusText = "";
        this.#registry.loopsRestarted();
        if (this.#dns.link.ready) this.#loops?.broadcast({ type: "resubscribe" });
        this.#feed?.useAll();
      },
      (error) => {
        const { clock, log } = this.#context;
        const downS = Math.round((clock.nowMs() - sinceMs) / 1000);
        log.error("UDP loops cannot be started", { error: messageOf(error), downS });
        this.#timers.push(clock.setTimer(RESTART_MS, () => this.#startAgain(sinceMs)));
      },
    );
  }

  #takeNote(note: AgentNote): void {
    switch (note.type) {
      case "modules":
        for (const event of note.events) this.#takeModuleEvent(event);
        break;
      case "reports":
        this.#reporter.add(note.reports);
        break;
      case "changes":
        for (const change of note.changes) {
          this.#health.setDoubt(change, change.overload);
          const held = this.#logLimiter.admit("state");
          if (held !== undefined) {
            this.#context.log.info(
              describeStateChange(change),
              held,
            );
          }
        }
        break;
      case "nodeUse":
        this.#desk.answered(note.id, note.shard, note.usage);
        break;
      case "stats":
        for (const stats of note.shards) this.#shardStats.set(stats.shard, stats);
        break;
      case "log":
        this.#context.log[note.level](note.message, note.fields);
    }
  }

  #takeModuleEvent({ kind, shard, modId, cmdId }: ModuleEvent): void {
    if (kind === "pull") {
      this.#registry.want(modId, cmdId, shard);
      this.#dns.request(modId, cmdId);
    } else if (this.#registry.forget(modId, cmdId, shard)) {
      this.#dns.forget(modId, cmdId);
      this.#health.forget(modId, cmdId);
      this.#cache?.changed();
    }
  }

  #takeRoute(arrived: ArrivedRoute): void {
    const { modId, cmdId } = arrived;
    const policy = this.#policyOf(modId, cmdId, arrived.policy);
    const route = this.#packed(arrived, policy);
    if (route === undefined) return;
    const delivery = this.#registry.take(route);
    if (delivery === undefined) return;
    for (const shard of delivery.update) {
      const sent = this.#loops?.send(shard, { type: "route", shard, route });
      if (sent === false) this.#registry.missed(modId, cmdId, shard);
    }
    for (const shard of delivery.confirm) {
      this.#loops?.send(shard, { type: "confirm", shard, modId, cmdId });
    }
    if (delivery.changed) {
      this.#cache?.changed();
      this.#setHealth(route);
    }
    this.#feed?.routeCame(route.modId, route.cmdId, delivery.changed);
  }

  #setHealth(route: PackedRoute): void {
    const { modId, cmdId, policy } = route;
    const settings = parseHealthCheck(policy);
    // Drained nodes are left alone: they are about to stop.
    const nodes = settings === undefined
      ? []
      : unpackNodes(route).filter(({ state }) => state !== "drain");
    this.#health.setModule({ modId, cmdId, settings, nodes });
  }

  #tellHealth(verdict: HealthVerdict): void {
    for (const shard of this.#registry.shardsOf(verdict.modId, verdict.cmdId)) {
      this.#loops?.send(shard, { type: "health", shard, verdict });
    }
  }

  #takeNodeUse(request: NodeUseRequest): void {
    const { modId, cmdId } = request;
    const feed = this.#feed?.usage(modId, cmdId) ?? { clients: 0, behind: 0 };
    this.#desk.request(request, this.#registry.shardsOf(modId, cmdId), feed);
  }

  /** The route that came, or the last good one when the guard holds it back. */
  #packed({ modId, cmdId, hosts }: ArrivedRoute, policy: string): PackedRoute | undefined {
    if (hosts === undefined) {
      const known = this.#registry.routeOf(modId, cmdId);
      return known === undefined || known.policy === policy ? known : { ...known, policy };
    }
    const { route, cut } = packRoute(modId, cmdId, hosts, policy);
    this.#nodesCut += cut;
    if (cut > 0) this.#warn("cut", "Nodes of a route are left out", { modId, cmdId, cut });
    return route;
  }

  /** Writes a warning, unless too many of its kind came. */
  #warn(kind: string, message: string, fields: LogFields = {}): void {
    const held = this.#logLimiter.admit(kind);
    if (held !== undefined) this.#context.log.warn(message, { ...fields, ...held });
  }

  /** The policy that dns sent; the one before when there is none, or it would be refused. */
  #policyOf(modId: number, cmdId: number, policy: string | undefined): string {
    const known = this.#registry.routeOf(modId, cmdId)?.policy ?? "";
    if (policy === undefined || policy === known) return known;
    try {
      parseModulePolicy(policy);
      parseHealthCheck(policy);
      return policy;
    } catch (error) {
      this.#policiesRefused++;
      const message = "Policy of a module is refused, the one before stays";
      this.#warn("policy", message, { modId, cmdId, error: messageOf(error) });
      return known;
    }
  }

  #callerIp(): number {
    return chooseCallerIp({
      configured: this.#settings.callerIp,
      locals: [this.#reporter.link.local?.hostname, this.#dns.link.local?.hostname],
      interfaces: this.#interfaces,
    });
  }

  /**
   * Part of the agent's name, so it stays while the agent runs, whichever interface leads to the dns
   * of the moment.
   */
  #nameIp(): number {
    const local = this.#dns.link.local?.hostname;
    const ip = this.#ownIp ?? chooseCallerIp({
      configured: this.#settings.callerIp,
      locals: [local],
      interfaces: this.#interfaces,
    });
    if (local !== undefined) this.#ownIp = ip;
    return ip;
  }

  #tellStatus(): void {
    if (!this.#dns.link.extended) return;
    const { clock } = this.#context;
    const status: ToldStatus = {
      ip: this.#nameIp(),
      port: this.#firstPort,
      zone: this.#settings.zone,
      startedAt: this.#startedAt,
      modules: this.#registry.size,
      held: this.#dns.guard.stats.modulesHeld,
      heldRoutes: this.#dns.guard.describe(clock.nowMs()),
      policiesRefused: this.#policiesRefused,
      reporterConnected: this.#reporter.link.ready,
    };
    this.#teller.offer(
      status,
      clock.nowMs(),
      (message) => this.#dns.link.send(MessageId.AgentStatus, encodeAgentStatus(message)),
    );
  }

  #keepHouse(): void {
    this.#reporter.flush();
    this.#tellStatus();
    const shards = [...this.#shardStats.values()];
    const status = this.#status();
    const nowMs = this.#context.clock.nowMs();
    // An age grows all the time. Alone it is not worth waking every loop each second.
    const text = JSON.stringify([{ ...status, dnsRouteAgeS: 0 }, shards]);
    if (text === this.#statusText && nowMs - this.#statusAtMs < STATUS_MS_MAX) return;
    this.#statusText = text;
    this.#statusAtMs = nowMs;
    this.#loops?.broadcast({ type: "status", status, shards });
  }

  #status(): AgentStatus {
    const dns = this.#dns.stats;
    const reporter = this.#reporter.stats;
    const cache = this.#cache?.stats;
    return {
      software: this.#context.software,
      zone: this.#settings.zone,
      address: `${formatIpv4(this.#nameIp())}:${this.#firstPort}`,
      callerIp: formatIpv4(this.#callerIp()),
      threads: this.#settings.threads,
      udpPath: this.#loops?.path ?? "none",
      loopMessagesDropped: this.#loops?.droppedCount ?? 0,
      dnsAddress: formatAddress(this.#dns.link.address),
      dnsConnected: Number(this.#dns.link.ready),
      dnsExtended: Number(this.#dns.link.extended),
      dnsConnects: dns.connects,
      dnsRequests: dns.requests,
      dnsRequestsOpen: dns.open,
      dnsRequestsDropped: dns.requestsDropped,
      dnsRoutes: dns.routes,
      // -1: never; with dns away, how old what is served may be.
      dnsRouteAgeS: Math.floor((this.#dns.routeAgeMs ?? -1000) / 1000),
      dnsPartsDropped: dns.partsDropped,
      dnsSilentFailOvers: dns.silentFailOvers,
      reporterAddress: formatAddress(this.#reporter.link.address),
      reporterConnected: Number(this.#reporter.link.ready),
      reporterConnects: reporter.connects,
      reportsSent: reporter.reportsSent,
      resultsSent: reporter.resultsSent,
      resultsResent: reporter.resultsResent,
      resultsPending: reporter.resultsPending,
      resultsDropped: reporter.resultsDropped,
      cacheWrites: cache?.writes ?? 0,
      cacheFailures: cache?.failures ?? 0,
      routeNodesCut: this.#nodesCut,
      policiesRefused: this.#policiesRefused,
      ...this.#dns.guard.stats,
      ...this.#health.stats,
      routesHeldBack: this.#dns.guard.describe(this.#context.clock.nowMs()),
      loopRestarts: this.#loopRestarts,
      ...this.#feed?.stats,
    };
  }
}

/** The agent as a service: started by its own main, by `lars up`, and by tests. */
export const agentDaemon: DaemonDefinition<typeof agentSettings> = {
  name: "agent",
  summary: "Picks the next node for callers on this host and keeps score of their calls.",
  settings: agentSettings,
  monitor: { port: METRICS_PORTS.agent, table: agentMetrics },
  async start(settings: AgentSettings, context: DaemonContext): Promise<RunningService> {
    requireSafeListen(settings.listenIp, settings);
    checkCallerIp(settings);
    const { listenIp, listenPort } = settings;
    for (let attempt = 1;; attempt++) {
      const firstPort = await claimPorts(listenIp, listenPort, context.clock, context.log);
      try {
        return await new AgentService(settings, context, firstPort).start();
      } catch (error) {
        // Any three UDP ports will do: the next ones may be free for TCP too.
        const again = listenPort === 0 && attempt < FREE_FEED_TRIES;
        if (!again || !(error instanceof BindError)) throw error;
      }
    }
  },
};
