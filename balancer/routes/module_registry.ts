// Core. The modules of one loop: which are known, who goes first, when the route of each is asked for.

import type { RouteUpdate } from "../balance_records.ts";
import type { SuccessTally } from "../detection/success_tally.ts";
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
 * Modules without nodes that were asked for again may be pulled so many times as fast as those asked
 * for once: a program of real callers that starts with 1,500 modules has them all in 1 s.
 */
const ASKED_AGAIN_FACTOR = 10;

/**
 * Time one known module takes when all are asked for again over a new connection to dns, of which
 * a random part is waited: three loops of 3,333 modules each spread 10,000 requests over 25 s,
 * 400 a second.
 */
export const RESUBSCRIBE_SPREAD_PER_MODULE_MS = 7.5;

/** How often a module without nodes must have been asked for to stand on level 1, 2, 3. */
const LEVEL_ASKS = [2, 4, 16];

/** A module of one loop: its route and, once it had a node, its balancer. */
export class ModuleEntry implements Linked<ModuleEntry> {
  modId: number;
  cmdId: number;
  /** Made when the first node comes, so that made-up modules cost little. */
  balance: LoadBalance | undefined = undefined;
  /** Text that `policy` was read from. */
  policyText = "";
  policy: ModulePolicy;
  state: RouteState = "pulling";
  /** When it was first asked for. */
  createdAtMs: number;
  /** Uses while it has had no node yet, as far as they are counted. */
  asks = 0;
  /** Latest use but for turns that were lent, and calls that are tallied. */
  usedAtMs: number;
  updatedAtMs = -Infinity;
  /** When the route is old enough to be pulled on the next use; Infinity while it is pulled. */
  refreshDueMs = Infinity;
  /** When the next request goes out; only meaningful while pulling. */
  pullDueMs = 0;
  /** Time between the last request and its repeat; 0 = none was sent yet. */
  pullRetryMs = 0;
  /** Its pull is due, and the rate holds it up. */
  pullWaits = false;
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

  /**
   * Takes over the place of a module that was evicted and never had a node. So made-up modules leave
   * no garbage behind, however many come in a second.
   */
  become(modId: number, cmdId: number, policy: ModulePolicy, nowMs: number): void {
    this.modId = modId;
    this.cmdId = cmdId;
    this.policy = policy;
    this.policyText = "";
    this.state = "pulling";
    this.asks = 0;
    this.createdAtMs = nowMs;
    this.usedAtMs = nowMs;
    this.updatedAtMs = -Infinity;
    this.refreshDueMs = Infinity;
    this.pullDueMs = 0;
    this.pullRetryMs = 0;
    this.refused = undefined;
  }

  /** True while it has nodes: its pulls are not counted against the rate. */
  get hasNodes(): boolean {
    return this.balance !== undefined && this.balance.hostCount > 0;
  }
}

/** The table of modules, with what is counted of them. */
export class ModuleRegistry extends ModuleTable<ModuleEntry> {
  /**
   * Modules that have no node and never had one, by how often they were asked for, oldest first.
   * Real ones are asked for again and again, made-up ones once: those are the first to be evicted,
   * and the last to be pulled.
   */
  readonly #levels = [0, ...LEVEL_ASKS].map(() => new HostList<ModuleEntry>());
  /** Modules with nodes. */
  readyCount = 0;
  /** Nodes of all modules. */
  hostCount = 0;

  /** Adds a module that has no node yet. */
  insert(entry: ModuleEntry): void {
    this.add(entry);
    this.#levels[0].pushTail(entry);
  }

  /** A module is asked for. */
  asked(entry: ModuleEntry): void {
    if (entry.list === undefined || entry.asks >= LEVEL_ASKS[LEVEL_ASKS.length - 1]) return;
    const level = LEVEL_ASKS.indexOf(++entry.asks) + 1;
    if (level === 0) return;
    entry.list.remove(entry);
    this.#levels[level].pushTail(entry);
  }

  /** True once a module without nodes was asked for again. */
  isAskedAgain(entry: ModuleEntry): boolean {
    return entry.asks >= LEVEL_ASKS[0];
  }

  /** Modules that never had a node: those most often asked for first, of these the oldest. */
  *nodeless(): Generator<ModuleEntry> {
    for (const level of this.#levels.toReversed()) yield* level;
  }

  /** Forgets a module with its nodes. */
  evict(entry: ModuleEntry): void {
    this.remove(entry);
    entry.list?.remove(entry);
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
    if (entry.hasNodes) entry.list?.remove(entry);
  }

  /** The module whose place a new one may take, by when each was used last. */
  firstToGo(usedAtMsOf: (entry: ModuleEntry) => number): ModuleEntry | undefined {
    for (const level of this.#levels) if (level.head !== undefined) return level.head;
    return this.#leastRecentlyUsed(usedAtMsOf);
  }

  /**
   * Walks all modules, but only when every one of them has had nodes: the module that takes the
   * place has none yet, and so is the next to go.
   */
  #leastRecentlyUsed(usedAtMsOf: (entry: ModuleEntry) => number): ModuleEntry | undefined {
    let oldest: ModuleEntry | undefined;
    let oldestMs = Infinity;
    for (const entry of this) {
      const usedAtMs = usedAtMsOf(entry);
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
  /** Has to know how long a use of a module is nothing else. */
  readonly tally?: SuccessTally;
  /** Burst of pulls for modules without nodes that were asked for once. @default PULLS_BURST_MAX */
  readonly burstMax?: number;
  /** Rate of the same; those asked for again may have ten times as much. @default PULLS_PER_SECOND_MAX */
  readonly perSecondMax?: number;
  /**
   * Age from which the route of a used module is pulled again, and longest time between repeats,
   * read at each use.
   */
  updateTimeoutMs(): number;
  /** Sends one request; must not wait. */
  send(modId: number, cmdId: number): void;
}

/** So many are allowed at once after a quiet time, and so many a second in the long run. */
class TokenBucket {
  readonly #burstMax: number;
  readonly #perSecondMax: number;
  #tokens: number;
  #atMs: number | undefined;

  constructor(burstMax: number, perSecondMax: number) {
    this.#burstMax = burstMax;
    this.#perSecondMax = perSecondMax;
    this.#tokens = burstMax;
  }

  /** Takes one; false: there is none. */
  take(nowMs: number): boolean {
    const sinceMs = Math.max(0, nowMs - (this.#atMs ?? nowMs));
    this.#atMs = nowMs;
    this.#tokens = Math.min(this.#burstMax, this.#tokens + (sinceMs * this.#perSecondMax) / 1000);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}

/**
 * The pulls of one loop: routes of new modules, and fresh ones of modules that are used when theirs
 * is old, or over a new connection. Bounded by the number of modules.
 */
export class RouteRefresh {
  readonly #options: RouteRefreshOptions;
  readonly #modules: ModuleRegistry;
  readonly #turns: TurnTable;
  readonly #forNew: TokenBucket;
  readonly #forAskedAgain: TokenBucket;
  /** Modules whose pull was sent and not answered, or that is due later, oldest first. */
  readonly #pulling = new Set<ModuleEntry>();
  /** Of the modules that wait for their turn, those that had nodes once and so are in no list. */
  readonly #formerWaiting = new Set<ModuleEntry>();
  #waitingCount = 0;
  #paused = false;
  #sent = 0;

  constructor(modules: ModuleRegistry, turns: TurnTable, options: RouteRefreshOptions) {
    this.#modules = modules;
    this.#turns = turns;
    this.#options = options;
    const { burstMax = PULLS_BURST_MAX, perSecondMax = PULLS_PER_SECOND_MAX } = options;
    this.#forNew = new TokenBucket(burstMax, perSecondMax);
    this.#forAskedAgain = new TokenBucket(burstMax, ASKED_AGAIN_FACTOR * perSecondMax);
  }

  /** Modules with an unanswered or a waiting pull. */
  get pendingCount(): number {
    return this.#pulling.size + this.#waitingCount;
  }

  /** Requests sent since the start. */
  get sentCount(): number {
    return this.#sent;
  }

  /** The route came, or the module is forgotten. */
  stop(entry: ModuleEntry): void {
    this.#pulling.delete(entry);
    this.#endWait(entry);
  }

  /** Sends nothing until `resubscribe`: there is nobody to ask. What is started meanwhile waits. */
  pause(): void {
    this.#paused = true;
  }

  /** Sends what is due: repeats, and pulls that waited for their turn. */
  tick(nowMs: number): void {
    if (this.#paused) return;
    for (const entry of this.#pulling) {
      if (nowMs < entry.pullDueMs) continue;
      if (entry.hasNodes) this.#send(entry, nowMs);
      else this.#wait(entry);
    }
    if (this.#waitingCount > 0) this.#sendWaiting(nowMs);
  }

  /** Those most often asked for go first, so that no made-up module takes the turn of a real one. */
  #sendWaiting(nowMs: number): void {
    for (const entry of this.#modules.nodeless()) {
      if (entry.pullWaits && !this.#trySend(entry, nowMs)) return;
    }
    for (const entry of this.#formerWaiting) if (!this.#trySend(entry, nowMs)) return;
  }

  #wait(entry: ModuleEntry): void {
    if (entry.pullWaits) return;
    entry.pullWaits = true;
    this.#waitingCount++;
    this.#pulling.delete(entry);
    if (entry.list === undefined) this.#formerWaiting.add(entry);
  }

  #endWait(entry: ModuleEntry): void {
    if (!entry.pullWaits) return;
    entry.pullWaits = false;
    this.#waitingCount--;
    this.#formerWaiting.delete(entry);
  }

  /** A module is used: its route is pulled when it is due. */
  used(entry: ModuleEntry, nowMs: number): void {
    entry.usedAtMs = nowMs;
    this.#modules.asked(entry);
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
  resubscribe(nowMs: number): void {
    const modules = this.#modules;
    this.#paused = false;
    for (const entry of modules) this.#endWait(entry);
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
    // Those without a node first, as the rate may not suffice for all of them.
    for (const entry of modules.nodeless()) again(entry);
    for (const entry of modules) if (entry.list === undefined) again(entry);
  }

  /** Asks for the route at `dueMs`; at once when that has come and the rate allows. */
  #start(entry: ModuleEntry, dueMs: number, nowMs: number): void {
    entry.pullDueMs = dueMs;
    entry.pullRetryMs = 0;
    const isDue = nowMs >= dueMs;
    if (!isDue || (this.#paused && entry.hasNodes)) this.#pulling.add(entry);
    else if (entry.hasNodes) this.#send(entry, nowMs);
    // Nobody overtakes those that wait: each tick looks whose turn it is.
    else if (this.#paused || this.#waitingCount > 0 || !this.#trySend(entry, nowMs)) {
      this.#wait(entry);
    }
  }

  #setDue(entry: ModuleEntry, dueMs: number): void {
    entry.refreshDueMs = dueMs;
    this.#turns.setUntil(entry.modId, entry.cmdId, dueMs);
    if (entry.balance !== undefined) this.#options.tally?.setUseUntil(entry.balance, dueMs);
  }

  /** Sends the pull of a module without nodes, if the rate allows. */
  #trySend(entry: ModuleEntry, nowMs: number): boolean {
    const allowed = this.#modules.isAskedAgain(entry) && this.#forAskedAgain.take(nowMs) ||
      this.#forNew.take(nowMs);
    if (allowed) this.#send(entry, nowMs);
    return allowed;
  }

  #send(entry: ModuleEntry, nowMs: number): void {
    this.#endWait(entry);
    this.#pulling.add(entry);
    entry.pullRetryMs = Math.min(
      this.#options.updateTimeoutMs(),
      entry.pullRetryMs === 0 ? PULL_RETRY_MIN_MS : entry.pullRetryMs * 2,
    );
    entry.pullDueMs = nowMs + entry.pullRetryMs;
    this.#sent++;
    this.#options.send(entry.modId, entry.cmdId);
  }
}
