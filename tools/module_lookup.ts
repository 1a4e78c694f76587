// Shell. Modules by name for commands that ask agents: those know numbers alone.

import type { Command } from "commander";
import type { NamedModule } from "../model/module_name.ts";
import { type ModuleWord, resolveModule } from "./module_argument.ts";
import { addStoreOptions } from "./store_access.ts";
import { type SystemFlags, withSystem } from "./system_access.ts";

/** Adds `--store` and `--data` to a command that needs them for the name of a module only. */
export function addNameStoreOptions(command: Command): Command {
  addStoreOptions(command);
  for (const option of command.options) {
    if (option.long !== "--store" && option.long !== "--data") continue;
    option.description = `where the module's name is looked up; ${option.description}`;
  }
  return command;
}

/**
 * The module of a command that asks an agent. Numbers are looked up only where it is said where:
 * agents are asked without a database too.
 *
 * @throws {CommandError} for a name when nobody has it, or there is neither database nor console.
 */
export async function lookUpModule(word: ModuleWord, flags: SystemFlags): Promise<NamedModule> {
  const isSaid = [flags.store, flags.data, flags.server].some((place) => place !== undefined);
  if ("key" in word && !isSaid) return { ...word.key, name: "" };
  return await withSystem(flags, (system) => resolveModule(system, word));
}
