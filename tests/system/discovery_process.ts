// Shell. A discovery of a simulation: its table, guard, registry and sessions, as shipped.

import { DiscoveryListener } from "../../discovery/discovery_listener.ts";
import { HearingTime } from "../../discovery/hearing_time.ts";
import { newHolder, newIncarnation } from "../../discovery/incarnation.ts";
import { LeaseRegistry } from "../../discovery/lease_registry.ts";
import { LeaseSessions } from "../../discovery/lease_sessions.ts";
import { LeaseTable } from "../../discovery/lease_table.ts";
import { LossGuard } from "../../discovery/loss_guard.ts";
import { ModuleFinder } from "../../discovery/module_finder.ts";
import { SafeStops } from "../../discovery/safe_stops.ts";
import { DEFAULT_PORTS } from "../../proto/message_ids.ts";
import type { Address } from "../../reactor/address.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import { StoreHealth } from "../../service/store_health.ts";
import { type ProcessParts, SIM_SOFTWARE, SimProcess, type SimWorld } from "./sim_process.ts";

/** Bugs that can be planted into its glue. */
export interface DiscoveryBugs {
  /** Its time goes on while it stands still. */
  readonly feelsNoStall?: boolean;
}

/** Time that does not know that nobody could be heard in it. */
class BlindTime extends HearingTime {
  readonly #clock: Clock;

  constructor(clock: Clock) {
    super(clock);
    this.#clock = clock;
  }

  override nowMs(): number {
    return this.#clock.nowMs();
  }

  override get isSettling(): boolean {
    return false;
  }
}

/** The parts of discovery/, put together as its service does, but for what connects to nodes. */
export class DiscoveryProcess extends SimProcess {
  bugs: DiscoveryBugs = {};

  constructor(world: SimWorld, name: string, host: string, readonly dns: readonly Address[]) {
    super(world, name, host);
  }

  protected begin({ clock, store, rng, log, transport }: ProcessParts): void {
    const holder = newHolder(rng);
    const time = this.bugs.feelsNoStall === true ? new BlindTime(clock) : new HearingTime(clock);
    const guard = new LossGuard();
    const table = new LeaseTable({ time, guard, holder });
    const registry = new LeaseRegistry({
      ...{ store: store.asStore, table, time, clock, rng, log, holder, guards: [guard] },
      notify: {
        ...{ store: store.asStore, clock, software: SIM_SOFTWARE, secrets: undefined, transport },
        addresses: this.dns,
      },
      health: new StoreHealth({ clock, log, label: "sim", meanwhile: "answering from memory" }),
      address: () => `${this.host}:${DEFAULT_PORTS.discovery}`,
      ...{ watched: [], onRoutes: () => {}, pollMs: 1000 },
    });
    const sessions = new LeaseSessions({
      ...{ registry, table, holder, clock, log, makesModules: false, checksNodes: false },
      modules: new ModuleFinder(store.asStore, clock),
      stops: new SafeStops({ use: () => Promise.reject(new Error("nobody is asked here")) }, clock),
      newIncarnation: () => newIncarnation(clock, rng),
    });
    const listener = new DiscoveryListener({
      init: {
        hostname: this.host,
        connectionsMax: 1000,
        software: SIM_SOFTWARE,
        secrets: undefined,
      },
      ...{ clock, log, sockets: this.world.network.server },
      addTo: (router) => sessions.addTo(router),
      onClose: (peer) => sessions.closed(peer),
      onGoodbye: (peer) => sessions.saidGoodbye(peer),
    });
    registry.start();
    void listener.listen(DEFAULT_PORTS.discovery);
  }
}
