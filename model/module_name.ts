// Core. Names of modules: which may be given, which module one means, and which are near to it.

import { isPrintable, MODULE_NAME_LENGTH_MAX, type ModuleKey } from "./module.ts";
import { nearWords } from "./near_words.ts";

/** A module with its name. */
export interface NamedModule extends ModuleKey {
  /** "" = it has none. */
  readonly name: string;
}

/** Modules of one name that a message lists; of more the rest is counted. */
const NAMESAKES_SHOWN_MAX = 5;

/** A module as the command line and messages show it: `(1,2)`, with its name `(1,2) login`. */
export function moduleLabel({ modId, cmdId, name }: ModuleKey & { name?: string }): string {
  return `(${modId},${cmdId})${name === undefined || name === "" ? "" : ` ${name}`}`;
}

/** True for text that names a module by its numbers: `1`, `1/2`, `1,2`, `(1,2)`. */
export function isModuleNumbers(text: string): boolean {
  return /^\s*\(?\s*\d+\s*([,/\s]\s*\d+)?\s*\)?\s*$/.test(text);
}

/**
 * What is wrong with a name that somebody wants to give; undefined for a good one. Names that can be
 * taken for numbers, for an option or for nothing would not find their module again.
 */
export function moduleNameFault(name: string): string | undefined {
  if (name === "") return undefined;
  if (!isPrintable(name) || name.length > MODULE_NAME_LENGTH_MAX) {
    return `must be at most ${MODULE_NAME_LENGTH_MAX} printable characters`;
  }
  if (name.trim() !== name) return "must not begin or end with a space";
  if (name.startsWith("-")) return "must not begin with -, as options do";
  if (isModuleNumbers(name)) return "must not be numbers alone, as those name modules already";
  return undefined;
}

/** Names that differ only in the case of their letters are one name. */
function foldName(name: string): string {
  return name.trim().toLowerCase();
}

/** Names that several modules have, each with its modules. They were stored by other programs. */
export function sharedNames(rows: Iterable<NamedModule>): Map<string, NamedModule[]> {
  const byName = new Map<string, NamedModule[]>();
  for (const row of rows) {
    if (row.name === "") continue;
    const same = byName.get(foldName(row.name));
    if (same === undefined) byName.set(foldName(row.name), [row]);
    else same.push(row);
  }
  const shared = [...byName.values()].filter((same) => same.length > 1);
  return new Map(shared.map((same) => [same[0].name, same]));
}

/** `(1,1) login, (2,1) login and 3 more` */
export function moduleLabels(modules: readonly NamedModule[]): string {
  const shown = modules.slice(0, NAMESAKES_SHOWN_MAX).map(moduleLabel);
  const more = modules.length - shown.length;
  return `${shown.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** What a change of a name would break: the new name, and the module that has it already. */
export interface NameClash {
  readonly changed: NamedModule;
  readonly owner: NamedModule;
}

/**
 * The first new name that another module would have too, counted after all changes.
 *
 * @param changes New names; "" takes one away.
 * @param rows Every module that has a name now.
 */
export function findNameClash(
  changes: readonly NamedModule[],
  rows: readonly NamedModule[],
): NameClash | undefined {
  const idOf = ({ modId, cmdId }: ModuleKey): string => `${modId},${cmdId}`;
  const changed = new Set(changes.map(idOf));
  const owners = new Map<string, NamedModule>();
  for (const row of rows) {
    if (row.name !== "" && !changed.has(idOf(row))) owners.set(foldName(row.name), row);
  }
  const last = new Map(changes.map((change) => [idOf(change), change]));
  for (const change of last.values()) {
    if (change.name === "") continue;
    const owner = owners.get(foldName(change.name));
    if (owner !== undefined) return { changed: change, owner };
    owners.set(foldName(change.name), change);
  }
  return undefined;
}

/** What a name means: one module, or why none. */
export type NameMeaning =
  | { readonly module: NamedModule }
  | { readonly fault: string; readonly near: readonly NamedModule[] };

/**
 * The module that a name means: the one with just this name, else the only one whose name differs in
 * the case of letters alone.
 */
export function meaningOfName(name: string, rows: readonly NamedModule[]): NameMeaning {
  // Strangers may ask for names of any length, and each module is compared with them.
  if (name.length > MODULE_NAME_LENGTH_MAX) {
    const fault =
      `A name has at most ${MODULE_NAME_LENGTH_MAX} characters: this one, which begins ` +
      `with "${name.slice(0, 20)}", has ${name.length}`;
    return { fault, near: [] };
  }
  const exact = rows.filter((row) => row.name === name);
  const folded = foldName(name);
  const alike = exact.length > 0
    ? exact
    : rows.filter((row) => row.name !== "" && foldName(row.name) === folded);
  if (alike.length === 1) return { module: alike[0] };
  if (alike.length > 1) {
    return {
      fault: `"${name}" is the name of several modules: ${moduleLabels(alike)}; say which by its ` +
        "numbers, and give the others another name",
      near: alike,
    };
  }
  const near = nearWords(name, rows.map((row) => row.name))
    .flatMap((word) => rows.filter((row) => row.name === word).slice(0, 1));
  const hint = near.length === 0 ? "" : `: did you mean ${near.map(moduleLabel).join(" or ")}?`;
  return { fault: `No module is called "${name}"${hint}`, near };
}
