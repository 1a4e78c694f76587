// Core. What is known of one module: its nodes, where each stands, its policy, its latest decisions.

import type { ModuleCounts } from "./module_counts.ts";
import type { HostResult, ModuleModeChange, StateChange } from "./balance_records.ts";
import type { DepartedNodes } from "./departed_nodes.ts";
import type { BalanceSettings } from "./detection/balance_settings.ts";
import { NodeStatistics } from "./detection/node_statistics.ts";
import type { OutHosts } from "./detection/out_hosts.ts";
import type { SuccessTally, TallyOwner } from "./detection/success_tally.ts";
import { forgetEvidence, OutlierDetector } from "./detection/outlier_detector.ts";
import type { ActiveHosts, Host, HostOwner } from "./host.ts";
import { HostFinder } from "./host_finder.ts";
import { DEFAULT_MODULE_POLICY, type ModulePolicy, rulesOf } from "./module_policy.ts";
import type { ModuleMode, ModuleSettings } from "./module_settings.ts";
import { ListWalk } from "./picking/policy_lars.ts";
import { ZoneRouter } from "./picking/zone_router.ts";
import { addressText, takesCalls } from "../model/node.ts";
import type { Rng } from "../reactor/time/rng.ts";

/** Decisions a module remembers; older ones are forgotten. */
export const DECISIONS_MAX = 32;

/** Picks a module remembers while somebody watches; older ones are forgotten. */
export const RECENT_PICKS_MAX = 1000;

/** Something a module decided. */
export interface Decision {
  /** By the clock the balancer is given. Milliseconds. */
  readonly atMs: number;
  /** The node as "ip:port"; undefined for a decision about the whole module. */
  readonly node: string | undefined;
  /** What the node or the module is from then on. */
  readonly became: string;
  readonly reason: string;
}

/** The latest decisions. Takes memory only once there is one. */
export class DecisionLog {
  #decisions: Decision[] = [];

  /** Keeps a decision in mind. */
  add(atMs: number, host: Host | undefined, became: string, reason: string): void {
    const node = host === undefined ? undefined : addressText(host);
    if (this.#decisions.length >= DECISIONS_MAX) this.#decisions.shift();
    this.#decisions.push({ atMs, node, became, reason });
  }

  /** The latest decision about a node. */
  latestOf(host: Host): Decision | undefined {
    const node = addressText(host);
    return this.#decisions.findLast((decision) => decision.node === node);
  }

  /** All that are remembered, latest first. */
  latestFirst(): Decision[] {
    return this.#decisions.toReversed();
  }
}

/** The latest picks of one module, counted in the `stats` of their nodes. */
export class PickLog {
  readonly #picks: Host[] = [];
  #at = 0;

  /** Number of picks that are remembered. */
  get count(): number {
    return this.#picks.length;
  }

  /** Keeps a pick in mind. O(1). */
  add(host: Host): void {
    if (host.stats !== undefined) host.stats.recentPicks++;
    if (this.#picks.length < RECENT_PICKS_MAX) {
      this.#picks.push(host);
      return;
    }
    const oldest = this.#picks[this.#at];
    if (oldest.stats !== undefined) oldest.stats.recentPicks--;
    this.#picks[this.#at] = host;
    this.#at = (this.#at + 1) % RECENT_PICKS_MAX;
  }

  /** Forgets all picks. */
  clear(): void {
    for (const { stats } of this.#picks) if (stats !== undefined) stats.recentPicks = 0;
    this.#picks.length = 0;
    this.#at = 0;
  }
}

/** What a module needs only once something befell it, it asks for more, or somebody looks. */
export class ModuleMemory {
  /** Nodes held for overload, the longest first. */
  readonly judged = new Set<Host>();
  /** Nodes whose share grows. */
  readonly ramping = new Set<Host>();
  readonly decisions = new DecisionLog();
  mode: ModuleMode = "normal";
  modeReason = "";
  modeSinceMs = -Infinity;
  /** When the verdict on a node last changed. */
  verdictAtMs = -Infinity;
  /** When a module that is open stops being so unless a verdict changes; Infinity: not by time. */
  closeDueMs = Infinity;
  /** Set while somebody watches. */
  picks: PickLog | undefined = undefined;
  watchUntilMs = -Infinity;
  /** When callers put nodes out by what they alone said: the latest times of each. */
  readonly outsByCaller = new Map<number, readonly number[]>();
  /** Calls under way, of all nodes. */
  underWay = 0;
  expiryDueMs = -Infinity;
}

/** What the modules of one loop share. */
export interface BalanceContext {
  /** When it is replaced, each module is told by {@linkcode ModuleState.settingsChanged}. */
  settings: BalanceSettings;
  /** Most nodes of one module; further ones are cut and counted. */
  readonly nodesMax: number;
  /** Zone of the agent; "" = none. */
  zone: string;
  /** For policies, and for the jitter of recovery. */
  readonly rng: Rng;
  readonly active: ActiveHosts;
  readonly out: OutHosts;
  /** Nodes that left, of all modules. */
  readonly departed: DepartedNodes;
  /** Counts calls that decide nothing, and tells them later; undefined: each is told at once. */
  readonly tally?: SuccessTally;
  /** Nodes that are out, of all modules; the modules count. */
  hostsOut: number;
  /** A node changed its state. */
  onStateChange(change: StateChange): void;
  /** What picks of the module depend on may be something else now. */
  onPlanChange?(module: ModuleState): void;
  /** A module changed its mode. */
  onModeChange(change: ModuleModeChange): void;
  /** True while callers use the module. */
  isInUse(module: ModuleState, nowMs: number): boolean;
  /** The module has something to report again; called once until `takeResults`. */
  onDirty(module: ModuleState): void;
  /** The module wants `tick` from now on, until that answers false. */
  onTicking(module: ModuleState): void;
}

/** Modules without settings share one: it keeps nothing of them. */
const DEFAULT_DETECTOR = new OutlierDetector(DEFAULT_MODULE_POLICY.settings);

/** One for each policy: modules of one text share theirs, see `parseModulePolicy`. */
const DETECTORS = new WeakMap<ModulePolicy, OutlierDetector>();

function detectorFor(policy: ModulePolicy): OutlierDetector {
  if (policy === DEFAULT_MODULE_POLICY) return DEFAULT_DETECTOR;
  const known = DETECTORS.get(policy);
  if (known !== undefined) return known;
  const detector = new OutlierDetector(policy.settings, policy.policy);
  DETECTORS.set(policy, detector);
  return detector;
}

/**
 * One module as the parts of the balancer share it. Plain mutable fields, as picks and reports read
 * them millions of times a second: `load_balance.ts` is the one who is called from outside, and the
 * rules that change them are functions, each kind in a file of its own.
 */
export abstract class ModuleState implements HostOwner, TallyOwner {
  readonly modId: number;
  readonly cmdId: number;
  /** The nodes by `addressId`, in the order in which they joined the route. */
  readonly hosts = new Map<number, Host>();
  readonly finder = new HostFinder(this.hosts);
  /** True while every pick has to be noted; else at most probes are. */
  observes = false;
  detector: OutlierDetector;
  /** The nodes that are out, and whose turn it is. */
  readonly walk: ListWalk;
  /** The nodes that are picked from. */
  router: ZoneRouter;
  policy: ModulePolicy;
  /** True when nodes come back in stages. */
  isStaged: boolean;
  /** The numbers of the original rules, those of the agent or of the module. */
  rules: BalanceSettings;
  readonly context: BalanceContext;
  /** Nodes with something to report, but for those whose calls wait to be told. */
  dirty: Host[] = [];
  /** There is something to report. */
  isDirty = false;
  /** Made with the first call. */
  counts: ModuleCounts | undefined = undefined;
  /** When its results were last taken for a report. Milliseconds. */
  reportedAtMs = -Infinity;
  tallyIndex = -1;
  /** Nodes that the operator wants in use. */
  inService = 0;
  /** True until `tick` answers false. */
  isTicking = false;
  memoryIfAny: ModuleMemory | undefined = undefined;
  /** Nodes that are out, as `hostsOut` of the context knows it. */
  #outCounted = 0;

  constructor(
    modId: number,
    cmdId: number,
    context: BalanceContext,
    policy: ModulePolicy = DEFAULT_MODULE_POLICY,
  ) {
    this.modId = modId;
    this.cmdId = cmdId;
    this.walk = new ListWalk(modId, cmdId);
    this.context = context;
    this.policy = policy;
    this.isStaged = policy.settings.recovery === "staged";
    this.detector = detectorFor(policy);
    this.router = new ZoneRouter(policy, context.zone, context.rng);
    this.rules = rulesOf(policy, context.settings);
    this.observes = this.followsCalls;
    this.changed();
  }

  abstract settle(host: Host, nowMs: number): void;

  abstract plainUntilMs(host: Host): number;

  pieceOf(nowMs: number): number {
    return this.detector.pieceOf(nowMs);
  }

  pieceUntilMs(piece: number): number {
    return this.detector.pieceUntilMs(piece);
  }

  abstract countPlain(
    host: Host,
    count: number,
    timed: number,
    timeMs: number,
    meanMs: number,
    meanCalls: number,
    othersAtMs: number,
    piece: number,
  ): void;

  abstract countTallied(values: Float64Array, at: number): void;

  /** Without statistics of its nodes a time decides nothing. */
  get plainBelowMs(): number {
    return this.policy === DEFAULT_MODULE_POLICY ? Infinity : this.policy.settings.slowMsMin;
  }

  /** A node that rests has no calls that would show it; who reads reports must not take it for idle. */
  stillOut(host: Host, nowMs: number): void {
    if (this.context.isInUse(this, nowMs)) this.markDirty(host);
  }

  /**
   * Does what goes on slowly: growing shares, calls that nobody reported, the end of watching.
   *
   * @returns false when it need not be called any more, until `onTicking` says so.
   */
  abstract tick(nowMs: number): boolean;

  /** What changed since the last call: nodes with newly counted calls or a new state. */
  abstract takeResults(nowMs: number): HostResult[];

  get memory(): ModuleMemory {
    return this.memoryIfAny ??= new ModuleMemory();
  }

  get mode(): ModuleMode {
    return this.memoryIfAny?.mode ?? "normal";
  }

  /** True when all calls under way matter. */
  get followsCalls(): boolean {
    return this.router.followsCalls;
  }

  /** True when a node that is out gets one probe at a time. */
  get followsProbes(): boolean {
    return this.isStaged || this.policy.settings.whenAllOverload === "probe";
  }

  /** The numbers that picks depend on may be others now. */
  settingsChanged(): void {
    this.walk.endTurns();
    this.rules = rulesOf(this.policy, this.context.settings);
    this.context.onPlanChange?.(this);
  }

  /** Takes another policy; the nodes stand nowhere until they are placed again. */
  replacePolicy(policy: ModulePolicy, nowMs: number): void {
    const { context, memoryIfAny } = this;
    const before = this.policy.settings;
    context.tally?.stopAll(this, this.hosts.values());
    this.policy = policy;
    this.isStaged = policy.settings.recovery === "staged";
    this.detector = detectorFor(policy);
    this.router = new ZoneRouter(policy, context.zone, context.rng);
    this.rules = rulesOf(policy, context.settings);
    context.tally?.settingsChanged(this);
    for (const host of this.hosts.values()) this.#startAnew(host, before, nowMs);
    this.observes = this.followsCalls || memoryIfAny?.picks !== undefined;
  }

  #startAnew(host: Host, before: ModuleSettings, nowMs: number): void {
    const { settings } = this.policy;
    host.list?.remove(host);
    host.pool = undefined;
    host.slot = -1;
    // What is gathered by other times means nothing now; all else stays.
    if (settings.evidenceMs !== before.evidenceMs) forgetEvidence(host);
    if (settings.outstandingTimeoutMs !== before.outstandingTimeoutMs) this.forgetCalls(host);
    this.fitStatistics(host);
    if (this.isStaged || host.stats === undefined) return;
    host.stats.resting = false;
    // A node that waited for probes comes back by the clock now.
    if (!host.judged || host.dueMs < Infinity) return;
    host.dueMs = nowMs + this.rules.overloadTimeoutMs;
    this.context.active.add(host);
  }

  /** Puts a node where it belongs by what is known of it. */
  place(host: Host): void {
    const isUsable = takesCalls(host) && !host.overload;
    const pool = isUsable ? this.router.poolOf(host.zone) : undefined;
    const out = host.stats?.resting === true ? this.walk.resting : this.walk.overload;
    const list = isUsable ? pool?.usable : takesCalls(host) ? out : undefined;
    if (host.list === list) return;
    this.take(host);
    if (pool !== undefined) pool.add(host);
    else if (list !== undefined) {
      list.pushTail(host);
      this.context.out.add(host);
    }
    this.changed();
  }

  /** Takes a node out of whatever it stands in. */
  take(host: Host): void {
    this.walk.endTurns();
    if (host.pool !== undefined) host.pool.remove(host);
    else host.list?.remove(host);
    this.changed();
  }

  /** A node stands elsewhere, or picks are made in another way. */
  changed(): void {
    const { outCount } = this.walk;
    this.walk.changed();
    this.context.hostsOut += outCount - this.#outCounted;
    this.#outCounted = outCount;
    this.router.changed();
    this.context.onPlanChange?.(this);
  }

  /** Gives a node the statistics the module keeps of its nodes, or takes them away. */
  fitStatistics(host: Host): void {
    const wanted = this.policy !== DEFAULT_MODULE_POLICY || this.memoryIfAny?.picks !== undefined;
    if (wanted) {
      host.stats ??= new NodeStatistics();
    } else if (host.stats !== undefined) {
      this.forgetCalls(host);
      host.stats = undefined;
      host.evidenceCalls = 0;
      host.hasCallers = false;
    }
  }

  /** The calls of a node that are under way count no more. */
  forgetCalls(host: Host): void {
    const { stats } = host;
    if (stats === undefined) return;
    if (stats.underWay.count > 0) this.memory.underWay -= stats.underWay.count;
    stats.underWay.clear();
  }

  /** A node is picked by another weight from now on, and keeps its place. */
  setPickWeight(host: Host, pickWeight: number): void {
    if (host.pickWeight === pickWeight) return;
    this.changed();
    if (host.pool === undefined) host.pickWeight = pickWeight;
    else host.pool.setWeight(host, pickWeight);
  }

  /** A node has something to report. */
  markDirty(host: Host): void {
    if (host.dirty) return;
    host.dirty = true;
    this.dirty.push(host);
    this.callsWait();
  }

  callsWait(): void {
    if (this.isDirty) return;
    this.isDirty = true;
    this.context.onDirty(this);
  }

  /** Asks for ticks: there is something to do in them. */
  wantTicks(): void {
    if (this.isTicking) return;
    this.isTicking = true;
    this.context.onTicking(this);
  }
}
