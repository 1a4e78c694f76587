// Core. One module: its nodes, which is next, what their calls say, and what changes with the route.

import { formatIpv4 } from "../reactor/address.ts";
import type { BalanceSettings } from "./balance_settings.ts";
import {
  type ActiveHosts,
  DEFAULT_WEIGHT,
  Host,
  hostKey,
  type HostOwner,
  type RouteNode,
} from "./host.ts";
import { HostList } from "./host_list.ts";
import {
  type CallCounts,
  countCalls,
  countFailure,
  countSuccess,
  failureWeight,
  judgeWindow,
  reasonToIdle,
  reasonToOverload,
  resetIdle,
  resetOverload,
  windowEndMs,
} from "./overload_policy.ts";
import { DEFAULT_MODULE_POLICY, type ModulePolicy } from "./module_policy.ts";
import type { PickLists, PickPolicy, PickPolicyFactory } from "./pick_policy.ts";

/** A node changed its state. */
export interface StateChange {
  readonly modId: number;
  readonly cmdId: number;
  readonly ip: number;
  readonly port: number;
  /** The new state. */
  readonly overload: boolean;
  /** The rule that fired, with its numbers. */
  readonly reason: string;
  /** When, by the clock the balancer is given. Milliseconds. */
  readonly atMs: number;
}

/** The change as a line of text: "10.0.0.1:80 of module 1,1 is overload: 15 calls …". */
export function describeStateChange(change: StateChange): string {
  return `${formatIpv4(change.ip)}:${change.port} of module ${change.modId},${change.cmdId} is ` +
    `${change.overload ? "overload" : "idle"}: ${change.reason}`;
}

/** What a node's calls came to, as it goes to the reporter. */
export interface HostResult {
  readonly ip: number;
  readonly port: number;
  /** Successes of the window or state the node was in at its last counted call. */
  readonly succ: number;
  /** Failures of the same. */
  readonly err: number;
  readonly overload: boolean;
  /** Successes since the agent knows the node. */
  readonly succTotal: number;
  /** Failures since the agent knows the node. */
  readonly errTotal: number;
}

/** What a route update did. */
export interface RouteUpdate {
  readonly added: number;
  readonly kept: number;
  readonly removed: number;
  /** Nodes not taken: more than `nodesMax`, or a port outside 1 to 65535. */
  readonly cut: number;
}

/** One node as a snapshot shows it. */
export interface HostSnapshot {
  readonly ip: number;
  readonly port: number;
  readonly overload: boolean;
  readonly vsucc: number;
  readonly verr: number;
  readonly rsucc: number;
  readonly rerr: number;
  readonly continSucc: number;
  readonly continErr: number;
  readonly sinceMs: number;
}

/** What the modules of one loop share. */
export interface BalanceContext {
  /** Read at every use, so that a reload takes effect at once. */
  settings: BalanceSettings;
  /** Most nodes of one module; further ones are cut and counted. */
  readonly nodesMax: number;
  readonly active: ActiveHosts;
  readonly createPolicy: PickPolicyFactory;
  /** A node changed its state. */
  onStateChange(change: StateChange): void;
  /** The module has something to report again; called once until `takeResults`. */
  onDirty(balance: LoadBalance): void;
}

/** One module. Synchronous, without a clock of its own: times are arguments. */
export class LoadBalance implements HostOwner, PickLists {
  readonly modId: number;
  readonly cmdId: number;
  readonly idle = new HostList<Host>();
  readonly overload = new HostList<Host>();
  /** When its results were last taken for a report. Milliseconds. */
  reportedAtMs = -Infinity;
  readonly #context: BalanceContext;
  readonly #policy: PickPolicy;
  #modulePolicy: ModulePolicy;
  readonly #hosts = new Map<number, Host>();
  #dirty: Host[] = [];

  constructor(
    modId: number,
    cmdId: number,
    context: BalanceContext,
    policy: ModulePolicy = DEFAULT_MODULE_POLICY,
  ) {
    this.modId = modId;
    this.cmdId = cmdId;
    this.#context = context;
    this.#policy = context.createPolicy();
    this.#modulePolicy = policy;
  }

  /** How the module picks and judges. */
  get modulePolicy(): ModulePolicy {
    return this.#modulePolicy;
  }

  /** Takes another policy from the next pick on; what is known of the nodes stays. */
  setPolicy(policy: ModulePolicy): void {
    this.#modulePolicy = policy;
  }

  /** Number of nodes. */
  get hostCount(): number {
    return this.#hosts.size;
  }

  /** The nodes, in the order in which they joined the route. */
  hosts(): IterableIterator<Host> {
    return this.#hosts.values();
  }

  /** The next node, or a return code: NoExist without nodes, Overload to refuse. */
  pick(): Host | number {
    return this.#policy.pick(this, this.#context.settings.probeNum);
  }

  /**
   * Counts the outcome of a call.
   *
   * @param retcode 0 = success; any other value is a failure.
   * @param timecostMs How long a failed call took; 0 when unknown.
   * @returns false when the node is not (or no longer) one of this module: nothing was counted.
   */
  report(ip: number, port: number, retcode: number, timecostMs: number, nowMs: number): boolean {
    const host = this.#hosts.get(hostKey(ip, port));
    if (host === undefined) return false;
    if (nowMs >= host.dueMs) this.settle(host, nowMs);
    if (retcode === 0) {
      countSuccess(host);
    } else {
      countFailure(host, failureWeight(timecostMs));
    }
    host.reportSucc = host.rsucc;
    host.reportErr = host.rerr;
    this.#markDirty(host);
    this.#judge(host, retcode === 0, nowMs);
    return true;
  }

  /**
   * Counts the outcomes of many calls, and judges once, after all of them.
   *
   * @returns false when the node is not (or no longer) one of this module: nothing was counted.
   */
  reportCalls(ip: number, port: number, calls: CallCounts, nowMs: number): boolean {
    const host = this.#hosts.get(hostKey(ip, port));
    if (host === undefined) return false;
    if (nowMs >= host.dueMs) this.settle(host, nowMs);
    countCalls(host, calls);
    host.reportSucc = host.rsucc;
    host.reportErr = host.rerr;
    this.#markDirty(host);
    // The kind that can change the state decides; a batch may hold both.
    this.#judge(host, host.overload ? calls.succ > 0 : calls.err === 0, nowMs);
    return true;
  }

  /**
   * Ends the windows and the overload time of a node that have run out by `nowMs`, each at its own
   * time: the outcome is the same however late or often it is called.
   */
  settle(host: Host, nowMs: number): void {
    const { settings, active } = this.#context;
    // At most three turns: a window ends in overload, overload ends in idle, and a fresh idle node
    // has no due time.
    while (nowMs >= host.dueMs) {
      const atMs = host.dueMs;
      if (host.overload) {
        this.#change(host, false, `overload for ${settings.overloadTimeoutMs / 1000} s`, atMs);
        continue;
      }
      const reason = judgeWindow(host, settings);
      if (reason !== undefined) {
        this.#change(host, true, reason, atMs);
      } else {
        resetIdle(host, settings);
        active.remove(host);
      }
    }
  }

  /**
   * Takes a new route: nodes kept by it keep their counters and their place, new ones join the
   * idle list, the others are dropped with all that was known of them. Duplicates count once.
   */
  update(nodes: readonly RouteNode[], nowMs: number): RouteUpdate {
    const wanted = new Map<number, RouteNode>();
    let cut = 0;
    for (const node of nodes) {
      const key = hostKey(node.ip >>> 0, node.port);
      if (wanted.has(key)) continue;
      if (!(node.port >= 1 && node.port <= 65535) || wanted.size >= this.#context.nodesMax) {
        cut++;
      } else {
        wanted.set(key, node);
      }
    }
    let removed = 0;
    for (const [key, host] of this.#hosts) {
      if (wanted.has(key)) continue;
      this.#drop(key, host);
      removed++;
    }
    const kept = this.#hosts.size;
    for (const [key, node] of wanted) this.#keepOrAdd(key, node, nowMs);
    return { added: this.#hosts.size - kept, kept, removed, cut };
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
    return hosts.map((host) => {
      host.dirty = false;
      const succ = host.reportSucc;
      const err = host.reportErr;
      // The next report without a call in between is one of a state alone.
      host.reportSucc = 0;
      host.reportErr = 0;
      const { ip, port, overload, succTotal, errTotal } = host;
      return { ip, port, succ, err, overload, succTotal, errTotal };
    });
  }

  /** The nodes as they are now, idle ones first, each list from its head. */
  snapshot(): HostSnapshot[] {
    return [...this.idle, ...this.overload].map((host) => ({
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
    }));
  }

  #judge(host: Host, success: boolean, nowMs: number): void {
    const { settings, active } = this.#context;
    // An idle node is judged by failures only and an overload one by successes only, so that a
    // node near both bounds does not flap.
    if (host.overload) {
      const reason = success ? reasonToIdle(host, settings) : undefined;
      if (reason !== undefined) this.#change(host, false, reason, nowMs);
      return;
    }
    const reason = success ? undefined : reasonToOverload(host, settings);
    if (reason !== undefined) {
      this.#change(host, true, reason, nowMs);
    } else if (host.activeIndex < 0) {
      host.dueMs = windowEndMs(host.sinceMs, settings.idleTimeoutMs, nowMs);
      active.add(host);
    }
  }

  #change(host: Host, overload: boolean, reason: string, atMs: number): void {
    const { settings, active } = this.#context;
    (overload ? this.idle : this.overload).remove(host);
    if (overload) {
      resetOverload(host, settings, atMs);
      this.overload.pushTail(host);
      active.add(host);
    } else {
      resetIdle(host, settings);
      host.sinceMs = atMs;
      this.idle.pushTail(host);
      active.remove(host);
    }
    this.#markDirty(host);
    const { modId, cmdId } = this;
    const { ip, port } = host;
    this.#context.onStateChange({ modId, cmdId, ip, port, overload, reason, atMs });
  }

  #markDirty(host: Host): void {
    if (host.dirty) return;
    host.dirty = true;
    this.#dirty.push(host);
    if (this.#dirty.length === 1) this.#context.onDirty(this);
  }

  #keepOrAdd(key: number, node: RouteNode, nowMs: number): void {
    let host = this.#hosts.get(key);
    if (host === undefined) {
      host = new Host(node.ip >>> 0, node.port, this, nowMs);
      resetIdle(host, this.#context.settings);
      this.#hosts.set(key, host);
      this.idle.pushTail(host);
    }
    host.weight = node.weight ?? DEFAULT_WEIGHT;
    host.zone = node.zone ?? "";
  }

  #drop(key: number, host: Host): void {
    this.#hosts.delete(key);
    (host.overload ? this.overload : this.idle).remove(host);
    this.#context.active.remove(host);
  }
}
