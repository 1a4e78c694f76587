// Core. What the balancer tells the program around it: changes, results, snapshots.

import { modulePair } from "../model/module.ts";
import { addressText } from "../model/node.ts";
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

/** Counts of a node's window or state, as the rules use them. */
export type HostCounts = Readonly<
  Pick<Host, "vsucc" | "verr" | "rsucc" | "rerr" | "continSucc" | "continErr">
>;

/** The counts of a node. */
export function hostCountsOf(host: Host): HostCounts {
  const { vsucc, verr, rsucc, rerr, continSucc, continErr } = host;
  return { vsucc, verr, rsucc, rerr, continSucc, continErr };
}

/** What a node's calls came to, as it goes to the reporter; totals since the agent knows the node. */
export interface HostResult
  extends
    Readonly<Pick<Host, "ip" | "port" | "succTotal" | "errTotal" | "timedTotal" | "timeMsTotal">> {
  /** Successes of the window or state the node was in at its last counted call. */
  readonly succ: number;
  /** Failures of the same. */
  readonly err: number;
  readonly overload: boolean;
}

/** What a route update did. */
export interface RouteUpdate {
  readonly added: number;
  readonly kept: number;
  readonly removed: number;
  /** Nodes not taken: more than `nodesMax`, or a port outside 1 to 65535. */
  readonly cut: number;
}

/** One node as a snapshot shows it; weight, zone and state as the route says. */
export type HostSnapshot = Readonly<
  & Pick<Host, "ip" | "port" | "overload" | "sinceMs" | "weight" | "zone" | "state">
  & HostCounts
>;
