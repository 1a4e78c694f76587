// Shell. The export service: keeps programs that speak no Lars in step with routes, weights, drains
// and what agents find sick.

import { hostname } from "node:os";
import { METRICS_PORTS, requireSafeListen } from "../daemon/settings/common_settings.ts";
import { CacheFile } from "../daemon/cache_file.ts";
import type { DaemonContext, DaemonDefinition, RunningService } from "../daemon/daemon.ts";
import type { ModuleKey } from "../model/module.ts";
import type { FollowWay } from "../proto/codec.ts";
import { formatAddress } from "../reactor/address.ts";
import { setRepeating, type Timer } from "../reactor/time/clock.ts";
import { SessionClient } from "../session/session_client.ts";
import {
  checkExports,
  type ExportSettings,
  exportSettings,
  readFilled,
  wordsOf,
  zoneName,
} from "./config.ts";
import { FileExport } from "./files/file_export.ts";
import { checkNginxFile, installFile } from "./files/install_file.ts";
import { renderNginx, renderTemplate } from "./files/render.ts";
import { readTemplateFile } from "./files/template_file.ts";
import { type CachedModule, fleetCacheFormat } from "./fleet_cache.ts";
import { FleetClient } from "./fleet_client.ts";
import type { ExportModule } from "./fleet_view.ts";
import { AgentCheckAnswers } from "./haproxy/agent_check.ts";
import { AgentCheckServer } from "./haproxy/agent_check_server.ts";
import { HaproxyExport } from "./haproxy/haproxy_export.ts";
import { askHaproxy } from "./haproxy/runtime_socket.ts";
import { findModule } from "./module_name.ts";
import { NameZone } from "./nameserver/answers.ts";
import { NameServer } from "./nameserver/name_server.ts";
import { dnsCodec } from "./nameserver/packets.ts";
import { NameSockets } from "./nameserver/name_sockets.ts";

/** Modules that the name server follows from the start; of further ones those that are asked for. */
export const FOLLOWED_MAX = 20_000;

/** Time between two words to dns on who follows. */
const TELL_MS = 5_000;

/** One way out. */
interface ExportPart {
  /** What it listens on, with real ports. */
  readonly addresses: readonly string[];
  readonly stats: Readonly<Record<string, number>>;
  /** What it cannot do now; undefined: nothing. */
  readonly fault: string | undefined;
  /** Who follows by it: a word for the way, and how many. */
  followed(): Pick<FollowWay, "way" | "followers"> & Partial<FollowWay>;
  changed(key: ModuleKey): void;
  /** There are other modules or names. */
  listed(): void;
  stop(): Promise<void>;
}

class ExportService implements RunningService {
  readonly name = "export";
  readonly #context: DaemonContext;
  readonly #settings: ExportSettings;
  readonly #client: FleetClient;
  readonly #parts: ExportPart[] = [];
  readonly #cache: CacheFile<CachedModule> | undefined;
  readonly #startedAt: number;
  #tellTimer: Timer | undefined;

  constructor(settings: ExportSettings, context: DaemonContext) {
    this.#context = context;
    this.#settings = settings;
    const { clock, rng, log, software, secrets, transport } = context;
    this.#startedAt = Math.trunc(clock.wallMs() / 1000);
    const shared = { clock, rng, log, software, secrets, transport };
    this.#client = new FleetClient({
      ...{ clock, log, outShare: settings.outShare, addresses: settings.dnsAddresses },
      openLink: (addresses, events) =>
        new SessionClient({ ...shared, ...events, name: "dns", role: "export", addresses }),
      onChanged: (key) => {
        this.#cache?.changed();
        for (const part of this.#parts) part.changed(key);
      },
      onListed: () => {
        this.#cache?.changed();
        for (const part of this.#parts) part.listed();
      },
    });
    if (settings.cacheDir !== "") {
      this.#cache = new CacheFile({
        ...{ directory: settings.cacheDir, format: fleetCacheFormat, clock, log },
        routes: () => this.#client.view.saved(),
      });
    }
  }

  get addresses(): readonly string[] {
    return this.#parts.flatMap(({ addresses }) => [...addresses]);
  }

  /** @throws {ConfigError | BindError} when a part cannot begin; nothing runs then. */
  async start(): Promise<this> {
    checkExports(this.#settings);
    const { namePort, xdsPort, haproxySocket, nginxOut, fileOut } = this.#settings;
    this.#client.view.restore(await this.#cache?.load() ?? []);
    try {
      if (namePort > 0) this.#parts.push(await this.#startNameServer());
      if (xdsPort > 0) this.#parts.push(await this.#startXds());
      if (haproxySocket !== "") this.#parts.push(this.#startHaproxy());
      if (this.#settings.agentCheckPort > 0) this.#parts.push(await this.#startAgentChecks());
      if (nginxOut !== "") this.#parts.push(this.#startNginx());
      if (fileOut !== "") this.#parts.push(this.#startFile());
    } catch (error) {
      await Promise.all(this.#parts.map((part) => part.stop()));
      throw error;
    }
    if (this.#client.view.isListed) { for (const part of this.#parts) part.listed(); }
    this.#client.start();
    this.#tellTimer = setRepeating(this.#context.clock, TELL_MS, () => this.#tell());
    return this;
  }

  stats(): Record<string, number | string> {
    return Object.assign({}, this.#client.stats, ...this.#parts.map(({ stats }) => stats));
  }

  readiness(): string | undefined {
    // With routes from before it goes on without dns.
    if (!this.#client.view.isListed) {
      return `the modules are not known yet: dns ${this.#client.fault ?? "has not told them"}`;
    }
    return this.#parts.find(({ fault }) => fault !== undefined)?.fault;
  }

  reload(): void {
    this.#context.log.warn("Keys of exports take effect at the next start only");
  }

  async stop(): Promise<void> {
    this.#tellTimer?.cancel();
    await Promise.all(this.#parts.map((part) => part.stop()));
    await this.#client.close();
    await this.#cache?.close();
  }

  /** Who follows, and how they do. Its name says where it runs and what it is the first of. */
  #tell(): void {
    const none = { behind: 0, behindMs: 0 };
    this.#client.tell({
      name: `${hostname()} ${this.addresses[0]}`,
      startedAt: this.#startedAt,
      modules: this.#client.view.wantedCount,
      ways: this.#parts.map((part) => ({
        ...{ ...none, at: part.addresses.join(" "), fault: part.fault ?? "" },
        ...part.followed(),
      })),
    });
  }

  async #startNameServer(): Promise<ExportPart> {
    const { nameIp, namePort, nameZone, nameTtlMs, nameBytesPerSecond } = this.#settings;
    const { clock, log } = this.#context;
    const { view } = this.#client;
    const zone = zoneName(nameZone);
    const names = new NameZone(view, {
      ...{ codec: dnsCodec, zone, ttlS: Math.round(nameTtlMs / 1000), host: `ns.${zone}` },
    });
    const server = new NameServer(names, clock, nameBytesPerSecond);
    const sockets = new NameSockets({ server, hostname: nameIp, port: namePort, clock, log });
    const address = await sockets.listen();
    return {
      addresses: [formatAddress(address)],
      get stats() {
        const { questions, answersKept, refused, dropped } = server.stats;
        return {
          names_questions: questions,
          names_answers_kept: answersKept,
          names_refused: refused,
          names_dropped: dropped,
          names_streams_refused: sockets.refusedCount,
        };
      },
      fault: undefined,
      followed: () => ({ way: "names", followers: server.recent.count }),
      changed: () => server.changed(),
      listed: () => {
        server.changed();
        for (const key of view.modules()) if (view.wantedCount < FOLLOWED_MAX) view.want(key);
      },
      stop: () => sockets.close(),
    };
  }

  async #startXds(): Promise<ExportPart> {
    const { clock, rng, log, software, secrets, transport } = this.#context;
    const { xdsIp, xdsPort, reporterAddresses, callerIp } = this.#settings;
    const shared = { clock, rng, log, software, secrets, transport };
    // gRPC is large, and few exports need it.
    const { startXds } = await import("./xds/xds_part.ts");
    const part = await startXds({
      ...{ view: this.#client.view, hostname: xdsIp, port: xdsPort, clock, rng, log, callerIp },
      openReporter: (events) =>
        new SessionClient({
          ...{ ...shared, ...events, name: "reporter", role: "export" },
          addresses: reporterAddresses,
        }),
    });
    return {
      addresses: [formatAddress(part.address)],
      get stats() {
        return part.stats();
      },
      fault: undefined,
      followed: () => ({
        ...{ way: "xds", followers: part.server.streamCount },
        ...part.server.behind(),
      }),
      changed: (key) => part.server.changed(key),
      listed: () => part.server.listed(),
      stop: () => part.close(),
    };
  }

  #startHaproxy(): ExportPart {
    const { haproxySocket, haproxyBackends, haproxyCheck, haproxyExtra } = this.#settings;
    const { clock, log } = this.#context;
    const filled = readFilled(haproxyBackends, "[haproxy] backends");
    const modules = this.#followed(filled.map(({ module }) => module));
    const proxy = new HaproxyExport({
      backends: filled.map(({ name, module }) => ({
        backend: name,
        module: () => modules.moduleOf(module),
      })),
      servers: { check: haproxyCheck, extra: haproxyExtra },
      ...{ clock, log },
      ask: (command) => askHaproxy(haproxySocket, command, clock),
    });
    proxy.start();
    return {
      addresses: [haproxySocket],
      get stats() {
        return proxy.stats;
      },
      get fault() {
        return proxy.fault;
      },
      followed: () => ({ way: "haproxy", followers: filled.length }),
      changed: () => proxy.changed(),
      listed: () => modules.listed(),
      stop: () => proxy.stop(),
    };
  }

  async #startAgentChecks(): Promise<ExportPart> {
    const { agentCheckIp, agentCheckPort } = this.#settings;
    const { clock, log } = this.#context;
    const answers = new AgentCheckAnswers(this.#client.view, clock);
    answers.restore();
    const server = new AgentCheckServer({
      ...{ answers, hostname: agentCheckIp, port: agentCheckPort, clock, log },
    });
    const address = await server.listen();
    return {
      addresses: [formatAddress(address)],
      get stats() {
        return server.stats;
      },
      fault: undefined,
      followed: () => ({ way: "agent-check", followers: server.recent.count }),
      changed: () => {},
      listed: () => {},
      stop: () => server.stop(),
    };
  }

  #startNginx(): ExportPart {
    const { nginxOut, nginxUpstreams, nginxProgram, nginxReload, nginxIntervalMs } = this.#settings;
    const { clock } = this.#context;
    const filled = readFilled(nginxUpstreams, "[nginx] upstreams");
    const host = hostname();
    return this.#startWriting("nginx", nginxOut, filled.map(({ module }) => module), {
      intervalMs: nginxIntervalMs,
      render: (all) =>
        renderNginx(all.map((module, index) => ({ name: filled[index].name, module })), host),
      install: (text) =>
        installFile(text, {
          ...{ path: nginxOut, reload: wordsOf(nginxReload), clock },
          check: nginxProgram === ""
            ? []
            : (candidate) => checkNginxFile(nginxProgram, candidate, clock),
        }),
    });
  }

  #startFile(): ExportPart {
    const { fileTemplate, fileOut, fileModules, fileCheck, fileReload } = this.#settings;
    const { clock } = this.#context;
    const template = readTemplateFile(fileTemplate);
    const names = fileModules.trim() === "*" ? undefined : wordsOf(fileModules);
    return this.#startWriting("file", fileOut, names, {
      intervalMs: this.#settings.fileIntervalMs,
      render: (all) => renderTemplate(template, all),
      install: (text) =>
        installFile(text, {
          ...{ path: fileOut, reload: wordsOf(fileReload), clock },
          check: wordsOf(fileCheck),
        }),
    });
  }

  /** `names`: undefined for all modules. */
  #startWriting(
    name: string,
    path: string,
    names: readonly string[] | undefined,
    how: Pick<ConstructorParameters<typeof FileExport>[0], "intervalMs" | "render" | "install">,
  ): ExportPart {
    const { clock, log } = this.#context;
    const modules = this.#followed(names);
    const files = new FileExport({ ...how, name, clock, log, modules: () => modules.all() });
    return {
      addresses: [path],
      get stats() {
        return files.stats;
      },
      get fault() {
        return files.fault;
      },
      followed: () => ({ way: name, followers: 1 }),
      changed: () => files.changed(),
      listed: () => {
        modules.listed();
        files.changed();
      },
      stop: () => files.stop(),
    };
  }

  /** The modules of these names, as soon as they are known; undefined: all there are. */
  #followed(names: readonly string[] | undefined): FollowedModules {
    const { view } = this.#client;
    const { log } = this.#context;
    /** Names that were said to be of no module. */
    const unknown = new Set<string>();
    return {
      listed: () => {
        const keys = names === undefined
          ? [...view.modules()]
          : names.flatMap((name) => findModule(view, name) ?? []);
        for (const key of keys) view.want(key);
        for (const name of names ?? []) {
          if (findModule(view, name) !== undefined) unknown.delete(name);
          else if (!unknown.has(name)) {
            unknown.add(name);
            log.warn("There is no such module: nothing is exported until there is", {
              module: name,
            });
          }
        }
      },
      moduleOf: (name) => {
        const key = findModule(view, name);
        return key === undefined ? undefined : view.module(key);
      },
      all: () => {
        if (!view.isListed) return undefined;
        const keys = names === undefined
          ? [...view.modules()].sort((a, b) => a.modId - b.modId || a.cmdId - b.cmdId)
          : names.map((name) => findModule(view, name));
        const modules = keys.map((key) => key === undefined ? undefined : view.module(key));
        return modules.every((module) => module !== undefined) ? modules : undefined;
      },
    };
  }
}

interface FollowedModules {
  /** There are other modules or names: asks for their routes. */
  listed(): void;
  moduleOf(name: string): ExportModule | undefined;
  /** All of them, in order; undefined while one is not known. */
  all(): ExportModule[] | undefined;
}

/** The service that keeps other programs in step. */
export const exportDaemon: DaemonDefinition<typeof exportSettings> = {
  name: "export",
  summary: "Keeps gRPC, HAProxy, nginx, name resolvers and files in step with routes and agents.",
  settings: exportSettings,
  monitor: {
    port: METRICS_PORTS.export,
    loadTable: async () => (await import("./metrics.ts")).exportMetrics,
  },
  start(settings, context): Promise<RunningService> {
    // What is asked here knows no TLS.
    if (settings.namePort > 0) requireSafeListen(settings.nameIp, settings, false);
    if (settings.xdsPort > 0) requireSafeListen(settings.xdsIp, settings, false);
    if (settings.agentCheckPort > 0) requireSafeListen(settings.agentCheckIp, settings, false);
    return new ExportService(settings, context).start();
  },
};
