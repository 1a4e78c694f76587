// Shell. The agent: puts its parts together, passes on to them what workers note, keeps house.

// Not by mod.ts: the balancer itself is loaded by workers only.
import { describeStateChange } from "../balancer/balance_records.ts";
import { METRICS_PORTS, requireSafeListen } from "../daemon/settings/common_settings.ts";
import type { DaemonContext, DaemonDefinition, RunningService } from "../daemon/daemon.ts";
import type { Metric } from "../daemon/monitor/metrics_text.ts";
import { ipv4OfInterfaces } from "../daemon/reachable_address.ts";
import { chooseCallerIp } from "../feed/caller_ip.ts";
import { REPORTER_HELLO_MS, ReportSender } from "../feed/report_sender.ts";
import { RouteSubscriber } from "../feed/route_subscriber.ts";
import { AGENT_PORT_COUNT, MessageId } from "../proto/message_ids.ts";
import { encodeAgentStatus, encodeNodesOut } from "../proto/codec.ts";
import type { NodeUseRequest, TableSettings } from "../proto/codec.ts";
import { formatAddress } from "../reactor/address.ts";
import { BindError, ConfigError, messageOf } from "../reactor/errors.ts";
import { type LogFields, LogRateLimiter } from "../reactor/log.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { setAligned, type Timer } from "../reactor/time/clock.ts";
import { PING_INTERVAL_MS, PING_UNUSED_INTERVAL_MS } from "../session/heartbeat.ts";
import type { Link, LinkEvents } from "../session/link.ts";
import { onTrustChange, trustOf } from "../session/peer_trust.ts";
import type { SessionClientOptions } from "../session/session_client.ts";
import { type AgentSettings, agentSettings, balanceSettingsOf, FIXED_KEYS } from "./config.ts";
import { TableFeed } from "./feed/table_feed.ts";
import { HealthChecker } from "./health/health_checker.ts";
import type { HealthCheckSettings, HealthVerdict } from "./health/health_plan.ts";
import type { HandOverOffer } from "./handover/hand_over_offer.ts";
import type { PassedSockets } from "./handover/passed_sockets.ts";
import { offerOf, passedSockets, succeed } from "./handover/succession.ts";
import { CacheFile } from "../daemon/cache_file.ts";
import { agentCacheFormat } from "./routes/route_cache.ts";
import { type PackedRoute, unpackNodes } from "./routes/packed_route.ts";
import { RouteIntake } from "./routes/route_intake.ts";
import { StatusNotifier, StatusSource } from "./status/agent_status.ts";
import { openUpstream } from "./upstream_link.ts";
import { ModuleMetrics } from "./status/module_metrics.ts";
import { ExplainQueries } from "./status/explain_query.ts";
import { NodeUseQueries } from "./status/node_use_query.ts";
import { OutNotifier } from "./status/out_notifier.ts";
import { findTablePlace } from "./table/find_place.ts";
import { claimPorts, Supervisor } from "./supervisor/supervisor.ts";
import {
  type AgentNote,
  mergeStatus,
  type ModuleEvent,
  type ShardStats,
  type SharedTablePlace,
  type WorkerInit,
} from "./worker/messages.ts";

/** An agent that stops waits so long until its last results are stored. */
const REPORTS_WAIT_MS = 3_000;

/**
 * Time between two rounds of housekeeping: status to the workers, reports that wait. That of the
 * pings, with which it shares its turns: an agent at rest wakes for both at once.
 */
const HOUSEKEEPING_MS = PING_INTERVAL_MS;

/** The workers are told the status at least this often; ages in it are as old as this at most. */
const STATUS_MS_MAX = 5000;

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
  /** Of a stop, beside what closes: the wait for the reporter. */
  readonly leaveMsMax = REPORTS_WAIT_MS;
  readonly #context: DaemonContext;
  readonly #firstPort: number;
  readonly #supervisor: Supervisor;
  readonly #intake: RouteIntake;
  readonly #dns: RouteSubscriber;
  readonly #reporter: ReportSender;
  readonly #cache: CacheFile<PackedRoute> | undefined;
  readonly #feed: TableFeed | undefined;
  readonly #passed: PassedSockets | undefined;
  readonly #offer: HandOverOffer | undefined;
  readonly #health: HealthChecker;
  readonly #nodeUse: NodeUseQueries;
  readonly #explains: ExplainQueries;
  readonly #modules = new ModuleMetrics((modId, cmdId) =>
    this.#intake.registry.nameOf(modId, cmdId)
  );
  readonly #notifier = new StatusNotifier();
  readonly #outs = new OutNotifier((message) => {
    const { link } = this.#dns;
    return link.extended && link.send(MessageId.NodesOut, encodeNodesOut(message));
  });
  readonly #status: StatusSource;
  readonly #logLimiter: LogRateLimiter;
  readonly #shardStats = new Map<number, ShardStats>();
  #settings: AgentSettings;
  #sharedTable: SharedTablePlace | undefined;
  #houseTimer: Timer | undefined;
  readonly #stopListening: () => void;
  /** The cache on disk held routes. */
  #routesLoaded = false;
  /** What the workers were told last, and when. */
  #statusText = "";
  #statusAtMs = -Infinity;

  constructor(
    settings: AgentSettings,
    context: DaemonContext,
    firstPort: number,
    passed: PassedSockets | undefined,
  ) {
    const { clock, rng, log, software } = context;
    const shared = { clock, rng, log, software };
    this.#settings = settings;
    this.#context = context;
    this.#firstPort = firstPort;
    this.#passed = passed;
    this.#logLimiter = new LogRateLimiter(clock, 20);
    this.#supervisor = new Supervisor({
      ...shared,
      threads: Number(settings.threads),
      fast: settings.fastPath !== "off",
      init: () => this.#workerInit(),
      onNote: (note) => this.#takeNote(note),
      onEnded: () => this.#reporter.countersRestarted(),
      onRestart: () => this.#workersRestarted(),
    });
    this.#intake = new RouteIntake({
      send: (task) => this.#supervisor.send(task),
      onHealthCheck: (route, health) => this.#setHealth(route, health),
      onRoute: (modId, cmdId, changed) => this.#routeCame(modId, cmdId, changed),
      warn: (kind, message, fields) => this.#warn(kind, message, fields),
    });
    const { registry } = this.#intake;
    this.#health = new HealthChecker({ ...shared, onVerdict: (one) => this.#tellHealth(one) });
    this.#nodeUse = new NodeUseQueries({
      clock,
      ask: (shard, id, { modId, cmdId, ip, port }) =>
        void this.#supervisor.send({ type: "nodeUse", shard, id, modId, cmdId, ip, port }),
      answer: (message) => this.#dns.answerNodeUse(message),
    });
    this.#explains = new ExplainQueries({
      clock,
      ask: (shard, id, { modId, cmdId, from }) =>
        void this.#supervisor.send({ type: "explain", shard, id, modId, cmdId, from }),
      answer: (message) => this.#dns.answerExplain(message),
    });
    this.#dns = this.#makeSubscriber();
    this.#reporter = this.#makeSender();
    if (settings.cacheDir !== "") {
      const options = { directory: settings.cacheDir, format: agentCacheFormat, clock, log };
      this.#cache = new CacheFile({ ...options, routes: () => registry.routes() });
    }
    if (settings.tableFeed) this.#feed = this.#makeFeed();
    this.#offer = offerOf(settings, context, firstPort, this.#supervisor, () => registry.routes());
    this.#stopListening = onTrustChange(context, () => this.#trustChanged());
    this.#status = new StatusSource({
      dns: this.#dns,
      reporter: this.#reporter,
      supervisor: this.#supervisor,
      intake: this.#intake,
      health: this.#health,
      cache: this.#cache,
      feed: this.#feed,
    }, {
      software,
      firstPort,
      startedAt: Math.trunc(clock.wallMs() / 1000),
      interfaces: ipv4OfInterfaces(),
    });
  }

  get addresses(): readonly string[] {
    const { listenIp } = this.#settings;
    return Array.from(
      { length: AGENT_PORT_COUNT },
      (_, i) => `${listenIp}:${this.#firstPort + i}`,
    );
  }

  /** A newer agent has taken over. */
  get replaced(): Promise<void> | undefined {
    return this.#offer?.taken;
  }

  /** @throws {BindError} when the TCP port of the feed is taken; nothing runs then. */
  async start(): Promise<this> {
    if (this.#passed === undefined) await this.#listenForClients();
    this.#intake.preload(await this.#cache?.load() ?? []);
    // What the agent before knew last.
    this.#intake.preload(this.#passed?.routes ?? []);
    this.#routesLoaded = this.#intake.registry.size > 0;
    const place = await findTablePlace(this.#settings, this.#firstPort);
    this.#sharedTable = typeof place === "string" ? this.#goWithoutTable(place) : place;
    try {
      await this.#supervisor.start();
    } catch (error) {
      this.#passed?.release();
      await this.#feed?.close();
      throw error;
    }
    if (this.#sharedTable !== undefined && this.#supervisor.path !== "fast") {
      this.#goWithoutTable("it is written by the fast path");
    }
    this.#dns.link.start();
    await succeed(this.#passed, () => this.#listenForClients(), this.#context);
    this.#reporter.link.start();
    const { clock } = this.#context;
    this.#houseTimer = setAligned(clock, HOUSEKEEPING_MS, () => this.#keepHouse());
    if (this.#supervisor.sockets !== undefined) this.#offer?.start();
    return this;
  }

  stats(): Record<string, number | string> {
    const status = this.#status.status(this.#settings, this.#context.clock.nowMs());
    return mergeStatus(status, this.#shardStats.values());
  }

  metrics(): Metric[] {
    return this.#modules.metrics();
  }

  /**
   * Without dns the agent serves the routes it has; without both it can answer nobody. One whose
   * secret is refused is not ready: it does not learn of changes, or its results are lost.
   */
  readiness(): string | undefined {
    for (
      const { name, link } of [{ name: "dns", link: this.#dns.link }, {
        name: "reporter",
        link: this.#reporter.link,
      }]
    ) {
      if (link.secretFault === undefined) continue;
      return `${name} ${formatAddress(link.address)}: ${link.secretFault}`;
    }
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
    this.#supervisor.broadcast({ type: "settings", settings: balanceSettingsOf(settings) });
    this.#feed?.setSettings(tableSettingsOf(this.#settings));
    this.#dns.guard.setHold(settings.pushGuardMs);
    this.#dns.link.setAddresses(settings.dnsAddresses);
    this.#reporter.link.setAddresses(settings.reporterAddresses);
  }

  async stop(): Promise<void> {
    this.#houseTimer?.cancel();
    this.#stopListening();
    this.#nodeUse.close();
    this.#explains.close();
    this.#health.close();
    // First, so that no batch of calls is confirmed that no worker will count.
    await this.#feed?.close();
    await this.#supervisor.close();
    // Who is replaced does not go away: its successor has told dns of itself by now.
    if (this.#offer?.isTaken !== true) this.#dns.link.sayGoodbye("stopped");
    await this.#tellRest();
    await Promise.all([this.#reporter.close(), this.#dns.close(), this.#cache?.close()]);
    this.#offer?.close();
    this.#passed?.release();
  }

  /** Who never reached a reporter does not wait for one. */
  async #tellRest(): Promise<void> {
    const { clock, log } = this.#context;
    if (this.#reporter.link.connectCount === 0) return;
    if (await this.#reporter.settled(clock, REPORTS_WAIT_MS)) return;
    const { resultsPending, resultsUnconfirmed } = this.#reporter.stats;
    log.warn("The last results are not known to be stored", {
      ...{ unsent: resultsPending, sent: resultsUnconfirmed },
    });
  }

  #openLink(
    name: "dns" | "reporter",
    more: LinkEvents & Partial<SessionClientOptions>,
  ): Link {
    return openUpstream({
      ...{ name, more, settings: this.#settings, context: this.#context },
      firstPort: this.#firstPort,
    });
  }

  #makeSubscriber(): RouteSubscriber {
    const { pushGuardMs } = this.#settings;
    return new RouteSubscriber({
      openLink: (events) =>
        this.#openLink("dns", { ...events, revision: () => this.#dns.revision }),
      clock: this.#context.clock,
      pushGuardMs,
      pickableCount: (modId, cmdId) => this.#intake.registry.pickableCount(modId, cmdId),
      stampOf: (modId, cmdId) => this.#intake.registry.routeOf(modId, cmdId)?.stamp,
      onOlder: (event) => this.#warn("older", event),
      onReady: () => this.#supervisor.broadcast({ type: "resubscribe" }),
      onLost: () => {
        this.#notifier.reset();
        this.#outs.reset();
        this.#supervisor.broadcast({ type: "offline" });
      },
      onRoute: (route) => {
        if (!this.#intake.take(route)) this.#dns.forget(route.modId, route.cmdId);
      },
      onNodeUse: (request) => this.#takeNodeUse(request),
      onExplain: (request) =>
        this.#explains.request(
          request,
          this.#intake.registry.shardsOf(request.modId, request.cmdId)[0],
        ),
      onGuard: (event) => this.#warn("guard", event),
    });
  }

  #makeSender(): ReportSender {
    const { clock, rng } = this.#context;
    const heartbeat = { unusedIntervalMs: PING_UNUSED_INTERVAL_MS };
    return new ReportSender({
      openLink: (events) => {
        // Its welcome decides what reports hold, and they have time.
        const more = { ...events, heartbeat, welcomeWaitMs: REPORTER_HELLO_MS };
        return this.#openLink("reporter", more);
      },
      ...{ clock, rng, callerIp: () => this.#status.callerIp(this.#settings) },
    });
  }

  #makeFeed(): TableFeed {
    const { clock, rng, log, software, secrets, tls } = this.#context;
    const { listenIp, modulesMax } = this.#settings;
    return new TableFeed({
      ...{ clock, rng, log, software, secrets, tls },
      hostname: listenIp,
      translated: this.#settings.addressTranslation,
      modulesMax,
      settings: tableSettingsOf(this.#settings),
      routeOf: (modId, cmdId) => this.#intake.registry.routeOf(modId, cmdId),
      onUse: (keys) => {
        const plain = keys.map(({ modId, cmdId }) => ({ modId, cmdId }));
        this.#supervisor.sendByShard(plain, (shard, some) => ({ type: "use", shard, keys: some }));
      },
      onCalls: (modules) =>
        this.#supervisor.sendByShard(
          modules,
          (shard, some) => ({ type: "calls", shard, modules: some }),
        ),
    });
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

  /** Nobody has to have the table: callers ask by UDP then. */
  #goWithoutTable(reason: string): undefined {
    this.#context.log.info("Shared table is not kept, callers ask by UDP", { reason });
  }

  #workerInit(): WorkerInit {
    const settings = this.#settings;
    const { software, secrets } = this.#context;
    return {
      hostname: settings.listenIp,
      shards: Array.from({ length: AGENT_PORT_COUNT }, (_, index) => ({
        index,
        port: this.#firstPort + index,
        ...this.#socketFor(index),
        preload: [...this.#intake.registry.routesOf(index)],
      })),
      settings: balanceSettingsOf(settings),
      // Limits are those of the agent; modules are spread evenly over its shards.
      modulesMax: Math.ceil(settings.modulesMax / AGENT_PORT_COUNT),
      pullsBurstMax: Math.ceil(settings.pullsBurst / AGENT_PORT_COUNT),
      pullsPerSecondMax: settings.pullsPerSecond / AGENT_PORT_COUNT,
      secrets: secrets?.all,
      software,
      zone: settings.zone,
      sharedTable: this.#sharedTable,
    };
  }

  /** A worker closes what it serves; that one can be started again takes another number. */
  #socketFor(index: number): { fd?: number } {
    const fd = this.#passed?.fds[index];
    return fd === undefined ? {} : { fd: runtime.openLibc().dup(fd) };
  }

  /** A worker that died took its counters with it; its routes are still here. */
  #workersRestarted(): void {
    this.#statusText = "";
    this.#intake.registry.loopsRestarted();
    if (this.#dns.link.ready) this.#supervisor.broadcast({ type: "resubscribe" });
    this.#feed?.useAll();
    this.#offer?.watchAgain();
  }

  #takeNote(note: AgentNote): void {
    switch (note.type) {
      case "modules":
        for (const event of note.events) this.#takeModuleEvent(event);
        break;
      case "reports":
        this.#reporter.add(note.reports);
        this.#modules.take(note.reports);
        this.#outs.take(note.reports);
        break;
      case "changes":
        for (const change of note.changes) {
          this.#health.setDoubt(change, change.overload);
          const held = this.#logLimiter.admit("state");
          if (held !== undefined) {
            this.#context.log.info(describeStateChange(change), held);
          }
        }
        break;
      case "nodeUse":
        this.#nodeUse.answered(note.id, note.shard, note.usage);
        break;
      case "knocked":
        this.#offer?.knocked(note.fd);
        break;
      case "explained":
        this.#explains.answered(note.id, note.explanation);
        break;
      case "stats":
        for (const stats of note.shards) this.#shardStats.set(stats.shard, stats);
        break;
      case "log":
        this.#context.log[note.level](note.message, note.fields);
    }
  }

  #trustChanged(): void {
    const trust = trustOf(this.#context);
    this.#feed?.setTrust(trust);
    const secrets = (trust.secrets ?? []).map((secret) => [...secret]);
    this.#supervisor.broadcast({ type: "secrets", secrets });
  }

  #takeModuleEvent({ kind, shard, modId, cmdId }: ModuleEvent): void {
    const { registry } = this.#intake;
    if (kind === "pull") {
      registry.want(modId, cmdId, shard);
      this.#dns.request(modId, cmdId);
    } else if (registry.forget(modId, cmdId, shard)) {
      this.#dns.forget(modId, cmdId);
      this.#modules.forget(modId, cmdId);
      this.#outs.forget(modId, cmdId);
      this.#health.forget(modId, cmdId);
      this.#cache?.changed();
    }
  }

  #routeCame(modId: number, cmdId: number, changed: boolean): void {
    this.#feed?.routeCame(modId, cmdId, changed);
    if (!changed) return;
    this.#cache?.changed();
    const route = this.#intake.registry.routeOf(modId, cmdId);
    if (route !== undefined) this.#outs.routeCame(route);
  }

  #setHealth(route: PackedRoute, settings: HealthCheckSettings | undefined): void {
    const { modId, cmdId } = route;
    // Drained nodes are left alone: they are about to stop.
    const nodes = settings === undefined
      ? []
      : unpackNodes(route).filter(({ state }) => state !== "drain");
    this.#health.setModule({ modId, cmdId, settings, nodes });
  }

  #tellHealth(verdict: HealthVerdict): void {
    for (const shard of this.#intake.registry.shardsOf(verdict.modId, verdict.cmdId)) {
      this.#supervisor.send({ type: "health", shard, verdict });
    }
  }

  #takeNodeUse(request: NodeUseRequest): void {
    const { modId, cmdId } = request;
    const feed = this.#feed?.usage(modId, cmdId) ?? { clients: 0, behind: 0 };
    this.#nodeUse.request(request, this.#intake.registry.shardsOf(modId, cmdId), feed);
  }

  /** Writes a warning, unless too many of its kind came. */
  #warn(kind: string, message: string, fields: LogFields = {}): void {
    const held = this.#logLimiter.admit(kind);
    if (held !== undefined) this.#context.log.warn(message, { ...fields, ...held });
  }

  #keepHouse(): void {
    const nowMs = this.#context.clock.nowMs();
    this.#reporter.flush();
    this.#tellDns(nowMs);
    const shards = [...this.#shardStats.values()];
    const status = this.#status.status(this.#settings, nowMs);
    // An age grows all the time. Alone it is not worth waking every worker each second.
    const text = JSON.stringify([{ ...status, dnsRouteAgeS: 0 }, shards]);
    if (text === this.#statusText && nowMs - this.#statusAtMs < STATUS_MS_MAX) return;
    this.#statusText = text;
    this.#statusAtMs = nowMs;
    this.#supervisor.broadcast({ type: "status", status, shards });
  }

  #tellDns(nowMs: number): void {
    const { link } = this.#dns;
    if (!link.extended) return;
    this.#outs.flush();
    this.#notifier.offer(
      this.#status.told(this.#settings, nowMs, this.#shardStats.values()),
      nowMs,
      (message) => link.send(MessageId.AgentStatus, encodeAgentStatus(message)),
    );
  }
}

/** The agent as a service: started by its own main, by `lars up`, and by tests. */
export const agentDaemon: DaemonDefinition<typeof agentSettings> = {
  name: "agent",
  summary: "Picks the next node for callers on this host and keeps score of their calls.",
  settings: agentSettings,
  originalConfig: "./conf/lars_lb_agent.conf",
  monitor: {
    port: METRICS_PORTS.agent,
    loadTable: async () => (await import("./status/metrics.ts")).agentMetrics,
  },
  async start(settings: AgentSettings, context: DaemonContext): Promise<RunningService> {
    // Callers ask by datagrams, for which there is no TLS.
    requireSafeListen(settings.listenIp, settings, false);
    checkCallerIp(settings);
    const { listenIp, listenPort } = settings;
    const passed = await passedSockets(settings, context);
    if (passed !== undefined) {
      return await new AgentService(settings, context, passed.firstPort, passed).start();
    }
    for (let attempt = 1;; attempt++) {
      const firstPort = await claimPorts(listenIp, listenPort, context.clock, context.log);
      try {
        return await new AgentService(settings, context, firstPort, undefined).start();
      } catch (error) {
        // Any three UDP ports will do: the next ones may be free for TCP too.
        const again = listenPort === 0 && attempt < FREE_FEED_TRIES;
        if (!again || !(error instanceof BindError)) throw error;
      }
    }
  },
};
