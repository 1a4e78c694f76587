// Core. What a change leaves callers of a module: zones are not all taken out, and no node is said.

import type { ModuleRow } from "../../sql/store.ts";
import type { ChangeEdits, StoredModule } from "../../sql/console/console_store.ts";
import { moduleText } from "../../model/module.ts";
import { moduleLabels, type NamedModule } from "../../model/module_name.ts";
import { type CountedRow, takesCalls } from "../../model/node.ts";
import { ControlError } from "../control_error.ts";
import { editedModules, touchedModules } from "./change_edits.ts";
import { settingsOf } from "./traffic_shift.ts";

/** A node as far as it matters here. */
type ZonedNode = Pick<StoredModule["nodes"][number], "zone" | "state" | "weight">;

/**
 * True when every node that takes calls stands in an evacuated zone: agents then use all of them as
 * if no zone were evacuated. False for a module without such a node.
 */
export function isAllEvacuated(nodes: readonly ZonedNode[], evacuated: readonly string[]): boolean {
  const inUse = nodes.filter(takesCalls);
  return inUse.length > 0 && inUse.every(({ zone }) => evacuated.includes(zone));
}

/** Zones that a policy evacuates; none for a text that agents do not understand. */
export function evacuatedBy({ policy }: Pick<ModuleRow, "policy">): readonly string[] {
  return policy.includes("evacuatedZones") ? settingsOf(policy).evacuatedZones : [];
}

/**
 * Refuses to evacuate a zone of modules that would have no node outside of evacuated zones. What is
 * so already may stay, and other settings may be changed beside it.
 *
 * @throws {ControlError} invalid, with the modules by name.
 */
export function judgeZones(stored: readonly StoredModule[], edits: ChangeEdits): void {
  if (!edits.modules?.some(({ policy = "" }) => policy.includes("evacuatedZones"))) return;
  const { after } = editedModules(stored, edits);
  const refused = after.filter((module, index) => {
    const before = evacuatedBy(stored[index]);
    const zones = evacuatedBy(module);
    return zones.some((zone) => !before.includes(zone)) && isAllEvacuated(module.nodes, zones);
  });
  if (refused.length === 0) return;
  const message = `No node that takes calls would be left outside of evacuated zones in ` +
    `${moduleLabels(refused)}: agents would use them all again; restore a zone first`;
  throw new ControlError("invalid", message, {
    errors: [{ path: "policy.evacuatedZones", message }],
  });
}

/** Modules of which a change leaves little. */
export interface LeftNodes {
  /** Those that had a node that takes calls, and have none now. */
  readonly emptied: readonly NamedModule[];
  /** Those that had one outside of evacuated zones, and use nodes in these zones now. */
  readonly returned: readonly (NamedModule & { readonly zones: readonly string[] })[];
}

/** Compares modules before a change with what it leaves of them. */
export function leftNodes(
  before: readonly StoredModule[],
  after: readonly StoredModule[],
): LeftNodes {
  const now = new Map(after.map((module) => [moduleText(module), module]));
  const emptied: NamedModule[] = [];
  const returned: LeftNodes["returned"][number][] = [];
  for (const module of before) {
    if (!module.nodes.some(takesCalls)) continue;
    const { modId, cmdId, name } = module;
    const left = now.get(moduleText(module));
    if (left === undefined || !left.nodes.some(takesCalls)) {
      emptied.push({ modId, cmdId, name });
      continue;
    }
    const zones = evacuatedBy(left);
    if (!isAllEvacuated(left.nodes, zones)) continue;
    if (isAllEvacuated(module.nodes, evacuatedBy(module))) continue;
    const inUse = new Set(left.nodes.filter(takesCalls).map(({ zone }) => zone));
    returned.push({ modId, cmdId, name, zones: [...inUse].sort() });
  }
  return { emptied, returned };
}

/**
 * The same of edits that are looked at before they are made.
 *
 * @param rows Nodes of all modules that the edits touch.
 * @param texts Their names and policies.
 */
export function leftByEdits(
  rows: readonly CountedRow[],
  texts: readonly ModuleRow[],
  edits: ChangeEdits,
): LeftNodes {
  const stored = new Map<string, StoredModule & { readonly nodes: CountedRow[] }>();
  for (const { modId, cmdId } of touchedModules(edits)) {
    const key = { modId, cmdId };
    stored.set(moduleText(key), { ...key, name: "", policy: "", nodes: [] });
  }
  for (const { modId, cmdId, name, policy } of texts) {
    const module = stored.get(moduleText({ modId, cmdId }));
    if (module !== undefined) stored.set(moduleText(module), { ...module, name, policy });
  }
  for (const row of rows) stored.get(moduleText(row))?.nodes.push(row);
  const before = [...stored.values()];
  return leftNodes(before, editedModules(before, edits).after);
}
