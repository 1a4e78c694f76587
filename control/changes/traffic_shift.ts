// Core. Whose calls go elsewhere when routes change, judged by weights.

import {
  DEFAULT_MODULE_POLICY,
  type ModuleSettings,
  parseModulePolicy,
} from "../../balancer/mod.ts";
import { expectedShares } from "../../balancer/picking/expected_shares.ts";
import { addressText, takesCalls } from "../../model/node.ts";
import type { StoredModule } from "../../sql/console/console_store.ts";
import type { TrafficShift } from "../schemas.ts";

const NODES_SHOWN = 50;
export const CALLERS_SHOWN = 20;

/** Settings of the policy that a text chooses; agents leave a text alone that they cannot read. */
export function settingsOf(text: string): ModuleSettings {
  try {
    return parseModulePolicy(text).settings;
  } catch (error) {
    if (error instanceof RangeError) return DEFAULT_MODULE_POLICY.settings;
    throw error;
  }
}

/** Share of a module's calls, of all agents, that each node that may be called is to get. */
export function sharesOf({ nodes, policy }: Pick<StoredModule, "nodes" | "policy">): Map<
  string,
  number
> {
  const on = nodes.filter(takesCalls);
  const shares = expectedShares(on, { settings: settingsOf(policy) });
  return new Map(on.map((node, index) => [addressText(node), shares[index]]));
}

/** How the calls of one module move. */
export function trafficShift(
  before: StoredModule,
  after: StoredModule,
  callsPerSecond: number,
  { callers, count }: { readonly callers: readonly string[]; readonly count: number },
): TrafficShift {
  const old = sharesOf(before);
  const now = sharesOf(after);
  const nodes = [...new Set([...old.keys(), ...now.keys()])]
    .map((node) => ({ node, before: old.get(node) ?? 0, after: now.get(node) ?? 0 }))
    .filter((one) => Math.abs(one.before - one.after) > 1e-9);
  const moved = nodes.reduce((sum, one) => sum + Math.max(0, one.before - one.after), 0);
  nodes.sort((a, b) => Math.abs(b.before - b.after) - Math.abs(a.before - a.after));
  return {
    modId: after.modId,
    cmdId: after.cmdId,
    name: after.name,
    callsPerSecond: Math.round(callsPerSecond * 10) / 10,
    movedShare: Math.min(1, moved),
    emptied: old.size > 0 && now.size === 0,
    callers: callers.slice(0, CALLERS_SHOWN),
    callerCount: count,
    nodes: nodes.slice(0, NODES_SHOWN),
  };
}
