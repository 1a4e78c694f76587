// Core. One module: pick, report, take a route, tell. The parts that do it are wired here.

import {
  hostCountsOf,
  type HostResult,
  type HostSnapshot,
  type RouteUpdate,
} from "./balance_records.ts";
import { DepartedNode, type DepartedOfModule, type NodeTotals } from "./departed_nodes.ts";
import { UNKNOWN_CALLER } from "./detection/caller_tally.ts";
import { CallOutcome, callOutcomeOf } from "./detection/call_outcome.ts";
import { callReported } from "./detection/lone_callers.ts";
import {
  type CallCounts,
  countPlainly,
  countTime,
  countTimes,
  resetIdle,
} from "./detection/outlier_detector.ts";
import {
  applyHealth,
  enforce,
  enforceAll,
  growShares,
  judgeCall,
  settle,
  startRamp,
  updateMode,
} from "./detection/verdicts.ts";
import { explainModule, type ModuleView, stopWatching } from "./explain.ts";
import { Host } from "./host.ts";
import { ModuleCounts } from "./module_counts.ts";
import type { ModulePolicy } from "./module_policy.ts";
import { ModuleState } from "./module_state.ts";
import { callBegan, callsEnded, expireCalls } from "./picking/call_tracking.ts";
import { tableKeyOf } from "./picking/murmur3.ts";
import { NO_KEY } from "./picking/pick_policy.ts";
import type { TurnTable } from "./picking/turn_table.ts";
import { addressId, type RouteNode, takesCalls, WEIGHT_DEFAULT } from "../model/node.ts";
import { RetCode } from "../proto/message_ids.ts";

/** One module. Synchronous, without a clock of its own: times are arguments. */
export class LoadBalance extends ModuleState {
  /** Totals of nodes that have left, for when they return; made when one leaves. */
  #departed: DepartedOfModule | undefined = undefined;
  /** The same of nodes that have returned: outside they go on from there. */
  readonly #returned = new Map<number, NodeTotals>();

  /**
   * A health check says that a node is well, or that it is not: it is taken back, put out, or kept
   * out for another overload_timeout. Calls go on being judged.
   *
   * @returns false when the node is not (or no longer) one of this module.
   */
  setHealth(ip: number, port: number, healthy: boolean, reason: string, nowMs: number): boolean {
    const host = this.finder.find(ip, port);
    if (host === undefined) return false;
    this.context.tally?.stop(this, host);
    applyHealth(this, host, healthy, reason, nowMs);
    return true;
  }

  /** A node by its address, its counts as they are now; undefined when the route does not name it. */
  findHost(ip: number, port: number): Host | undefined {
    const host = this.finder.find(ip, port);
    if (host !== undefined) this.context.tally?.fold(this, host);
    return host;
  }

  /** Number of nodes. */
  get hostCount(): number {
    return this.hosts.size;
  }

  /** The nodes that are picked from, each zone from the head of its list. */
  usable(): IterableIterator<Host> {
    this.walk.endTurns();
    return this.router.usable();
  }

  /** The nodes the operator wants in use, in the order in which they joined the route. */
  *hostsInService(): IterableIterator<Host> {
    for (const host of this.hosts.values()) if (takesCalls(host)) yield host;
  }

  /**
   * The next node, or a return code: NoExist without nodes, Overload to refuse.
   *
   * @param key What should stay on one node, for policies that heed it.
   */
  pick(nowMs: number, key?: number | string): Host | number {
    const { walk } = this;
    walk.endTurns();
    const hash = key === undefined ? NO_KEY : tableKeyOf(key);
    const picked = walk.outCount === 0
      ? this.router.pick(nowMs, hash) ?? RetCode.NoExist
      : this.#pickAmongSick(nowMs, hash);
    if (typeof picked === "number") return picked;
    if (this.observes || (picked.overload && this.followsProbes)) callBegan(this, picked, nowMs);
    return picked;
  }

  /** Some node is out: in turn it is probed, all others get the rest. */
  #pickAmongSick(nowMs: number, hash: number): Host | number {
    // In the mode `probe` nodes that are held stay in use too.
    const probed = this.mode === "probe"
      ? this.walk.probeWithoutCall()
      : this.walk.probe(this.rules.probeNum, this.isStaged);
    return probed ?? this.router.pick(nowMs, hash) ?? RetCode.Overload;
  }

  /**
   * Lends the next picks to a table if they are nothing but the nodes in turn, and there have been
   * enough of such to pay for it. To be called after a pick; who picks from the table then need not
   * call `pick`, and nobody sees a difference.
   *
   * @returns true when the table may not have known the module before.
   */
  lendTurns(turns: TurnTable): boolean {
    const ring = this.observes ? undefined : this.router.inTurn;
    return ring !== undefined && this.walk.lend(turns, ring, this.rules.probeNum);
  }

  /**
   * Counts the outcome of a call.
   *
   * @param retcode 0 = success; any other value is a failure, of a kind that `call_outcome.ts` says.
   * @param timecostMs How long the call took; -1 when unknown.
   * @param caller Who reports it, as `RouteLb.report` has it; 0 = unknown.
   * @param isBacked The caller was given this node.
   * @returns false when the node is not (or no longer) one of this module: nothing was counted.
   */
  report(
    ip: number,
    port: number,
    retcode: number,
    timecostMs: number,
    nowMs: number,
    caller = UNKNOWN_CALLER,
    isBacked = true,
  ): boolean {
    const host = this.#toCount(ip, port, nowMs);
    if (host === undefined) return false;
    if (this.detector.needsMedian(timecostMs, nowMs, this.hosts)) this.context.tally?.foldAll(this);
    if (this.observes || host.overload) callsEnded(this, host, 1, callOutcomeOf(retcode), nowMs);
    const good = host.stats === undefined
      ? countPlainly(host, retcode, timecostMs)
      : this.detector.count(host, retcode, timecostMs, nowMs, this.hosts);
    countTime(host, timecostMs);
    (this.counts ??= new ModuleCounts()).add(retcode === 0, timecostMs);
    if (retcode !== 0 || host.hasCallers) {
      callReported(host, caller, retcode !== 0, isBacked, nowMs);
    }
    this.#counted(host, good, nowMs);
    return true;
  }

  /**
   * Counts calls that went well and took the same time, as `report` counts each of them: what comes
   * of it is the same.
   *
   * @param count 1 or more.
   * @returns false when the node is not (or no longer) one of this module: nothing was counted.
   */
  reportRun(
    ip: number,
    port: number,
    count: number,
    timecostMs: number,
    nowMs: number,
    caller = UNKNOWN_CALLER,
  ): boolean {
    const host = this.#toCount(ip, port, nowMs);
    if (host === undefined) return false;
    let left = count;
    // Where the next success may change what the one after it means, each is judged.
    while (left > 0 && (host.judged || this.observes || this.detector.mayBeSlow(timecostMs))) {
      this.report(ip, port, RetCode.Success, timecostMs, nowMs, caller);
      left--;
    }
    if (left === 0) return true;
    this.detector.countRun(host, left, timecostMs, nowMs);
    countTimes(host, left, timecostMs);
    (this.counts ??= new ModuleCounts()).addRun(left, timecostMs);
    if (host.hasCallers) callReported(host, caller, false, true, nowMs);
    this.#counted(host, true, nowMs);
    return true;
  }

  /**
   * Counts the outcomes of many calls, and judges once, after all of them.
   *
   * @returns false when the node is not (or no longer) one of this module: nothing was counted.
   */
  reportCalls(ip: number, port: number, calls: CallCounts, nowMs: number): boolean {
    const host = this.#toCount(ip, port, nowMs);
    if (host === undefined) return false;
    if (this.observes || host.overload) {
      const outcome = calls.err > 0 ? CallOutcome.Other : CallOutcome.Success;
      callsEnded(this, host, calls.succ + calls.err, outcome, nowMs);
    }
    this.detector.countMany(host, calls, nowMs);
    if (calls.err > 0 || host.hasCallers) {
      callReported(host, UNKNOWN_CALLER, calls.err > 0, true, nowMs);
    }
    (this.counts ??= new ModuleCounts()).addMany(calls);
    // The kind that can change the state decides; a batch may hold both.
    this.#counted(host, host.judged ? calls.succ > 0 : calls.err === 0, nowMs);
    return true;
  }

  /** The node at an address, brought up to `nowMs`: to be followed by counting calls of it. */
  #toCount(ip: number, port: number, nowMs: number): Host | undefined {
    const host = this.finder.find(ip, port);
    if (host === undefined) return undefined;
    this.context.tally?.fold(this, host);
    if (nowMs >= host.dueMs) settle(this, host, nowMs);
    return host;
  }

  #counted(host: Host, good: boolean, nowMs: number): void {
    host.reportSucc = host.rsucc;
    host.reportErr = host.rerr;
    this.markDirty(host);
    judgeCall(this, host, good, nowMs);
    this.context.tally?.renew(this, host, nowMs);
  }

  plainUntilMs(host: Host): number {
    const isWell = !host.judged && !host.overload && host.activeIndex >= 0;
    return isWell && !this.observes && this.detector.isPlain(host) ? host.dueMs : -Infinity;
  }

  /** What `report` does for each of the calls, of a node that {@linkcode plainUntilMs} tells of. */
  countPlain(
    host: Host,
    count: number,
    timed: number,
    timeMs: number,
    meanMs: number,
    meanCalls: number,
    othersAtMs: number,
    piece: number,
  ): void {
    this.detector.countPlain(host, count, meanMs, meanCalls, piece);
    host.timedTotal += timed;
    host.timeMsTotal += timeMs;
    if (othersAtMs > -Infinity) host.stats?.callers?.othersSucceeded(othersAtMs);
    host.reportSucc = host.rsucc;
    host.reportErr = host.rerr;
    this.markDirty(host);
  }

  countTallied(values: Float64Array, at: number): void {
    (this.counts ??= new ModuleCounts()).addTallied(values, at);
  }

  /** Brings a node up to `nowMs`, of which {@linkcode settle} says how. */
  settle(host: Host, nowMs: number): void {
    this.context.tally?.stop(this, host);
    settle(this, host, nowMs);
  }

  tick(nowMs: number): boolean {
    const { memory } = this;
    if (memory.ramping.size > 0) growShares(this, nowMs);
    if (memory.picks !== undefined && nowMs >= memory.watchUntilMs) stopWatching(this);
    if (nowMs >= memory.closeDueMs) enforce(this, undefined, nowMs);
    expireCalls(this, nowMs);
    this.isTicking = memory.ramping.size > 0 || memory.underWay > 0 ||
      memory.closeDueMs < Infinity;
    return this.isTicking;
  }

  /**
   * Takes a new route: nodes kept by it keep their counters and their place, new ones join those
   * in use, the others are dropped with all that was known of them; what is reported of them goes on when
   * they return. Duplicates count once.
   */
  update(nodes: readonly RouteNode[], nowMs: number): RouteUpdate {
    const { hosts, context } = this;
    const wanted = new Map<number, RouteNode>();
    let cut = 0;
    for (const node of nodes) {
      const key = addressId(node.ip >>> 0, node.port);
      if (wanted.has(key)) continue;
      if (!(node.port >= 1 && node.port <= 65535) || wanted.size >= context.nodesMax) cut++;
      else wanted.set(key, node);
    }
    const before = hosts.size;
    for (const [key, host] of hosts) if (!wanted.has(key)) this.#drop(key, host);
    const kept = hosts.size;
    const moves = new TurnMoves(this);
    for (const [key, node] of wanted) {
      const host = hosts.get(key);
      if (host === undefined) this.#add(key, node, before === 0, nowMs);
      else this.#keep(host, node, moves);
    }
    moves.end();
    if (before === 0) this.router.beginAnywhere(context.rng);
    this.inService = 0;
    for (const host of hosts.values()) if (takesCalls(host)) this.inService++;
    // Else nothing ever befell any node.
    if (this.memoryIfAny !== undefined) {
      enforce(this, undefined, nowMs);
      if (this.memoryIfAny.ramping.size > 0) growShares(this, nowMs);
    }
    return { added: hosts.size - kept, kept, removed: before - kept, cut };
  }

  #add(key: number, node: RouteNode, isFirst: boolean, nowMs: number): void {
    const host = new Host(node.ip >>> 0, node.port, this, nowMs);
    const { weight = WEIGHT_DEFAULT, zone = "", state = "on" } = node;
    resetIdle(host, this.rules);
    this.#goOn(key);
    this.hosts.set(key, host);
    this.finder.forget();
    this.fitStatistics(host);
    host.weight = weight;
    host.pickWeight = weight;
    host.zone = zone;
    host.state = state;
    this.place(host);
    const { slowStartMs } = this.policy.settings;
    if (!isFirst && slowStartMs > 0) startRamp(this, host, slowStartMs, nowMs);
  }

  /** A node that stays keeps what is known of it, and while it is in use its place in the turns. */
  #keep(host: Host, node: RouteNode, moves: TurnMoves): void {
    const { weight = WEIGHT_DEFAULT, zone = "", state = "on" } = node;
    if (host.weight === weight && host.zone === zone && host.state === state) return;
    const wasInService = takesCalls(host);
    const isReweighed = host.weight !== weight;
    // A growing share goes on to grow.
    const pickWeight = host.weight > 0 ? weight * host.pickWeight / host.weight : weight;
    const staysIn = wasInService && takesCalls({ state, weight });
    const isMoved = this.router.poolOf(zone) !== this.router.poolOf(host.zone);
    if (!staysIn || isMoved) {
      if (staysIn && host.pool !== undefined) moves.add(host);
      this.take(host);
    }
    if (isMoved) this.router.forget(host);
    host.weight = weight;
    host.zone = zone;
    host.state = state;
    this.setPickWeight(host, pickWeight);
    if (!staysIn || isMoved) this.place(host);
    if (isReweighed) this.router.reweighed(host);
    this.changed();
  }

  /** Outside are sums that only grow: with those of a new node some calls would be taken for old ones. */
  #goOn(key: number): void {
    if (this.#departed === undefined) return;
    const before = this.context.departed.take(this.#departed, key);
    if (before !== undefined) this.#returned.set(key, before);
  }

  #noteTotals(key: number, host: Host, mayReturn: boolean): void {
    const totals = totalsTogether(host, this.#returned.get(key));
    this.#returned.delete(key);
    if (totals.succTotal + totals.errTotal === 0) return;
    const departed: DepartedOfModule = this.#departed ??= new Map();
    if (mayReturn) this.context.departed.add(departed, key, totals);
    else departed.set(key, new DepartedNode(departed, key, totals));
  }

  /** Totals as they are outside: also of a node that has left since it was called. */
  #totalsOf(host: Host): NodeTotals {
    const key = addressId(host.ip, host.port);
    const returned = this.#returned.get(key);
    if (this.hosts.get(key) === host) return totalsTogether(host, returned);
    return returned ?? this.#departed?.get(key)?.totals ?? host;
  }

  #drop(key: number, host: Host, mayReturn = true): void {
    const { memoryIfAny } = this;
    this.context.tally?.forget(this, host);
    this.#noteTotals(key, host, mayReturn);
    this.hosts.delete(key);
    this.finder.forget();
    this.take(host);
    this.router.forget(host);
    this.context.active.remove(host);
    this.context.out.remove(host);
    if (memoryIfAny === undefined) return;
    memoryIfAny.judged.delete(host);
    memoryIfAny.ramping.delete(host);
    memoryIfAny.underWay -= host.stats?.underWay.count ?? 0;
  }

  /** Takes another policy from the next pick on; what is known of the nodes stays. */
  setPolicy(policy: ModulePolicy, nowMs: number): void {
    const inOrder = [...this.usable(), ...this.walk.overload, ...this.walk.resting];
    const left = this.router.turnsLeft();
    this.replacePolicy(policy, nowMs);
    for (const host of inOrder) this.place(host);
    this.router.keepTurns(left);
    if (this.memoryIfAny !== undefined) {
      growShares(this, nowMs);
      updateMode(this, nowMs);
      enforceAll(this);
    }
    this.changed();
  }

  /** Drops all nodes; for a module that is to be forgotten once its last results are taken. */
  clear(): void {
    if (this.#departed !== undefined) this.context.departed.release(this.#departed);
    for (const [key, host] of this.hosts) this.#drop(key, host, false);
    this.context.tally?.forgetOwner(this);
  }

  takeResults(nowMs: number): HostResult[] {
    this.context.tally?.foldAll(this);
    const hosts = this.dirty;
    this.dirty = [];
    this.isDirty = false;
    this.reportedAtMs = nowMs;
    // A node that is held takes its calls as before: only one that is out is overload outside.
    const hasLeft = this.#departed !== undefined;
    return hosts.map((host) =>
      hostResultOf(host, host.overload, hasLeft ? this.#totalsOf(host) : host)
    );
  }

  /** The nodes as they are now, those in use first, each list from its head. */
  snapshot(): HostSnapshot[] {
    this.context.tally?.foldAll(this);
    const away = [...this.hosts.values()].filter((host) => host.list === undefined);
    const { overload, resting } = this.walk;
    return [...this.usable(), ...overload, ...resting, ...away].map(hostSnapshotOf);
  }

  /** Tells all about the module, and watches its picks from now on; see {@linkcode explainModule}. */
  explain(nowMs: number): ModuleView {
    this.context.tally?.stopAll(this, this.hosts.values());
    return explainModule(this, nowMs);
  }
}

/** Nodes in use that a new route puts among others, as those of another zone: they keep their place. */
class TurnMoves {
  readonly #module: ModuleState;
  readonly #hosts: Host[] = [];
  #left: Map<Host, number> | undefined = undefined;

  constructor(module: ModuleState) {
    this.#module = module;
  }

  /** A node is about to be moved. */
  add(host: Host): void {
    this.#left ??= this.#module.router.turnsLeft();
    this.#hosts.push(host);
  }

  /** All stand where they are to. */
  end(): void {
    const left = this.#left;
    if (left === undefined) return;
    this.#module.router.keepTurns(new Map(this.#hosts.map((host) => [host, left.get(host) ?? 1])));
  }
}

function totalsTogether(one: NodeTotals, other: NodeTotals | undefined): NodeTotals {
  return {
    succTotal: one.succTotal + (other?.succTotal ?? 0),
    errTotal: one.errTotal + (other?.errTotal ?? 0),
    timedTotal: one.timedTotal + (other?.timedTotal ?? 0),
    timeMsTotal: one.timeMsTotal + (other?.timeMsTotal ?? 0),
  };
}

/** What is to be reported of a node; the next report without a call in between is one of a state. */
function hostResultOf(host: Host, overload: boolean, totals: NodeTotals): HostResult {
  const { ip, port } = host;
  const { succTotal, errTotal, timedTotal, timeMsTotal } = totals;
  const { reportSucc: succ, reportErr: err } = host;
  host.dirty = false;
  host.reportSucc = 0;
  host.reportErr = 0;
  return { ip, port, succ, err, overload, succTotal, errTotal, timedTotal, timeMsTotal };
}

/** A node as a snapshot shows it. */
function hostSnapshotOf(host: Host): HostSnapshot {
  const { ip, port, overload, sinceMs, weight, zone, state } = host;
  return { ip, port, overload, ...hostCountsOf(host), sinceMs, weight, zone, state };
}
