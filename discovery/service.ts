// Shell. The discovery service: leases of nodes that register themselves, on one port or several.

import { NodeUseService } from "../control/drain/node_use_service.ts";
import { DnsLines } from "../control/system/dns_lines.ts";
import type { DaemonContext, DaemonDefinition } from "../daemon/daemon.ts";
import { reachableAddress } from "../daemon/reachable_address.ts";
import { METRICS_PORTS, requireSafeListen } from "../daemon/settings/common_settings.ts";
import type { SettingsOf } from "../daemon/settings/settings.ts";
import { type ModuleKey, moduleText } from "../model/module.ts";
import { type Address, formatAddress } from "../reactor/address.ts";
import { messageOf } from "../reactor/errors.ts";
import { LogRateLimiter } from "../reactor/log.ts";
import { onTrustChange, trustOf } from "../session/peer_trust.ts";
import { HEARTBEAT_STOP_MS, InstanceHeartbeat } from "../service/instance_heartbeat.ts";
import { StoreHealth } from "../service/store_health.ts";
import { startService, StoreService } from "../service/store_service.ts";
import { openStore, type Store } from "../sql/mod.ts";
import { discoverySettings, parseListeners, parseModulePair } from "./config.ts";
import { DiscoveryListener } from "./discovery_listener.ts";
import { HearingTime } from "./hearing_time.ts";
import { newHolder, newIncarnation } from "./incarnation.ts";
import { LeaseRegistry } from "./lease_registry.ts";
import { LeaseSessions } from "./lease_sessions.ts";
import { LeaseTable } from "./lease_table.ts";
import { LOSS_GUARD_DEFAULTS, LossGuard, type LossGuardSettings } from "./loss_guard.ts";
import { ModuleFinder } from "./module_finder.ts";
import { NodeChecks } from "./node_checks.ts";
import { SafeStops } from "./safe_stops.ts";
import { LossProber } from "./loss_prober.ts";
import { SeedRegistrar } from "./seed_registrar.ts";

/** Time that a stop waits for the database to close. */
const STORE_CLOSE_MS = 200;
/** Time that a stop waits for what is being written. */
const REGISTRY_STOP_MS = 800;
/** Time that a stop waits for connections to end. */
const LISTENER_STOP_MS = 400;

type DiscoverySettings = SettingsOf<typeof discoverySettings>;

interface Port {
  readonly address: Address;
  readonly module: ModuleKey;
  readonly registrar: SeedRegistrar;
  readonly listener: DiscoveryListener;
}

class DiscoveryService extends StoreService<DiscoverySettings> {
  readonly name = "discovery";
  readonly #store: Store;
  readonly #health: StoreHealth;
  readonly #table: LeaseTable;
  readonly #guard: LossGuard;
  /** Of nodes that fail checks: what is lost is one thing, what does not answer another. */
  readonly #checkGuard: LossGuard;
  readonly #checks: NodeChecks;
  readonly #registry: LeaseRegistry;
  readonly #sessions: LeaseSessions;
  readonly #ports: readonly Port[];
  readonly #addresses: string[] = [];
  readonly #limiter: LogRateLimiter;
  #seedTtlMs: number;

  constructor(settings: DiscoverySettings, context: DaemonContext, store: Store) {
    super(context);
    const { clock, rng, log, software, secrets, transport } = context;
    this.onStop(STORE_CLOSE_MS, () => store.close());
    this.#store = store;
    this.#seedTtlMs = settings.seedTtlMs;
    this.#limiter = new LogRateLimiter(clock);
    const meanwhile = "answering from memory, and no lease ends";
    this.#health = new StoreHealth({ clock, log, label: store.label, meanwhile });
    const holder = newHolder(rng);
    const time = new HearingTime(clock);
    this.#guard = new LossGuard(guardOf(settings));
    this.#checkGuard = new LossGuard(guardOf(settings));
    const guards = { guard: this.#guard, checkGuard: this.#checkGuard };
    this.#table = new LeaseTable({ time, ...guards, holder });
    const wanted = [
      {
        address: { hostname: settings.listenIp, port: settings.listenPort },
        module: parseModulePair(settings.module, "module"),
      },
      ...parseListeners(settings.listeners),
    ];
    for (const { address } of wanted) requireSafeListen(address.hostname, settings);
    const notify = { store, clock, software, secrets, transport, addresses: [] };
    this.#registry = new LeaseRegistry({
      ...{ store, notify, table: this.#table, time, clock, rng, log, holder },
      guards: [this.#guard, this.#checkGuard],
      health: this.#health,
      address: () => reachableAddress(this.#addresses[0] ?? "127.0.0.1:0"),
      watched: settings.isSeedServed ? wanted.map(({ module }) => module) : [],
      onRoutes: (module, routes) => {
        for (const port of this.#ports) {
          if (moduleText(port.module) === moduleText(module)) port.registrar.onRoutes(routes);
        }
      },
      pollMs: settings.pollMs,
    });
    const lines = new DnsLines({ ...notify, rng });
    this.onStop(0, () => lines.close());
    const stops = new SafeStops(new NodeUseService({ store, clock, lines }), clock);
    this.#sessions = new LeaseSessions({
      ...{ registry: this.#registry, table: this.#table, holder, stops, clock, log },
      modules: new ModuleFinder(store, clock),
      makesModules: settings.makesModules,
      checksNodes: settings.checksNodes,
      newIncarnation: () => newIncarnation(clock, rng),
    });
    this.#checks = new NodeChecks({
      ...{ clock, rng, time, table: this.#table, guard: this.#checkGuard, holder },
      looks: settings.checksNodes,
      ask: (wish) => this.#registry.ask(wish),
      onFault: (error) => this.#tellFault("check", error),
    });
    this.#ports = wanted.map((port) => this.#makePort(port, holder, settings));
  }

  override get addresses(): readonly string[] {
    return this.#addresses;
  }

  async start(): Promise<void> {
    const { clock, log, software } = this.context;
    this.#registry.start();
    this.onStop(REGISTRY_STOP_MS, () => this.#registry.stop());
    for (const { listener, address } of this.#ports) {
      const bound = await listener.listen(address.port);
      this.onStop(LISTENER_STOP_MS, () => listener.close());
      this.#addresses.push(formatAddress(bound));
    }
    const prober = new LossProber({ clock, table: this.#table, guard: this.#guard });
    prober.start();
    this.#checks.start();
    this.onStop(0, () => prober.stop(), () => this.#checks.stop());
    this.onStop(
      0,
      onTrustChange(this.context, (trust) => {
        for (const { listener } of this.#ports) listener.setTrust(trust);
      }),
    );
    const heartbeat = new InstanceHeartbeat({
      ...{ store: this.#store, clock, log, software, kind: "discovery" },
      address: reachableAddress(this.#addresses[0]),
      detail: () => ({ leases: this.#table.count, connections: this.stats().connections ?? 0 }),
    });
    heartbeat.start();
    this.onStop(HEARTBEAT_STOP_MS, () => heartbeat.stop());
  }

  stats(): Record<string, number | string> {
    const sums: Record<string, number> = {};
    for (const { listener } of this.#ports) {
      for (const [name, value] of Object.entries(listener.stats())) {
        sums[name] = (sums[name] ?? 0) + value;
      }
      sums.seed_servers = (sums.seed_servers ?? 0) + listener.seedServers.count;
    }
    const checks = { nodes_checked: this.#checks.count };
    return { ...sums, ...checks, ...this.#registry.stats(), ...this.#health.stats() };
  }

  readiness(): string | undefined {
    if (!this.#registry.loaded) return "the leases have not been read yet";
    return this.#health.up ? undefined : "the database takes no leases";
  }

  reload(settings: DiscoverySettings): void {
    this.#seedTtlMs = settings.seedTtlMs;
    for (const guard of [this.#guard, this.#checkGuard]) guard.setSettings(guardOf(settings));
  }

  #makePort(
    { address, module }: { address: Address; module: ModuleKey },
    holder: number,
    settings: DiscoverySettings,
  ): Port {
    const { clock, rng, log, software } = this.context;
    const registrar = new SeedRegistrar({
      ...{ module, table: this.#table, holder },
      ttlMs: () => this.#seedTtlMs,
      newIncarnation: () => newIncarnation(clock, rng),
      ask: (wish) => this.#registry.ask(wish),
      onFault: (error) => this.#tellFault("registration that was answered", error),
    });
    const { connectionsMax, connectionsPerHostMax, addressTranslation: translated } = settings;
    const listener = new DiscoveryListener({
      init: {
        ...{ hostname: address.hostname, connectionsMax, connectionsPerHostMax, software },
        ...{ translated, ...trustOf(this.context) },
      },
      ...{ clock, log, seedIsOpen: settings.isSeedOpen },
      ...(settings.isSeedServed ? { seed: seedOf(registrar, settings.seedConnectionAgeMs) } : {}),
      addTo: (router) => this.#sessions.addTo(router),
      onClose: (peer) => this.#sessions.closed(peer),
      onGoodbye: (peer) => this.#sessions.saidGoodbye(peer),
    });
    registrar.serve(listener.seedServers);
    return { address, module, registrar, listener };
  }

  #tellFault(what: string, error: unknown): void {
    const held = this.#limiter.admit(what);
    if (held === undefined) return;
    const fields = { error: messageOf(error), ...held };
    this.context.log.error(`A ${what} could not be written`, fields);
  }
}

function seedOf(
  registrar: SeedRegistrar,
  connectionAgeMs: number,
): NonNullable<ConstructorParameters<typeof DiscoveryListener>[0]["seed"]> {
  return {
    connectionAgeMs,
    onRegister: (node, peer) => registrar.onRegister(node, peer),
    onUnregister: (node) => registrar.onUnregister(node),
    onHeart: (node) => registrar.onHeart(node),
  };
}

function guardOf({ guardModuleShare, guardTotalShare }: DiscoverySettings): LossGuardSettings {
  return { ...LOSS_GUARD_DEFAULTS, moduleShare: guardModuleShare, totalShare: guardTotalShare };
}

/** The service in which nodes register themselves. */
export const discoveryDaemon: DaemonDefinition<typeof discoverySettings> = {
  name: "discovery",
  summary: "Takes in nodes that register themselves, and the protocol of seed programs.",
  settings: discoverySettings,
  monitor: {
    port: METRICS_PORTS.discovery,
    loadTable: async () => (await import("./metrics.ts")).discoveryMetrics,
  },
  start: (settings, context) =>
    startService(
      settings,
      (url) => openStore(url, { log: context.log, connectionsMax: 3 }),
      (store) => new DiscoveryService(settings, context, store),
    ),
};
