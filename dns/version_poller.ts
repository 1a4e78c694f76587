// Shell. Keeps the route table equal to the database: looks for changes, reads, compares, tells.

import { StoreError } from "../reactor/errors.ts";
import { type Clock, sleep, type Timer } from "../reactor/time/clock.ts";
import type { Logger } from "../reactor/log.ts";
import type { Rng } from "../reactor/time/rng.ts";
import { runSliced } from "../reactor/time/run_sliced.ts";
import type { RouteMark, RouteReadOptions, SeenChange, Store } from "../sql/store.ts";
import type { StoreHealth } from "../service/store_health.ts";
import { type ModuleId, moduleId, type ModuleKey, UINT32_MAX } from "../model/module.ts";
import type { DatabaseState } from "../model/database_state.ts";
import { RouteSnapshotBuilder } from "./route_snapshot.ts";
import type { InstallResult, ModuleExtras, RouteExtras, RouteTable } from "./route_table.ts";

/** Changed modules that are read one by one; with more, only everything is read. */
export const CHANGED_MODULES_MAX = 5_000;

/** Modules in one query. */
const MODULES_PER_READ = 500;

/** Most rows in one page of a full read; where reading holds the event loop the store takes fewer. */
const PAGE_ROWS = 1_000;

/** Shortest time between two reads of named modules: at most 50 a second. */
export const MODULE_READ_GAP_MS = 20;

/** First and longest pause after a failed look; the pause doubles in between, with jitter. */
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 1_000;

/** Without a look that went well for so long, and for one pause between two looks, dns is behind. */
export const BEHIND_MS = 10_000;

/** A full read starts no sooner than this many times the duration of the last one after it. */
const RELOAD_REST_FACTOR = 2;

/** What {@linkcode VersionPoller} is given. */
export interface VersionPollerOptions {
  readonly store: Pick<
    Store,
    | "routeMark"
    | "changedModules"
    | "readRoutes"
    | "readModules"
    | "moduleRows"
  >;
  readonly table: RouteTable;
  readonly health: StoreHealth;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  /** Milliseconds between two looks at the version. */
  readonly pollIntervalMs: number;
  /** Milliseconds between two full reads without a reason; 0 = only when the version changed. */
  readonly reloadIntervalMs: number;
  /** What an earlier run had read, if the table holds it. @default nothing */
  readonly earlier?: PollerMemory;
  /** All of the table is as new as this, and what has changed has been told. */
  onPlan?(plan: DatabaseState | undefined): void;
  /** The table is loaded for the first time. Runs in slices. */
  onLoaded(): Generator<void, void>;
  /** These modules have changed in the table. Runs in slices. */
  onChanged(changed: readonly ModuleKey[]): Generator<void, void>;
  /** `memory` says now that the database was set back, or no longer. */
  onSetBack?(): void;
}

/** What is remembered of a database over a restart, so that none that is older is taken for it. */
export interface PollerMemory {
  /** All of the table is as new as this. */
  readonly plan: DatabaseState;
  /** The highest that a server of the database has shown. */
  readonly highest: DatabaseState;
  readonly seen: SeenChange | undefined;
}

/** From which state something was read, and its newest change. */
interface ReadState {
  readonly plan: DatabaseState;
  readonly newest: SeenChange | undefined;
}

/** Counters of {@linkcode VersionPoller}. */
interface PollerCounters {
  polls: number;
  reloads: number;
  moduleReads: number;
  changedModules: number;
  reloadMs: number;
  /** Nodes lost in full reads, and the largest share lost in one, in percent. */
  nodesLost: number;
  shrinkPercentMax: number;
}

/**
 * Reads the routes and follows their changes.
 *
 * A change row or a word of the writer is only a hint which modules to read first; what is pushed
 * is the difference between the table and what was read. A mark counts as seen only when what it
 * announced has been read, and it is taken before the reading, so that a failed read and a change
 * during the read are both found by the next look. Rows of RouteChange are never deleted here:
 * every dns has its own position among them.
 */
export class VersionPoller {
  readonly #options: VersionPollerOptions;
  readonly #pending = new Map<ModuleId, ModuleKey>();
  readonly #counters: PollerCounters = {
    polls: 0,
    reloads: 0,
    moduleReads: 0,
    changedModules: 0,
    reloadMs: 0,
    nodesLost: 0,
    shrinkPercentMax: 0,
  };
  #pollIntervalMs: number;
  #reloadIntervalMs: number;
  /** The latest look that went well; before the first one the table is as old as it may be. */
  #lookedMs: number | undefined;
  readonly #startedMs: number;
  /** Mark up to which named modules have been read. */
  #seenMark: RouteMark | undefined;
  /** Highest version that any server of the database has shown; nothing older is taken. */
  #versionMax: number;
  #epoch: number;
  /**
   * What was read below this version is told without one: a foreign hand has lowered the version, so
   * that it says nothing for a while.
   */
  #untoldBelow = 0;
  /** The newest change that was seen, by which the database is known again. */
  #seenChange: SeenChange | undefined;
  /** Largest change id that was read. */
  #changeIdMax: number;
  /** Mark that the last full read covers. */
  #fullMark: RouteMark | undefined;
  #timer: Timer | undefined;
  #polling = false;
  #pollAgain = false;
  #failures = 0;
  #reloading = false;
  #reloadForced = false;
  #reloadFailed = false;
  #reloadStartMs = -Infinity;
  #reloadAllowedMs = -Infinity;
  #moduleReadMs = -Infinity;
  #flushing: Promise<void> | undefined;
  #skippedCount = 0;
  #stopped = false;

  constructor(options: VersionPollerOptions) {
    const { earlier } = options;
    this.#options = options;
    this.#versionMax = earlier?.highest.version ?? 0;
    this.#epoch = earlier?.highest.epoch ?? 0;
    this.#seenChange = earlier?.seen;
    this.#changeIdMax = earlier?.seen?.id ?? 0;
    this.#pollIntervalMs = options.pollIntervalMs;
    this.#reloadIntervalMs = options.reloadIntervalMs;
    this.#startedMs = options.clock.nowMs();
  }

  /** Begins at once; a database that is away is tried again until it answers. */
  start(): void {
    this.#schedule(0);
  }

  /** Ends. Reads under way end by themselves and change nothing any more. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** Takes over new intervals from the next look on. */
  setIntervals(pollIntervalMs: number, reloadIntervalMs: number): void {
    this.#pollIntervalMs = pollIntervalMs;
    this.#reloadIntervalMs = reloadIntervalMs;
  }

  /** A writer says that it changed these modules; none named: it may have changed any. */
  modulesChanged(keys: readonly ModuleKey[]): void {
    if (this.#stopped) return;
    if (keys.length === 0 || this.#pending.size + keys.length > CHANGED_MODULES_MAX) {
      this.#reloadForced = true;
      this.#schedule(0);
      return;
    }
    for (const key of keys) this.#pending.set(moduleId(key.modId, key.cmdId), key);
    if (this.#options.table.loaded) {
      this.#flush().catch((error) => this.#options.health.failed(error));
    }
  }

  /** Version of the last full read; 0 before. */
  get version(): number {
    return this.#fullMark?.version ?? 0;
  }

  /**
   * For how long the table has not been compared with the database, in milliseconds; undefined while
   * it is. Before the first read it is what an earlier run had, or empty: then at least
   * {@linkcode BEHIND_MS}.
   */
  get behindMs(): number | undefined {
    const nowMs = this.#options.clock.nowMs();
    if (this.#lookedMs === undefined) return Math.round(nowMs - this.#startedMs) + BEHIND_MS;
    const agoMs = Math.round(nowMs - this.#lookedMs);
    return agoMs > BEHIND_MS + this.#pollIntervalMs ? agoMs : undefined;
  }

  /**
   * The same as agents are told it, so that they go to a dns that reads the database. Not once it is known
   * to be set back: one that reads it all the same only does not know, and would take them back.
   */
  get toldBehindMs(): number | undefined {
    return this.#seenChange?.mustBeThere === true ? undefined : this.behindMs;
  }

  /** What a later run has to know; undefined before there are routes. */
  get memory(): PollerMemory | undefined {
    const { table } = this.#options;
    if (!table.loaded) return undefined;
    const plan = table.plan ?? { epoch: this.#epoch, version: 0 };
    const highest = { epoch: this.#epoch, version: this.#versionMax };
    return { plan, highest, seen: this.#seenChange };
  }

  stats(): Record<string, number> {
    const counters = this.#counters;
    return {
      version: this.version,
      epoch: this.#epoch,
      polls: counters.polls,
      reloads: counters.reloads,
      reload_ms: Math.round(counters.reloadMs),
      module_reads: counters.moduleReads,
      changed_modules: counters.changedModules,
      nodes_lost: counters.nodesLost,
      shrink_percent_max: counters.shrinkPercentMax,
    };
  }

  #schedule(delayMs: number): void {
    this.#timer?.cancel();
    if (this.#stopped) return;
    this.#timer = this.#options.clock.setTimer(delayMs, () => void this.#tick());
  }

  async #tick(): Promise<void> {
    if (this.#polling) {
      this.#pollAgain = true;
      return;
    }
    this.#polling = true;
    let delayMs = this.#pollIntervalMs;
    try {
      delayMs = await this.#poll();
      this.#failures = 0;
      // While full reads fail the database is not well, even if it tells its version.
      if (!this.#reloadFailed) this.#nowLooked();
    } catch (error) {
      this.#options.health.failed(error);
      const limitMs = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** this.#failures++);
      delayMs = limitMs * (0.5 + 0.5 * this.#options.rng.next());
    }
    this.#polling = false;
    this.#schedule(this.#pollAgain ? 0 : delayMs);
    this.#pollAgain = false;
  }

  #nowLooked(): void {
    this.#lookedMs = this.#options.clock.nowMs();
    this.#options.health.succeeded();
  }

  /** One look; returns the time to the next one. */
  async #poll(): Promise<number> {
    const { table, clock } = this.#options;
    const mark = await this.#readMark();
    this.#counters.polls++;
    if (!table.loaded) {
      await this.#reload();
      return this.#pollIntervalMs;
    }
    if (differs(mark, this.#seenMark)) {
      await this.#queueChanges(mark);
      await this.#flush();
      this.#seenMark = mark;
    } else if (this.#pending.size > 0) {
      await this.#flush();
    }
    const nowMs = clock.nowMs();
    const due = this.#reloadForced || table.wantsReload || differs(mark, this.#fullMark) ||
      (this.#reloadIntervalMs > 0 && nowMs - this.#reloadStartMs >= this.#reloadIntervalMs);
    if (!due || this.#reloading) return this.#pollIntervalMs;
    if (nowMs < this.#reloadAllowedMs) {
      return Math.min(this.#pollIntervalMs, Math.ceil(this.#reloadAllowedMs - nowMs));
    }
    // Not awaited: a full read of a large table must not hold up the looks.
    this.#reload().catch((error) => this.#options.health.failed(error));
    return this.#pollIntervalMs;
  }

  async #readMark(): Promise<RouteMark> {
    const atLeastVersion = this.#notOlder.atLeastVersion ?? 0;
    const changeIdMax = this.#changeIdMax;
    const mark = await this.#ask((notOlder) =>
      this.#options.store.routeMark({ ...notOlder, changeIdMax })
    );
    const { version, epoch = 0, changeVersion } = mark;
    if (epoch > this.#epoch) this.#beginEpoch(epoch);
    // Answers may overtake each other; a foreign hand may have lowered it.
    const isLowered = epoch === this.#epoch && version < atLeastVersion &&
      this.#versionMax < UINT32_MAX;
    if (isLowered) this.#untoldBelow = Math.max(this.#untoldBelow, this.#versionMax);
    if (version > this.#versionMax || isLowered || this.#versionMax === UINT32_MAX) {
      this.#versionMax = version;
    }
    if (changeVersion !== undefined) {
      this.#noteSeen({ id: mark.changeIdMax, version: changeVersion });
    }
    this.#changeIdMax = Math.max(this.#changeIdMax, mark.changeIdMax);
    return mark;
  }

  /** An operator has said that a database which was set back counts: nothing that was seen does. */
  #beginEpoch(epoch: number): void {
    const isFirst = this.#fullMark === undefined && this.#options.earlier === undefined;
    if (!isFirst) this.#options.log.info("Database counts as it is from now on", { epoch });
    this.#epoch = epoch;
    this.#versionMax = 0;
    this.#untoldBelow = 0;
    this.#changeIdMax = 0;
    this.#seenMark = undefined;
    this.#fullMark = undefined;
    this.#seenChange = undefined;
  }

  /**
   * A server of the database that lags behind the one before must not bring back what was removed:
   * its version, which every edit raises, is lower. Only the highest there is may be followed by a
   * lower one, and what a foreign hand has just written (`RouteMarkOptions.changeIdMax`).
   */
  get #notOlder(): RouteReadOptions {
    return {
      atLeastVersion: this.#versionMax < UINT32_MAX ? this.#versionMax : 0,
      atLeastEpoch: this.#epoch,
      seenChange: this.#seenChange,
    };
  }

  /**
   * Asks the database for what is not older than what was read. That it was set back is remembered until
   * the change that it lacked is seen again, or an epoch begins: edits prune what shows it.
   */
  async #ask<T>(read: (notOlder: RouteReadOptions) => Promise<T>): Promise<T> {
    const asked = this.#notOlder;
    const isSameEpoch = (): boolean => asked.atLeastEpoch === this.#epoch;
    try {
      const answer = await read(asked);
      // What came meanwhile from a database that was set back may have been this one as well.
      const isHeld = this.#seenChange?.mustBeThere === true &&
        asked.seenChange !== this.#seenChange;
      if (!isHeld || !isSameEpoch()) return answer;
    } catch (error) {
      const isSetBack = error instanceof StoreError && error.refusal === "setBack";
      if (isSetBack && isSameEpoch()) this.#noteSetBack();
      throw error;
    }
    throw new StoreError("It was asked before the database turned out to be set back", true);
  }

  #noteSetBack(): void {
    const seen = this.#seenChange;
    if (seen === undefined || seen.mustBeThere === true) return;
    this.#seenChange = { ...seen, mustBeThere: true };
    this.#options.onSetBack?.();
  }

  /** Something was read at this state. @returns what is told of it. */
  #noteRead(read: ReadState | undefined): DatabaseState | undefined {
    if (read === undefined) return undefined;
    const { plan, newest } = read;
    // A read may be the first to come upon it: a server that has not heard of it is behind from now on.
    if (plan.epoch > this.#epoch) this.#beginEpoch(plan.epoch);
    if (plan.epoch === this.#epoch) {
      this.#versionMax = Math.max(this.#versionMax, plan.version);
      this.#noteSeen(newest);
    }
    return plan.version < this.#untoldBelow ? undefined : plan;
  }

  #noteSeen(newest: SeenChange | undefined): void {
    const seen = this.#seenChange;
    if (newest === undefined || newest.id < (seen?.id ?? 0)) return;
    this.#seenChange = newest;
    if (seen?.mustBeThere === true) this.#options.onSetBack?.();
  }

  async #queueChanges(mark: RouteMark): Promise<void> {
    const seen = this.#seenMark?.changeIdMax ?? 0;
    if (mark.changeIdMax === seen) return;
    // With a version that is no lower, a smaller id means that the table was emptied: every row it
    // has now is new.
    const after = mark.changeIdMax > seen ? seen : 0;
    const keys = await this.#options.store.changedModules(after);
    if (keys.length > CHANGED_MODULES_MAX) return;
    for (const key of keys) this.#pending.set(moduleId(key.modId, key.cmdId), key);
  }

  /** Reads the pending modules; calls while one is under way share it. */
  #flush(): Promise<void> {
    this.#flushing ??= this.#flushAll().finally(() => (this.#flushing = undefined));
    return this.#flushing;
  }

  async #flushAll(): Promise<void> {
    const { store, table, clock } = this.#options;
    while (this.#pending.size > 0 && !this.#stopped) {
      const restMs = this.#moduleReadMs + MODULE_READ_GAP_MS - clock.nowMs();
      if (restMs > 0) await sleep(clock, restMs);
      this.#moduleReadMs = clock.nowMs();
      const batch = [...this.#pending].slice(0, MODULES_PER_READ);
      for (const [id] of batch) this.#pending.delete(id);
      const keys = batch.map(([, key]) => key);
      const installs = table.installCount;
      try {
        let read: ReadState | undefined;
        const rows = await this.#ask((notOlder) =>
          store.readModules(keys, {
            ...notOlder,
            onPlan: (plan, newest) => (read = { plan, newest }),
          })
        );
        const plan = this.#noteRead(read);
        const extras = await this.#readExtras(keys);
        this.#counters.moduleReads++;
        if (this.#stopped) return;
        // A full read that ended meanwhile may be newer than these rows: read them again.
        if (table.installCount !== installs) this.#putBack(batch);
        else await this.#tell(table.replaceModules(keys, rows, extras, plan));
      } catch (error) {
        this.#putBack(batch);
        throw error;
      }
    }
  }

  /** Policies, names and marks. Read after the nodes, so that what is seen in them has its mark. */
  async #readExtras(keys?: readonly ModuleKey[]): Promise<RouteExtras> {
    const rows = await this.#ask((notOlder) => this.#options.store.moduleRows(keys, notOlder));
    const extras = new Map<ModuleId, ModuleExtras>();
    for (const { modId, cmdId, policy, name, meant } of rows) {
      extras.set(moduleId(modId, cmdId), { policy, name, mark: meant });
    }
    return extras;
  }

  #putBack(batch: readonly (readonly [ModuleId, ModuleKey])[]): void {
    for (const [id, key] of batch) this.#pending.set(id, key);
  }

  async #tell(changed: readonly ModuleKey[]): Promise<void> {
    this.#counters.changedModules += changed.length;
    if (changed.length > 0) await runSliced(this.#options.clock, this.#options.onChanged(changed));
  }

  /** Reads everything and tells what differs. */
  async #reload(): Promise<void> {
    const { store, table, clock } = this.#options;
    this.#reloading = true;
    this.#reloadForced = false;
    this.#reloadStartMs = clock.nowMs();
    table.beginReload();
    try {
      const mark = await this.#readMark();
      const builder = new RouteSnapshotBuilder(table);
      let read: ReadState | undefined;
      await this.#ask((notOlder) =>
        store.readRoutes((rows) => builder.add(rows), {
          ...{ ...notOlder, pageRows: PAGE_ROWS },
          onPlan: (plan, newest) => (read = { plan, newest }),
        })
      );
      const plan = this.#noteRead(read);
      const snapshot = await runSliced(clock, builder.finish());
      const extras = await this.#readExtras();
      if (this.#stopped) return;
      const result = await runSliced(clock, table.install(snapshot, extras, plan));
      this.#nowLooked();
      this.#reloadFailed = false;
      this.#fullMark = mark;
      this.#seenMark ??= mark;
      this.#noteReload(result);
      await (result.first
        ? runSliced(clock, this.#options.onLoaded())
        : this.#tell(result.changed));
      this.#options.onPlan?.(table.plan);
      if (result.recheck.length > 0) this.modulesChanged(result.recheck);
      if (result.first && this.#pending.size > 0) await this.#flush();
    } catch (error) {
      table.abandonReload();
      this.#reloadFailed = true;
      this.#reloadForced = true;
      throw error;
    } finally {
      this.#reloading = false;
      const tookMs = clock.nowMs() - this.#reloadStartMs;
      this.#reloadAllowedMs = clock.nowMs() + RELOAD_REST_FACTOR * tookMs;
    }
  }

  #noteReload(result: InstallResult): void {
    const { table, clock, log } = this.#options;
    const counters = this.#counters;
    counters.reloads++;
    counters.reloadMs = clock.nowMs() - this.#reloadStartMs;
    const lost = result.nodesBefore - result.nodesAfter;
    if (lost > 0) {
      counters.nodesLost += lost;
      const percent = Math.round(100 * lost / result.nodesBefore);
      counters.shrinkPercentMax = Math.max(counters.shrinkPercentMax, percent);
    }
    if (result.first) {
      log.info("Routes loaded", { modules: table.moduleCount, nodes: table.nodeCount });
    }
    const { badPort, overLimit, byModule } = table.skipped;
    const skipped = badPort + overLimit;
    if (skipped === this.#skippedCount) return;
    this.#skippedCount = skipped;
    if (skipped === 0) return log.info("All rows of RouteData are served again");
    const modules = [...byModule].slice(0, 10).map(([text, count]) => `${text}: ${count}`);
    log.warn("Rows of RouteData are not served", { badPort, overLimit, modules });
  }
}

function differs(left: RouteMark, right: RouteMark | undefined): boolean {
  return right === undefined || left.version !== right.version ||
    left.changeIdMax !== right.changeIdMax || left.changeCount !== right.changeCount;
}
