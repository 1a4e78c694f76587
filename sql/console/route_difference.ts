// Core. What differs between two readings of some modules, and a module's revision.

import { quantity } from "../../model/quantity.ts";
import murmur from "murmurhash3js";
import type {
  ChangeDifferences,
  ModuleDifference,
  NodeDifference,
  NodeValues,
  StoredModule,
} from "./console_store.ts";
import { type ModuleId, moduleId, type ModuleKey, moduleText } from "../../model/module.ts";
import { addressText, type CountedRow, nodeText, rowsThatCount } from "../../model/node.ts";
import { sameValues } from "../routes/route_edits.ts";
import type { ModuleRow, RouteEdit, RouteRow } from "../store.ts";

const hash128: (text: string) => string = murmur.x86.hash128;

function plainRow(row: CountedRow): CountedRow {
  const { modId, cmdId, ip, port, weight, zone, state, copies } = row;
  const plain = { modId, cmdId, ip, port, weight, zone, state };
  return copies === undefined ? plain : { ...plain, copies };
}

/** Sorts rows, in the order of their ids, into modules, each node once: the row that counts. */
export function groupModules(
  modules: readonly ModuleKey[],
  rows: readonly RouteRow[],
  texts: readonly ModuleRow[],
): StoredModule[] {
  const textsOf = new Map(texts.map((row) => [moduleId(row.modId, row.cmdId), row]));
  const nodes = new Map<ModuleId, CountedRow[]>();
  for (const { modId, cmdId } of modules) nodes.set(moduleId(modId, cmdId), []);
  for (const row of rowsThatCount(rows)) {
    nodes.get(moduleId(row.modId, row.cmdId))?.push(plainRow(row));
  }
  return modules.map(({ modId, cmdId }) => ({
    modId,
    cmdId,
    name: textsOf.get(moduleId(modId, cmdId))?.name ?? "",
    policy: textsOf.get(moduleId(modId, cmdId))?.policy ?? "",
    nodes: nodes.get(moduleId(modId, cmdId)) ?? [],
  }));
}

function valuesOf({ weight, zone, state }: RouteRow): NodeValues {
  return { weight, zone, state };
}

/** Everything that two readings of the same modules, in the same order, tell differently. */
export function differencesOf(
  before: readonly StoredModule[],
  after: readonly StoredModule[],
): ChangeDifferences {
  const modules: ModuleDifference[] = [];
  after.forEach(({ modId, cmdId, name, policy }, index) => {
    const old = before[index];
    if (old.name === name && old.policy === policy) return;
    modules.push({
      modId,
      cmdId,
      before: { name: old.name, policy: old.policy },
      after: { name, policy },
    });
  });
  return { nodes: nodeDifferences(before, after), modules };
}

function nodeDifferences(
  before: readonly StoredModule[],
  after: readonly StoredModule[],
): NodeDifference[] {
  const differences: NodeDifference[] = [];
  const rest = new Map<string, RouteRow>();
  for (const node of before.flatMap((module) => module.nodes)) rest.set(nodeText(node), node);
  for (const node of after.flatMap((module) => module.nodes)) {
    const old = rest.get(nodeText(node));
    rest.delete(nodeText(node));
    if (old !== undefined && sameValues(old, node)) continue;
    const { modId, cmdId, ip, port } = node;
    differences.push({
      modId,
      cmdId,
      ip,
      port,
      before: old === undefined ? null : valuesOf(old),
      after: valuesOf(node),
    });
  }
  for (const node of rest.values()) {
    const { modId, cmdId, ip, port } = node;
    differences.push({ modId, cmdId, ip, port, before: valuesOf(node), after: null });
  }
  return differences;
}

/**
 * Nodes of which a change wants that they are drained, and that are: nothing differs, and it is one
 * more who drains them.
 *
 * @param leased Names of the nodes for which that is of account: somebody may bring them back.
 */
export function repeatedDrains(
  stored: readonly StoredModule[],
  edits: readonly RouteEdit[],
  leased: ReadonlySet<string>,
): NodeDifference[] {
  const drained = new Map(
    stored.flatMap(({ nodes }) => nodes).filter(({ state }) => state === "drain")
      .map((node) => [nodeText(node), valuesOf(node)]),
  );
  return edits.flatMap((edit) => {
    const values = drained.get(nodeText(edit));
    if (edit.op !== "set" || edit.state !== "drain" || values === undefined) return [];
    const { modId, cmdId, ip, port, weight = values.weight, zone = values.zone } = edit;
    const isSame = sameValues(values, { weight, zone, state: "drain" });
    if (!isSame || !leased.has(nodeText(edit))) return [];
    return [{ modId, cmdId, ip, port, before: values, after: values }];
  });
}

function shown(value: string | number): string {
  return value === "" ? "none" : String(value);
}

/** One difference as a few words: `set 1/1 10.0.0.1:7777 weight 100 to 50`. */
export function describeDifference({ before, after, ...key }: NodeDifference): string {
  const name = nodeText(key);
  if (before === null) return `add ${name}`;
  if (after === null) return `remove ${name}`;
  const fields = (["weight", "zone", "state"] as const)
    .filter((field) => before[field] !== after[field])
    .map((field) => `${field} ${shown(before[field])} to ${shown(after[field])}`);
  if (fields.length === 0) return `${after.state} ${name} again`;
  return `set ${name} ${fields.join(", ")}`;
}

/** Longest text that says what became of a policy, in characters; the rest is cut. */
const POLICY_WORDS_MAX = 120;

/** The settings of a policy's text; undefined for what is none, which foreign writers may store. */
function settingsOf(text: string): ReadonlyMap<string, unknown> | undefined {
  if (text === "") return new Map();
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    return new Map(Object.entries(value));
  } catch {
    return undefined;
  }
}

function settingText(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.join(" ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** What became of a policy: `set policy of 1/2: policy p2c_ewma, unset evacuatedZones`. */
function describePolicy(module: string, before: string, after: string): string {
  const told = `set policy of ${module}`;
  if (after === "") return `${told}: none`;
  const old = settingsOf(before);
  const settings = settingsOf(after);
  if (settings === undefined) return `${told}: no JSON object`;
  const parts: string[] = [];
  for (const [name, value] of settings) {
    const was = old?.has(name) ? settingText(old.get(name)) : undefined;
    if (was !== settingText(value)) parts.push(`${name} ${settingText(value)}`);
  }
  for (const name of old?.keys() ?? []) if (!settings.has(name)) parts.push(`unset ${name}`);
  if (parts.length === 0) return told;
  const words = parts.join(", ");
  const letters = [...words];
  return `${told}: ${
    letters.length <= POLICY_WORDS_MAX
      ? words
      : `${letters.slice(0, POLICY_WORDS_MAX - 1).join("")}…`
  }`;
}

/** One difference of a module as a few words: `name 1/1 shop, set policy of 1/1: policy rr`. */
export function describeModule({ before, after, ...key }: ModuleDifference): string {
  const module = moduleText(key);
  const parts = [
    before.name === after.name
      ? ""
      : after.name === ""
      ? `unname ${module}`
      : `name ${module} ${after.name}`,
    before.policy === after.policy ? "" : describePolicy(module, before.policy, after.policy),
  ];
  return parts.filter((part) => part !== "").join(", ");
}

/** What a change did, on one line. */
export function summaryOf({ nodes, modules }: ChangeDifferences): string {
  if (nodes.length + modules.length <= 2) {
    return [...nodes.map(describeDifference), ...modules.map(describeModule)].join("; ");
  }
  const added = nodes.filter(({ before }) => before === null).length;
  const removed = nodes.filter(({ after }) => after === null).length;
  const set = nodes.length - added - removed;
  const counts = [
    added > 0 ? `add ${added}` : "",
    set > 0 ? `set ${set}` : "",
    removed > 0 ? `remove ${removed}` : "",
  ].filter((part) => part !== "");
  const moduleCount = new Set(nodes.map(moduleText)).size;
  const parts = [
    counts.length === 0 ? "" : `${counts.join(", ")} ${nodes.length === 1 ? "node" : "nodes"} in ` +
      quantity(moduleCount, "module"),
    modules.length === 0 ? "" : `name or policy of ${quantity(modules.length, "module")}`,
  ];
  return parts.filter((part) => part !== "").join("; ");
}

/**
 * Text that differs whenever a module does, and does not depend on the order of its rows: the ETag
 * of the REST interface. MurmurHash3, 128 bits; a chance meeting is out of the question, and nobody
 * gains by a made one.
 */
export function revisionOf(module: StoredModule): string {
  const lines = module.nodes
    .map((node) => `${addressText(node)} ${node.weight} ${node.state} ${node.zone}`)
    .sort();
  // The hash knows bytes only, so everything beyond ASCII is spelt out.
  const { modId, cmdId, name, policy } = module;
  const text = JSON.stringify([modId, cmdId, name, policy, lines])
    .replace(/[^ -~]/g, (part) => `\\u${part.charCodeAt(0).toString(16)}`);
  return hash128(text);
}

/** Revision of several modules together. */
export function fingerprintOf(modules: readonly StoredModule[]): string {
  return hash128(modules.map(revisionOf).sort().join(" "));
}
