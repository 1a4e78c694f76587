// Core. Names of modules beside their numbers, also within texts that were stored with numbers.

import { type ModuleKey, moduleText } from "./module.ts";
import type { NamedModule } from "./module_name.ts";

/** Names of modules by `1/2`. */
export type NameMap = ReadonlyMap<string, string>;

/** The names of modules that have one. */
export function nameMapOf(rows: readonly NamedModule[]): NameMap {
  return new Map(
    rows.filter(({ name }) => name !== "").map((module) => [moduleText(module), module.name]),
  );
}

/** `shop (1/2)`, or `1 / 2` without a name. */
export function nameIn(names: NameMap, module: ModuleKey): string {
  const name = names.get(moduleText(module));
  return name === undefined
    ? `${module.modId} / ${module.cmdId}`
    : `${name} (${moduleText(module)})`;
}

/** Two numbers with a slash that are part of no address, path or fraction. */
const NUMBERS = /(?<![\d./:])(\d{1,10}) ?\/ ?(\d{1,10})(?![\d/]|\.\d)/g;

/** A text with each module's name before its numbers, unless the text has it beside them already. */
export function withNames(names: NameMap, text: string): string {
  return text.replace(NUMBERS, (numbers, modId: string, cmdId: string, at: number) => {
    const name = names.get(`${modId}/${cmdId}`);
    if (name === undefined) return numbers;
    const isTold = /^ ?\(?$/.test(text.slice(0, at).split(name).at(-1) ?? "") ||
      text.startsWith(` ${name}`, at + numbers.length);
    return isTold && text.includes(name) ? numbers : `${name} (${modId}/${cmdId})`;
  });
}

/** The module of a name in any case; undefined when none or several have it. */
export function keyOfName(names: NameMap, name: string): ModuleKey | undefined {
  const wanted = name.trim().toLowerCase();
  const found = [...names].filter(([, one]) => one.toLowerCase() === wanted);
  if (found.length !== 1) return undefined;
  const [modId, cmdId] = found[0][0].split("/").map(Number);
  return { modId, cmdId };
}
