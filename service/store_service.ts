// Shell. What every service over the database shares: opening, loops, signs of life, stopping in order.

import type { DaemonContext } from "../daemon/daemon.ts";
import type { Metric } from "../daemon/monitor/metrics_text.ts";
import { reachableAddress } from "../daemon/reachable_address.ts";
import {
  type authSettings,
  type ReactorSettings,
  requireSafeListen,
  type storeSettings,
  storeUrl,
} from "../daemon/settings/common_settings.ts";
import type { SettingsOf } from "../daemon/settings/settings.ts";
import { onTrustChange, trustOf } from "../session/peer_trust.ts";
import { LEAVE_GRACE_MS, LEAVE_SPREAD_MS_MAX } from "../session/server_sessions.ts";
import type { SessionServerInit } from "../session/session_server.ts";
import { formatAddress } from "../reactor/address.ts";
import { messageOf } from "../reactor/errors.ts";
import { LOOP_STOP_MS } from "../reactor/loops/loop_pool.ts";
import type { ServiceInstance, Store } from "../sql/store.ts";
import { HEARTBEAT_STOP_MS, InstanceHeartbeat } from "./instance_heartbeat.ts";
import {
  type LoopGroup,
  type LoopListener,
  type LoopMaker,
  type LoopStats,
  startLoops,
} from "./loops/loop_group.ts";
import { endsWithin, StoreHealth } from "./store_health.ts";

/** What {@linkcode startService} reads of the settings of a service. */
export type StoreServiceSettings =
  & SettingsOf<typeof storeSettings>
  & SettingsOf<typeof authSettings>
  & { readonly listenIp: string };

/** One step of a stop: what may end at the same time. */
interface StopStep {
  readonly limitMs: number;
  readonly stops: readonly (() => unknown)[];
}

/**
 * A `RunningService` over the database. It notes with {@linkcode onStop} how to undo each part that
 * it starts, and {@linkcode stop} does so, the last part first.
 */
export abstract class StoreService<Settings> {
  abstract readonly name: string;
  readonly #steps: StopStep[] = [];
  #address = "";

  constructor(protected readonly context: DaemonContext) {}

  get addresses(): readonly string[] {
    return this.#address === "" ? [] : [this.#address];
  }

  /** Starts every part; what it throws has {@linkcode stop} called. */
  abstract start(settings: Settings): Promise<void>;
  abstract stats(): Record<string, number | string>;
  abstract readiness(): string | undefined;
  abstract reload(settings: Settings): void;

  metrics(): Metric[] {
    return [];
  }

  /** Undoes what has been started. A part that is late or fails holds up none of the others. */
  async stop(): Promise<void> {
    const { clock, log } = this.context;
    for (const { limitMs, stops } of this.#steps.splice(0).reverse()) {
      const step = Promise.all(stops.map(async (stop) => {
        try {
          await stop();
        } catch (error) {
          log.warn("Part of the service failed to stop", { error: messageOf(error) });
        }
      }));
      if (!await endsWithin(clock, limitMs, step)) {
        log.debug("Part of the service did not stop in time", { limitMs });
      }
    }
  }

  /** The service listens now: at `host:port`, with the real port. */
  protected listensOn(address: string): void {
    this.#address = address;
  }

  /**
   * Notes how to undo what has just been started, before what was noted earlier; `stops` of one call
   * run at the same time.
   *
   * @param limitMs Time that a stop waits for them. What takes longer goes on alone.
   */
  protected onStop(limitMs: number, ...stops: readonly (() => unknown)[]): void {
    this.#steps.push({ limitMs, stops });
  }
}

/** How the loops of one kind are made and heard. */
export interface ServerLoops<Init, Task, Note> extends Omit<LoopListener<Note>, "onFailed"> {
  readonly make: LoopMaker<Init, Task, Note>;
  /** File of the worker. */
  readonly entry: URL;
  /** What a loop is given besides {@linkcode SessionServerInit}. */
  readonly init: Omit<Init, keyof SessionServerInit>;
  /** Time that a stop gives them to hand over what they have read. @default {LOOP_STOP_MS} */
  readonly closeMs?: number;
  /** Stops what may end while they close. */
  whileClosing?(): unknown;
}

/** A {@linkcode StoreService} that takes connections in loops and is on the list of instances. */
export abstract class LoopService<
  Settings extends SettingsOf<ReactorSettings> & SettingsOf<typeof authSettings>,
  Init extends SessionServerInit,
  Task,
  Note,
> extends StoreService<Settings> {
  protected readonly health: StoreHealth;
  /** None before {@linkcode startLoops}. */
  protected loops: LoopGroup<Task> | undefined;
  #heartbeat: InstanceHeartbeat | undefined;
  #loopErrorCount = 0;

  /** `meanwhile`: what it does while the database is away, for the log: "serving from memory". */
  constructor(context: DaemonContext, protected readonly store: Store, meanwhile: string) {
    super(context);
    const { clock, log } = context;
    this.health = new StoreHealth({ clock, log, label: store.label, meanwhile });
  }

  get leaveMsMax(): number {
    return LEAVE_SPREAD_MS_MAX + LEAVE_GRACE_MS;
  }

  /** Counters of all loops together. */
  protected loopStats(): LoopStats {
    return this.loops?.stats() ?? {};
  }

  /** Errors that loops have reported. */
  protected get loopErrorCount(): number {
    return this.#loopErrorCount;
  }

  /** Starts the loops; they accept connections from {@linkcode listen} on. */
  protected async startLoops(
    settings: Settings,
    { make, entry, init, closeMs = LOOP_STOP_MS, whileClosing, ...listener }: ServerLoops<
      Init,
      Task,
      Note
    >,
  ): Promise<void> {
    this.onStop(
      Math.max(closeMs, HEARTBEAT_STOP_MS),
      () => this.loops?.close(closeMs),
      () => this.#heartbeat?.stop(),
      () => whileClosing?.(),
    );
    const { clock, log, software, sockets } = this.context;
    const { loopCount: count, listenIp: hostname, connectionsPerHostMax } = settings;
    const { addressTranslation: translated } = settings;
    const connectionsMax = Math.ceil(settings.connectionsMax / count);
    const own: SessionServerInit = {
      ...{ hostname, connectionsMax, connectionsPerHostMax, software, translated },
      loopCount: count,
      ...trustOf(this.context),
    };
    this.loops = await startLoops({
      count,
      make,
      entry,
      init: { ...own, ...init } as unknown as Init,
      listener: { ...listener, onFailed: () => void this.#loopErrorCount++ },
      clock,
      log,
      sockets,
    });
    this.onStop(0, onTrustChange(this.context, (trust) => this.loops?.setTrust(trust)));
  }

  /**
   * Accepts connections in every loop.
   *
   * @returns the address by which others reach this service.
   * @throws {BindError} when the port is taken.
   */
  protected async listen(port: number): Promise<string> {
    if (this.loops === undefined) throw new Error("Loops must be started before they listen");
    this.listensOn(formatAddress(await this.loops.listen(port)));
    return reachableAddress(this.addresses[0]);
  }

  /** Keeps this service on the list of instances; `detail` is read at each sign of life. */
  protected signIn(
    kind: ServiceInstance["kind"],
    address: string,
    detail: () => ServiceInstance["detail"],
  ): void {
    const { clock, log, software } = this.context;
    const about = { kind, address, software, detail };
    // Before anything else of a stop: whoever goes elsewhere meanwhile is served as ever.
    this.onStop(this.leaveMsMax, () => this.loops?.leave());
    this.#heartbeat = new InstanceHeartbeat({ store: this.store, clock, log, ...about });
    this.#heartbeat.start();
  }
}

/**
 * Starts a service over the database. When that fails, whatever has started is stopped again.
 *
 * @param open Opens the store, or several; they are the service's from then on.
 * @throws {ConfigError} when it would listen beyond loopback without authentication.
 * @throws {BindError} when the port is taken.
 */
export async function startService<
  Settings extends StoreServiceSettings,
  Stores,
  Service extends StoreService<Settings>,
>(
  settings: Settings,
  open: (url: string) => Promise<Stores>,
  make: (stores: Stores) => Service,
): Promise<Service> {
  requireSafeListen(settings.listenIp, settings);
  const service = make(await open(storeUrl(settings)));
  try {
    await service.start(settings);
  } catch (error) {
    await service.stop();
    throw error;
  }
  return service;
}
