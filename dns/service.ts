// Shell. The dns service: routes from the database, answers and pushes to agents.

import { LogRateLimiter } from "../reactor/log.ts";
import { setRepeating } from "../reactor/time/clock.ts";
import type { DaemonContext, DaemonDefinition } from "../daemon/daemon.ts";
import { METRICS_PORTS } from "../daemon/settings/common_settings.ts";
import type { MonitorRoute } from "../daemon/monitor/monitor_server.ts";
import type { SettingsOf } from "../daemon/settings/settings.ts";
import { openStore, type Store } from "../sql/mod.ts";
import { LoopService, startService } from "../service/store_service.ts";
import { AgentWriter } from "./agent_roster.ts";
import { ExplainInquiries } from "./agent_explain.ts";
import { dnsSettings } from "./config.ts";
import { NodeUseInquiries } from "./node_use_survey.ts";
import { FleetTeller } from "./fleet.ts";
import { discoverModules } from "./service_discovery.ts";
import { RouteFrameCache, type RouteFrames } from "./route_frames.ts";
import { RouteLoop, type RouteLoopInit, type RouteNote, type RouteTask } from "./route_loop.ts";
import { RouteTable } from "./route_table.ts";
import { Publisher, SUBSCRIPTIONS_MAX } from "../feed/publisher.ts";
import { type KeptTable, tableFileFormat } from "./table_file.ts";
import { CacheFile } from "../daemon/cache_file.ts";
import type { DatabaseState } from "../model/database_state.ts";
import { VersionPoller } from "./version_poller.ts";

/** Time that a stop waits for the database to close. */
const STORE_CLOSE_MS = 500;

/** From a change to the writing of the file: all of it is written each time. */
const FILE_DELAY_MS = 5_000;

/** How often it is looked whether the routes are behind the database. */
const BEHIND_LOOK_MS = 1_000;

/** Time that a stop waits for the file to be written. */
const FILE_CLOSE_MS = 2_000;

/** What the service is made of. */
interface DnsParts {
  readonly store: Store;
  /** The routes of the last run; undefined: none, or there is no file. */
  readonly kept: KeptTable | undefined;
}

/** Opens the database, and reads the routes of the last run. */
async function openParts(
  url: string,
  { cacheDir: directory }: DnsSettings,
  { clock, log }: DaemonContext,
): Promise<DnsParts> {
  const store = await openStore(url, { log });
  if (directory === "") return { store, kept: undefined };
  const options = { format: tableFileFormat, directory, clock, log, routes: () => [] };
  const [kept] = await new CacheFile<KeptTable>(options).load();
  return { store, kept };
}

type DnsSettings = SettingsOf<typeof dnsSettings>;

class DnsService extends LoopService<DnsSettings, RouteLoopInit, RouteTask, RouteNote> {
  readonly name = "dns";
  readonly #table: RouteTable;
  /** To the loops, which serve the connections. */
  readonly #publisher: Publisher<number, RouteFrames>;
  readonly #poller: VersionPoller;
  readonly #inquiries: NodeUseInquiries;
  readonly #explains: ExplainInquiries;
  readonly #fleet: FleetTeller;
  #cutCount = 0;
  #inWorkers = false;
  #agents: AgentWriter | undefined;
  readonly #file: CacheFile<KeptTable> | undefined;
  /** The routes are those of the last run: the database has not been read yet. */
  #isFromDisk = false;
  #toldPlan: DatabaseState | undefined;
  /** What the loops were told last. */
  #isBehind = false;

  constructor(settings: DnsSettings, context: DaemonContext, { store, kept }: DnsParts) {
    super(context, store, "serving from memory");
    const { clock, rng, log } = context;
    this.onStop(STORE_CLOSE_MS, () => store.close());
    this.#table = new RouteTable(clock.wallMs());
    if (kept !== undefined) this.#restore(kept);
    this.#file = this.#makeFile(settings.cacheDir);
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
    this.#publisher = new Publisher<number, RouteFrames>(
      { frames: (modId, cmdId) => this.#table.loaded ? cache.get(modId, cmdId) : undefined },
      { send: (loop, frames, modId, cmdId) => this.#send(loop, modId, cmdId, frames) },
      { perPeerMax: Infinity, totalMax: Infinity },
    );
    this.#inquiries = new NodeUseInquiries({
      clock,
      loopCount: settings.loopCount,
      survey: (id, request) => {
        for (let loop = 0; loop < settings.loopCount; loop++) {
          this.loops?.send(loop, { type: "survey", id, request });
        }
      },
      report: (loop, question, result) =>
        this.loops?.send(loop, { type: "report", question, result }),
    });
    this.#explains = new ExplainInquiries({
      clock,
      loopCount: settings.loopCount,
      explain: (id, request) => {
        for (let loop = 0; loop < settings.loopCount; loop++) {
          this.loops?.send(loop, { type: "explain", id, request });
        }
      },
      report: (loop, question, explained) =>
        this.loops?.send(loop, { type: "explained", question, explained }),
    });
    this.#fleet = this.#makeFleet(settings.loopCount);
    this.#poller = new VersionPoller({
      ...{ store, clock, rng, log, table: this.#table, health: this.health },
      pollIntervalMs: settings.pollIntervalMs,
      reloadIntervalMs: settings.reloadIntervalMs,
      ...(kept === undefined ? {} : { earlier: kept.memory }),
      onPlan: (plan) => this.#noteRead(plan, settings.loopCount),
      onLoaded: () => {
        this.#fleet.loaded();
        return this.#publisher.publishEach(this.#publisher.modules());
      },
      onChanged: (changed) => {
        this.#file?.changed();
        this.#fleet.changed(changed);
        return this.#publisher.publishEach(changed);
      },
      onSetBack: () => this.#file?.changed(),
    });
  }

  /** Routes of the last run serve until the database has been read. */
  #restore({ memory, modules }: KeptTable): void {
    this.#table.restore([...modules], memory.plan);
    this.#isFromDisk = true;
    const { moduleCount, nodeCount } = this.#table;
    this.context.log.warn("Serving the routes of the last run until the database has been read", {
      ...{ modules: moduleCount, nodes: nodeCount, version: memory.plan.version },
    });
  }

  #makeFile(directory: string): CacheFile<KeptTable> | undefined {
    if (directory === "") return undefined;
    const { clock, log } = this.context;
    const file = new CacheFile<KeptTable>({
      ...{ format: tableFileFormat, directory, clock, log, delayMs: FILE_DELAY_MS },
      routes: () => {
        const { memory } = this.#poller;
        return memory === undefined ? [] : [{ memory, modules: this.#table.kept() }];
      },
    });
    this.onStop(FILE_CLOSE_MS, () => file.close());
    return file;
  }

  /** The table is equal to the database as of this state. */
  #noteRead(plan: DatabaseState | undefined, loopCount: number): void {
    if (this.#isFromDisk) {
      this.#isFromDisk = false;
      const modules = this.#table.moduleCount;
      this.context.log.info("Routes read from the database again", { modules });
    }
    if (plan?.version !== this.#toldPlan?.version || plan?.epoch !== this.#toldPlan?.epoch) {
      this.#file?.changed();
    }
    this.#tellPlan(plan, loopCount);
    this.#tellBehind(loopCount);
  }

  #tellPlan(plan: DatabaseState | undefined, loopCount: number): void {
    this.#toldPlan = plan;
    for (let loop = 0; loop < loopCount; loop++) this.loops?.send(loop, { type: "plan", plan });
  }

  /** Agents are told when the routes are behind, and when they are not any more. */
  #tellBehind(loopCount: number): void {
    const behindMs = this.#poller.toldBehindMs;
    const isBehind = behindMs !== undefined;
    if (isBehind === this.#isBehind) return;
    this.#isBehind = isBehind;
    for (let loop = 0; loop < loopCount; loop++) {
      this.loops?.send(loop, { type: "behind", behindMs });
    }
  }

  #makeFleet(loopCount: number): FleetTeller {
    return new FleetTeller({
      clock: this.context.clock,
      loopCount,
      modules: () => this.#table.loaded ? this.#table.listed() : undefined,
      module: ({ modId, cmdId }) => this.#table.listing(modId, cmdId),
      tell: (loop, change) => this.loops?.send(loop, { type: "fleet", change }),
      count: (loop, keys) => this.loops?.send(loop, { type: "countOuts", keys }),
    });
  }

  async start(settings: DnsSettings): Promise<void> {
    const { loopCount, subscriptionsMax } = settings;
    this.#inWorkers = loopCount > 1;
    await this.startLoops(settings, {
      make: (init, around) => new RouteLoop(init, around),
      entry: new URL("./dns_loop.ts", import.meta.url),
      init: {
        subscriptionsMax,
        subscriptionsTotalMax: Math.ceil(SUBSCRIPTIONS_MAX / loopCount),
      },
      onNote: (note, loop) => this.#onNote(note, loop),
      onGone: (loop) => {
        this.#publisher.closed(loop);
        this.#agents?.lostLoop(loop);
        this.#fleet.lostLoop(loop);
      },
      whileClosing: () => this.#agents?.stop(),
    });
    this.#tellPlan(this.#table.plan, loopCount);
    this.#tellBehind(loopCount);
    const address = await this.listen(settings.listenPort);
    this.#poller.start();
    const looks = setRepeating(this.context.clock, BEHIND_LOOK_MS, () => {
      this.#tellBehind(loopCount);
    });
    this.onStop(
      0,
      () => looks.cancel(),
      () => this.#poller.stop(),
      () => this.#inquiries.close(),
      () => this.#explains.close(),
      () => this.#fleet.stop(),
    );
    this.signIn("dns", address, () => this.#detail());
    this.#writeAgents(loopCount, address);
  }

  /** Tells the database of the agents linked to this dns. */
  #writeAgents(loopCount: number, address: string): void {
    const { clock, log } = this.context;
    this.#agents = new AgentWriter({
      store: this.store,
      clock,
      log,
      loopCount,
      address,
      version: () => this.#table.loaded ? this.#poller.version : 0,
      ask: (round) => {
        for (let loop = 0; loop < loopCount; loop++) {
          this.loops?.send(loop, { type: "agents", round });
        }
      },
    });
    this.#agents.start();
  }

  stats(): Record<string, number | string> {
    return {
      ...this.loopStats(),
      loaded: Number(this.#table.loaded),
      routes_from_disk: Number(this.#isFromDisk),
      routes_behind_ms: this.#poller.behindMs ?? 0,
      file_writes: this.#file?.stats.writes ?? 0,
      file_failures: this.#file?.stats.failures ?? 0,
      revision: this.#table.revision,
      modules: this.#table.moduleCount,
      nodes: this.#table.nodeCount,
      modules_wanted: this.#publisher.counts.subscribedModules,
      rows_bad_port: this.#table.skipped.badPort,
      rows_over_limit: this.#table.skipped.overLimit,
      routes_cut: this.#cutCount,
      modules_with_nodes_out: this.#fleet.outCount,
      loop_errors: this.loopErrorCount,
      ...this.#agents?.stats(),
      ...this.#poller.stats(),
      ...this.health.stats(),
    };
  }

  /** Without the database dns serves from memory; without routes it has nothing to serve. */
  readiness(): string | undefined {
    return this.#table.loaded ? undefined : "the routes have not been read from the database yet";
  }

  get monitorRoutes(): ReadonlyMap<string, MonitorRoute> {
    return new Map([[
      "/sd/modules",
      ({ query }) => discoverModules(this.#table, this.store, query, !this.health.up),
    ]]);
  }

  reload(settings: DnsSettings): void {
    this.#poller.setIntervals(settings.pollIntervalMs, settings.reloadIntervalMs);
  }

  #onNote(note: RouteNote, loop: number): void {
    switch (note.type) {
      case "want":
        return void this.#publisher.subscribe(loop, note.modId, note.cmdId);
      case "drop":
        return this.#publisher.unsubscribe(loop, note.keys);
      case "routesChanged":
        return this.#poller.modulesChanged(note.keys);
      case "nodeUse":
        return this.#inquiries.ask(loop, note.question, note.request);
      case "explain":
        return this.#explains.ask(loop, note.question, note.request);
      case "explained":
        return this.#explains.explained(note.id, loop, note.explained);
      case "agents":
        return this.#agents?.take(loop, note.round, note.agents, note.others);
      case "exportGone":
        return this.#agents?.exportGone(note.name);
      case "goodbye":
        return this.#agents?.goodbye(note);
      case "followed":
        return this.#fleet.followed(loop);
      case "nodesOut":
        return this.#fleet.take(loop, note.message);
      case "surveyed":
        return this.#inquiries.surveyed(note.id, loop, note.result);
    }
  }

  #send(loop: number, modId: number, cmdId: number, frames: RouteFrames): void {
    // A worker gets plain values; on this thread each form is encoded only when somebody needs it.
    const { revision, nodeless, plan } = frames;
    const sent = this.#inWorkers
      ? {
        ...{ revision, nodeless, plan, digest: frames.digest },
        ...{ legacy: frames.legacy, extended: frames.extended },
      }
      : frames;
    this.loops?.send(loop, { type: "frames", modId, cmdId, frames: sent });
  }

  #detail(): Record<string, number | string> {
    const stats = this.loopStats();
    return {
      revision: this.#table.revision,
      version: this.#poller.version,
      connections: stats.connections ?? 0,
      connectionsPlain: stats.connections_plain ?? 0,
      agents: this.#agents?.stats().agents_linked ?? 0,
      clients: this.#agents?.stats().clients_linked ?? 0,
      clientsBehind: this.#agents?.stats().clients_behind ?? 0,
      hostsRefused: stats.hosts_refused_lately ?? 0,
      subscriptions: stats.subscriptions ?? 0,
      modules: this.#table.moduleCount,
      nodes: this.#table.nodeCount,
    };
  }
}

/** The service that gives agents the routes and pushes their changes. */
export const dnsDaemon: DaemonDefinition<typeof dnsSettings> = {
  name: "dns",
  summary: "Gives agents the nodes of each module and pushes every change to them.",
  settings: dnsSettings,
  originalConfig: "./conf/lars_dns.conf",
  monitor: {
    port: METRICS_PORTS.dns,
    loadTable: async () => (await import("./metrics.ts")).dnsMetrics,
  },
  start: (settings, context) =>
    startService(
      settings,
      (url) => openParts(url, settings, context),
      (parts) => new DnsService(settings, context, parts),
    ),
};
