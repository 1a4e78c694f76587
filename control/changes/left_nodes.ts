// Core. What a change leaves callers of a module: zones are not all taken out, and no node is said.

import type { ModuleRow } from "../../sql/store.ts";
import type { ChangeEdits, StoredModule } from "../../sql/console/console_store.ts";
import { moduleText } from "../../model/module.ts";
import { moduleLabels, type NamedModule } from "../../model/module_name.ts";
import { takesCalls } from "../../model/node.ts";
import { ControlError } from "../control_error.ts";
import { editedModules } from "./change_edits.ts";
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

/** Modules that had a node that takes calls, and are left without one. */
export function emptiedModules(
  before: readonly StoredModule[],
  after: readonly StoredModule[],
): NamedModule[] {
  const now = new Map(after.map((module) => [moduleText(module), module]));
  return before.filter((module) =>
    module.nodes.some(takesCalls) && !now.get(moduleText(module))?.nodes.some(takesCalls)
  ).map(({ modId, cmdId, name }) => ({ modId, cmdId, name }));
}
