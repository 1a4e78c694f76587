// Shell. The dns service: routes from the database, answers and pushes to agents.

import { formatAddress } from "../reactor/address.ts";
import { LogRateLimiter } from "../reactor/log.ts";
import { METRICS_PORTS, requireSafeListen, storeUrl } from "../daemon/settings/common_settings.ts";
import type { DaemonContext, DaemonDefinition, RunningService } from "../daemon/daemon.ts";
import { type LoopGroup, startLoops } from "../daemon/loops/loop_group.ts";
import type { MonitorRoute } from "../daemon/monitor/monitor_server.ts";
import type { SettingsOf } from "../daemon/settings/settings.ts";
import { reachableAddress } from "../daemon/reachable_address.ts";
import { InstanceHeartbeat } from "../sql/instances/instance_heartbeat.ts";
import { openStore, type Store } from "../sql/mod.ts";
import { endsWithin, StoreHealth } from "../sql/drivers/store_health.ts";
import { AgentWriter } from "./agent_writer.ts";
import { dnsSettings } from "./config.ts";
import { dnsMetrics } from "./metrics.ts";
import { NodeUseInquiries } from "./node_use_survey.ts";
import { discoverModules } from "./service_discovery.ts";
import { RouteFrameCache, type RouteFrames } from "./route_frames.ts";
import { RouteHub } from "./route_hub.ts";
import { RouteLoop, type RouteLoopInit, type RouteNote, type RouteTask } from "./route_loop.ts";
import { RouteTable } from "./route_table.ts";
import { SUBSCRIPTIONS_MAX } from "../feed/subscriptions.ts";
import { VersionPoller } from "./version_poller.ts";

/** Time that a stop waits for the database to close. */
const STORE_CLOSE_MS = 500;

type DnsSettings = SettingsOf<typeof dnsSettings>;

class DnsService implements RunningService {
  readonly name = "dns";
  readonly #context: DaemonContext;
  readonly #store: Store;
  readonly #table: RouteTable;
  readonly #hub: RouteHub;
  readonly #health: StoreHealth;
  readonly #poller: VersionPoller;
  readonly #inquiries: NodeUseInquiries;
  #loopErrorCount = 0;
  #cutCount = 0;
  #loops: LoopGroup<RouteTask> | undefined;
  #inWorkers = false;
  #heartbeat: InstanceHeartbeat | undefined;
  #agents: AgentWriter | undefined;
  #address = "";

  constructor(settings: DnsSettings, context: DaemonContext, store: Store) {
    const { clock, rng, log } = context;
    this.#context = context;
    this.#store = store;
    this.#table = new RouteTable(clock.wallMs());
    const logLimiter = new LogRateLimiter(clock, 1);
    const cache = new RouteFrameCache(this.#table, (modId, cmdId, sent, total) => {
      this.#cutCount++;
      const held = logLimiter.admit("cut");
      if (held === undefined) return;
      log.warn("Route cut to one frame for agents of the original", {
        modId,
        cmdId,
        sent,
        total,
        ...held,
      });
    });
    this.#hub = new RouteHub(
      this.#table,
      cache,
      (loop, modId, cmdId, frames) => this.#send(loop, modId, cmdId, frames),
    );
    this.#health = new StoreHealth({
      clock,
      log,
      label: store.label,
      meanwhile: "serving from memory",
    });
    this.#inquiries = new NodeUseInquiries({
      clock,
      loopCount: settings.loopCount,
      survey: (id, request) => {
        for (let loop = 0; loop < settings.loopCount; loop++) {
          this.#loops?.send(loop, { type: "survey", id, request });
        }
      },
      report: (loop, question, result) =>
        this.#loops?.send(loop, { type: "report", question, result }),
    });
    this.#poller = new VersionPoller({
      store,
      table: this.#table,
      health: this.#health,
      clock,
      rng,
      log,
      pollIntervalMs: settings.pollIntervalMs,
      reloadIntervalMs: settings.reloadIntervalMs,
      onLoaded: () => this.#hub.publishAll(),
      onChanged: (changed) => this.#hub.publish(changed),
    });
  }

  get addresses(): readonly string[] {
    return [this.#address];
  }

  async start(settings: DnsSettings): Promise<void> {
    const { clock, log, software, authToken } = this.#context;
    const { loopCount } = settings;
    const init: RouteLoopInit = {
      hostname: settings.listenIp,
      connectionsMax: Math.ceil(settings.connectionsMax / loopCount),
      connectionsPerHostMax: settings.connectionsPerHostMax,
      subscriptionsMax: settings.subscriptionsMax,
      subscriptionsTotalMax: Math.ceil(SUBSCRIPTIONS_MAX / loopCount),
      software,
      token: authToken,
    };
    const listener = {
      onNote: (note: RouteNote, loop: number): void => this.#onNote(note, loop),
      onFailed: (): void => void this.#loopErrorCount++,
      onGone: (loop: number): void => {
        this.#hub.removeLoop(loop);
        this.#agents?.lostLoop(loop);
      },
    };
    this.#inWorkers = loopCount > 1;
    this.#loops = await startLoops({
      count: loopCount,
      make: (init, around) => new RouteLoop(init, around),
      entry: new URL("./dns_loop.ts", import.meta.url),
      init,
      listener,
      clock,
      log,
    });
    this.#address = formatAddress(await this.#loops.listen(settings.listenPort));
    this.#poller.start();
    this.#signIn(loopCount);
  }

  /** Tells the database of this dns, and of the agents linked to it. */
  #signIn(loopCount: number): void {
    const { clock, log, software } = this.#context;
    const address = reachableAddress(this.#address);
    this.#heartbeat = new InstanceHeartbeat({
      store: this.#store,
      clock,
      log,
      kind: "dns",
      address,
      software,
      detail: () => this.#detail(),
    });
    this.#heartbeat.start();
    this.#agents = new AgentWriter({
      store: this.#store,
      clock,
      log,
      loopCount,
      address,
      version: () => this.#table.loaded ? this.#poller.version : 0,
      ask: (round) => {
        for (let loop = 0; loop < loopCount; loop++) {
          this.#loops?.send(loop, { type: "agents", round });
        }
      },
    });
    this.#agents.start();
  }

  stats(): Record<string, number | string> {
    return {
      ...this.#loops?.stats(),
      loaded: Number(this.#table.loaded),
      revision: this.#table.revision,
      modules: this.#table.moduleCount,
      nodes: this.#table.nodeCount,
      modules_wanted: this.#hub.wantedCount,
      rows_bad_port: this.#table.skipped.badPort,
      rows_over_limit: this.#table.skipped.overLimit,
      routes_cut: this.#cutCount,
      loop_errors: this.#loopErrorCount,
      ...this.#agents?.stats(),
      ...this.#poller.stats(),
      ...this.#health.stats(),
    };
  }

  /** Without the database dns serves from memory; without routes it has nothing to serve. */
  readiness(): string | undefined {
    return this.#table.loaded ? undefined : "the routes have not been read from the database yet";
  }

  get monitorRoutes(): ReadonlyMap<string, MonitorRoute> {
    return new Map([["/sd/modules", ({ query }) => discoverModules(this.#store, query)]]);
  }

  reload(settings: DnsSettings): void {
    this.#poller.setIntervals(settings.pollIntervalMs, settings.reloadIntervalMs);
  }

  async stop(): Promise<void> {
    this.#poller.stop();
    this.#inquiries.close();
    const written = endsWithin(
      this.#context.clock,
      STORE_CLOSE_MS,
      this.#agents?.stop() ?? Promise.resolve(),
    );
    await Promise.all([this.#loops?.close(), this.#heartbeat?.stop(), written]);
    await endsWithin(this.#context.clock, STORE_CLOSE_MS, this.#store.close());
  }

  #onNote(note: RouteNote, loop: number): void {
    switch (note.type) {
      case "want":
        return this.#hub.want(loop, note.modId, note.cmdId);
      case "drop":
        return this.#hub.drop(loop, note.keys);
      case "routesChanged":
        return this.#poller.modulesChanged(note.keys);
      case "nodeUse":
        return this.#inquiries.ask(loop, note.question, note.request);
      case "agents":
        return this.#agents?.take(loop, note.round, note.agents);
      case "surveyed":
        return this.#inquiries.surveyed(note.id, loop, note.result);
    }
  }

  #send(loop: number, modId: number, cmdId: number, frames: RouteFrames): void {
    // A worker gets plain values; on this thread each form is encoded only when somebody needs it.
    const { revision } = frames;
    const sent = this.#inWorkers
      ? { revision, legacy: frames.legacy, extended: frames.extended }
      : frames;
    this.#loops?.send(loop, { type: "frames", modId, cmdId, frames: sent });
  }

  #detail(): Record<string, number | string> {
    const stats = this.#loops?.stats() ?? {};
    return {
      revision: this.#table.revision,
      version: this.#poller.version,
      connections: stats.connections ?? 0,
      connectionsPlain: stats.connections_plain ?? 0,
      agents: this.#agents?.stats().agents_linked ?? 0,
      subscriptions: stats.subscriptions ?? 0,
      modules: this.#table.moduleCount,
      nodes: this.#table.nodeCount,
    };
  }
}

async function startDns(settings: DnsSettings, context: DaemonContext): Promise<RunningService> {
  requireSafeListen(settings.listenIp, settings);
  const store = await openStore(storeUrl(settings), { log: context.log });
  const service = new DnsService(settings, context, store);
  try {
    await service.start(settings);
  } catch (error) {
    await service.stop();
    throw error;
  }
  return service;
}

/** The service that gives agents the routes and pushes their changes. */
export const dnsDaemon: DaemonDefinition<typeof dnsSettings> = {
  name: "dns",
  summary: "Gives agents the nodes of each module and pushes every change to them.",
  settings: dnsSettings,
  monitor: { port: METRICS_PORTS.dns, table: dnsMetrics },
  start: startDns,
};
