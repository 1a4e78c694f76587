// Core. Judges the edits of routes and modules and works out what must be written.

import { ConflictError, LimitError, messageOf } from "../../reactor/errors.ts";
import {
  type ModuleChange,
  type ModuleRow,
  type NodeSpec,
  ROUTE_EDITS_MAX,
  type RouteEdit,
  type RouteRow,
} from "../store.ts";
import {
  isPrintable,
  MODULE_NAME_LENGTH_MAX,
  MODULE_POLICY_BYTES_MAX,
  type ModuleId,
  moduleId,
  type ModuleKey,
  UINT32_MAX,
  uniqueModules,
} from "../../model/module.ts";
import type { RouteValues } from "../../model/lease.ts";
import { type PickableNodes, pickableNodes } from "../../model/pickable_nodes.ts";
import type { NamedModule } from "../../model/module_name.ts";
import {
  NODE_STATES,
  nodeId,
  type NodeState,
  nodeText,
  PORT_MAX,
  WEIGHT_DEFAULT,
  WEIGHT_MAX,
  ZONE_LENGTH_MAX,
} from "../../model/node.ts";

/** A row of RouteData together with its id. */
export interface StoredRoute extends RouteRow {
  readonly id: number;
}

/** What must be written for a list of edits. */
export interface EditPlan {
  /** Ids of the rows to delete. */
  readonly deleteIds: number[];
  /** Rows to insert, in the order of the edits. */
  readonly inserts: RouteRow[];
  /** Rows to overwrite, rows that get the same values together. */
  readonly updates: { ids: number[]; weight: number; zone: string; state: NodeState }[];
  /** Modules of which anything differs afterwards. */
  readonly changed: ModuleKey[];
}

function checkInteger(place: string, name: string, value: unknown, min: number, max: number): void {
  if (typeof value !== "number") {
    throw new TypeError(`${place}: ${name} must be a number: current value is ${String(value)}`);
  }
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(
      `${place}: ${name} must be a whole number from ${min} to ${max}: current value is ${value}`,
    );
  }
}

function checkZone(place: string, zone: unknown): void {
  if (typeof zone !== "string") throw new TypeError(`${place}: zone must be text`);
  if (zone.length > ZONE_LENGTH_MAX || !isPrintable(zone)) {
    throw new RangeError(
      `${place}: zone must be at most ${ZONE_LENGTH_MAX} printable characters: ` +
        `current value has ${zone.length}`,
    );
  }
}

function checkSpec(place: string, spec: NodeSpec): void {
  if (spec.weight !== undefined) checkInteger(place, "weight", spec.weight, 0, WEIGHT_MAX);
  if (spec.zone !== undefined) checkZone(place, spec.zone);
  if (spec.state !== undefined && !NODE_STATES.includes(spec.state)) {
    throw new RangeError(
      `${place}: state must be one of ${NODE_STATES.join(", ")}: ` +
        `current value is "${String(spec.state)}"`,
    );
  }
}

/**
 * Refuses edits that could not be stored as meant. `remove` accepts any port that the column can
 * hold, so that what a foreign writer spoiled can be cleaned up.
 *
 * @throws {TypeError} when an edit is malformed.
 * @throws {RangeError} when a number or text is out of range; the message counts edits from 1.
 * @throws {LimitError} with more than `ROUTE_EDITS_MAX` edits.
 */
export function validateEdits(edits: readonly RouteEdit[]): void {
  if (edits.length > ROUTE_EDITS_MAX) {
    throw new LimitError(
      "ROUTE_EDITS_MAX",
      `Edits must be at most ${ROUTE_EDITS_MAX} at once: current value is ${edits.length}`,
    );
  }
  edits.forEach((edit, index) => {
    const place = `Edit ${index + 1}`;
    if (edit === null || typeof edit !== "object") {
      throw new TypeError(`${place} must be an object`);
    }
    if (edit.op !== "add" && edit.op !== "remove" && edit.op !== "set") {
      const op: unknown = (edit as { op?: unknown }).op;
      throw new TypeError(
        `${place}: op must be one of add, remove, set: current value is "${String(op)}"`,
      );
    }
    const isRemove = edit.op === "remove";
    checkInteger(place, "modId", edit.modId, 0, UINT32_MAX);
    checkInteger(place, "cmdId", edit.cmdId, 0, UINT32_MAX);
    checkInteger(place, "ip", edit.ip, 0, UINT32_MAX);
    checkInteger(place, "port", edit.port, isRemove ? 0 : 1, isRemove ? UINT32_MAX : PORT_MAX);
    if (edit.op !== "remove") checkSpec(place, edit);
  });
}

/**
 * Refuses keys that name no module.
 *
 * @throws {RangeError} when a number is out of range; the message counts keys from 1.
 * @throws {LimitError} with more than `ROUTE_EDITS_MAX` keys.
 */
export function validateModuleKeys(keys: readonly ModuleKey[]): void {
  if (keys.length > ROUTE_EDITS_MAX) {
    throw new LimitError(
      "ROUTE_EDITS_MAX",
      `Modules must be at most ${ROUTE_EDITS_MAX} at once: current value is ${keys.length}`,
    );
  }
  keys.forEach(({ modId, cmdId }, index) => {
    checkInteger(`Module ${index + 1}`, "modId", modId, 0, UINT32_MAX);
    checkInteger(`Module ${index + 1}`, "cmdId", cmdId, 0, UINT32_MAX);
  });
}

interface NodeDraft {
  /** Every stored copy: the original table allows the same node twice. */
  readonly stored: StoredRoute[];
  current: RouteRow | undefined;
}

function applyEdit(draft: NodeDraft, edit: RouteEdit): void {
  const { modId, cmdId, ip, port } = edit;
  if (edit.op === "add") {
    if (draft.current !== undefined) {
      throw new ConflictError(`Node ${nodeText(edit)} exists already`);
    }
    const { weight = WEIGHT_DEFAULT, zone = "", state = "on" } = edit;
    draft.current = { modId, cmdId, ip, port, weight, zone, state };
    return;
  }
  if (draft.current === undefined) throw new ConflictError(`Node ${nodeText(edit)} does not exist`);
  if (edit.op === "remove") {
    draft.current = undefined;
    return;
  }
  const { weight = draft.current.weight, zone = draft.current.zone } = edit;
  draft.current = { ...draft.current, weight, zone, state: edit.state ?? draft.current.state };
}

/** What a route says of two nodes, or of one twice, is the same. */
export function sameValues(a: RouteValues, b: RouteValues): boolean {
  return a.weight === b.weight && a.zone === b.zone && a.state === b.state;
}

/**
 * Works out what to write so that the edits hold. `stored` must hold every row of every module the
 * edits name. Only what differs in the end is written: removing a node and adding it again as it
 * was changes nothing. Copies of one node are treated as one.
 *
 * @throws {ConflictError} naming the node, when an edit contradicts what is stored or edits before.
 */
export function planEdits(stored: readonly StoredRoute[], edits: readonly RouteEdit[]): EditPlan {
  const drafts = new Map<string, NodeDraft>();
  for (const row of stored) {
    const id = nodeId(row);
    const draft = drafts.get(id);
    if (draft === undefined) drafts.set(id, { stored: [row], current: row });
    else {
      draft.current = row; // Of several rows of one node the last one counts.
      draft.stored.push(row);
    }
  }
  const touched = new Set<NodeDraft>();
  for (const edit of edits) {
    const id = nodeId(edit);
    const draft = drafts.get(id) ?? { stored: [], current: undefined };
    drafts.set(id, draft);
    applyEdit(draft, edit);
    touched.add(draft);
  }
  return writePlan(touched);
}

function writePlan(drafts: Iterable<NodeDraft>): EditPlan {
  const plan: EditPlan = { deleteIds: [], inserts: [], updates: [], changed: [] };
  const updates = new Map<string, EditPlan["updates"][number]>();
  const changed: ModuleKey[] = [];
  for (const { stored, current } of drafts) {
    if (current === undefined) {
      plan.deleteIds.push(...stored.map((row) => row.id));
      if (stored.length > 0) changed.push(stored[0]);
      continue;
    }
    if (stored.length === 0) {
      plan.inserts.push(current);
      changed.push(current);
      continue;
    }
    const { weight, zone, state } = current;
    const same = JSON.stringify([weight, zone, state]);
    for (const row of stored) {
      if (sameValues(row, current)) continue;
      const update = updates.get(same) ?? { ids: [], weight, zone, state };
      update.ids.push(row.id);
      updates.set(same, update);
      changed.push(current);
    }
  }
  plan.updates.push(...updates.values());
  plan.changed.push(...uniqueModules(changed));
  return plan;
}

/** How a change moves the nodes of a module that may be picked. */
export interface NodesShift extends ModuleKey {
  readonly before: PickableNodes;
  readonly after: PickableNodes;
}

/** What a plan does to the nodes of some modules, of which `stored` holds every row, by id. */
export function nodesShifts(
  modules: readonly ModuleKey[],
  stored: readonly StoredRoute[],
  { deleteIds, updates, inserts }: Omit<EditPlan, "changed">,
): NodesShift[] {
  const deleted = new Set(deleteIds);
  const states = new Map<number, NodeState>();
  for (const { ids, state } of updates) for (const id of ids) states.set(id, state);
  const left = stored.filter(({ id }) => !deleted.has(id))
    .map((row) => ({ ...row, state: states.get(row.id) ?? row.state }));
  const before = byModule(stored);
  const after = byModule([...left, ...inserts]);
  return modules.map(({ modId, cmdId }) => {
    const id = moduleId(modId, cmdId);
    return {
      modId,
      cmdId,
      before: pickableNodes(before.get(id) ?? []),
      after: pickableNodes(after.get(id) ?? []),
    };
  });
}

function byModule(rows: readonly RouteRow[]): Map<ModuleId, RouteRow[]> {
  const groups = new Map<ModuleId, RouteRow[]>();
  for (const row of rows) {
    const id = moduleId(row.modId, row.cmdId);
    const group = groups.get(id);
    if (group === undefined) groups.set(id, [row]);
    else group.push(row);
  }
  return groups;
}

function checkName(place: string, name: unknown): void {
  if (typeof name !== "string") throw new TypeError(`${place}: name must be text`);
  if (isPrintable(name) && name.length <= MODULE_NAME_LENGTH_MAX) return;
  throw new RangeError(
    `${place}: name must be at most ${MODULE_NAME_LENGTH_MAX} printable characters: ` +
      `current value has ${name.length}`,
  );
}

function checkPolicy(place: string, policy: unknown): void {
  if (typeof policy !== "string") throw new TypeError(`${place}: policy must be text`);
  if (policy === "") return;
  const bytes = new TextEncoder().encode(policy).length;
  if (bytes > MODULE_POLICY_BYTES_MAX || !policy.isWellFormed()) {
    throw new RangeError(
      `${place}: policy must be at most ${MODULE_POLICY_BYTES_MAX} bytes: current value has ${bytes}`,
    );
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(policy);
  } catch (error) {
    throw new RangeError(`${place}: policy must be a JSON object: ${messageOf(error)}`, {
      cause: error,
    });
  }
  if (parsed === null || typeof parsed !== "object" || Array.isArray(parsed)) {
    throw new RangeError(`${place}: policy must be a JSON object: current value is ${policy}`);
  }
}

/**
 * Refuses changes that could not be stored as meant. What a policy says is judged by `balancer/`,
 * here it is a JSON object.
 *
 * @throws {TypeError} when a change is malformed.
 * @throws {RangeError} when a number or text is out of range; the message counts changes from 1.
 * @throws {LimitError} with more than `ROUTE_EDITS_MAX` changes.
 */
export function validateModuleChanges(changes: readonly ModuleChange[]): void {
  validateModuleKeys(changes);
  changes.forEach(({ name, policy }, index) => {
    const place = `Module ${index + 1}`;
    if (name !== undefined) checkName(place, name);
    if (policy !== undefined) checkPolicy(place, policy);
  });
}

/** Modules that get another name than they have, each with the last one that is asked for. */
export function renamedModules(
  stored: readonly (ModuleKey & { readonly name: string })[],
  changes: readonly ModuleChange[],
): NamedModule[] {
  const before = new Map(stored.map(({ modId, cmdId, name }) => [moduleId(modId, cmdId), name]));
  const after = new Map<ModuleId, NamedModule>();
  for (const { modId, cmdId, name } of changes) {
    if (name !== undefined) after.set(moduleId(modId, cmdId), { modId, cmdId, name });
  }
  return [...after].filter(([id, { name }]) => (before.get(id) ?? "") !== name)
    .map(([, module]) => module);
}

/** A module that something is to be said of. */
export interface ModuleDraft {
  readonly stored: ModuleRow | undefined;
  readonly key: ModuleKey;
  name: string;
  policy: string;
}

/** What modules are to be in the end, of which something differs from what is stored. */
export function planModules(
  stored: readonly ModuleRow[],
  changes: readonly ModuleChange[],
): ModuleDraft[] {
  const drafts = new Map<ModuleId, ModuleDraft>();
  for (const row of stored) {
    const { modId, cmdId, name, policy } = row;
    drafts.set(moduleId(modId, cmdId), { stored: row, key: { modId, cmdId }, name, policy });
  }
  for (const { modId, cmdId, name, policy } of changes) {
    const draft = drafts.get(moduleId(modId, cmdId)) ??
      { stored: undefined, key: { modId, cmdId }, name: "", policy: "" };
    if (name !== undefined) draft.name = name;
    if (policy !== undefined) draft.policy = policy;
    drafts.set(moduleId(modId, cmdId), draft);
  }
  return [...drafts.values()].filter(({ stored, name, policy }) =>
    (stored?.name ?? "") !== name || (stored?.policy ?? "") !== policy
  );
}
