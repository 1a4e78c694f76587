// Core. What a module tells about itself: its nodes, its latest decisions, and who got the calls.

import type { Host } from "./host.ts";
import type { PolicyName } from "./module_policy.ts";
import type { AllOverloadMode, ModuleSettings } from "./module_settings.ts";
import type { ZoneView } from "./picking/zone_router.ts";
import { addressText } from "../model/node.ts";

/** Decisions a module remembers; older ones are forgotten. */
export const DECISIONS_MAX = 32;

/** Picks a module remembers while somebody watches; older ones are forgotten. */
export const RECENT_PICKS_MAX = 1000;

/** After a look at a module its picks are remembered for so long. Milliseconds. */
export const WATCH_MS = 600_000;

/** What a module does with calls: `normal`, or how it behaves while no node is usable. */
export type ModuleMode = "normal" | AllOverloadMode;

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

/** The latest picks of one module, counted in the `care` of their nodes. */
export class PickLog {
  readonly #picks: Host[] = [];
  #at = 0;

  /** Number of picks that are remembered. */
  get count(): number {
    return this.#picks.length;
  }

  /** Keeps a pick in mind. O(1). */
  add(host: Host): void {
    if (host.care !== undefined) host.care.recentPicks++;
    if (this.#picks.length < RECENT_PICKS_MAX) {
      this.#picks.push(host);
      return;
    }
    const oldest = this.#picks[this.#at];
    if (oldest.care !== undefined) oldest.care.recentPicks--;
    this.#picks[this.#at] = host;
    this.#at = (this.#at + 1) % RECENT_PICKS_MAX;
  }

  /** Forgets all picks. */
  clear(): void {
    for (const { care } of this.#picks) if (care !== undefined) care.recentPicks = 0;
    this.#picks.length = 0;
    this.#at = 0;
  }
}

/** What a node is, in one word; README.md of this room has the machine. */
export type NodeCondition =
  /** In use with its full weight. */
  | "idle"
  /** In use with a share that still grows. */
  | "ramping"
  /** Judged overload, but in use: dry run, or no more nodes may be out. */
  | "held"
  /** Out, given probes. */
  | "overload"
  /** Out, given nothing yet. */
  | "resting"
  /** Given nothing because the operator wants so, or its weight is 0. */
  | "drain"
  | "off";

/** A node as {@linkcode ModuleView} shows it. */
export interface NodeView {
  /** "10.0.0.1:80". */
  readonly node: string;
  readonly zone: string;
  /** Weight in the route. */
  readonly weight: number;
  /** Weight it is picked by now; 0 while it is not in use. */
  readonly pickWeight: number;
  readonly condition: NodeCondition;
  /** How long it has been idle or judged overload. Milliseconds. */
  readonly sinceMs: number;
  /** The latest decision about it that is remembered; undefined = nothing ever befell it. */
  readonly reason: string | undefined;
  /** Counts of its window or state, as the rules use them. */
  readonly vsucc: number;
  readonly verr: number;
  readonly rsucc: number;
  readonly rerr: number;
  readonly continSucc: number;
  readonly continErr: number;
  /** Counts since the agent knows it. */
  readonly succTotal: number;
  readonly errTotal: number;
  /** Times it went out, less those that decayed. */
  readonly ejections: number;
  /** Calls under way; 0 where the module does not follow calls. */
  readonly callsUnderWay: number;
  /** Mean call time; 0 when nobody reported one. Milliseconds. */
  readonly meanMs: number;
  /** Share of the remembered picks; undefined while there are none. 0 to 1. */
  readonly pickShare: number | undefined;
}

/** One module, explained. Plain data: times are ages in milliseconds, so it means the same anywhere. */
export interface ModuleView {
  readonly modId: number;
  readonly cmdId: number;
  readonly policy: PolicyName;
  /** The settings that differ from their defaults. */
  readonly settings: Partial<ModuleSettings>;
  readonly mode: ModuleMode;
  /** Why; "" for a mode that never changed. */
  readonly modeReason: string;
  /** How long; undefined for a mode that never changed. */
  readonly modeSinceMs: number | undefined;
  /** Shares of zones; empty where zones do not matter. */
  readonly zones: readonly ZoneView[];
  readonly nodes: readonly NodeView[];
  /** Number of picks that `pickShare` is of: at most {@linkcode RECENT_PICKS_MAX}. */
  readonly picksRemembered: number;
  /** Latest first; `agoMs` in the place of a time. */
  readonly decisions: readonly (Omit<Decision, "atMs"> & { readonly agoMs: number })[];
}

/** What the operator or the rules make of a node. */
export function conditionOf(host: Host): NodeCondition {
  if (host.state !== "on") return host.state;
  if (host.weight === 0) return "drain";
  if (host.overload) return host.care?.resting === true ? "resting" : "overload";
  if (host.judged) return "held";
  return host.pickWeight < host.weight ? "ramping" : "idle";
}

/** Shows one node. */
export function viewNode(
  host: Host,
  nowMs: number,
  reason: string | undefined,
  picksRemembered: number,
): NodeView {
  const { zone, weight, vsucc, verr, rsucc, rerr, continSucc, continErr, care } = host;
  return {
    node: addressText(host),
    zone,
    weight,
    pickWeight: host.pool === undefined ? 0 : host.pickWeight,
    condition: conditionOf(host),
    sinceMs: nowMs - host.sinceMs,
    reason,
    vsucc,
    verr,
    rsucc,
    rerr,
    continSucc,
    continErr,
    succTotal: host.succTotal,
    errTotal: host.errTotal,
    ejections: care?.ejections ?? 0,
    callsUnderWay: care?.underWay.count ?? 0,
    meanMs: care?.meanTime.ms ?? 0,
    pickShare: picksRemembered === 0 ? undefined : (care?.recentPicks ?? 0) / picksRemembered,
  };
}
