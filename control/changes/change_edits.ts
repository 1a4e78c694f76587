// Core. Edits as clients send them, what they would do, and how a change is undone.

import { isModule, type ModuleKey, moduleText, uniqueModules } from "../../model/module.ts";
import { nodeText, WEIGHT_DEFAULT } from "../../model/node.ts";
import { parseModulePolicy } from "../../balancer/module_policy.ts";
import { RECOMMENDED_TEXT } from "../../balancer/module_presets.ts";
import { formatIpv4, parseIpv4 } from "../../reactor/address.ts";
import { ConflictError } from "../../reactor/errors.ts";
import type {
  ChangeDifferences,
  ChangeEdits,
  NodeDifference,
  StoredModule,
} from "../../sql/console/console_store.ts";
import { sameValues } from "../../sql/routes/route_edits.ts";
import type { ModuleChange, RouteEdit, RouteRow } from "../../sql/store.ts";
import { ControlError } from "../control_error.ts";
import type { ClientEdit, NodeDifferenceView } from "../schemas.ts";

/** Refuses a policy that agents would not understand. */
export function requirePolicy(policy: string | undefined): void {
  if (policy === undefined) return;
  try {
    parseModulePolicy(policy);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new ControlError("invalid", `Policy cannot be used: ${message}`, {
      errors: [{ path: "policy", message }],
    });
  }
}

/** `10.0.0.1:7777` as numbers. @throws {RangeError} when it is none. */
export function parseNode(text: string): { ip: number; port: number } {
  const colon = text.lastIndexOf(":");
  return { ip: parseIpv4(text.slice(0, colon)), port: Number(text.slice(colon + 1)) };
}

/** Edits as the store takes them. @throws {ControlError} invalid, for a policy. */
export function storeEdits(edits: readonly ClientEdit[]): Required<ChangeEdits> {
  const routes: RouteEdit[] = [];
  const modules: ModuleChange[] = [];
  for (const edit of edits) {
    if (edit.op === "module") {
      requirePolicy(edit.policy);
      const { op: _op, ...change } = edit;
      modules.push(change);
      continue;
    }
    routes.push({ ...edit, ip: parseIpv4(edit.ip) });
  }
  return { routes, modules };
}

/** Modules that edits touch. */
export function touchedModules({ routes, modules = [] }: ChangeEdits): ModuleKey[] {
  return uniqueModules([...routes, ...modules]);
}

function applyRoute(nodes: Map<string, RouteRow>, edit: RouteEdit): boolean {
  const name = nodeText(edit);
  const old = nodes.get(name);
  if (edit.op === "add") {
    if (old !== undefined) throw new ConflictError(`Node ${name} exists already`);
    const { op: _op, weight = WEIGHT_DEFAULT, zone = "", state = "on", ...key } = edit;
    nodes.set(name, { ...key, weight, zone, state });
    return true;
  }
  if (old === undefined) throw new ConflictError(`Node ${name} does not exist`);
  if (edit.op === "remove") return nodes.delete(name);
  const { weight = old.weight, zone = old.zone, state = old.state } = edit;
  nodes.set(name, { ...old, weight, zone, state });
  return weight !== old.weight || zone !== old.zone || state !== old.state;
}

/**
 * The modules as they would be after edits, and how many edits would do nothing.
 *
 * @throws {ConflictError} as the store would.
 */
export function editedModules(
  stored: readonly StoredModule[],
  { routes, modules = [] }: ChangeEdits,
): { after: StoredModule[]; unchangedCount: number } {
  const nodes = new Map<string, Map<string, RouteRow>>();
  for (const module of stored) {
    nodes.set(
      moduleText(module),
      new Map(module.nodes.map((node) => [nodeText(node), node])),
    );
  }
  let unchangedCount = 0;
  for (const edit of routes) {
    const known = nodes.get(moduleText(edit)) ?? new Map<string, RouteRow>();
    if (!applyRoute(known, edit)) unchangedCount++;
  }
  const changes = Map.groupBy(modules, moduleText);
  const after = stored.map((module): StoredModule => {
    let { name, policy } = module;
    for (const change of changes.get(moduleText(module)) ?? []) {
      const next = { name: change.name ?? name, policy: change.policy ?? policy };
      if (next.name === name && next.policy === policy) unchangedCount++;
      ({ name, policy } = next);
    }
    const rows = nodes.get(moduleText(module))?.values() ?? [];
    return { ...module, name, policy, nodes: [...rows] };
  });
  return { after, unchangedCount };
}

/** Modules without a node, a name or a policy to which edits give a node or a name, and no policy. */
function modulesMade(stored: readonly StoredModule[], edits: Required<ChangeEdits>): ModuleKey[] {
  const unknown = new Set(
    stored.filter((module) => !isModule(module, module.nodes.length)).map(moduleText),
  );
  const added = edits.routes.filter(({ op }) => op === "add");
  const named = edits.modules.filter(({ name = "" }) => name !== "");
  for (const { policy, ...key } of edits.modules) {
    if (policy !== undefined) unknown.delete(moduleText(key));
  }
  return uniqueModules([...added, ...named]).filter((key) => unknown.has(moduleText(key)));
}

/** Modules that lose their last node, and have no name and no policy but what they were made with. */
function modulesUnmade(stored: readonly StoredModule[], edits: Required<ChangeEdits>): ModuleKey[] {
  const kept = new Set(edits.modules.map(moduleText));
  for (const edit of edits.routes) if (edit.op === "add") kept.add(moduleText(edit));
  const removed = new Set(edits.routes.filter(({ op }) => op === "remove").map(nodeText));
  return stored.filter((module) =>
    module.policy === RECOMMENDED_TEXT && module.name === "" && !kept.has(moduleText(module)) &&
    module.nodes.length > 0 && module.nodes.every((node) => removed.has(nodeText(node)))
  );
}

/**
 * The same edits, with the policy that our tools give each module that they make: one that has had
 * neither a node nor a name nor a policy gets `recommended`, unless the edits give it a policy. It
 * goes with the last node, so that nothing stays of a module. A module that only the original's
 * tables know keeps the original's rules.
 *
 * @param keepsEmptied True: a module that loses its last node stays one, as its nodes may come again.
 */
export function withPresets(
  stored: readonly StoredModule[],
  edits: ChangeEdits,
  keepsEmptied = false,
): ChangeEdits {
  const { routes, modules = [] } = edits;
  const wanted = new Map<string, ModuleChange>();
  for (const { modId, cmdId } of modulesMade(stored, { routes, modules })) {
    wanted.set(moduleText({ modId, cmdId }), { modId, cmdId, policy: RECOMMENDED_TEXT });
  }
  const unmade = keepsEmptied ? [] : modulesUnmade(stored, { routes, modules });
  for (const { modId, cmdId } of unmade) {
    wanted.set(moduleText({ modId, cmdId }), { modId, cmdId, policy: "" });
  }
  if (wanted.size === 0) return edits;
  const given = modules.map((change): ModuleChange => {
    const more = wanted.get(moduleText(change));
    wanted.delete(moduleText(change));
    return { ...change, ...more };
  });
  return { routes, modules: [...given, ...wanted.values()] };
}

/** Edits that put everything a change touched back as it was before it. */
export function undoEdits(
  done: ChangeDifferences,
  stored: readonly StoredModule[],
): Required<ChangeEdits> {
  const now = new Map(
    stored.flatMap(({ nodes }) => nodes).map((node) => [nodeText(node), node]),
  );
  const routes: RouteEdit[] = [];
  for (const { before, after, modId, cmdId, ip, port } of done.nodes) {
    // Drained once more than it was.
    if (before !== null && after !== null && sameValues(before, after)) continue;
    const key = { modId, cmdId, ip, port };
    const isThere = now.has(nodeText(key));
    if (before !== null) routes.push({ op: isThere ? "set" : "add", ...key, ...before });
    else if (isThere) routes.push({ op: "remove", ...key });
  }
  const modules = done.modules.map(({ modId, cmdId, before }) => ({ modId, cmdId, ...before }));
  return { routes, modules };
}

/** Nodes that have changed again since a change, as names. */
export function changedSince(
  done: ChangeDifferences,
  stored: readonly StoredModule[],
): string[] {
  const now = new Map(
    stored.flatMap(({ nodes }) => nodes).map((node) => [nodeText(node), node]),
  );
  return done.nodes.filter(({ after, ...key }) => {
    const node = now.get(nodeText(key));
    if (after === null || node === undefined) return (after === null) !== (node === undefined);
    return !sameValues(node, after);
  }).map(nodeText);
}

/** A difference as clients get it. */
export function differenceView(one: NodeDifference): NodeDifferenceView {
  return { ...one, ip: formatIpv4(one.ip) };
}
