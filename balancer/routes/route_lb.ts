// Core. Many modules of one loop: find, pull, serve, refresh, forget, and what to report.

import { RetCode } from "../../proto/message_ids.ts";
import type { RouteNode } from "../../model/node.ts";
import type { RouteUpdate, StateChange } from "../balance_records.ts";
import { DepartedNodes } from "../departed_nodes.ts";
import { type BalanceSettings, checkBalanceSettings } from "../detection/balance_settings.ts";
import { CallerTally, UNKNOWN_CALLER } from "../detection/caller_tally.ts";
import { OUT_USED_MS, OutHosts } from "../detection/out_hosts.ts";
import type { CallCounts } from "../detection/outlier_detector.ts";
import { NO_PLACE, SuccessTally } from "../detection/success_tally.ts";
import { ActiveHosts, type Host } from "../host.ts";
import { LoadBalance } from "../load_balance.ts";
import { DEFAULT_MODULE_POLICY, type ModulePolicy, parseModulePolicy } from "../module_policy.ts";
import type { BalanceContext, ModuleState } from "../module_state.ts";
import { NO_TURN, TurnTable } from "../picking/turn_table.ts";
import { PlanWatch } from "./plan_watch.ts";
import { ModuleEntry, ModuleRegistry, RouteRefresh } from "./module_registry.ts";
import { RefusalCounter } from "./refused_calls.ts";
import {
  type ModuleExplanation,
  type ModuleReport,
  MODULES_MAX,
  type ModuleSnapshot,
  NO_COUNTS,
  NODES_MAX,
  type RefusedTotals,
  type RouteLbOptions,
  type RouteLbStats,
  type RouteState,
} from "./route_records.ts";

/** How often {@linkcode RouteLb.tick} is to be called: windows end this late at most. */
export const TICK_MS = 100;

/** How often it suffices while {@linkcode RouteLb.resting}. */
export const RESTING_TICK_MS = 1000;

/** A module without nodes that nobody asked for for so long is forgotten. */
export const NODELESS_KEPT_MS = 30_000;

/** How often it is looked for them. */
const FORGET_INTERVAL_MS = 1000;

/** Shortest time between two reports of one module. */
export const REPORT_INTERVAL_MS = 1000;

/** Nodes reported in one go, but for one module more: callers wait meanwhile, some 2 ms. */
export const RESULTS_PER_DRAIN_MAX = 2000;

/** What an empty route changes where there never was a node. */
const NO_CHANGE: RouteUpdate = { added: 0, kept: 0, removed: 0, cut: 0 };

/**
 * All modules of one UDP loop. Synchronous; times and chance are arguments.
 *
 * Module ids and addresses are unsigned; signed ones, as on the wire, name the same module or node.
 */
export class RouteLb {
  readonly #options: RouteLbOptions;
  readonly #context: BalanceContext;
  readonly #modulesMax: number;
  readonly #modulePolicy: ModulePolicy;
  /** Modules with something to do in each tick. */
  readonly #ticking = new Set<ModuleState>();
  #forgetDueMs = 0;
  /** Latest time that a tick or a route brought: that of a call that brings none. */
  #latestMs = 0;
  readonly #modules = new ModuleRegistry();
  readonly #turns = new TurnTable();
  readonly #callers = new CallerTally();
  readonly #tally: SuccessTally;
  readonly #refresh: RouteRefresh;
  readonly #refused = new RefusalCounter();
  #dirty: ModuleState[] = [];
  /** Means nothing: where what was sought goes, so that it is read. */
  #sought = 0;
  readonly #counts = { ...NO_COUNTS };
  /** What plans have to be made anew, where somebody takes them. */
  readonly plans: PlanWatch | undefined;

  /** @throws {RangeError} when a setting is out of its range. */
  constructor(options: RouteLbOptions) {
    checkBalanceSettings(options.settings);
    this.#options = options;
    this.#modulesMax = options.modulesMax ?? MODULES_MAX;
    if (!Number.isInteger(this.#modulesMax) || this.#modulesMax < 1) {
      throw new RangeError(
        `modulesMax must be a whole number of at least 1: current value is ${this.#modulesMax}`,
      );
    }
    this.#modulePolicy = options.modulePolicy ?? DEFAULT_MODULE_POLICY;
    this.#tally = new SuccessTally(options.tallyNodesMax);
    const plans = options.hasPlans === true
      ? new PlanWatch((one) => this.#modules.get(one.modId, one.cmdId)?.balance === one)
      : undefined;
    this.plans = plans;
    this.#context = {
      settings: options.settings,
      nodesMax: options.nodesMax ?? NODES_MAX,
      zone: options.zone ?? "",
      rng: options.rng,
      active: new ActiveHosts(),
      out: new OutHosts(),
      departed: new DepartedNodes(),
      tally: this.#tally,
      hostsOut: 0,
      onStateChange: (change) => this.#stateChanged(change),
      onModeChange: (change) => options.onModeChange?.(change),
      isInUse: (balance, nowMs) => this.#isInUse(balance, nowMs),
      onTicking: (balance) => void this.#ticking.add(balance),
      onDirty: (balance) => void this.#dirty.push(balance),
      ...(plans === undefined ? {} : { onPlanChange: (balance) => plans.note(balance) }),
    };
    this.#refresh = new RouteRefresh(this.#modules, this.#turns, {
      burstMax: options.pullsBurstMax,
      perSecondMax: options.pullsPerSecondMax,
      updateTimeoutMs: () => this.#context.settings.updateTimeoutMs,
      rng: options.rng,
      tally: this.#tally,
      send: (modId, cmdId) => options.onPull(modId, cmdId),
    });
  }

  /**
   * The next node of a module, or a return code: NoExist when it is unknown (its route is then
   * asked for) or has no nodes, Overload when the call is refused. O(1) with the original policy,
   * at most O(log n) with another; allocates nothing for a known module.
   *
   * @param key Calls of one key stay on one node, where the module's policy heeds keys. A number
   * counts by its lower 32 bits.
   */
  getHost(modId: number, cmdId: number, nowMs: number, key?: number | string): Host | number {
    const turn = this.nextTurn(modId, cmdId, nowMs);
    if (turn !== NO_TURN) return this.#turns.hostAt(turn);
    const entry = this.#use(modId, cmdId, nowMs);
    const picked = entry.balance?.pick(nowMs, key) ?? RetCode.NoExist;
    if (entry.balance?.lendTurns(this.#turns) === true) {
      this.#turns.setUntil(modId, cmdId, entry.refreshDueMs);
    }
    if (typeof picked === "number") {
      if (picked === RetCode.Overload) this.#counts.refusedOverload++;
      else this.#counts.refusedNoExist++;
      this.#refused.count(entry, picked, nowMs);
    } else {
      this.#counts.picks++;
      if (picked.overload) this.#counts.probes++;
    }
    return picked;
  }

  /**
   * What `getHost` does where the next node is known beforehand: as is usual, and without touching
   * the node. {@linkcode turnIp} and {@linkcode turnPort} tell the address.
   *
   * @returns a number for those two, or {@linkcode NO_TURN}: nothing was picked, ask `getHost`.
   */
  nextTurn(modId: number, cmdId: number, nowMs: number): number {
    const turn = this.#turns.next(modId, cmdId, nowMs);
    if (turn !== NO_TURN) this.#counts.picks++;
    return turn;
  }

  /** Address of the node of {@linkcode nextTurn}, signed; valid until the next call of any kind. */
  turnIp(turn: number): number {
    return this.#turns.ipAt(turn);
  }

  /** Port of the node of {@linkcode nextTurn}; valid until the next call of any kind. */
  turnPort(turn: number): number {
    return this.#turns.portAt(turn);
  }

  /**
   * What a health check says of a node; see {@linkcode LoadBalance.setHealth}.
   *
   * @returns false when the module or the node is not known.
   */
  setHealth(
    modId: number,
    cmdId: number,
    ip: number,
    port: number,
    healthy: boolean,
    reason: string,
    nowMs: number,
  ): boolean {
    const balance = this.#modules.get(modId, cmdId)?.balance;
    return balance?.setHealth(ip, port, healthy, reason, nowMs) ?? false;
  }

  /** A node of a known module, in service or not; does not count as a use of the module. */
  findHost(modId: number, cmdId: number, ip: number, port: number): Host | undefined {
    return this.#modules.get(modId, cmdId)?.balance?.findHost(ip, port);
  }

  /** What is known of a module's route; undefined when nobody has asked for it. */
  stateOf(modId: number, cmdId: number): RouteState | undefined {
    return this.#modules.get(modId, cmdId)?.state;
  }

  /**
   * The nodes of a module that may be called, sick ones too, but none that drains; empty when
   * it is unknown (its route is then asked for) or has none.
   */
  getRoute(modId: number, cmdId: number, nowMs: number): Host[] {
    const { balance } = this.#use(modId, cmdId, nowMs);
    return balance === undefined ? [] : [...balance.hostsInService()];
  }

  /** How many nodes `getRoute` would give; 0 for an unknown module. Asks for no route. */
  pickableCount(modId: number, cmdId: number): number {
    let count = 0;
    for (const _ of this.#modules.get(modId, cmdId)?.balance?.hostsInService() ?? []) count++;
    return count;
  }

  /**
   * Counts the outcome of a call; 0 is success, any other code a failure. `timecostMs` is what the
   * call took, -1 when nobody told. Outcomes of modules or nodes that are not known are ignored and
   * counted as such.
   */
  report(
    modId: number,
    cmdId: number,
    ip: number,
    port: number,
    retcode: number,
    timecostMs: number,
    nowMs: number,
    caller = UNKNOWN_CALLER,
  ): void {
    const isBacked = caller === UNKNOWN_CALLER ||
      this.#callers.reported(caller, modId, cmdId, ip, port);
    if (retcode === 0) {
      const place = this.#tally.find(modId, cmdId, ip, port);
      if (place !== NO_PLACE && this.#tally.add(place, 1, timecostMs, nowMs, caller, false)) {
        this.#counts.reports++;
        return;
      }
    }
    const balance = this.#modules.get(modId, cmdId)?.balance;
    const isCounted = balance?.report(
      ip >>> 0,
      port,
      retcode,
      timecostMs,
      nowMs,
      caller,
      isBacked,
    );
    if (isCounted === true) this.#counts.reports++;
    else this.#counts.reportsIgnored++;
  }

  /**
   * Counts the outcome of a call as `report` does, of a caller that picked the node by a plan: it was
   * given the node, and it uses the module.
   *
   * @param place What {@linkcode RouteLb.seek} gave for the node since the last batch.
   */
  reportPlanned(
    modId: number,
    cmdId: number,
    ip: number,
    port: number,
    retcode: number,
    timecostMs: number,
    nowMs: number,
    caller: number,
    place = NO_PLACE,
  ): void {
    if (
      retcode === 0 && this.#tallied(modId, cmdId, ip, port, 1, timecostMs, nowMs, caller, place)
    ) {
      return;
    }
    const entry = this.#modules.get(modId, cmdId);
    const isCounted = entry?.balance?.report(ip, port, retcode, timecostMs, nowMs, caller, true);
    if (entry !== undefined) this.#usedByReport(entry, nowMs);
    if (isCounted === true) this.#counts.reports++;
    else this.#counts.reportsIgnored++;
  }

  /**
   * What {@linkcode RouteLb.touch} is to be given for a node: who does both for some reports before the
   * first of them waits for their memory at once, and not for that of one after the other.
   */
  homeOf(modId: number, cmdId: number, ip: number, port: number): number {
    return this.#tally.homeOf(modId, cmdId, ip, port);
  }

  /** Reads where a report of a node will begin. */
  touch(home: number): void {
    this.#tally.touch(home);
  }

  /**
   * Reads what a report of a node is about to read and write, and changes nothing.
   *
   * @returns a place that spares `reportPlanned` and `reportRun` the search.
   */
  seek(modId: number, cmdId: number, ip: number, port: number): number {
    const place = this.#tally.find(modId, cmdId, ip, port);
    if (place !== NO_PLACE) return place;
    const host = this.#modules.get(modId, cmdId)?.balance?.finder.find(ip, port);
    if (host !== undefined) this.#sought = host.vsucc + host.timedTotal;
    return NO_PLACE;
  }

  /** Counts calls that decide nothing beside their node; false: it is to be told of them. */
  #tallied(
    modId: number,
    cmdId: number,
    ip: number,
    port: number,
    count: number,
    timecostMs: number,
    nowMs: number,
    caller: number,
    sought: number,
  ): boolean {
    const tally = this.#tally;
    const isKnown = sought !== NO_PLACE && tally.isAt(sought, modId, cmdId, ip, port);
    const place = isKnown ? sought : tally.find(modId, cmdId, ip, port);
    if (place === NO_PLACE) return false;
    if (!tally.add(place, count, timecostMs, nowMs, caller, true)) return false;
    this.#counts.reports += count;
    return true;
  }

  #usedByReport(entry: ModuleEntry, nowMs: number): void {
    this.#refresh.used(entry, nowMs);
    if (entry.balance !== undefined) this.#tally.setUseUntil(entry.balance, entry.refreshDueMs);
  }

  /**
   * Counts calls that went well and took the same time, as {@linkcode reportPlanned} counts each.
   *
   * @param count 1 or more.
   * @param place What {@linkcode RouteLb.seek} gave for the node since the last batch.
   */
  reportRun(
    modId: number,
    cmdId: number,
    ip: number,
    port: number,
    count: number,
    timecostMs: number,
    nowMs: number,
    caller: number,
    place = NO_PLACE,
  ): void {
    if (this.#tallied(modId, cmdId, ip, port, count, timecostMs, nowMs, caller, place)) return;
    const entry = this.#modules.get(modId, cmdId);
    const isCounted = entry?.balance?.reportRun(ip, port, count, timecostMs, nowMs, caller);
    if (entry !== undefined) this.#usedByReport(entry, nowMs);
    if (isCounted === true) this.#counts.reports += count;
    else this.#counts.reportsIgnored += count;
  }

  /**
   * A caller was given a node by `getHost` or {@linkcode nextTurn}: its report of that node is one of
   * a real call then. What a caller reports that was not given the node counts as made up.
   *
   * @param caller Above 0, as `report` has it; of datagrams the port they come from.
   */
  given(caller: number, modId: number, cmdId: number, ip: number, port: number): void {
    this.#callers.picked(caller, modId, cmdId, ip, port);
  }

  /** Counts the outcomes of many calls of one node at once; see `report`. */
  reportCalls(
    modId: number,
    cmdId: number,
    ip: number,
    port: number,
    calls: CallCounts,
    nowMs: number,
  ): void {
    const entry = this.#modules.get(modId, cmdId);
    const count = calls.succ + calls.err;
    if (entry !== undefined) entry.usedAtMs = nowMs;
    if (entry?.balance?.reportCalls(ip >>> 0, port, calls, nowMs)) this.#counts.reports += count;
    else this.#counts.reportsIgnored += count;
  }

  /** Callers that pick for themselves got no node so often since they last told. */
  reportRefused(
    modId: number,
    cmdId: number,
    refused: Omit<RefusedTotals, "fresh">,
    nowMs: number,
  ): void {
    const entry = this.#modules.get(modId, cmdId);
    if (entry === undefined) return;
    entry.usedAtMs = nowMs;
    this.#refused.add(entry, refused);
  }

  /** Marks a module as used, as `getHost` does, without picking: its route is kept fresh. */
  use(modId: number, cmdId: number, nowMs: number): void {
    this.#use(modId, cmdId, nowMs);
  }

  /**
   * Takes a route that dns sent, as an answer or unasked.
   *
   * @returns what changed, or undefined when the module is not known (any more).
   */
  update(
    modId: number,
    cmdId: number,
    nodes: readonly RouteNode[],
    nowMs: number,
  ): RouteUpdate | undefined {
    const entry = this.#modules.get(modId, cmdId);
    if (entry === undefined) return undefined;
    this.#latestMs = nowMs;
    this.#refresh.answered(entry, nowMs);
    return this.#setNodes(entry, nodes, nowMs);
  }

  /** Forgets a module now, with all that was counted of it: it will not be asked for any more. */
  forget(modId: number, cmdId: number): void {
    const entry = this.#modules.get(modId, cmdId);
    if (entry !== undefined) this.#evict(entry);
  }

  /** Dns sent the same route again: what `update` with the same nodes does, without the work. */
  confirm(modId: number, cmdId: number, nowMs: number): void {
    const entry = this.#modules.get(modId, cmdId);
    if (entry !== undefined && entry.state !== "pulling") this.#refresh.answered(entry, nowMs);
  }

  /**
   * Puts a route in from the cache, so that a restarted agent serves before dns answers. It is
   * pulled when it is next used. Does nothing for a module that is known already, or when full.
   */
  preload(modId: number, cmdId: number, nodes: readonly RouteNode[], nowMs: number): void {
    const known = this.#modules.get(modId, cmdId) !== undefined;
    if (known) return;
    if (nodes.length === 0 || this.#modules.count >= this.#modulesMax) {
      this.#options.onForget?.(modId >>> 0, cmdId >>> 0);
      return;
    }
    const entry = this.#insert(modId, cmdId, nowMs);
    entry.refreshDueMs = nowMs;
    this.#setNodes(entry, nodes, nowMs);
  }

  /** There is no connection to dns: nothing is asked for until `resubscribe`. */
  pausePulls(): void {
    this.#refresh.pause();
  }

  /**
   * The connection to dns is new: unanswered pulls are repeated now, and known modules are asked
   * for again, spread over time, because dns pushes changes only of what was asked for over the
   * connection.
   */
  resubscribe(nowMs: number): void {
    this.#refresh.resubscribe(nowMs);
  }

  /** Does what falls due by `nowMs`: ends of windows and of overload, growing shares, pulls. */
  tick(nowMs: number): void {
    this.#latestMs = nowMs;
    this.#callers.tick(nowMs);
    this.#context.active.settle(nowMs);
    this.#context.out.tick(nowMs);
    for (const balance of this.#ticking) if (!balance.tick(nowMs)) this.#ticking.delete(balance);
    this.#refresh.tick(nowMs);
    if (nowMs >= this.#forgetDueMs) this.#forgetUnasked(nowMs);
  }

  /** What has no nodes and nobody asks for again is forgotten, so that it takes no place anywhere. */
  #forgetUnasked(nowMs: number): void {
    this.#forgetDueMs = nowMs + FORGET_INTERVAL_MS;
    const unasked: ModuleEntry[] = [];
    for (const entry of this.#modules.nodeless()) {
      if (nowMs - entry.usedAtMs >= NODELESS_KEPT_MS) unasked.push(entry);
    }
    for (const entry of unasked) this.#evict(entry);
  }

  /** True when no time-out runs and nothing waits to be sent: until the next call no tick is due. */
  get resting(): boolean {
    return this.#context.active.count === 0 && this.#ticking.size === 0 &&
      this.#dirty.length === 0 && !this.#refused.pending &&
      this.#refresh.pendingCount === 0;
  }

  /**
   * Takes what is to be reported: modules with newly counted calls or state changes, each at most
   * once in {@linkcode REPORT_INTERVAL_MS}, and of each the changed nodes only, and now and then
   * those that are still out; and, as reports of their own, modules whose callers got no node.
   * After {@linkcode RESULTS_PER_DRAIN_MAX} results the other modules wait for the next call.
   *
   * @param force Takes everything, however recent the last report is; for the end of the program.
   */
  drainReports(nowMs: number, force = false): ModuleReport[] {
    const reports = this.#refused.drain(nowMs, REPORT_INTERVAL_MS, force);
    const max = force ? Infinity : RESULTS_PER_DRAIN_MAX;
    if (this.#dirty.length === 0) return reports;
    const waiting: ModuleState[] = [];
    let count = 0;
    for (const balance of this.#dirty) {
      const isDue = force || nowMs - balance.reportedAtMs >= REPORT_INTERVAL_MS;
      if (!isDue || count >= max) {
        waiting.push(balance);
        continue;
      }
      const { modId, cmdId } = balance;
      const report = { modId, cmdId, results: balance.takeResults(nowMs) };
      count += report.results.length;
      const { counts } = balance;
      reports.push(counts === undefined ? report : { ...report, counts: counts.list() });
    }
    this.#dirty = waiting;
    return reports;
  }

  /**
   * Takes new settings without losing what is known of any node. Windows that run keep their end.
   *
   * @throws {RangeError} when a setting is out of its range; the old ones then stay.
   */
  setSettings(settings: BalanceSettings): void {
    this.#context.settings = checkBalanceSettings(settings);
    for (const { balance } of this.#modules) balance?.settingsChanged();
  }

  /** Says where the agent stands; modules that are aware of zones plan their calls anew. */
  setZone(zone: string): void {
    if (zone === this.#context.zone) return;
    this.#context.zone = zone;
    for (const { balance, policy } of this.#modules) {
      if (balance?.router.isZoned === true) balance.setPolicy(policy, this.#latestMs);
    }
  }

  /**
   * Gives one module a policy and settings of its own, from the next pick on. What is known of its
   * nodes stays. Does nothing for a module that is not known, like `update`.
   *
   * @param json Text as {@linkcode parseModulePolicy} reads it; "" for what modules without a text
   * get. A text that the module has already costs nothing.
   * @param parsed What came of the text where it was read already, perhaps in another thread: it is
   * taken as it is, and the text only tells whether the policy is another one.
   * @throws {RangeError} naming the key, its range and its value; the old policy then stays.
   */
  setModulePolicy(modId: number, cmdId: number, json: string, parsed?: ModulePolicy): void {
    const entry = this.#modules.get(modId, cmdId);
    if (entry?.policyText === json) return;
    const policy = parseModulePolicy(json, parsed);
    if (entry === undefined) return;
    entry.policyText = json;
    entry.policy = json === "" ? this.#modulePolicy : policy;
    entry.balance?.setPolicy(entry.policy, this.#latestMs);
  }

  /** The plan of a module is to be taken once more; nothing happens when it has none. */
  replan(modId: number, cmdId: number): void {
    const balance = this.#modules.get(modId, cmdId)?.balance;
    if (balance !== undefined) this.plans?.note(balance);
  }

  /**
   * Tells all about one module: nodes with what they are and why, zones, latest decisions. Its
   * picks are remembered from the first look on; see {@linkcode LoadBalance.explain}.
   *
   * @returns undefined when nobody has asked for the module.
   */
  explain(modId: number, cmdId: number, nowMs: number): ModuleExplanation | undefined {
    const entry = this.#modules.get(modId, cmdId);
    if (entry === undefined) return undefined;
    const ageMs = entry.updatedAtMs === -Infinity ? undefined : nowMs - entry.updatedAtMs;
    return { state: entry.state, ageMs, module: entry.balance?.explain(nowMs) };
  }

  /** Every module with its nodes. */
  *snapshot(nowMs: number): IterableIterator<ModuleSnapshot> {
    for (const entry of this.#modules) {
      const { modId, cmdId, state, updatedAtMs } = entry;
      yield {
        modId,
        cmdId,
        state,
        ageMs: nowMs - updatedAtMs,
        hosts: entry.balance?.snapshot() ?? [],
      };
    }
  }

  /** Counters and sizes. O(1). */
  stats(): RouteLbStats {
    return {
      modules: this.#modules.count,
      modulesReady: this.#modules.readyCount,
      hosts: this.#modules.hostCount,
      hostsOverload: this.#context.hostsOut,
      activeHosts: this.#context.active.count,
      pullsPending: this.#refresh.pendingCount,
      pullsSent: this.#refresh.sentCount,
      ...this.#counts,
    };
  }

  /** The module a caller asks for, made when it is unknown, and pulled when it is due. */
  #use(modId: number, cmdId: number, nowMs: number): ModuleEntry {
    const entry = this.#modules.get(modId, cmdId) ?? this.#makeRoomAndInsert(modId, cmdId, nowMs);
    this.#refresh.used(entry, nowMs);
    return entry;
  }

  #makeRoomAndInsert(modId: number, cmdId: number, nowMs: number): ModuleEntry {
    let victim: ModuleEntry | undefined;
    if (this.#modules.count >= this.#modulesMax) {
      victim = this.#modules.firstToGo((entry) => this.#usedAtMs(entry));
      if (victim !== undefined) this.#evict(victim);
    }
    const entry = this.#insert(modId, cmdId, nowMs, victim);
    entry.refreshDueMs = nowMs;
    return entry;
  }

  /** @param gone A module that was evicted for this one. */
  #insert(modId: number, cmdId: number, nowMs: number, gone?: ModuleEntry): ModuleEntry {
    let entry = gone;
    if (entry === undefined || entry.balance !== undefined) {
      entry = new ModuleEntry(modId >>> 0, cmdId >>> 0, this.#modulePolicy, nowMs);
    } else entry.become(modId >>> 0, cmdId >>> 0, this.#modulePolicy, nowMs);
    this.#modules.insert(entry);
    return entry;
  }

  #evict(entry: ModuleEntry): void {
    this.#modules.evict(entry);
    this.#refresh.stop(entry);
    this.#refused.forget(entry);
    if (entry.balance !== undefined) {
      this.#ticking.delete(entry.balance);
      this.plans?.note(entry.balance);
    }
    this.#forgetTurns(entry);
    this.#counts.modulesEvicted++;
    // Nobody outside has heard of a module that is still waiting for its first pull.
    const asked = entry.pullRetryMs > 0 || entry.state !== "pulling";
    if (asked) this.#options.onForget?.(entry.modId, entry.cmdId);
  }

  #setNodes(entry: ModuleEntry, nodes: readonly RouteNode[], nowMs: number): RouteUpdate {
    if (entry.balance === undefined && nodes.length > 0) {
      entry.balance = new LoadBalance(entry.modId, entry.cmdId, this.#context, entry.policy);
    }
    const change = entry.balance?.update(nodes, nowMs) ?? NO_CHANGE;
    this.#counts.nodesCut += change.cut;
    this.#modules.routeTaken(entry, change);
    if (!entry.hasNodes) this.#forgetTurns(entry);
    return change;
  }

  #isInUse({ modId, cmdId }: ModuleState, nowMs: number): boolean {
    const entry = this.#modules.get(modId, cmdId);
    return entry !== undefined && nowMs - this.#usedAtMs(entry) < OUT_USED_MS;
  }

  /** Latest use, wherever it was counted. */
  #usedAtMs({ modId, cmdId, balance, usedAtMs }: ModuleEntry): number {
    const talliedAtMs = balance === undefined ? -Infinity : this.#tally.usedAtMs(balance);
    return Math.max(usedAtMs, talliedAtMs, this.#turns.usedAtMs(modId, cmdId));
  }

  /** The table must not keep nodes that are no more. */
  #forgetTurns(entry: ModuleEntry): void {
    const { modId, cmdId } = entry;
    entry.usedAtMs = this.#usedAtMs(entry);
    this.#turns.forget(modId, cmdId);
  }

  #stateChanged(change: StateChange): void {
    if (change.dryRun === true) return this.#options.onStateChange?.(change);
    if (change.overload) this.#counts.changesToOverload++;
    else this.#counts.changesToIdle++;
    this.#options.onStateChange?.(change);
  }
}
