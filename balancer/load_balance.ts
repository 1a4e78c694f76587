// Core. One module: its nodes, which is next, what their calls say, and what changes with the route.

import { RetCode } from "../proto/message_ids.ts";
import type { Rng } from "../reactor/time/rng.ts";
import type {
  HostResult,
  HostSnapshot,
  ModuleModeChange,
  RouteUpdate,
  StateChange,
} from "./balance_records.ts";
import type { BalanceSettings } from "./detection/balance_settings.ts";
import { CallOutcome, callOutcomeOf } from "./detection/call_outcome.ts";
import {
  decayedEjections,
  ejectionsAllowed,
  ejectionTimeMs,
  rampShare,
} from "./detection/ejection.ts";
import { type ModuleMode, type ModuleView, PickLog, viewNode, WATCH_MS } from "./explain.ts";
import { type ActiveHosts, Host, type HostOwner } from "./host.ts";
import { HostCare } from "./detection/host_care.ts";
import { HostList } from "./host_list.ts";
import {
  changedSettings,
  DEFAULT_MODULE_POLICY,
  type ModulePolicy,
  rulesOf,
} from "./module_policy.ts";
import { ModuleMemory } from "./routes/module_memory.ts";
import { tableKeyOf } from "./picking/murmur3.ts";
import { countPlainly, NodeJudge } from "./detection/node_judge.ts";
import {
  type CallCounts,
  countTime,
  resetIdle,
  resetOverload,
  windowEndMs,
} from "./detection/overload_policy.ts";
import { NO_KEY } from "./picking/pick_policy.ts";
import { TURNS_MAX, type TurnTable } from "./routes/turn_table.ts";
import { ZoneRouter } from "./picking/zone_router.ts";
import { addressId, type RouteNode, WEIGHT_DEFAULT } from "../model/node.ts";

/** What the modules of one loop share. */
export interface BalanceContext {
  /** Read at every use, so that a reload takes effect at once. */
  settings: BalanceSettings;
  /** Most nodes of one module; further ones are cut and counted. */
  readonly nodesMax: number;
  /** Zone of the agent; "" = none. */
  zone: string;
  /** For policies, and for the jitter of recovery. */
  readonly rng: Rng;
  readonly active: ActiveHosts;
  /** Nodes that are out, of all modules; the modules count. */
  hostsOut: number;
  /** A node changed its state. */
  onStateChange(change: StateChange): void;
  /** A module changed its mode. */
  onModeChange(change: ModuleModeChange): void;
  /** The module has something to report again; called once until `takeResults`. */
  onDirty(balance: LoadBalance): void;
  /** The module wants `tick` from now on, until that answers false. */
  onCaring(balance: LoadBalance): void;
}

/** While a module is open it goes on so until this share of its nodes is usable: none then gets
 * more than 6/5 of its fair share when the others lose theirs. */
const OPEN_UNTIL_SHARE = 5 / 6;

/** Calls whose outcome nobody reports are looked for so often within their time. */
const EXPIRY_LOOKS = 8;

/** Heads of the lists of nodes that are out that the mode `probe` looks at for each call. */
const PROBE_LOOKS_MAX = 4;

/**
 * Copying the nodes for {@linkcode LoadBalance.lendTurns} costs about this part of a pick for each:
 * so many picks are made before it pays, and a module whose nodes change all the time pays nothing.
 */
const COPY_COST = 1 / 8;

/** Modules without settings share one: it keeps nothing of them. */
const DEFAULT_JUDGE = new NodeJudge(DEFAULT_MODULE_POLICY.settings);

function judgeFor(policy: ModulePolicy): NodeJudge {
  return policy === DEFAULT_MODULE_POLICY ? DEFAULT_JUDGE : new NodeJudge(policy.settings);
}

/** One module. Synchronous, without a clock of its own: times are arguments. */
export class LoadBalance implements HostOwner {
  /** Where turns are lent to, while they are. */
  #turns: TurnTable | undefined = undefined;
  readonly modId: number;
  readonly cmdId: number;
  /** Nodes that are out and given probes. */
  readonly overload = new HostList<Host>();
  /** Nodes that are out and given nothing yet. */
  readonly resting = new HostList<Host>();
  /** When its results were last taken for a report. Milliseconds. */
  reportedAtMs = -Infinity;
  /** How many turns were lent. */
  #turnsLent = 0;
  /** The turns that were last lent are still the same circle of nodes. */
  #isSameRing = false;
  /** Ordinary picks since it is not. */
  #picksOfRing = 0;
  readonly #context: BalanceContext;
  readonly #hosts = new Map<number, Host>();
  #dirty: Host[] = [];
  #modulePolicy: ModulePolicy;
  #judge: NodeJudge;
  #router: ZoneRouter;
  /** Ordinary picks or refusals since the last probe; stands still while no node is overload. */
  #accessCount = 0;
  /** Nodes that the operator wants in use. */
  #inService = 0;
  /** As `hostsOut` of the context knows it. */
  #outCounted = 0;
  /** True while picks have to be noted. */
  #observes = false;
  #isCaring = false;
  /** `rules` of the agent's settings that they were made from. */
  #rules: BalanceSettings;
  #rulesFrom: BalanceSettings;
  #memoryIfAny: ModuleMemory | undefined = undefined;

  constructor(
    modId: number,
    cmdId: number,
    context: BalanceContext,
    policy: ModulePolicy = DEFAULT_MODULE_POLICY,
  ) {
    this.modId = modId;
    this.cmdId = cmdId;
    this.#context = context;
    this.#modulePolicy = policy;
    this.#judge = judgeFor(policy);
    this.#router = new ZoneRouter(policy, context.zone, context.rng);
    this.#rulesFrom = context.settings;
    this.#rules = rulesOf(policy, context.settings);
    this.#observes = this.#follows;
    this.#changed();
  }

  /**
   * A health check says that a node is well, or that it is not: it is taken back, put out, or kept
   * out for another overload_timeout. Calls go on being judged.
   *
   * @returns false when the node is not (or no longer) one of this module.
   */
  setHealth(ip: number, port: number, healthy: boolean, reason: string, nowMs: number): boolean {
    const host = this.findHost(ip, port);
    if (host === undefined) return false;
    if (nowMs >= host.dueMs) this.settle(host, nowMs);
    if (healthy === host.judged) this.#change(host, !healthy, reason, nowMs);
    else if (!healthy) {
      host.dueMs = Math.max(host.dueMs, nowMs + this.#rulesNow().overloadTimeoutMs);
    }
    return true;
  }

  /** A node by its address; undefined when the route does not name it. */
  findHost(ip: number, port: number): Host | undefined {
    return this.#hosts.get(addressId(ip >>> 0, port));
  }

  /** Number of nodes. */
  get hostCount(): number {
    return this.#hosts.size;
  }

  /** Number of nodes that are out. */
  get outCount(): number {
    return this.overload.count + this.resting.count;
  }

  /** True when calls are planned by zone. */
  get isZoned(): boolean {
    return this.#router.isZoned;
  }

  /** The nodes, in the order in which they joined the route. */
  hosts(): IterableIterator<Host> {
    return this.#hosts.values();
  }

  /** The nodes that are picked from, each zone from the head of its list. */
  usable(): IterableIterator<Host> {
    this.#endTurns();
    return this.#router.usable();
  }

  /** The nodes the operator wants in use, in the order in which they joined the route. */
  *hostsInService(): IterableIterator<Host> {
    for (const host of this.#hosts.values()) if (isInService(host)) yield host;
  }

  /**
   * The next node, or a return code: NoExist without nodes, Overload to refuse.
   *
   * @param key What should stay on one node, for policies that heed it.
   */
  pick(nowMs: number, key?: number | string): Host | number {
    if (this.#turns !== undefined) this.#endTurns();
    const hash = key === undefined ? NO_KEY : tableKeyOf(key);
    const picked = this.overload.count === 0 && this.resting.count === 0
      ? this.#router.pick(nowMs, hash) ?? RetCode.NoExist
      : this.#pickAmongSick(nowMs, hash);
    if (this.#observes && typeof picked !== "number") this.#observe(picked, nowMs);
    return picked;
  }

  /**
   * Lends the next picks to a table if they are nothing but the nodes in turn, and there have been
   * enough of such to pay for it. To be called after a pick; who picks from the table then need not
   * call `pick`, and nobody sees a difference.
   *
   * @returns true when the table may not have known the module before.
   */
  lendTurns(turns: TurnTable): boolean {
    const ring = this.#observes || this.#turns !== undefined ? undefined : this.#router.inTurn;
    if (ring === undefined || ring.count === 0) return false;
    const lent = this.overload.count === 0
      ? TURNS_MAX
      : this.#rulesNow().probeNum - this.#accessCount;
    if (lent <= 0) return false;
    const isSame = this.#isSameRing;
    if (!isSame && ++this.#picksOfRing < ring.count * COPY_COST) return false;
    if (!turns.lend(this.modId, this.cmdId, ring, isSame, lent)) return false;
    this.#turns = turns;
    this.#turnsLent = lent;
    this.#isSameRing = true;
    return !isSame;
  }

  /** The numbers that picks depend on may be others now. */
  settingsChanged(): void {
    this.#endTurns();
  }

  /**
   * Counts the outcome of a call.
   *
   * @param retcode 0 = success; any other value is a failure, of a kind that `call_outcome.ts` says.
   * @param timecostMs How long the call took; -1 when unknown.
   * @returns false when the node is not (or no longer) one of this module: nothing was counted.
   */
  report(ip: number, port: number, retcode: number, timecostMs: number, nowMs: number): boolean {
    const host = this.#hosts.get(addressId(ip, port));
    if (host === undefined) return false;
    if (nowMs >= host.dueMs) this.settle(host, nowMs);
    if (this.#observes) this.#ended(host, 1, callOutcomeOf(retcode), nowMs);
    const good = host.care === undefined
      ? countPlainly(host, retcode, timecostMs)
      : this.#judge.count(host, retcode, timecostMs, nowMs, this.#hosts);
    countTime(host, timecostMs);
    host.reportSucc = host.rsucc;
    host.reportErr = host.rerr;
    this.#markDirty(host);
    this.#judgeCall(host, good, nowMs);
    return true;
  }

  /**
   * Counts the outcomes of many calls, and judges once, after all of them.
   *
   * @returns false when the node is not (or no longer) one of this module: nothing was counted.
   */
  reportCalls(ip: number, port: number, calls: CallCounts, nowMs: number): boolean {
    const host = this.#hosts.get(addressId(ip, port));
    if (host === undefined) return false;
    if (nowMs >= host.dueMs) this.settle(host, nowMs);
    if (this.#observes) {
      const outcome = calls.err > 0 ? CallOutcome.Other : CallOutcome.Success;
      this.#ended(host, calls.succ + calls.err, outcome, nowMs);
    }
    this.#judge.countMany(host, calls, nowMs);
    host.reportSucc = host.rsucc;
    host.reportErr = host.rerr;
    this.#markDirty(host);
    // The kind that can change the state decides; a batch may hold both.
    this.#judgeCall(host, host.judged ? calls.succ > 0 : calls.err === 0, nowMs);
    return true;
  }

  /**
   * Ends the windows and the overload time of a node that have run out by `nowMs`, each at its own
   * time: the outcome is the same however late or often it is called.
   */
  settle(host: Host, nowMs: number): void {
    const { active } = this.#context;
    // At most three turns: a window ends in overload, overload ends in idle or in waiting for
    // probes, and neither a fresh idle node nor a waiting one has a due time.
    while (nowMs >= host.dueMs) {
      const atMs = host.dueMs;
      const rules = this.#rulesNow();
      if (host.judged) {
        if (this.#isStaged) this.#endRest(host, atMs);
        else this.#change(host, false, `overload for ${rules.overloadTimeoutMs / 1000} s`, atMs);
        continue;
      }
      const reason = this.#judge.whyOutAtWindowEnd(host, rules);
      if (reason !== undefined) {
        this.#change(host, true, reason, atMs);
      } else {
        resetIdle(host, rules);
        active.remove(host);
      }
    }
  }

  /**
   * Does what goes on slowly: growing shares, calls that nobody reported, the end of watching.
   *
   * @returns false when it need not be called any more, until `onCaring` says so.
   */
  tick(nowMs: number): boolean {
    const memory = this.#memory;
    if (memory.ramping.size > 0) this.#growShares(nowMs);
    if (memory.picks !== undefined && nowMs >= memory.watchUntilMs) this.#stopWatching();
    if (nowMs >= memory.expiryDueMs) this.#expireCalls(nowMs);
    this.#isCaring = memory.ramping.size > 0 || memory.underWay > 0;
    return this.#isCaring;
  }

  /**
   * Takes a new route: nodes kept by it keep their counters and their place, new ones join those
   * in use, the others are dropped with all that was known of them. Duplicates count once.
   */
  update(nodes: readonly RouteNode[], nowMs: number): RouteUpdate {
    const wanted = new Map<number, RouteNode>();
    let cut = 0;
    for (const node of nodes) {
      const key = addressId(node.ip >>> 0, node.port);
      if (wanted.has(key)) continue;
      if (!(node.port >= 1 && node.port <= 65535) || wanted.size >= this.#context.nodesMax) {
        cut++;
      } else {
        wanted.set(key, node);
      }
    }
    const isFirst = this.#hosts.size === 0;
    let removed = 0;
    for (const [key, host] of this.#hosts) {
      if (wanted.has(key)) continue;
      this.#drop(key, host);
      removed++;
    }
    const kept = this.#hosts.size;
    for (const [key, node] of wanted) this.#keepOrAdd(key, node, isFirst, nowMs);
    this.#inService = 0;
    for (const host of this.#hosts.values()) if (isInService(host)) this.#inService++;
    this.#enforce(undefined, nowMs);
    if (this.#rampingCount > 0) this.#growShares(nowMs);
    return { added: this.#hosts.size - kept, kept, removed, cut };
  }

  /** Takes another policy from the next pick on; what is known of the nodes stays. */
  setPolicy(policy: ModulePolicy, nowMs: number): void {
    const inOrder = [...this.usable(), ...this.overload, ...this.resting];
    for (const host of inOrder) {
      host.list?.remove(host);
      host.pool = undefined;
      host.slot = -1;
    }
    this.#modulePolicy = policy;
    this.#judge = judgeFor(policy);
    this.#router = new ZoneRouter(policy, this.#context.zone, this.#context.rng);
    this.#rules = rulesOf(policy, this.#context.settings);
    this.#memoryIfAny?.ramping.clear();
    for (const host of this.#hosts.values()) {
      host.pickWeight = host.weight;
      // Its times may be others now, and what is gathered by the old ones means nothing then.
      host.care?.evidence.clear();
      host.care?.underWay.clear();
      this.#fitCare(host);
      if (this.#isStaged || host.care === undefined) continue;
      host.care.resting = false;
      // A node that waited for probes comes back by the clock now.
      if (!host.judged || host.dueMs < Infinity) continue;
      host.dueMs = nowMs + this.#rulesNow().overloadTimeoutMs;
      this.#context.active.add(host);
    }
    if (this.#memoryIfAny !== undefined) this.#memoryIfAny.underWay = 0;
    this.#observes = this.#follows || this.#memoryIfAny?.picks !== undefined;
    for (const host of inOrder) this.#place(host);
    if (this.#memoryIfAny !== undefined) {
      this.#updateMode(nowMs);
      this.#enforceAll();
    }
    this.#changed();
  }

  /** Drops all nodes; for a module that is to be forgotten. */
  clear(): void {
    for (const [key, host] of this.#hosts) this.#drop(key, host);
  }

  /** What changed since the last call: nodes with newly counted calls or a new state. */
  takeResults(nowMs: number): HostResult[] {
    const hosts = this.#dirty;
    this.#dirty = [];
    this.reportedAtMs = nowMs;
    const { dryRun } = this.#modulePolicy.settings;
    return hosts.map((host) => {
      host.dirty = false;
      const succ = host.reportSucc;
      const err = host.reportErr;
      // The next report without a call in between is one of a state alone.
      host.reportSucc = 0;
      host.reportErr = 0;
      const { ip, port, succTotal, errTotal, timedTotal, timeMsTotal } = host;
      // A node that is held is as sick as one that is out; a dry run says nothing outside.
      const overload = host.judged && !dryRun;
      return {
        ip,
        port,
        succ,
        err,
        overload,
        succTotal,
        errTotal,
        timedTotal,
        timeMsTotal,
      };
    });
  }

  /** The nodes as they are now, those in use first, each list from its head. */
  snapshot(): HostSnapshot[] {
    const away = [...this.#hosts.values()].filter((host) => host.list === undefined);
    const all = [...this.usable(), ...this.overload, ...this.resting, ...away];
    return all.map((host) => ({
      ip: host.ip,
      port: host.port,
      overload: host.overload,
      vsucc: host.vsucc,
      verr: host.verr,
      rsucc: host.rsucc,
      rerr: host.rerr,
      continSucc: host.continSucc,
      continErr: host.continErr,
      sinceMs: host.sinceMs,
      weight: host.weight,
      zone: host.zone,
      state: host.state,
    }));
  }

  /**
   * Tells all about the module. From now on its picks are remembered for {@linkcode WATCH_MS}, so a
   * second look says who got them; a module that nobody looks at does not pay for it.
   */
  explain(nowMs: number): ModuleView {
    const memory = this.#memory;
    memory.watchUntilMs = nowMs + WATCH_MS;
    if (memory.picks === undefined) {
      memory.picks = new PickLog();
      for (const host of this.#hosts.values()) this.#fitCare(host);
      this.#observes = true;
      this.#changed();
    }
    const picksRemembered = memory.picks.count;
    const changed = memory.modeSinceMs > -Infinity;
    return {
      modId: this.modId,
      cmdId: this.cmdId,
      policy: this.#modulePolicy.policy,
      settings: changedSettings(this.#modulePolicy),
      mode: memory.mode,
      modeReason: memory.modeReason,
      modeSinceMs: changed ? nowMs - memory.modeSinceMs : undefined,
      zones: this.#router.view(),
      nodes: [...this.#hosts.values()].map((host) =>
        viewNode(host, nowMs, memory.decisions.latestOf(host)?.reason, picksRemembered)
      ),
      picksRemembered,
      decisions: memory.decisions.latestFirst().map(({ atMs, ...decision }) => ({
        ...decision,
        agoMs: nowMs - atMs,
      })),
    };
  }

  get #memory(): ModuleMemory {
    return this.#memoryIfAny ??= new ModuleMemory();
  }

  /** Nodes whose share grows. */
  get #rampingCount(): number {
    return this.#memoryIfAny?.ramping.size ?? 0;
  }

  get #mode(): ModuleMode {
    return this.#memoryIfAny?.mode ?? "normal";
  }

  get #isStaged(): boolean {
    return this.#modulePolicy.settings.recovery === "staged";
  }

  /** True when calls under way matter. */
  get #follows(): boolean {
    return this.#router.followsCalls || this.#isStaged ||
      this.#modulePolicy.settings.whenAllOverload === "probe";
  }

  /** The numbers of the original rules, those of the agent or of the module. */
  #rulesNow(): BalanceSettings {
    const { settings } = this.#context;
    if (settings !== this.#rulesFrom) {
      this.#rulesFrom = settings;
      this.#rules = rulesOf(this.#modulePolicy, settings);
    }
    return this.#rules;
  }

  /** Some node is out: in turn it is probed, all others get the rest. */
  #pickAmongSick(nowMs: number, hash: number): Host | number {
    if (this.#mode === "probe") {
      // Nodes that are held stay in use in this mode too.
      return this.#probeOneWithoutCall() ?? this.#router.pick(nowMs, hash) ?? RetCode.Overload;
    }
    if (this.overload.count > 0 && this.#accessCount >= this.#rulesNow().probeNum) {
      const probed = this.overload.rotate();
      // Staged, a node gets one probe at a time; its turn stays until it may have it.
      const isBusy = this.#isStaged && (probed?.care?.underWay.count ?? 0) > 0;
      if (probed !== undefined && !isBusy) {
        this.#accessCount = 0;
        return probed;
      }
    } else if (this.overload.count > 0) {
      this.#accessCount++;
    }
    return this.#router.pick(nowMs, hash) ?? RetCode.Overload;
  }

  /** No node is usable: each of them may have one call at a time. */
  #probeOneWithoutCall(): Host | undefined {
    return withoutCall(this.overload) ?? withoutCall(this.resting);
  }

  #observe(host: Host, nowMs: number): void {
    const { care } = host;
    if (care === undefined) return;
    const memory = this.#memory;
    memory.picks?.add(host);
    this.#expireCallsOf(host, nowMs);
    care.underWay.begin(nowMs, this.#modulePolicy.settings.outstandingTimeoutMs);
    memory.underWay++;
    host.pool?.began(host, nowMs);
    if (!this.#isCaring) this.#care();
  }

  #ended(host: Host, count: number, outcome: CallOutcome, nowMs: number): void {
    const { care } = host;
    if (care === undefined) return;
    const known = Math.min(count, care.underWay.count);
    for (let i = 0; i < known; i++) care.underWay.end();
    this.#memory.underWay -= known;
    host.pool?.ended(host, known, outcome, nowMs);
  }

  #expireCallsOf(host: Host, nowMs: number): void {
    const { care } = host;
    if (care === undefined) return;
    const before = care.underWay.count;
    care.underWay.expire(nowMs, this.#modulePolicy.settings.outstandingTimeoutMs);
    const expired = before - care.underWay.count;
    if (expired === 0) return;
    this.#memory.underWay -= expired;
    host.pool?.ended(host, expired, CallOutcome.Unknown, nowMs);
  }

  #expireCalls(nowMs: number): void {
    const { outstandingTimeoutMs } = this.#modulePolicy.settings;
    this.#memory.expiryDueMs = nowMs + outstandingTimeoutMs / EXPIRY_LOOKS;
    for (const host of this.#hosts.values()) this.#expireCallsOf(host, nowMs);
  }

  #stopWatching(): void {
    const memory = this.#memory;
    memory.picks?.clear();
    memory.picks = undefined;
    this.#observes = this.#follows;
    this.#changed();
    for (const host of this.#hosts.values()) this.#fitCare(host);
  }

  /** Gives a node what the module keeps of its nodes, or takes it away. */
  #fitCare(host: Host): void {
    const wanted = this.#modulePolicy !== DEFAULT_MODULE_POLICY ||
      this.#memoryIfAny?.picks !== undefined;
    if (wanted) {
      host.care ??= new HostCare();
    } else if (host.care !== undefined) {
      this.#memory.underWay -= host.care.underWay.count;
      host.care = undefined;
    }
  }

  /** Asks for ticks: there is something to do in them. */
  #care(): void {
    if (this.#isCaring) return;
    this.#isCaring = true;
    this.#context.onCaring(this);
  }

  #judgeCall(host: Host, good: boolean, nowMs: number): void {
    // An idle node is judged by failures only and an overload one by successes only, so that a
    // node near both bounds does not flap.
    if (host.judged) return this.#judgeProbe(host, good, nowMs);
    if (!good || host.care !== undefined) {
      const reason = this.#judge.whyOut(host, !good, this.#rulesNow());
      if (reason !== undefined) return this.#change(host, true, reason, nowMs);
    }
    if (host.activeIndex >= 0) return;
    host.dueMs = windowEndMs(host.sinceMs, this.#rulesNow().idleTimeoutMs, nowMs);
    this.#context.active.add(host);
  }

  #judgeProbe(host: Host, good: boolean, nowMs: number): void {
    // Calls that were under way when the node went out prove nothing about how it is now.
    if (host.overload && host.care?.resting === true) return;
    if (good) {
      const reason = this.#judge.whyBack(host, this.#rulesNow());
      if (reason !== undefined) this.#change(host, false, reason, nowMs);
    } else if (host.overload && this.#isStaged) {
      this.#rest(host, nowMs);
      this.#memory.decisions.add(nowMs, host, "resting", "a probe failed");
      this.#place(host);
    }
  }

  #change(host: Host, overload: boolean, reason: string, atMs: number): void {
    const { active } = this.#context;
    const { dryRun } = this.#modulePolicy.settings;
    const rules = this.#rulesNow();
    const wasOut = host.overload;
    if (overload) {
      resetOverload(host, rules, atMs);
      this.#memory.judged.add(host);
      if (this.#isStaged) this.#rest(host, atMs);
      active.add(host);
    } else {
      resetIdle(host, rules);
      host.sinceMs = atMs;
      this.#memory.judged.delete(host);
      active.remove(host);
      if (host.care !== undefined) this.#forgetFailures(host.care, atMs);
    }
    host.care?.evidence.clear();
    this.#enforce(host, atMs);
    if (!overload && wasOut) this.#startReturn(host, atMs);
    this.#markDirty(host);
    const { modId, cmdId } = this;
    const { ip, port } = host;
    const held = overload && !host.overload && !dryRun;
    const became = !overload ? "idle" : dryRun ? "overload (dry run)" : held ? "held" : "overload";
    this.#memory.decisions.add(atMs, host, became, reason);
    const change: StateChange = { modId, cmdId, ip, port, overload, reason, atMs };
    const more = { ...(dryRun ? { dryRun } : {}), ...(held ? { held } : {}) };
    this.#context.onStateChange(dryRun || held ? { ...change, ...more } : change);
  }

  /** The node is well again: what its failures cost must not keep calls away any longer. */
  #forgetFailures(care: HostCare, atMs: number): void {
    care.ejectionsAtMs = atMs;
    care.ewma.restart(care.meanTime.ms, atMs);
  }

  /** The node gets nothing for a while: longer each time it goes out. */
  #rest(host: Host, atMs: number): void {
    const { care } = host;
    if (care === undefined) return;
    const { settings } = this.#modulePolicy;
    // A node that is out already is not in use: nothing decays then.
    const inUseMs = Math.max(0, atMs - care.ejectionsAtMs);
    const before = decayedEjections(care.ejections, inUseMs, settings.ejectionDecayMs);
    care.ejections = before + 1;
    care.ejectionsAtMs = Infinity;
    care.resting = true;
    host.continSucc = 0;
    host.dueMs = atMs + ejectionTimeMs(care.ejections, settings, this.#context.rng.next());
    this.#context.active.add(host);
  }

  /** The node has rested: from now on it gets probes. */
  #endRest(host: Host, atMs: number): void {
    host.dueMs = Infinity;
    this.#context.active.remove(host);
    if (host.care !== undefined) host.care.resting = false;
    this.#place(host);
    if (host.overload) {
      this.#memory.decisions.add(atMs, host, "overload", "has rested, gets probes");
    }
  }

  #startReturn(host: Host, atMs: number): void {
    const { recovery, rampMs, recoveryJitter } = this.#modulePolicy.settings;
    if (recovery !== "staged" || this.#mode === "open") return;
    this.#startRamp(host, rampMs * (1 + recoveryJitter * this.#context.rng.next()), atMs);
  }

  #startRamp(host: Host, rampMs: number, atMs: number): void {
    const { care } = host;
    if (care === undefined || !(rampMs > 0)) return;
    care.rampFromMs = atMs;
    care.rampMs = rampMs;
    this.#memory.ramping.add(host);
    this.#growShares(atMs);
    this.#care();
  }

  /** Lets the shares of returned and new nodes grow; not when most nodes are such. */
  #growShares(nowMs: number): void {
    let usable = 0;
    let growing = 0;
    for (const { weight } of this.#router.usable()) usable += weight;
    const { ramping } = this.#memory;
    for (const host of ramping) if (host.pool !== undefined) growing += host.weight;
    // Who else should take their calls?
    const isSkipped = growing * 2 > usable || this.#mode === "open";
    const { rampStartShare } = this.#modulePolicy.settings;
    for (const host of ramping) {
      const { care, pool } = host;
      const share = care === undefined || pool === undefined
        ? 1
        : rampShare(nowMs - care.rampFromMs, care.rampMs, rampStartShare);
      if (share === 1) ramping.delete(host);
      const pickWeight = isSkipped ? host.weight : host.weight * share;
      if (pickWeight === host.pickWeight) continue;
      if (pool === undefined) host.pickWeight = pickWeight;
      else pool.setWeight(host, pickWeight);
      this.#router.changed();
    }
  }

  /** Lets verdicts take effect as far as the module allows it. */
  #enforce(changed: Host | undefined, nowMs: number): void {
    const { overloadShareMax, whenAllOverload, dryRun } = this.#modulePolicy.settings;
    // Nothing ever befell any node.
    if (this.#memoryIfAny === undefined) return;
    const flipped = this.#updateMode(nowMs);
    const isPlain = overloadShareMax >= 1 && whenAllOverload !== "open" && !dryRun;
    // A new route may have brought a node back into service that was judged before.
    if (!isPlain || flipped || changed === undefined) this.#enforceAll();
    if (changed === undefined) return;
    if (isPlain || !changed.judged) this.#setOut(changed, changed.judged);
  }

  #enforceAll(): void {
    const { overloadShareMax, dryRun } = this.#modulePolicy.settings;
    const isOpen = dryRun || this.#mode === "open";
    let allowed = isOpen ? 0 : ejectionsAllowed(this.#inService, overloadShareMax);
    for (const host of this.#memory.judged) this.#setOut(host, isInService(host) && allowed-- > 0);
  }

  #setOut(host: Host, out: boolean): void {
    host.overload = out;
    if (out && this.#memory.ramping.delete(host)) host.pool?.setWeight(host, host.weight);
    this.#place(host);
  }

  /** @returns true when the mode changed. */
  #updateMode(atMs: number): boolean {
    const { whenAllOverload, usableShareMin, dryRun } = this.#modulePolicy.settings;
    const memory = this.#memory;
    const count = this.#inService;
    let judged = memory.judged.size;
    if (count < this.#hosts.size) {
      for (const host of memory.judged) if (!isInService(host)) judged--;
    }
    const usable = count === 0 ? 1 : (count - judged) / count;
    const leastShare = whenAllOverload !== "open"
      ? 0
      : memory.mode === "open"
      ? Math.max(usableShareMin, OPEN_UNTIL_SHARE)
      : usableShareMin;
    const isWithout = !dryRun && (usable === 0 || usable < leastShare);
    const mode = isWithout ? whenAllOverload : "normal";
    if (mode === memory.mode) return false;
    if (memory.mode === "open") this.#letWellOnesProbe();
    const reason = `${count - judged} of ${count} nodes are usable`;
    memory.mode = mode;
    memory.modeReason = reason;
    memory.modeSinceMs = atMs;
    memory.decisions.add(atMs, undefined, mode, reason);
    const { modId, cmdId } = this;
    this.#context.onModeChange({ modId, cmdId, mode, reason, atMs });
    return true;
  }

  /** While all were in use some went well but not often enough: they need not rest first. */
  #letWellOnesProbe(): void {
    for (const host of this.#memory.judged) {
      if (host.care === undefined || host.continSucc === 0 || !host.care.resting) continue;
      host.care.resting = false;
      host.dueMs = Infinity;
      this.#context.active.remove(host);
    }
  }

  /** Puts a node where it belongs by what is known of it. */
  #place(host: Host): void {
    const isUsable = isInService(host) && !host.overload;
    const pool = isUsable ? this.#router.poolOf(host.zone) : undefined;
    const out = host.care?.resting === true ? this.resting : this.overload;
    const list = isUsable ? pool?.usable : isInService(host) ? out : undefined;
    if (host.list === list) return;
    this.#take(host);
    if (pool !== undefined) pool.add(host);
    else list?.pushTail(host);
    this.#changed();
  }

  /** Takes a node out of whatever it stands in. */
  #take(host: Host): void {
    this.#endTurns();
    if (host.pool !== undefined) host.pool.remove(host);
    else host.list?.remove(host);
    this.#changed();
  }

  /** A node stands elsewhere, or picks are made in another way. */
  #changed(): void {
    this.#endTurns();
    this.#isSameRing = false;
    this.#picksOfRing = 0;
    this.#context.hostsOut += this.outCount - this.#outCounted;
    this.#outCounted = this.outCount;
    this.#router.changed();
  }

  /** Takes back what is left of the turns, and counts those that were made. */
  #endTurns(): void {
    const turns = this.#turns;
    if (turns === undefined) return;
    this.#turns = undefined;
    const { modId, cmdId } = this;
    const made = this.#turnsLent - turns.takeBack(modId, cmdId);
    if (this.overload.count > 0) this.#accessCount += made;
    const head = turns.headOf(modId, cmdId);
    if (head !== undefined) head.list?.turnTo(head);
  }

  #markDirty(host: Host): void {
    if (host.dirty) return;
    host.dirty = true;
    this.#dirty.push(host);
    if (this.#dirty.length === 1) this.#context.onDirty(this);
  }

  #keepOrAdd(key: number, node: RouteNode, isFirst: boolean, nowMs: number): void {
    const { slowStartMs, recoveryJitter } = this.#modulePolicy.settings;
    const known = this.#hosts.get(key);
    const host = known ?? new Host(node.ip >>> 0, node.port, this, nowMs);
    const weight = node.weight ?? WEIGHT_DEFAULT;
    const zone = node.zone ?? "";
    const state = node.state ?? "on";
    if (known === undefined) {
      resetIdle(host, this.#rulesNow());
      this.#hosts.set(key, host);
      this.#fitCare(host);
    } else if (host.weight !== weight || host.zone !== zone || host.state !== state) {
      this.#take(host);
      this.#router.forget(host);
      this.#memoryIfAny?.ramping.delete(host);
    } else {
      return;
    }
    host.weight = weight;
    host.pickWeight = weight;
    host.zone = zone;
    host.state = state;
    this.#place(host);
    if (known !== undefined || isFirst || !(slowStartMs > 0)) return;
    this.#startRamp(host, slowStartMs * (1 + recoveryJitter * this.#context.rng.next()), nowMs);
  }

  #drop(key: number, host: Host): void {
    this.#hosts.delete(key);
    this.#take(host);
    this.#router.forget(host);
    this.#context.active.remove(host);
    if (this.#memoryIfAny === undefined) return;
    this.#memoryIfAny.judged.delete(host);
    this.#memoryIfAny.ramping.delete(host);
    this.#memoryIfAny.underWay -= host.care?.underWay.count ?? 0;
  }
}

/** The first of the next few nodes of a list that has no call under way. */
function withoutCall(list: HostList<Host>): Host | undefined {
  for (let look = Math.min(list.count, PROBE_LOOKS_MAX); look > 0; look--) {
    const host = list.rotate();
    if (host?.care?.underWay.count === 0) return host;
  }
  return undefined;
}

function isInService({ state, weight }: Host): boolean {
  return state === "on" && weight > 0;
}
