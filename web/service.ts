// Shell. The console as a service: REST interface, pages, alerts.

import process from "node:process";
import { randomUUID } from "node:crypto";
import { METRICS_PORTS } from "../daemon/settings/common_settings.ts";
import type { Metric } from "../daemon/monitor/metrics_text.ts";
import type { DaemonContext, DaemonDefinition } from "../daemon/daemon.ts";
import type { PairFiles } from "../daemon/tls_files.ts";
import type { HandshakeServers, ShownPair } from "../session/tls/handshake_servers.ts";
import type { SettingsOf } from "../daemon/settings/settings.ts";
import { DEFAULT_PORTS } from "../proto/message_ids.ts";
import type { NodeKey } from "../model/node.ts";
import { type Address, formatAddress, formatIpv4, parseAddress } from "../reactor/address.ts";
import { ConfigError, messageOf } from "../reactor/errors.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { openStore, type Store } from "../sql/mod.ts";
import { DatabaseClock } from "../service/database_clock.ts";
import { startService, StoreService } from "../service/store_service.ts";
import { AccessService } from "../control/access/access_service.ts";
import { AgentService } from "../control/system/agent_service.ts";
import { AgentWatch } from "../control/system/agent_watch.ts";
import { AlertService } from "../control/alerts/alert_service.ts";
import { ApiServer } from "./api_server.ts";
import { ChangeService } from "../control/changes/change_service.ts";
import { clientAddress, readProxies } from "../control/access/client_address.ts";
import {
  commandWords,
  DEFAULT_RELAYS,
  hostNameList,
  relayAddresses,
  webSettings,
} from "./config.ts";
import { EventTail } from "../control/reports/event_tail.ts";
import { CounterService } from "../control/counters/counter_service.ts";
import { FleetExplainService } from "../control/explain/fleet_explain_service.ts";
import { DnsLines } from "../control/system/dns_lines.ts";
import { consoleModuleMetrics } from "./module_metrics.ts";
import { explainService } from "./explain_client.ts";
import { makeHandlers } from "./handlers.ts";
import { HttpServer } from "./http_server.ts";
import { LeaseAdmin } from "../discovery/lease_admin.ts";
import { LeaseClient } from "../discovery/lease_client.ts";
import type { LeaseHandlerParts } from "./lease_handlers.ts";
import { LiveHub } from "./live_stream.ts";
import type { OidcLogin } from "./oidc_login.ts";
import { openOidcLogin } from "./oidc_setup.ts";
import { NodeUseService } from "../control/drain/node_use_service.ts";
import { ReportService } from "../control/reports/report_service.ts";
import { RelayWatch } from "./relays/relay_watch.ts";
import { RequestCounts } from "./request_counts.ts";
import { PasswordHasher } from "../control/access/secrets.ts";
import { ScaleDrivers } from "../scaling/scale_drivers.ts";
import { ScaleService } from "../scaling/scale_service.ts";
import { Site } from "./site.ts";
import { ScaleSettings } from "../control/scaling/scale_settings.ts";
import { SystemReader } from "../control/system/system_reader.ts";
import { storeOption } from "../control/access/login_help.ts";
import type { Surroundings } from "../control/alerts/webhook_guard.ts";
import { WebhookSender } from "../control/alerts/webhook_sender.ts";

/** Time that a stop waits for the database, and for connections to end. */
const CLOSE_TIMEOUT_MS = 500;
/** The first admin is tried to be made this often while the database is away, in milliseconds. */
const FIRST_ADMIN_RETRY_MS = 1000;

type WebSettings = SettingsOf<typeof webSettings>;

/** What a starter of the console may want besides. */
export interface WebOptions {
  /** dns instances to tell besides those that signed in. */
  readonly dnsAddresses?: readonly Address[];
  /** Shows a password once, or a link; by default on standard output. */
  announce?(text: string): void;
  /** True prints a link that logs in once. */
  readonly withLink?: boolean;
}

/** A running console. */
export class WebService extends StoreService<WebSettings> {
  readonly name = "web";
  readonly #options: WebOptions;
  readonly #store: Store;
  readonly #reader: SystemReader;
  readonly #live: LiveHub;
  readonly #access: AccessService;
  readonly #alerts: AlertService;
  readonly #scaling: ScaleService;
  readonly #site: Site;
  readonly #watch: AgentWatch;
  readonly #clock: DatabaseClock;
  readonly #lines: DnsLines;
  readonly #requests = new RequestCounts();
  #server: HttpServer | undefined;
  /** The certificate that browsers are shown, if it is not that of `[tls]`. */
  #pair: PairFiles | undefined;
  readonly #scheme: "http" | "https";
  #proxies: ReturnType<typeof readProxies> = [];
  #provider: OidcLogin | undefined;
  #stopped = false;
  #isWarned = false;

  constructor(
    settings: WebSettings,
    context: DaemonContext,
    store: Store,
    options: WebOptions,
  ) {
    const clock = new DatabaseClock({ ...context, store });
    super({ ...context, clock });
    this.#clock = clock;
    const { log, software, secrets, transport } = context;
    const talking = { software, secrets, transport, addresses: options.dnsAddresses ?? [] };
    this.onStop(CLOSE_TIMEOUT_MS, () => store.close());
    this.#options = options;
    this.#scheme = settings.isSecret ? "https" : "http";
    this.#store = store;
    this.#live = new LiveHub({ clock });
    const agent = parseAddress(settings.agent, DEFAULT_PORTS.agent);
    const watch = this.#watch = new AgentWatch(agent, clock);
    const reader = this.#reader = this.#makeReader(watch);
    this.#access = new AccessService({ store: store.console, hasher: new PasswordHasher(), clock });
    const sender = this.#makeSender(settings);
    const relays = this.#makeRelays(settings);
    this.#alerts = new AlertService({
      store,
      clock,
      log,
      reader,
      ...{ sender, holder: randomUUID(), relays: () => relays.seen() },
      onChanged: () => this.#live.wake(),
    });
    const changes = new ChangeService({
      ...{ ...talking, store, clock },
      callsPerSecond: ({ modId, cmdId }) => reader.model.module(modId, cmdId)?.callsPerSecond ?? 0,
      onChanged: () => void reader.readNow(),
    });
    this.#lines = new DnsLines({ ...talking, store, clock, rng: context.rng });
    const leaseParts = this.#leaseParts();
    const scaling = new ScaleSettings({ store, clock });
    const hostNames = hostNameList(settings.hostNames);
    const asking = { store, clock, lines: this.#lines };
    const api = new ApiServer({
      handlers: makeHandlers({
        store,
        access: this.#access,
        changes,
        alerts: this.#alerts,
        reader,
        live: this.#live,
        agents: new AgentService({ store, clock, reader, watch }),
        explain: explainService(agent, secrets),
        software,
        counters: new CounterService({ store, clock }),
        events: new EventTail({ store, clock }),
        reports: new ReportService({ store, clock }),
        nodeUse: new NodeUseService(asking),
        ...{ ...leaseParts, scaling, relays, clock },
        fleetExplain: new FleetExplainService(asking),
        secureCookie: settings.secureCookie || settings.isSecret,
        loginProvider: settings.oidcIssuer === "" ? undefined : settings.oidcTitle,
        storeOption: () => storeOption(store.label, process.cwd()),
      }),
      access: this.#access,
      ...{ clock, log, hostNames },
      audit: (entry) => store.console.audit(entry),
    });
    this.#scaling = new ScaleService({
      ...{ store, clock, log, reader, settings: scaling, changes, leases: leaseParts.leases },
      nodeUse: new NodeUseService(asking),
      drivers: this.#makeDrivers(settings),
      ...{ holder: randomUUID(), makeId: randomUUID },
    });
    const fault = (): string | undefined => reader.fault;
    this.#site = new Site({ api, hostNames, fault, provider: () => this.#provider });
  }

  /** Listens, and makes the first admin when there is none. */
  async start(settings: WebSettings): Promise<void> {
    this.#proxies = readProxies(settings.trustedProxies);
    this.#provider = await openOidcLogin(settings, { ...this.context, access: this.#access });
    if (this.#store.dialect === "sqlite" && await this.#store.newerSchema() === undefined) {
      await this.#store.migrate();
    }
    const { listenIp: hostname, listenPort: port } = settings;
    this.onStop(
      CLOSE_TIMEOUT_MS,
      () => this.#reader.stop(),
      () => this.#alerts.stop(),
      () => this.#scaling.stop(),
      () => this.#lines.close(),
    );
    const { clock, log } = this.context;
    const server = new HttpServer({
      ...{ hostname, port, clock, log, handshakes: await this.#openTls(settings) },
      handle: (request, remote) => this.#handle(request, remote),
    });
    this.listensOn(formatAddress(await server.listen()));
    this.#server = server;
    this.onStop(CLOSE_TIMEOUT_MS, () => server.close());
    this.onStop(0, () => this.#clock.stop());
    await this.#clock.start();
    this.#watch.start();
    this.onStop(0, () => this.#live.close(), () => this.#watch.stop());
    await this.#reader.start();
    this.#reader.onReading(() => this.#live.wake());
    await this.#alerts.start();
    await this.#scaling.start();
    await this.#welcome();
  }

  stats(): Record<string, number | string> {
    const { view } = this.#reader.model;
    const { done, refused, limited } = this.#access.loginCounts;
    return {
      requests: this.#requests.total(),
      connections: this.#server?.stats.open ?? 0,
      connections_refused: this.#server?.stats.refused ?? 0,
      connections_evicted: this.#server?.stats.evicted ?? 0,
      connections_timed_out: this.#server?.stats.timedOut ?? 0,
      request_faults: this.#requests.total((code) => code >= 500),
      live_clients: this.#live.clientCount,
      live_bytes: this.#live.sentBytes,
      modules: view.modules.length,
      nodes: view.nodeCount,
      logins_done: done,
      logins_refused: refused,
      logins_braked: limited,
      ...this.#alerts.stats(),
      ...this.#scaling.stats(),
      clock_ahead_seconds: this.#clock.aheadMs / 1000,
      database_up: Number(this.#reader.fault === undefined),
    };
  }

  #makeReader(watch: AgentWatch): SystemReader {
    const { log } = this.context;
    const watchedAgents = () => watch.services;
    return new SystemReader({ store: this.#store, clock: this.#clock, log, watchedAgents });
  }

  /** Who reads and edits leases, and who asks a discovery for registrations. */
  #leaseParts(): LeaseHandlerParts {
    const { rng, software, secrets, transport } = this.context;
    const addresses = this.#options.dnsAddresses ?? [];
    const about = { store: this.#store, clock: this.#clock, software, secrets, transport };
    const registrar = new LeaseClient({ ...about, rng });
    this.onStop(CLOSE_TIMEOUT_MS, () => registrar.close());
    const isOut = (node: NodeKey): boolean => isKeptOut(this.#reader, node);
    return { leases: new LeaseAdmin({ ...about, addresses }, isOut), registrar };
  }

  #makeRelays(settings: WebSettings): RelayWatch {
    const { rng, software, secrets, transport } = this.context;
    const relays = new RelayWatch({
      ...{ addresses: relayAddresses(settings.relays), store: this.#store, clock: this.#clock },
      ...{ rng, software, secrets, transport },
      // By default it looks where a relay would be, which need not be there.
      areExpected: settings.relays !== DEFAULT_RELAYS,
    });
    this.onStop(CLOSE_TIMEOUT_MS, () => relays.close());
    return relays;
  }

  #makeDrivers(settings: WebSettings): ScaleDrivers {
    const { clock, software } = this.context;
    const command = commandWords(settings.scaleCommand);
    const surroundings = (): Surroundings => this.#surroundings(settings);
    return new ScaleDrivers({
      ...{ clock, software, surroundings, command, store: this.#store.console },
    });
  }

  #makeSender(settings: WebSettings): WebhookSender {
    const { clock, software } = this.context;
    return new WebhookSender({
      ...{ clock, software, makeId: randomUUID },
      consoleUrl: () =>
        settings.url.replace(/\/+$/, "") || `${this.#scheme}://${this.addresses[0] ?? ""}`,
      surroundings: () => this.#surroundings(settings),
    });
  }

  /** Where webhooks must not reach, unless it is allowed by name. */
  #surroundings({ webhookAllow }: WebSettings): Surroundings {
    const { agent, dns, reporter } = DEFAULT_PORTS;
    const own = [...this.addresses, ...this.#reader.model.view.services.map((one) => one.address)];
    const fixed = [dns, reporter, agent, agent + 1, agent + 2];
    return {
      allowed: hostNameList(webhookAllow),
      ownAddresses: new Set(own),
      ownPorts: new Set([
        ...fixed,
        ...Object.values(METRICS_PORTS),
        ...this.addresses.map((address) => parseAddress(address).port),
      ]),
      ownIps: runtime.networkAddresses(),
    };
  }

  readiness(): string | undefined {
    return this.#reader.fault === undefined ? undefined : "the database does not answer";
  }

  override metrics(): Metric[] {
    return [...this.#requests.metrics(), ...consoleModuleMetrics(this.#reader.model.view)];
  }

  /** Every key needs a restart, as the address is bound and names are few; files do not. */
  async reload(): Promise<void> {
    await this.#pair?.read();
  }

  /** @returns what handshakes with browsers are made by; undefined: there are none. */
  async #openTls(
    { isSecret, webCert, webKey }: WebSettings,
  ): Promise<(() => HandshakeServers) | undefined> {
    if (!isSecret) return undefined;
    const { clock, log, tls } = this.context;
    const { HandshakeServers } = await import("../session/tls/handshake_servers.ts");
    const renew = (): void => void (servers = new HandshakeServers(shown()));
    let shown: () => ShownPair;
    if (webCert !== "") {
      const { openPair } = await import("../daemon/tls_files.ts");
      const paths = { section: "[web]", certPath: webCert, keyPath: webKey };
      const pair = this.#pair = await openPair({ ...paths, clock, log, onChange: renew });
      this.onStop(0, () => pair.close());
      shown = () => pair.pair;
    } else if (tls !== undefined) {
      // Without its roots: browsers are asked for no certificate.
      shown = () => ({ cert: tls.material.cert, key: tls.material.key });
      this.onStop(0, tls.onChange(renew));
    } else {
      throw new ConfigError("[web] tls needs a certificate: set [web] cert, or [tls] cert and ca");
    }
    let servers = new HandshakeServers(shown());
    return () => servers;
  }

  override async stop(): Promise<void> {
    this.#stopped = true;
    await super.stop();
  }

  async #handle(request: Request, remote: Address): Promise<Response> {
    const { clock } = this.context;
    const askedAtMs = clock.nowMs();
    const address = clientAddress(remote.hostname, request.headers, this.#proxies);
    const response = await this.#site.handle(request, address);
    const { pathname } = new URL(request.url);
    // Pages tell ages by it.
    response.headers.set("Date", new Date(clock.wallMs()).toUTCString());
    this.#requests.note(pathname, response.status, clock.nowMs() - askedAtMs);
    return response;
  }

  /** Tried again while the database is away, so that a console that starts first is no problem. */
  async #welcome(): Promise<void> {
    const { clock, log } = this.context;
    if (this.#stopped) return;
    try {
      await this.#makeFirstAdmin();
    } catch (error) {
      if (!this.#isWarned) {
        log.warn("Nobody can log in yet: users cannot be read; trying again every second", {
          error: messageOf(error),
        });
      }
      this.#isWarned = true;
      clock.setTimer(FIRST_ADMIN_RETRY_MS, () => void this.#welcome());
    }
  }

  /** Who cannot be told the first password here is told how to get another. */
  #print(text: string): void {
    const fault = runtime.writeStdout(text);
    if (fault === undefined) return;
    const option = storeOption(this.#store.label, process.cwd());
    this.context.log.error("Standard output cannot say how to log in", {
      reason: fault.reason,
      remedy: `lars user reset admin ${option}`,
    });
  }

  async #makeFirstAdmin(): Promise<void> {
    const announce = this.#options.announce ?? ((text: string) => this.#print(text));
    const byLink = this.#options.withLink === true;
    const password = await this.#access.makeFirstAdmin(byLink);
    if (password !== undefined) {
      await this.#alerts.addDefaultRules();
      if (!byLink) {
        announce(
          `First start: log in as admin with the one-time password ${password}\n` +
            "(shown this once; it must be changed at the first login)\n",
        );
      }
    }
    if (!byLink) return;
    const link = await this.#access.makeLink();
    const [address] = this.addresses;
    if (link !== undefined) announce(`${this.#scheme}://${address}/#once=${link}`);
  }
}

/** True when all callers that report keep a node out. */
function isKeptOut({ model }: SystemReader, { modId, cmdId, ip, port }: NodeKey): boolean {
  const name = formatIpv4(ip);
  return model.module(modId, cmdId)?.nodes
    .some((node) => node.ip === name && node.port === port && node.health === "overload") ?? false;
}

/**
 * Starts a console.
 *
 * @throws {ConfigError} when it would listen beyond loopback without authentication.
 * @throws {BindError} when the port is taken.
 */
export function startWeb(
  settings: WebSettings,
  context: DaemonContext,
  options: WebOptions = {},
): Promise<WebService> {
  const open = (url: string): Promise<Store> => openStore(url, { log: context.log });
  return startService(
    settings,
    open,
    (store) => new WebService(settings, context, store, options),
  );
}

/** The console. */
export const webDaemon: DaemonDefinition<typeof webSettings> = {
  name: "web",
  summary: "The console: a REST interface and pages for routes, status, history and alerts.",
  settings: webSettings,
  monitor: {
    port: METRICS_PORTS.web,
    loadTable: async () => (await import("./metrics.ts")).webMetrics,
  },
  start: (settings, context) => startWeb(settings, context),
};
