// Shell. A dns of a simulation: all of dns/ that decides, as shipped, with its file on a disk of memory.

import { RouteFrameCache, type RouteFrames } from "../../dns/route_frames.ts";
import { RouteLoop, type RouteNote } from "../../dns/route_loop.ts";
import { type KeptModule, RouteTable } from "../../dns/route_table.ts";
import { type PollerMemory, VersionPoller } from "../../dns/version_poller.ts";
import { Publisher, SUBSCRIPTIONS_MAX, SUBSCRIPTIONS_PER_PEER_MAX } from "../../feed/publisher.ts";
import { DEFAULT_PORTS } from "../../proto/message_ids.ts";
import type { Timer } from "../../reactor/time/clock.ts";
import { StoreHealth } from "../../service/store_health.ts";
import { type ProcessParts, SIM_SOFTWARE, SimProcess } from "./sim_process.ts";

/** From a change to the writing of the file. */
const FILE_DELAY_MS = 5_000;

/** What is on its disk. */
interface KeptRoutes {
  readonly memory: PollerMemory;
  readonly modules: readonly KeptModule[];
}

/** Bugs that can be planted into its glue. */
export interface DnsBugs {
  /** It remembers nothing over a restart. */
  readonly dnsForgets?: boolean;
  /** Words of writers are not heard, and no look is taken after the first. */
  readonly dnsLooksOnce?: boolean;
}

/** The parts of dns/, put together as its service does. */
export class DnsProcess extends SimProcess {
  bugs: DnsBugs = {};
  #disk: KeptRoutes | undefined;
  #poller: VersionPoller | undefined;

  /** The server of the database that it reads from. */
  get storeServer(): number {
    return this.parts.store.server;
  }

  protected begin({ clock, store, rng, log }: ProcessParts): void {
    const table = new RouteTable(clock.wallMs());
    const kept = this.bugs.dnsForgets === true ? undefined : this.#disk;
    if (kept !== undefined) table.restore(kept.modules, kept.memory.plan);
    const cache = new RouteFrameCache(table);
    const publisher = new Publisher<number, RouteFrames>(
      { frames: (modId, cmdId) => table.loaded ? cache.get(modId, cmdId) : undefined },
      { send: (_, frames, modId, cmdId) => loop.onTask({ type: "frames", modId, cmdId, frames }) },
      { perPeerMax: Infinity, totalMax: Infinity },
    );
    const loop = new RouteLoop({
      ...{ hostname: this.host, connectionsMax: 1000, software: SIM_SOFTWARE, secrets: undefined },
      subscriptionsMax: SUBSCRIPTIONS_PER_PEER_MAX,
      subscriptionsTotalMax: SUBSCRIPTIONS_MAX,
    }, {
      ...{ clock, log, sockets: this.world.network.server },
      note: (note) => this.#take(note, publisher, poller),
    });
    let fileTimer: Timer | undefined;
    const changed = (): void => {
      fileTimer ??= clock.setTimer(FILE_DELAY_MS, () => {
        fileTimer = undefined;
        const { memory } = poller;
        if (memory !== undefined) this.#disk = { memory, modules: [...table.kept()] };
      });
    };
    const poller = new VersionPoller({
      ...{ store: store.asStore, table, clock, rng, log },
      health: new StoreHealth({ clock, log, label: "sim", meanwhile: "serving from memory" }),
      ...{ pollIntervalMs: this.bugs.dnsLooksOnce === true ? 1e9 : 1000, reloadIntervalMs: 10_000 },
      ...(kept === undefined ? {} : { earlier: kept.memory }),
      onPlan: (plan) => {
        changed();
        loop.onTask({ type: "plan", plan });
      },
      onLoaded: () => publisher.publishEach(publisher.modules()),
      onChanged: (some) => {
        changed();
        return publisher.publishEach(some);
      },
      onSetBack: changed,
    });
    this.#poller = poller;
    loop.onTask({ type: "plan", plan: table.plan });
    void loop.listen(DEFAULT_PORTS.dns, false);
    poller.start();
  }

  protected override ended(): void {
    this.#poller?.stop();
  }

  #take(note: RouteNote, publisher: Publisher<number, RouteFrames>, poller: VersionPoller): void {
    if (note.type === "want") publisher.subscribe(0, note.modId, note.cmdId);
    else if (note.type === "drop") publisher.unsubscribe(0, note.keys);
    else if (note.type === "routesChanged" && this.bugs.dnsLooksOnce !== true) {
      poller.modulesChanged(note.keys);
    }
  }
}
