// Core. What a module tells about itself: its nodes, its latest decisions, and who got the calls.

import { addressText, takesCalls } from "../model/node.ts";
import { type HostCounts, hostCountsOf } from "./balance_records.ts";
import type { Host } from "./host.ts";
import { type Decision, type ModuleState, PickLog } from "./module_state.ts";
import { changedSettings, type PolicyName, policyNameOf } from "./module_policy.ts";
import type { PresetName } from "./module_presets.ts";
import type { ModuleMode, ModuleSettings } from "./module_settings.ts";
import { expectedShares } from "./picking/expected_shares.ts";
import type { ZoneView } from "./picking/zone_router.ts";

/** After a look at a module its picks are remembered for so long. Milliseconds. */
export const WATCH_MS = 600_000;

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
export interface NodeView
  extends HostCounts, Readonly<Pick<Host, "zone" | "weight" | "succTotal" | "errTotal">> {
  /** "10.0.0.1:80". */
  readonly node: string;
  /** Weight it is picked by now; 0 while it is not in use. */
  readonly pickWeight: number;
  readonly condition: NodeCondition;
  /** How long it has been idle or judged overload. Milliseconds. */
  readonly sinceMs: number;
  /** The latest decision about it that is remembered; undefined = nothing ever befell it. */
  readonly reason: string | undefined;
  /** Times it went out, less those that decayed. */
  readonly ejections: number;
  /** Calls under way; 0 where the module does not follow calls. */
  readonly callsUnderWay: number;
  /** Mean call time; 0 when nobody reported one. Milliseconds. */
  readonly meanMs: number;
  /** Share of the calls it is to get as things stand; see `expectedShares`. 0 to 1. */
  readonly expectedShare: number;
  /** Share of the remembered picks; undefined while there are none. 0 to 1. */
  readonly pickShare: number | undefined;
}

/** One module, explained. Plain data: times are ages in milliseconds, so it means the same anywhere. */
export interface ModuleView {
  readonly modId: number;
  readonly cmdId: number;
  readonly policy: PolicyName | PresetName;
  /** The settings that differ from their defaults, or from those of the preset. */
  readonly settings: Partial<ModuleSettings>;
  readonly mode: ModuleMode;
  /** Why; "" for a mode that never changed. */
  readonly modeReason: string;
  /** How long; undefined for a mode that never changed. */
  readonly modeSinceMs: number | undefined;
  /** Shares of zones; empty where zones do not matter. */
  readonly zones: readonly ZoneView[];
  readonly nodes: readonly NodeView[];
  /** Number of picks that `pickShare` is of: at most `RECENT_PICKS_MAX`. */
  readonly picksRemembered: number;
  /** Latest first; `agoMs` in the place of a time. */
  readonly decisions: readonly (Omit<Decision, "atMs"> & { readonly agoMs: number })[];
}

/** What the operator or the rules make of a node. */
export function conditionOf(host: Host): NodeCondition {
  if (host.state !== "on") return host.state;
  if (host.weight === 0) return "drain";
  if (host.overload) return host.stats?.resting === true ? "resting" : "overload";
  if (host.judged) return "held";
  return host.pickWeight < host.weight ? "ramping" : "idle";
}

/** Shows one node. */
export function viewNode(
  host: Host,
  nowMs: number,
  reason: string | undefined,
  expectedShare: number,
  picksRemembered: number,
): NodeView {
  const { zone, weight, succTotal, errTotal, stats } = host;
  return {
    node: addressText(host),
    zone,
    weight,
    pickWeight: host.pool === undefined ? 0 : host.pickWeight,
    condition: conditionOf(host),
    sinceMs: nowMs - host.sinceMs,
    reason,
    ...hostCountsOf(host),
    succTotal,
    errTotal,
    ejections: stats?.ejections ?? 0,
    callsUnderWay: stats?.underWay.count ?? 0,
    meanMs: stats?.meanTime.ms ?? 0,
    expectedShare,
    pickShare: picksRemembered === 0 ? undefined : (stats?.recentPicks ?? 0) / picksRemembered,
  };
}

/** What each node is to get now, in the order of the route. */
export function sharesNow({ hosts, policy, rules, router }: ModuleState): number[] {
  const nodes = [...hosts.values()].map((host) => ({
    weight: host.pool === undefined ? 0 : host.pickWeight,
    zone: router.poolOf(host.zone).zone,
    isProbed: takesCalls(host) && host.overload && host.stats?.resting !== true,
  }));
  const zones = router.view();
  return expectedShares(nodes, {
    settings: policy.settings,
    probeNum: rules.probeNum,
    ...(zones.length === 0
      ? {}
      : { zoneShares: new Map(zones.map(({ zone, share }) => [zone, share])) }),
  });
}

/**
 * Tells all about a module. From now on its picks are remembered for {@linkcode WATCH_MS}, so a
 * second look says who got them; a module that nobody looks at does not pay for it.
 */
export function explainModule(module: ModuleState, nowMs: number): ModuleView {
  const { memory } = module;
  memory.watchUntilMs = nowMs + WATCH_MS;
  if (memory.picks === undefined) {
    memory.picks = new PickLog();
    for (const host of module.hosts.values()) module.fitStatistics(host);
    module.observes = true;
    module.changed();
  }
  const picksRemembered = memory.picks.count;
  const shares = sharesNow(module);
  const changed = memory.modeSinceMs > -Infinity;
  return {
    modId: module.modId,
    cmdId: module.cmdId,
    policy: policyNameOf(module.policy),
    settings: changedSettings(module.policy),
    mode: memory.mode,
    modeReason: memory.modeReason,
    modeSinceMs: changed ? nowMs - memory.modeSinceMs : undefined,
    zones: module.router.view(),
    nodes: [...module.hosts.values()].map((host, index) =>
      viewNode(
        host,
        nowMs,
        memory.decisions.latestOf(host)?.reason,
        shares[index],
        picksRemembered,
      )
    ),
    picksRemembered,
    decisions: memory.decisions.latestFirst().map(({ atMs, ...decision }) => ({
      ...decision,
      agoMs: nowMs - atMs,
    })),
  };
}

/** Nobody has looked for {@linkcode WATCH_MS}: picks are no longer remembered. */
export function stopWatching(module: ModuleState): void {
  const { memory } = module;
  memory.picks?.clear();
  memory.picks = undefined;
  module.observes = module.followsCalls;
  module.changed();
  for (const host of module.hosts.values()) module.fitStatistics(host);
}
