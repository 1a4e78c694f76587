// Core. Which share of a module's calls each node is to get: one answer for previews, explanations, pages.

import type { ModulePolicy } from "../module_policy.ts";
import { planZones, sharesByWeight } from "./zone_plan.ts";

/** A node as its share depends on it. */
export interface ShareNode {
  /** Weight it is picked by; 0 = it gets no calls. */
  readonly weight: number;
  readonly zone: string;
  /** Out, given probes only: its weight does not matter. @default {false} */
  readonly isProbed?: boolean;
}

/** What shares depend on beside the nodes. */
export interface ShareRules extends Pick<ModulePolicy, "settings"> {
  /** Zone of the agent. @default none: the calls of all agents together */
  readonly ownZone?: string;
  /** Ordinary picks between two probes. */
  readonly probeNum?: number;
  /** Shares of zones, where an agent has planned them. @default as they would be planned first */
  readonly zoneShares?: ReadonlyMap<string, number>;
}

/** True for a module whose calls are planned by zone. */
export function isZoned({ zoneAware, evacuatedZones }: ModulePolicy["settings"]): boolean {
  return zoneAware || evacuatedZones.length > 0;
}

function sumsByZone(nodes: readonly ShareNode[]): Map<string, number> {
  const sums = new Map<string, number>();
  for (const { zone, weight, isProbed = false } of nodes) {
    if (!isProbed && weight > 0) sums.set(zone, (sums.get(zone) ?? 0) + weight);
  }
  return sums;
}

function planOf(sums: ReadonlyMap<string, number>, rules: ShareRules): Map<string, number> {
  const { settings, ownZone = "" } = rules;
  const zones = [...sums].map(([zone, health]) => ({ zone, health }));
  const plan = planZones(zones, {
    ownZone: settings.zoneAware && ownZone !== "" ? ownZone : undefined,
    callers: settings.zoneCallers,
    evacuated: settings.evacuatedZones,
    slack: settings.zoneSlack,
  });
  return new Map(zones.map(({ zone }, index) => [zone, plan[index]]));
}

/**
 * Share of the calls of each node, in their order: what picks come to in the long run. They sum to
 * 1, or all are 0 when no node gets any call.
 *
 * It is exact for the policies that go by turns and by chance. Those that heed calls under way, call
 * times or keys come to it as far as nodes and keys are alike.
 */
export function expectedShares(nodes: readonly ShareNode[], rules: ShareRules): number[] {
  const probed = nodes.filter(({ isProbed }) => isProbed === true).length;
  const sums = sumsByZone(nodes);
  const probes = probed === 0 ? 0 : sums.size === 0 ? 1 : 1 / ((rules.probeNum ?? Infinity) + 1);
  const plan = isZoned(rules.settings)
    ? rules.zoneShares ?? planOf(sums, rules)
    : new Map([...sums.keys()].map((zone, index) =>
      [zone, sharesByWeight([...sums.values()])[index]] as const
    ));
  return nodes.map(({ weight, zone, isProbed = false }) => {
    if (isProbed) return probes / probed;
    const sum = sums.get(zone) ?? 0;
    return sum > 0 && weight > 0 ? (1 - probes) * (plan.get(zone) ?? 0) * weight / sum : 0;
  });
}
