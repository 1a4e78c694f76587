// Core. What the balancer tells the program around it: changes, results, snapshots.

import { modulePair } from "../model/module.ts";
import { addressText, type NodeState } from "../model/node.ts";
import type { Host } from "./host.ts";
import type { ModuleMode } from "./module_settings.ts";

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
  /** True when the module only judges: the node stays in use. */
  readonly dryRun?: boolean;
  /** True when the node stays in use because no more of the module may be out. */
  readonly held?: boolean;
}

/** The change as a line of text: "10.0.0.1:80 of module 1,1 is overload: 15 calls …". */
export function describeStateChange(change: StateChange): string {
  const kept = change.dryRun === true
    ? " (dry run, stays in use)"
    : change.held === true
    ? " (stays in use: no more nodes may be out)"
    : "";
  return `${addressText(change)} of module ${modulePair(change)} is ` +
    `${change.overload ? "overload" : "idle"}${kept}: ${change.reason}`;
}

/** A module began, or ceased, to be without a usable node. */
export interface ModuleModeChange {
  readonly modId: number;
  readonly cmdId: number;
  readonly mode: ModuleMode;
  readonly reason: string;
  /** When, by the clock the balancer is given. Milliseconds. */
  readonly atMs: number;
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
  /** Calls since then whose time was told. */
  readonly timedTotal: number;
  /** What those took together, in milliseconds. */
  readonly timeMsTotal: number;
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
  /** As the route says, as the next two. */
  readonly weight: number;
  readonly zone: string;
  readonly state: NodeState;
}

/** What is to be reported of a node; the next report without a call in between is one of a state. */
export function hostResultOf(host: Host, overload: boolean): HostResult {
  const { ip, port, succTotal, errTotal, timedTotal, timeMsTotal } = host;
  const { reportSucc: succ, reportErr: err } = host;
  host.dirty = false;
  host.reportSucc = 0;
  host.reportErr = 0;
  return { ip, port, succ, err, overload, succTotal, errTotal, timedTotal, timeMsTotal };
}

/** A node as a snapshot shows it. */
export function hostSnapshotOf(host: Host): HostSnapshot {
  const { ip, port, overload, vsucc, verr, rsucc, rerr, continSucc, continErr, sinceMs } = host;
  const { weight, zone, state } = host;
  return {
    ...{ ip, port, overload, vsucc, verr, rsucc, rerr, continSucc, continErr, sinceMs },
    ...{ weight, zone, state },
  };
}
