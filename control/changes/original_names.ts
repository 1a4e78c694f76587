// Core. Names of modules between us and the console of the original: each side gets what it lacks.

import { isPrintable, MODULE_NAME_LENGTH_MAX, type ModuleKey } from "../../model/module.ts";
import { findNameClash, moduleNameFault, type NamedModule } from "../../model/module_name.ts";
import {
  ORIGINAL_NAME_LENGTH_MAX,
  type OriginalNames,
} from "../../sql/console/original_name_scripts.ts";

/** Between the name of the module number and that of the command number. */
const SEPARATOR = "/";

/** What is to be written so that both sides have names. */
export interface NameExchange {
  /** Modules that get the name which the original has. */
  readonly named: readonly NamedModule[];
  /** Names that cannot be taken over, and why. */
  readonly refused: readonly (NamedModule & { readonly why: string })[];
  /** Numbers that the original gets a name for. */
  readonly added: OriginalNames;
}

function plain(text: string | undefined): string {
  return [...(text ?? "")].map((letter) => isPrintable(letter) ? letter : " ").join("")
    .replaceAll(/\s+/g, " ").trim();
}

/** `pay/charge`, or `pay/2` where only the module number has a name. */
function nameOf({ modId, cmdId }: ModuleKey, { modules, commands }: OriginalNames): string {
  const [module, command] = [plain(modules.get(modId)), plain(commands.get(cmdId))];
  if (module === "" && command === "") return "";
  return `${module || modId}${SEPARATOR}${command || cmdId}`.slice(0, MODULE_NAME_LENGTH_MAX)
    .trim();
}

/** Names for numbers that have none, where all modules of the number agree. */
function namesFor(
  known: ReadonlyMap<number, string>,
  parts: readonly (readonly [number, string])[],
): Map<number, string> {
  const found = new Map<number, Set<string>>();
  for (const [number, part] of parts) {
    if (plain(known.get(number)) !== "" || part === "" || part === String(number)) continue;
    const all = found.get(number) ?? new Set();
    found.set(number, all.add(part.slice(0, ORIGINAL_NAME_LENGTH_MAX)));
  }
  return new Map(
    [...found].flatMap(([number, all]) => all.size === 1 ? [[number, [...all][0]] as const] : []),
  );
}

/**
 * What each side lacks; nothing that has a name gets another one.
 *
 * @param modules Every module with nodes or a name; "" where it has no name.
 */
export function exchangeNames(
  modules: readonly NamedModule[],
  original: OriginalNames,
): NameExchange {
  const named: NamedModule[] = [];
  const refused: (NamedModule & { why: string })[] = [];
  const rows = modules.filter(({ name }) => name !== "");
  for (const { modId, cmdId, name } of modules) {
    const wanted = { modId, cmdId, name: name === "" ? nameOf({ modId, cmdId }, original) : "" };
    if (wanted.name === "") continue;
    const fault = moduleNameFault(wanted.name);
    const clash = findNameClash([...named, wanted], rows);
    if (fault === undefined && clash === undefined) named.push(wanted);
    else refused.push({ ...wanted, why: fault ?? "is the name of another module" });
  }
  const parts = rows.map(({ modId, cmdId, name }) => {
    const cut = name.indexOf(SEPARATOR);
    const [module, command] = cut < 0 ? [name, ""] : [name.slice(0, cut), name.slice(cut + 1)];
    return { modId, cmdId, module: module.trim(), command: command.trim() };
  });
  return {
    named,
    refused,
    added: {
      modules: namesFor(original.modules, parts.map(({ modId, module }) => [modId, module])),
      commands: namesFor(original.commands, parts.map(({ cmdId, command }) => [cmdId, command])),
    },
  };
}
