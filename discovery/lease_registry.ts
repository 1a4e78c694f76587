// Shell. The leases of one discovery and their database: one loop that reads what others wrote,
// and writes what nodes ask for and what time brings.

import type { NotifyOptions } from "../control/changes/dns_notifier.ts";
import { changeLeases } from "../control/changes/lease_changes.ts";
import type { LeaseRow } from "../model/lease.ts";
import { type ModuleId, moduleId, type ModuleKey, uniqueModules } from "../model/module.ts";
import { nodeId, nodeText, rowsThatCount } from "../model/node.ts";
import { messageOf, StoreError } from "../reactor/errors.ts";
import type { Logger } from "../reactor/log.ts";
import { type Clock, setRepeating, sleep, type Timer } from "../reactor/time/clock.ts";
import type { Rng } from "../reactor/time/rng.ts";
import type { StoreHealth } from "../service/store_health.ts";
import type { RouteRow, Store } from "../sql/store.ts";
import { HEARING_TICK_MS, type HearingTime } from "./hearing_time.ts";
import { HolderWatch } from "./holder_watch.ts";
import { eventsOf, stepsSummary } from "./lease_events.ts";
import {
  isLoss,
  type LeaseOutcome,
  type LeasePlan,
  type LeaseWish,
  planLeases,
} from "./lease_plan.ts";
import { LEASES_MAX, type LeaseTable } from "./lease_table.ts";
import { allHeld, type LossGuard } from "./loss_guard.ts";

/** Requests that wait to be written; further ones are answered "busy". */
export const LEASE_REQUESTS_MAX = 100_000;
/** Wishes written by one transaction. */
export const LEASE_BATCH_MAX = 4_000;
/** Time that a request waits for others to be written with it. */
const GATHER_MS = 5;
/** Pauses after the database failed: from this, doubled to that. */
const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 1_000;
/** A request that could not be written for so long is answered "busy". */
const REQUEST_TIMEOUT_MS = 10_000;
/** A database that was away for so long or longer kept others from saying whom they hear. */
const AWAY_MS_MIN = 1_000;
/** Leases read by one statement. */
const PAGE_ROWS = 5_000;
/** Between two signs of life for other discoveries. */
const BEAT_MS = 2_000;
/** Between two looks for leases that may be forgotten. */
const PRUNE_MS = 600_000;
/** A loss that others write before is judged anew so many times; then it goes without. */
const LATE_MAX = 5;
/** A server that lags shows an older number of changes as well: set back is one that does for so long. */
const SET_BACK_AFTER_MS = 5_000;
/** Modules whose routes are compared at each look, in turn, whether or not anything was said of them. */
const ROUND_MODULES = 20;

/** Who writes, in the audit. */
const AUDIT_NAME = { name: "discovery", address: "" };

/** What a {@linkcode LeaseRegistry} works with. */
export interface LeaseRegistryOptions {
  readonly store: Store;
  /** How dns is told of changes. */
  readonly notify: NotifyOptions;
  readonly table: LeaseTable;
  readonly time: HearingTime;
  /** What they hold back is told, and who says that losses are real is heard for all. */
  readonly guards: readonly LossGuard[];
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  readonly health: StoreHealth;
  /** This discovery. */
  readonly holder: number;
  /** Where it listens, for people. */
  address(): string;
  /** Modules whose routes somebody else wants to know: after each change, and at the start. */
  readonly watched: readonly ModuleKey[];
  onRoutes(module: ModuleKey, routes: readonly RouteRow[]): void;
  /** Time between two looks at what others wrote, in milliseconds. */
  readonly pollMs: number;
}

interface Request {
  readonly wish: LeaseWish;
  readonly atMs: number;
  resolve(outcome: LeaseOutcome): void;
  reject(error: unknown): void;
}

/** Thrown to who asks while nothing can be written. */
export class LeaseBusyError extends StoreError {
  override name = "LeaseBusyError";
}

/** See the file's first line. Begin with {@linkcode LeaseRegistry.start}. */
export class LeaseRegistry {
  readonly #options: LeaseRegistryOptions;
  readonly #holders: HolderWatch;
  #requests: Request[] = [];
  #ticker: Timer | undefined;
  #wake: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;
  #loaded = false;
  #seq = 0;
  /** The last change of leases of a database that was set back, until everything was read again. */
  #setBackTo: number | undefined;
  /** Since when the number of changes has been older than what was read; undefined: it is not. */
  #olderSinceMs: number | undefined;
  /** How often in a row others had written before a loss was. */
  #lateCount = 0;
  #changeIdMax = 0;
  #ownVersions: number[] = [];
  /** Modules in the order in which their routes are compared. */
  readonly #round = new Map<ModuleId, ModuleKey>();
  readonly #dirty = new Map<ModuleId, ModuleKey>();
  #dueMs = { poll: 0, beat: 0, prune: 0 };
  #guardText = "[]";
  /** When the database first failed; undefined while it does not. */
  #awaySinceMs: number | undefined;
  readonly #counts = { writes: 0, failures: 0, registered: 0, lost: 0, ended: 0, refused: 0 };

  constructor(options: LeaseRegistryOptions) {
    this.#options = options;
    this.#holders = new HolderWatch(options.holder, options.time);
  }

  /** True when every lease has been read once. */
  get loaded(): boolean {
    return this.#loaded;
  }

  /** Begins to read and to write. What is asked before everything was read waits. */
  start(): void {
    const { clock } = this.#options;
    this.#ticker = setRepeating(clock, HEARING_TICK_MS, () => this.#tick());
    for (const module of this.#options.watched) this.#noteDirty(module);
    this.#running = this.#run();
  }

  /** Ends after what is being written. Requests that wait are refused. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#ticker?.cancel();
    this.#wake?.();
    await this.#running;
    for (const { reject } of this.#requests.splice(0)) {
      reject(new LeaseBusyError("Discovery stops", true));
    }
    const { store, holder } = this.#options;
    await store.leases.forgetHolder(holder).catch(() => {});
  }

  /** Counters, under the names of metrics. */
  stats(): Record<string, number> {
    const { table, time, guards } = this.#options;
    return {
      leases: table.count,
      leases_live: table.liveCount(),
      leases_held_back: allHeld(guards).reduce((sum, { heldCount }) => sum + heldCount, 0),
      requests_waiting: this.#requests.length,
      requests_refused: this.#counts.refused,
      lease_writes: this.#counts.writes,
      lease_write_failures: this.#counts.failures,
      registrations: this.#counts.registered,
      connections_lost_leases: this.#counts.lost,
      leases_ended: this.#counts.ended,
      stalls: time.stalls.count,
      stalled_ms: Math.round(time.stalls.ms),
    };
  }

  /**
   * Carries a wish out, together with others.
   *
   * @throws {LeaseBusyError} when too many wait, or the database is away for too long.
   */
  ask(wish: LeaseWish): Promise<LeaseOutcome> {
    const { clock, table } = this.#options;
    const isTooMany = this.#requests.length >= LEASE_REQUESTS_MAX ||
      (wish.op === "register" && table.count >= LEASES_MAX && table.get(wish.node) === undefined);
    if (isTooMany || this.#stopped) {
      this.#counts.refused++;
      const what = this.#stopped ? "Discovery stops" : "Too many registrations";
      return Promise.reject(new LeaseBusyError(what, true));
    }
    return new Promise((resolve, reject) => {
      this.#requests.push({ wish, atMs: clock.nowMs(), resolve, reject });
      this.#wake?.();
    });
  }

  /** Something changed in the table that should be written now. */
  poke(): void {
    this.#wake?.();
  }

  #tick(): void {
    const { time, table, log } = this.#options;
    const stalledMs = time.tick();
    if (stalledMs > 0) {
      log.warn("Discovery was held up: no lease ends by it", { ms: Math.round(stalledMs) });
    }
    table.tick();
    this.#wake?.();
  }

  async #run(): Promise<void> {
    let retryMs = RETRY_MS_MIN;
    while (!this.#stopped) {
      try {
        const isIdle = await this.#turn();
        this.#options.health.succeeded();
        retryMs = RETRY_MS_MIN;
        if (isIdle) await this.#sleep();
      } catch (error) {
        this.#failed(error);
        await sleep(this.#options.clock, retryMs * (0.5 + this.#options.rng.next() / 2));
        retryMs = Math.min(RETRY_MS_MAX, retryMs * 2);
      }
    }
  }

  /** One after the other, so that nothing old is taken in after something new. */
  async #turn(): Promise<boolean> {
    const nowMs = this.#options.clock.nowMs();
    if (nowMs >= this.#dueMs.beat) {
      await this.#beat();
      this.#dueMs.beat = nowMs + BEAT_MS;
    }
    if (nowMs >= this.#dueMs.poll) {
      await this.#poll();
      this.#dueMs.poll = this.#setBackTo === undefined ? nowMs + this.#options.pollMs : 0;
    }
    if (nowMs >= this.#dueMs.prune) {
      await this.#options.store.leases.prune();
      this.#dueMs.prune = nowMs + PRUNE_MS;
    }
    if (this.#awaySinceMs !== undefined) {
      const awayMs = this.#options.clock.nowMs() - this.#awaySinceMs;
      this.#awaySinceMs = undefined;
      if (awayMs >= AWAY_MS_MIN) this.#options.table.databaseBack();
    }
    return !await this.#write();
  }

  #failed(error: unknown): void {
    const { clock, health, log } = this.#options;
    this.#counts.failures++;
    this.#awaySinceMs ??= clock.nowMs();
    if (error instanceof StoreError) health.failed(error);
    else log.error("Leases could not be written", { error: messageOf(error) });
    const oldMs = clock.nowMs() - REQUEST_TIMEOUT_MS;
    const late = this.#requests.filter(({ atMs }) => atMs < oldMs);
    if (late.length === 0) return;
    this.#requests = this.#requests.filter(({ atMs }) => atMs >= oldMs);
    const why = new LeaseBusyError(`The database is away: ${messageOf(error)}`, true);
    for (const { reject } of late) reject(why);
  }

  /** Until something is asked for, gathering what comes with it, or the next look is due. */
  async #sleep(): Promise<void> {
    const { clock } = this.#options;
    if (this.#requests.length === 0) {
      const waitMs = Math.max(1, Math.min(this.#dueMs.poll, this.#dueMs.beat) - clock.nowMs());
      await new Promise<void>((resolve) => {
        const timer = clock.setTimer(waitMs, resolve);
        this.#wake = (): void => {
          timer.cancel();
          resolve();
        };
      });
      this.#wake = undefined;
    }
    await sleep(clock, GATHER_MS);
  }

  async #beat(): Promise<void> {
    const { store, table, holder, address, log } = this.#options;
    const beat = this.#holders.nextBeat();
    const all = await store.leases.beat({ id: holder, address: address(), beat });
    for (const silent of this.#holders.silent(all, this.#loaded ? table.holders() : new Set())) {
      const wishes = table.adoptions(silent, LEASE_BATCH_MAX);
      if (wishes.length > 0) {
        const nodes = wishes.length;
        log.info("Leases of a discovery that is silent are heard here now", { silent, nodes });
        // What must be read first is looked at again with the next beat.
        if (await this.#carryOut(wishes) === undefined) continue;
      }
      if (wishes.length < LEASE_BATCH_MAX) await store.leases.forgetHolder(silent);
    }
  }

  async #poll(): Promise<void> {
    const { store, table } = this.#options;
    const setBackTo = this.#setBackTo;
    if (setBackTo !== undefined) this.#seq = 0;
    const all = new Map<string, LeaseRow>();
    for (;;) {
      const page = await store.leases.since(this.#seq, PAGE_ROWS);
      if (setBackTo === undefined) table.apply(page.rows);
      else for (const row of page.rows) all.set(nodeId(row), row);
      for (const row of page.rows) this.#noteRound(row);
      if (setBackTo === undefined && page.seq < this.#seq) return this.#noteOlder(page.seq);
      this.#olderSinceMs = undefined;
      this.#seq = page.seq;
      if (!page.isCut) break;
    }
    if (setBackTo !== undefined) await this.#restore(all, setBackTo);
    this.#loaded = true;
    const ownVersions = this.#ownVersions;
    const { changeIdMax, modules } = await store.leases.foreignChanges(
      this.#changeIdMax,
      ownVersions,
    );
    this.#ownVersions = this.#ownVersions.slice(ownVersions.length);
    const isFirst = this.#changeIdMax === 0;
    this.#changeIdMax = changeIdMax;
    await this.#compare(isFirst ? [] : modules);
    await this.#tellGuard();
  }

  /** Writes again what is heard here, and is not in a database that was set back. */
  async #restore(stored: ReadonlyMap<string, LeaseRow>, setBackTo: number): Promise<void> {
    const { table } = this.#options;
    // Rows may say more than the number of the last change does: they are just read again.
    this.#seq = Math.min(this.#seq, setBackTo);
    const wishes = table.setBack(stored);
    for (let at = 0; at < wishes.length; at += LEASE_BATCH_MAX) {
      const outcomes = await this.#carryOut(wishes.slice(at, at + LEASE_BATCH_MAX));
      if (outcomes === undefined) return;
      for (const { result, row } of outcomes) {
        if (result !== "done" && row !== undefined) table.apply([row]);
      }
    }
    this.#setBackTo = undefined;
  }

  /** Looks what others did to the routes of leases: in modules that changed, and some in turn. */
  async #compare(foreign: readonly ModuleKey[]): Promise<void> {
    const { store } = this.#options;
    for (const module of foreign) this.#noteDirty(module);
    const dirty = [...this.#dirty.values()];
    this.#dirty.clear();
    const turn = [...this.#round.values()].slice(0, ROUND_MODULES);
    const modules = uniqueModules([...dirty, ...turn]);
    if (modules.length === 0) return;
    let isDone = false;
    try {
      isDone = await this.#compareWith(await store.readModules(modules), modules);
    } finally {
      // What was said of them is not said again.
      if (!isDone) { for (const module of dirty) this.#noteDirty(module); }
    }
  }

  /** @returns false when not all could be looked at. */
  async #compareWith(
    rows: readonly RouteRow[],
    modules: readonly ModuleKey[],
  ): Promise<boolean> {
    const { table, onRoutes, watched } = this.#options;
    const isWatched = new Set(watched.map(({ modId, cmdId }) => moduleId(modId, cmdId)));
    const routes = new Map<string, RouteRow>();
    const byModule = new Map<ModuleId, RouteRow[]>(
      modules.map(({ modId, cmdId }) => [moduleId(modId, cmdId), []]),
    );
    for (const row of rowsThatCount(rows)) {
      routes.set(nodeId(row), row);
      byModule.get(moduleId(row.modId, row.cmdId))?.push(row);
    }
    for (const module of modules) {
      const key = moduleId(module.modId, module.cmdId);
      if (isWatched.has(key)) onRoutes(module, byModule.get(key) ?? []);
    }
    const wishes: LeaseWish[] = [];
    for (const module of modules) {
      const key = moduleId(module.modId, module.cmdId);
      const leases = table.ofModule(module);
      this.#round.delete(key);
      if (leases.size > 0) this.#round.set(key, module); // It comes last now.
      for (const { id, row } of leases) {
        if (differs(row, routes.get(id))) wishes.push({ op: "look", node: row });
      }
    }
    if (wishes.length === 0) return true;
    const outcomes = await this.#carryOut(wishes.slice(0, LEASE_BATCH_MAX));
    return outcomes !== undefined && wishes.length <= LEASE_BATCH_MAX;
  }

  #noteRound({ modId, cmdId }: ModuleKey): void {
    const key = moduleId(modId, cmdId);
    if (!this.#round.has(key)) this.#round.set(key, { modId, cmdId });
  }

  #noteDirty({ modId, cmdId }: ModuleKey): void {
    this.#dirty.set(moduleId(modId, cmdId), { modId, cmdId });
  }

  /** @returns false when there was nothing to write. */
  async #write(): Promise<boolean> {
    const requests = this.#requests.slice(0, LEASE_BATCH_MAX);
    const wishes = [
      ...requests.map(({ wish }) => wish),
      ...this.#wishesOfTime(LEASE_BATCH_MAX - requests.length),
    ];
    if (wishes.length === 0) return false;
    let outcomes: readonly LeaseOutcome[] | undefined;
    try {
      outcomes = await this.#carryOut(wishes);
    } catch (error) {
      if (requests.length === 0 || (error instanceof StoreError && error.transient)) throw error;
      await this.#writeSingly(requests);
      return true;
    }
    if (outcomes === undefined) return true;
    this.#requests = this.#requests.slice(requests.length);
    requests.forEach(({ wish, resolve }, index) => {
      const { result, row } = outcomes[index];
      // Before the next look whose time is over, which comes sooner than who asked can say so.
      const isRegistered = wish.op === "register" && result === "done" && row !== undefined;
      if (isRegistered) this.#options.table.heard(wish.node, row.incarnation);
      resolve(outcomes[index]);
    });
    return true;
  }

  /**
   * What time brings. A node that asks for something lives: while the database was away it could not
   * be answered, and must not expire together with its answer.
   */
  #wishesOfTime(most: number): readonly LeaseWish[] {
    const wishes = this.#options.table.wishes(most);
    if (wishes.length === 0 || this.#requests.length === 0) return wishes;
    const asking = new Set(this.#requests.map(({ wish }) => nodeId(wish.node)));
    return wishes.filter(({ node }) => !asking.has(nodeId(node)));
  }

  /** Something in a batch is refused for good: it must not hold up the others. */
  async #writeSingly(requests: readonly Request[]): Promise<void> {
    for (const request of requests) {
      try {
        const outcomes = await this.#carryOut([request.wish]);
        if (outcomes === undefined) return;
        request.resolve(outcomes[0]);
      } catch (error) {
        if (error instanceof StoreError && error.transient) throw error;
        request.reject(error);
      }
      this.#requests = this.#requests.filter((one) => one !== request);
    }
  }

  /**
   * The number of changes went back. Where it stays so the database was set back, and everything is
   * read again; else a server lags, and nothing is judged by it.
   *
   * @throws {StoreError} transient, while it may be one that lags.
   */
  #noteOlder(seq: number): undefined {
    const { clock, log } = this.#options;
    const nowMs = clock.nowMs();
    this.#olderSinceMs ??= nowMs;
    if (nowMs - this.#olderSinceMs < SET_BACK_AFTER_MS) {
      const what = `This server has change ${seq} of leases, and ${this.#seq} was read before`;
      throw new StoreError(`${what}: it lags behind, or was set back`, true);
    }
    log.warn("The database was set back: leases that are heard here are written again");
    this.#olderSinceMs = undefined;
    this.#setBackTo = seq;
    this.#dueMs.poll = 0;
    return undefined;
  }

  /** Others wrote between the last look and a loss: it is judged again after the next look, at once. */
  #noteLate({ outcomes }: LeasePlan, wishes: readonly LeaseWish[]): void {
    if (!wishes.some(isLoss)) return;
    const isLate = outcomes.some(({ result }) => result === "late");
    this.#lateCount = isLate ? this.#lateCount + 1 : 0;
    if (isLate) this.#dueMs.poll = 0;
  }

  /** @returns undefined where nothing was judged, as everything must be read first. */
  async #carryOut(wishes: readonly LeaseWish[]): Promise<readonly LeaseOutcome[] | undefined> {
    const { notify, table, store, watched } = this.#options;
    let plan: LeasePlan | undefined;
    let olderSeq = 0;
    const { seq, versions, changed } = await changeLeases(
      notify,
      AUDIT_NAME,
      wishes.map(({ node }) => node),
      (stored) => {
        if (stored.seq < this.#seq) {
          olderSeq = stored.seq;
          plan = undefined;
          return { leases: [], routes: [], summary: "" };
        }
        plan = planLeases({
          isCurrent: stored.seq === this.#seq || this.#lateCount >= LATE_MAX,
          leases: stored.leases,
          routes: stored.modules.flatMap(({ nodes }) => nodes),
          named: [
            ...stored.modules.filter(({ name, policy }) => name !== "" || policy !== ""),
            ...stored.registered,
          ],
          nowS: stored.nowS,
        }, wishes);
        return { leases: plan.leases, routes: plan.routes, summary: stepsSummary(plan.steps) };
      },
    );
    if (plan === undefined) return this.#noteOlder(olderSeq);
    this.#olderSinceMs = undefined;
    this.#noteLate(plan, wishes);
    table.apply(plan.leases);
    for (const row of plan.leases) this.#noteRound(row);
    // Nobody else wrote in between, so there is nothing to be read; where nothing was written here, the
    // number is that of somebody else.
    if (plan.leases.length > 0 && seq === this.#seq + 1) this.#seq = seq;
    this.#ownVersions.push(...versions);
    for (const { modId, cmdId } of changed) {
      const isWatched = watched.some((one) => one.modId === modId && one.cmdId === cmdId);
      if (isWatched) this.#noteDirty({ modId, cmdId });
    }
    this.#count(plan);
    const events = eventsOf(plan.steps, this.#options.clock.wallMs());
    if (events.length > 0) await store.addEvents(events).catch((error) => this.#tellEvents(error));
    return plan.outcomes;
  }

  #tellEvents(error: unknown): void {
    this.#options.log.warn("Events of leases are lost", { error: messageOf(error) });
  }

  #count({ steps }: LeasePlan): void {
    this.#counts.writes++;
    for (const { row, before } of steps) {
      if (row.phase === "doubt") this.#counts.lost++;
      else if (row.phase === "gone") this.#counts.ended++;
      else if (before === undefined) this.#counts.registered++;
    }
  }

  /** Writes what the guard holds back, for people, and hears what they say of it. */
  async #tellGuard(): Promise<void> {
    const { store, guards, holder, clock, log } = this.#options;
    const held = allHeld(guards);
    const text = JSON.stringify(
      held.map(({ modId, cmdId, heldCount }) => [modId, cmdId, heldCount]),
    );
    if (text !== this.#guardText) {
      const sinceS = Math.floor(clock.wallMs() / 1000);
      const rows = held.map((one) => ({ ...one, holder, sinceS, isConfirmed: false }));
      await store.leases.putGuard(holder, rows);
      this.#guardText = text;
      if (held.length > 0) {
        log.warn("Too many nodes seem to be lost at once: they stay in their routes", {
          modules: held.length,
          nodes: held.reduce((sum, { heldCount }) => sum + heldCount, 0),
          example: nodeText({ ...held[0], ip: 0, port: 0 }).split(" ")[0],
        });
      }
    }
    if (held.length === 0) return;
    for (const row of await store.leases.guard(holder)) {
      if (row.isConfirmed) { for (const guard of guards) guard.confirm(row); }
    }
  }
}

/** True when somebody else changed a route since it was written for a lease. */
function differs(lease: LeaseRow, route: RouteRow | undefined): boolean {
  const { written } = lease;
  // An operator who wrote the node himself, and has taken it away again, leaves it to the lease.
  if (written === undefined) return route === undefined && lease.phase === "live";
  return route === undefined || route.weight !== written.weight || route.zone !== written.zone ||
    route.state !== written.state;
}
