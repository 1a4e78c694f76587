// Core. What must change so that the route table says what a file says.

import type { RouteEdit, RouteRow } from "../../sql/store.ts";
import { jsonNode, type WantedNode } from "./route_file.ts";
import {
  type ModuleId,
  moduleId,
  type ModuleKey,
  moduleText,
  uniqueModules,
} from "../../model/module.ts";
import { moduleLabel } from "../../model/module_name.ts";
import { addressText, nodeId } from "../../model/node.ts";

/** Values of a node that the file names no value for, when the node is new. */
export const NODE_DEFAULTS = { weight: 100, zone: "", state: "on" } as const;

/** Fields of a node that can change while it stays the same node. */
const MUTABLE_FIELDS = ["weight", "zone", "state"] as const;

/** A node that stays, with other values. */
export interface NodeChange {
  readonly before: RouteRow;
  readonly after: RouteRow;
}

/** The difference between a file and the route table. */
export interface RoutePlan {
  /** In the file, not in the table. */
  readonly added: readonly RouteRow[];
  /** In both, with other values in the file. */
  readonly changed: readonly NodeChange[];
  /** In the table, not in the file. */
  readonly missing: readonly RouteRow[];
  /** In both and equal. */
  readonly unchangedCount: number;
  /** Modules that have nodes now and would have none without `missing`. */
  readonly emptied: readonly ModuleKey[];
}

/** What to do about nodes that the file lacks. */
export interface PlanOptions {
  /** True removes them, false leaves them. */
  readonly prune: boolean;
}

/** Compares the nodes of a file with the nodes of the table. */
export function planRoutes(current: readonly RouteRow[], wanted: readonly WantedNode[]): RoutePlan {
  const rest = new Map(current.map((row) => [nodeId(row), row]));
  const added: RouteRow[] = [];
  const changed: NodeChange[] = [];
  let unchangedCount = 0;
  for (const node of wanted) {
    const key = nodeId(node);
    const before = rest.get(key);
    const { line: _line, ...fields } = node;
    if (before === undefined) {
      added.push({ ...NODE_DEFAULTS, ...fields });
      continue;
    }
    rest.delete(key);
    const after = { ...before, ...fields };
    if (MUTABLE_FIELDS.every((field) => before[field] === after[field])) unchangedCount++;
    else changed.push({ before, after });
  }
  const missing = [...rest.values()];
  const kept = new Set(wanted.map(moduleText));
  const emptied = uniqueModules(missing).filter((module) => !kept.has(moduleText(module)));
  return { added, changed, missing, unchangedCount, emptied };
}

/** Edits that carry a plan out; with `prune` also the removal of what the file lacks. */
export function editsOfPlan(plan: RoutePlan, options: PlanOptions): RouteEdit[] {
  const removed = options.prune ? plan.missing : [];
  return [
    ...plan.added.map((row): RouteEdit => ({ op: "add", ...row })),
    ...plan.changed.map(({ after }): RouteEdit => ({ op: "set", ...after })),
    ...removed.map(({ modId, cmdId, ip, port }): RouteEdit => ({
      op: "remove",
      modId,
      cmdId,
      ip,
      port,
    })),
  ];
}

/**
 * The difference as lines: `+` a node to add, `~` one to change, `-` one to remove, `?` one that
 * stays in the table although the file lacks it.
 *
 * @param names Of modules that have one.
 */
export function describePlan(
  plan: RoutePlan,
  options: PlanOptions,
  names: ReadonlyMap<ModuleId, string> = new Map(),
): string[] {
  const node = (row: RouteRow): string => {
    const { modId, cmdId } = row;
    const name = names.get(moduleId(modId, cmdId)) ?? "";
    return `${moduleLabel({ modId, cmdId, name })} ${addressText(row)}`;
  };
  return [
    ...plan.added.map((row) => `+ ${node(row)} ${valuesText(row)}`),
    ...plan.changed.map(({ before, after }) => `~ ${node(after)} ${changeText(before, after)}`),
    ...plan.missing.map((row) => `${options.prune ? "-" : "?"} ${node(row)} ${valuesText(row)}`),
  ];
}

function valuesText(row: RouteRow): string {
  return `weight ${row.weight} state ${row.state}${row.zone === "" ? "" : ` zone ${row.zone}`}`;
}

function changeText(before: RouteRow, after: RouteRow): string {
  return MUTABLE_FIELDS.filter((field) => before[field] !== after[field])
    .map((field) => `${field} ${shown(before[field])} -> ${shown(after[field])}`).join(", ");
}

function shown(value: string | number): string {
  return value === "" ? '""' : String(value);
}

/** The difference as a JSON value. */
export function planJson(plan: RoutePlan): {
  added: unknown[];
  changed: unknown[];
  missing: unknown[];
  unchanged: number;
} {
  return {
    added: plan.added.map(jsonNode),
    changed: plan.changed.map(({ before, after }) => ({
      before: jsonNode(before),
      after: jsonNode(after),
    })),
    missing: plan.missing.map(jsonNode),
    unchanged: plan.unchangedCount,
  };
}
