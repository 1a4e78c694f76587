// Core. A zone taken out of the policies of modules, and brought back.

import type { ModuleChange, ModuleRow, RouteRow } from "../sql/store.ts";
import { checkPolicyText, policyObject } from "./policy_text.ts";
import { type ModuleId, moduleId, type ModuleKey } from "../model/module.ts";
import { takesCalls } from "../model/node.ts";

/** What `lars zone` is about to do. */
export interface ZonePlan {
  readonly changes: ModuleChange[];
  /** Modules that are so already. */
  readonly unchangedCount: number;
  /** Modules whose policy cannot be changed, and why; nothing is written then. */
  readonly faults: readonly (ModuleKey & { readonly fault: string })[];
  /** Modules that have nodes in the zone and nowhere else: to evacuate it leaves them there. */
  readonly onlyThere: readonly ModuleKey[];
}

const idOf = ({ modId, cmdId }: ModuleKey): ModuleId => moduleId(modId, cmdId);

/** Modules with nodes in the zone, and those that have them in no other. */
function modulesIn(
  zone: string,
  routes: readonly RouteRow[],
): { inZone: Map<ModuleId, ModuleKey>; elsewhere: Set<ModuleId> } {
  const inZone = new Map<ModuleId, ModuleKey>();
  const elsewhere = new Set<ModuleId>();
  for (const route of routes) {
    if (!takesCalls(route)) continue;
    if (route.zone !== zone) elsewhere.add(idOf(route));
    else inZone.set(idOf(route), { modId: route.modId, cmdId: route.cmdId });
  }
  return { inZone, elsewhere };
}

function zonesOf(policy: Record<string, unknown>): string[] {
  const zones = policy.evacuatedZones;
  return Array.isArray(zones) ? zones.filter((zone) => typeof zone === "string") : [];
}

/** Zones that policies of modules name as evacuated, with repetitions. */
export function evacuatedZones(rows: readonly ModuleRow[]): string[] {
  return rows.filter(({ policy }) => policy.includes("evacuatedZones")).flatMap(({ policy }) => {
    try {
      return zonesOf(policyObject(policy));
    } catch (error) {
      // What another program wrote there names no zone.
      if (error instanceof RangeError) return [];
      throw error;
    }
  });
}

/** The text with the zone evacuated, or back in use; the same text when it is so already. */
export function withZone(text: string, zone: string, evacuated: boolean): string {
  const policy = policyObject(text);
  const zones = zonesOf(policy);
  if (zones.includes(zone) === evacuated) return text;
  const next = evacuated ? [...zones, zone] : zones.filter((one) => one !== zone);
  if (next.length > 0) policy.evacuatedZones = next;
  else delete policy.evacuatedZones;
  const after = Object.keys(policy).length === 0 ? "" : JSON.stringify(policy);
  checkPolicyText(after);
  return after;
}

/**
 * Works out the changes: to evacuate a zone concerns the modules with nodes in it, to restore it
 * every module that names it.
 */
export function planZone(
  zone: string,
  evacuated: boolean,
  routes: readonly RouteRow[],
  rows: readonly ModuleRow[],
): ZonePlan {
  const policies = new Map(rows.map((row) => [idOf(row), row.policy]));
  const { inZone, elsewhere } = modulesIn(zone, routes);
  const modules = evacuated
    ? [...inZone.values()]
    : rows.filter(({ policy }) => policy.includes("evacuatedZones"));
  const changes: ModuleChange[] = [];
  const faults: (ModuleKey & { fault: string })[] = [];
  let unchangedCount = 0;
  for (const { modId, cmdId } of modules) {
    const before = policies.get(idOf({ modId, cmdId })) ?? "";
    try {
      const policy = withZone(before, zone, evacuated);
      if (policy === before) unchangedCount++;
      else changes.push({ modId, cmdId, policy });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      faults.push({ modId, cmdId, fault: error.message });
    }
  }
  const onlyThere = evacuated ? modules.filter((key) => !elsewhere.has(idOf(key))) : [];
  return { changes, unchangedCount, faults, onlyThere };
}
