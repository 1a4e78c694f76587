// Core. A zone taken out of the policies of modules, and brought back.

import type { ModuleChange, ModuleRow, RouteRow } from "../sql/store.ts";
import { checkPolicyText, policyObject } from "./policy_text.ts";
import { type ModuleId, moduleId, type ModuleKey } from "../model/module.ts";
import type { NamedModule } from "../model/module_name.ts";
import { takesCalls } from "../model/node.ts";
import { isAllEvacuated } from "../control/changes/left_nodes.ts";

/** What `lars zone` is about to do. */
export interface ZonePlan {
  readonly changes: ModuleChange[];
  /** `changes`, by name. */
  readonly changed: readonly NamedModule[];
  /** Modules that are so already. */
  readonly unchangedCount: number;
  /** Modules whose policy cannot be changed, and why; nothing is written then. */
  readonly faults: readonly (NamedModule & { readonly fault: string })[];
  /**
   * Modules that would have no node that takes calls outside of evacuated zones: agents would use
   * all of them again, so the zone is not evacuated there.
   */
  readonly onlyThere: readonly NamedModule[];
}

const idOf = ({ modId, cmdId }: ModuleKey): ModuleId => moduleId(modId, cmdId);

/** Nodes that take calls, of each module that has such a node in the zone. */
function nodesOfModulesIn(zone: string, routes: readonly RouteRow[]): Map<ModuleId, RouteRow[]> {
  const inUse = routes.filter(takesCalls);
  const nodes = new Map<ModuleId, RouteRow[]>();
  for (const row of inUse) if (row.zone === zone) nodes.set(idOf(row), []);
  for (const row of inUse) nodes.get(idOf(row))?.push(row);
  return nodes;
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
  const texts = new Map(rows.map((row) => [idOf(row), row]));
  const nodes = nodesOfModulesIn(zone, routes);
  const modules = evacuated
    ? [...nodes.values()].map(([node]) => node)
    : rows.filter(({ policy }) => policy.includes("evacuatedZones"));
  const changes: ModuleChange[] = [];
  const changed: NamedModule[] = [];
  const faults: (NamedModule & { fault: string })[] = [];
  const onlyThere: NamedModule[] = [];
  let unchangedCount = 0;
  for (const { modId, cmdId } of modules) {
    const id = idOf({ modId, cmdId });
    const { policy: before = "", name = "" } = texts.get(id) ?? {};
    const module = { modId, cmdId, name };
    try {
      const policy = withZone(before, zone, evacuated);
      if (evacuated && isAllEvacuated(nodes.get(id) ?? [], zonesOf(policyObject(policy)))) {
        onlyThere.push(module);
      } else if (policy === before) unchangedCount++;
      else {
        changes.push({ modId, cmdId, policy });
        changed.push(module);
      }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      faults.push({ ...module, fault: error.message });
    }
  }
  return { changes, changed, unchangedCount, faults, onlyThere };
}
