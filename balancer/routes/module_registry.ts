// Core. The modules of one loop: which are known, who goes first, when the route of each is asked for.

import type { RouteUpdate } from "../balance_records.ts";
import { HostList, type Linked } from "../host.ts";
import type { LoadBalance } from "../load_balance.ts";
import type { ModulePolicy } from "../module_policy.ts";
import type { TurnTable } from "../picking/turn_table.ts";
import type { RefusedCount } from "./refused_calls.ts";
import { PULLS_BURST_MAX, PULLS_PER_SECOND_MAX, type RouteState } from "./route_records.ts";
import { ModuleTable } from "../../model/module.ts";
import type { Rng } from "../../reactor/time/rng.ts";

/** Time after which the first pull without an answer is repeated; doubles with each repeat. */
export const PULL_RETRY_MIN_MS = 1000;

/**
 * A route is pulled again at an age of update_timeout plus up to this share of it, so that agents
 * started together do not ask together for ever.
 */
export const REFRESH_JITTER = 0.2;

/**
 * Time one known module takes when all are asked for again over a new connection to dns, of which
 * a random part is waited: three loops of 3,333 modules each spread 10,000 requests over 25 s,
 * 400 a second.
 */
export const RESUBSCRIBE_SPREAD_PER_MODULE_MS = 7.5;

/** A module of one loop: its route and, once it had a node, its balancer. */
export class ModuleEntry implements Linked<ModuleEntry> {
  readonly modId: number;
  readonly cmdId: number;
  /** Made when the first node comes, so that made-up modules cost little. */
  balance: LoadBalance | undefined = undefined;
  /** Text that `policy` was read from. */
  policyText = "";
  policy: ModulePolicy;
  state: RouteState = "pulling";
  /** When it was first asked for. */
  readonly createdAtMs: number;
  /** Latest use but for turns that were lent. */
  usedAtMs: number;
  updatedAtMs = -Infinity;
  /** When the route is old enough to be pulled on the next use; Infinity while it is pulled. */
  refreshDueMs = Infinity;
  /** When the next request goes out; only meaningful while pulling. */
  pullDueMs = 0;
  /** Time between the last request and its repeat; 0 = none was sent yet. */
  pullRetryMs = 0;
  /** Made when the first call is refused. */
  refused: RefusedCount | undefined = undefined;
  next: ModuleEntry = this;
  prev: ModuleEntry = this;
  list: HostList<ModuleEntry> | undefined = undefined;

  constructor(modId: number, cmdId: number, policy: ModulePolicy, usedAtMs: number) {
    this.modId = modId;
    this.cmdId = cmdId;
    this.policy = policy;
    this.createdAtMs = usedAtMs;
    this.usedAtMs = usedAtMs;
  }

  /** True while it has nodes: its pulls are not counted against the rate. */
  get hasNodes(): boolean {
    return this.balance !== undefined && this.balance.hostCount > 0;
  }
}

/** The table of modules, with what is counted of them. */
export class ModuleRegistry extends ModuleTable<ModuleEntry> {
  /** Modules that have no node and never had one, oldest first: the first to be evicted. */
  readonly nodeless = new HostList<ModuleEntry>();
  /** Modules with nodes. */
  readyCount = 0;
  /** Nodes of all modules. */
  hostCount = 0;

  /** Adds a module that has no node yet. */
  insert(entry: ModuleEntry): void {
    this.add(entry);
    this.nodeless.pushTail(entry);
  }

  /** Forgets a module with its nodes. */
  evict(entry: ModuleEntry): void {
    this.remove(entry);
    if (entry.list !== undefined) this.nodeless.remove(entry);
    this.hostCount -= entry.balance?.hostCount ?? 0;
    entry.balance?.clear();
    if (entry.state === "ready") this.readyCount--;
  }

  /** A module has taken a route. */
  routeTaken(entry: ModuleEntry, { added, removed }: RouteUpdate): void {
    this.hostCount += added - removed;
    if (entry.state === "ready") this.readyCount--;
    entry.state = entry.hasNodes ? "ready" : "empty";
    if (entry.state === "ready") this.readyCount++;
    // A module that once had nodes stays out of the list: it was real, and goes by its last use.
    if (entry.hasNodes && entry.list !== undefined) this.nodeless.remove(entry);
  }

  /** The module whose place a new one may take. `turns` knows of uses too. */
  firstToGo(turns: TurnTable): ModuleEntry | undefined {
    return this.nodeless.head ?? this.#leastRecentlyUsed(turns);
  }

  /**
   * Walks all modules, but only when every one of them has had nodes: the module that takes the
   * place has none yet, and so is the next to go.
   */
  #leastRecentlyUsed(turns: TurnTable): ModuleEntry | undefined {
    let oldest: ModuleEntry | undefined;
    let oldestMs = Infinity;
    for (const entry of this) {
      const lentMs = turns.usedAtMs(entry.modId, entry.cmdId);
      const usedAtMs = Math.max(entry.usedAtMs, lentMs);
      if (oldest !== undefined && usedAtMs >= oldestMs) continue;
      oldest = entry;
      oldestMs = usedAtMs;
    }
    return oldest;
  }
}

/** How a {@linkcode RouteRefresh} works. */
export interface RouteRefreshOptions {
  /** Spreads refreshes. */
  readonly rng: Rng;
  /** Burst of pulls for modules without nodes. @default PULLS_BURST_MAX */
  readonly burstMax?: number;
  /** Rate of the same. @default PULLS_PER_SECOND_MAX */
  readonly perSecondMax?: number;
  /**
   * Age from which the route of a used module is pulled again, and longest time between repeats,
   * read at each use.
   */
  updateTimeoutMs(): number;
  /** Sends one request; must not wait. */
  send(modId: number, cmdId: number): void;
}

/**
 * The pulls of one loop: routes of new modules, and fresh ones of modules that are used when theirs
 * is old, or over a new connection. Bounded by the number of modules.
 */
export class RouteRefresh {
  readonly #options: RouteRefreshOptions;
  readonly #turns: TurnTable;
  readonly #burstMax: number;
  readonly #perSecondMax: number;
  /** Modules with an unanswered or a waiting pull, oldest first. */
  readonly #pulling = new Set<ModuleEntry>();
  #tokens: number;
  #tokensAtMs: number | undefined;
  #paused = false;
  #sent = 0;

  constructor(turns: TurnTable, options: RouteRefreshOptions) {
    this.#turns = turns;
    this.#options = options;
    this.#burstMax = options.burstMax ?? PULLS_BURST_MAX;
    this.#perSecondMax = options.perSecondMax ?? PULLS_PER_SECOND_MAX;
    this.#tokens = this.#burstMax;
  }

  /** Modules with an unanswered or a waiting pull. */
  get pendingCount(): number {
    return this.#pulling.size;
  }

  /** Requests sent since the start. */
  get sentCount(): number {
    return this.#sent;
  }

  /** The route came, or the module is forgotten. */
  stop(entry: ModuleEntry): void {
    this.#pulling.delete(entry);
  }

  /** Sends nothing until `resubscribe`: there is nobody to ask. What is started meanwhile waits. */
  pause(): void {
    this.#paused = true;
  }

  /** Sends what is due: repeats, and pulls that waited for their turn. */
  tick(nowMs: number): void {
    if (this.#paused) return;
    for (const entry of this.#pulling) {
      if (nowMs >= entry.pullDueMs) this.#trySend(entry, nowMs);
    }
  }

  /** A module is used: its route is pulled when it is due. */
  used(entry: ModuleEntry, nowMs: number): void {
    entry.usedAtMs = nowMs;
    if (nowMs < entry.refreshDueMs) return;
    this.#setDue(entry, Infinity);
    this.#start(entry, nowMs, nowMs);
  }

  /** The route of a module came. */
  answered(entry: ModuleEntry, nowMs: number): void {
    const jitter = 1 + REFRESH_JITTER * this.#options.rng.next();
    this.stop(entry);
    entry.updatedAtMs = nowMs;
    this.#setDue(entry, nowMs + this.#options.updateTimeoutMs() * jitter);
  }

  /** Repeats what was not answered now, and asks for known modules again, spread over time. */
  resubscribe(modules: ModuleRegistry, nowMs: number): void {
    this.#paused = false;
    const spreadMs = Math.max(
      Math.min(100, this.#options.updateTimeoutMs()),
      modules.count * RESUBSCRIBE_SPREAD_PER_MODULE_MS,
    );
    const again = (entry: ModuleEntry): void => {
      const known = entry.state !== "pulling";
      this.#setDue(entry, Infinity);
      const waitMs = known ? spreadMs * this.#options.rng.next() : 0;
      this.#start(entry, nowMs + waitMs, nowMs);
    };
    // Those without a node first, oldest first, as the rate may not suffice for all of them.
    for (const entry of modules.nodeless) again(entry);
    for (const entry of modules) if (entry.list === undefined) again(entry);
  }

  /** Asks for the route at `dueMs`; at once when that has come and the rate allows. */
  #start(entry: ModuleEntry, dueMs: number, nowMs: number): void {
    entry.pullDueMs = dueMs;
    entry.pullRetryMs = 0;
    this.#pulling.add(entry);
    if (nowMs >= dueMs) this.#trySend(entry, nowMs);
  }

  #setDue(entry: ModuleEntry, dueMs: number): void {
    entry.refreshDueMs = dueMs;
    this.#turns.setUntil(entry.modId, entry.cmdId, dueMs);
  }

  #trySend(entry: ModuleEntry, nowMs: number): void {
    if (this.#paused || (!entry.hasNodes && !this.#takeToken(nowMs))) return;
    entry.pullRetryMs = Math.min(
      this.#options.updateTimeoutMs(),
      entry.pullRetryMs === 0 ? PULL_RETRY_MIN_MS : entry.pullRetryMs * 2,
    );
    entry.pullDueMs = nowMs + entry.pullRetryMs;
    this.#sent++;
    this.#options.send(entry.modId, entry.cmdId);
  }

  #takeToken(nowMs: number): boolean {
    const sinceMs = Math.max(0, nowMs - (this.#tokensAtMs ?? nowMs));
    this.#tokensAtMs = nowMs;
    this.#tokens = Math.min(this.#burstMax, this.#tokens + (sinceMs * this.#perSecondMax) / 1000);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
