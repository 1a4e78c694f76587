// Shell. `lars module sync-names`: names of modules between us and the console of the original.

import type { Command } from "commander";
import { exchangeNames, type NameExchange } from "../control/changes/original_names.ts";
import type { ChangeResult } from "../control/schemas.ts";
import { isModule } from "../model/module.ts";
import { moduleLabel, type NamedModule } from "../model/module_name.ts";
import { quantity } from "../model/quantity.ts";
import { addExamples } from "./command.ts";
import { addEditOptions, type EditFlags, made, versionText } from "./route_edit.ts";
import { withStore } from "./store_access.ts";
import { withSystem } from "./system_access.ts";
import { printJson, printLine, warningLine } from "./terminal.ts";

interface SyncFlags extends EditFlags {
  readonly dryRun?: boolean;
}

/** Adds `module sync-names`. */
export function addNames(module: Command): void {
  const command = module.command("sync-names")
    .description(
      "Carry names between modules and the tables ModIDConfig and CmdIDConfig of the original's " +
        "console: pay and charge there are pay/charge here. Each side gets what it lacks; no name " +
        "is changed. Needs the database.",
    )
    .option("--dry-run", "say what would be written, and write nothing")
    .action((flags: SyncFlags) => syncNames(flags));
  addEditOptions(command);
  addExamples(command, [
    ["lars module sync-names --dry-run", "what each side lacks"],
    ["lars module sync-names --store mysql://lars@10.0.0.5/lars_dns", "after a change in either"],
  ]);
}

async function syncNames(flags: SyncFlags): Promise<void> {
  const isDry = flags.dryRun === true;
  const exchange = await withStore(flags, async (store) => {
    const modules = new Map<string, NamedModule>();
    const add = ({ modId, cmdId, name }: NamedModule): void =>
      void modules.set(`${modId},${cmdId}`, { modId, cmdId, name });
    await store.readRoutes((rows) => {
      for (const { modId, cmdId } of rows) add({ modId, cmdId, name: "" });
    });
    for (const row of await store.moduleRows()) if (isModule(row)) add(row);
    const found = exchangeNames([...modules.values()], await store.console.originalNames());
    if (!isDry) await store.console.addOriginalNames(found.added);
    return found;
  });
  let outcome: ChangeResult | undefined;
  if (!isDry && exchange.named.length > 0) {
    outcome = await withSystem(flags, async (system) => {
      const texts = new Map(
        (await system.texts()).map((row) => [`${row.modId},${row.cmdId}`, row.policy]),
      );
      // A module that only the original's tables know keeps the original's rules.
      const changes = exchange.named.map((one) =>
        (texts.get(`${one.modId},${one.cmdId}`) ?? "") === "" ? { ...one, policy: "" } : one
      );
      return await made(
        system.change({ routes: [], modules: changes }, { why: flags.why, meant: false }),
      );
    });
  }
  print(exchange, outcome, flags);
}

function print(
  { named, refused, added }: NameExchange,
  outcome: ChangeResult | undefined,
  flags: SyncFlags,
): void {
  for (const { why, ...module } of refused) {
    warningLine(`the original's name of ${moduleLabel(module)} is not taken over: it ${why}`);
  }
  const { modules, commands } = added;
  if (flags.json === true) {
    const plain = (names: ReadonlyMap<number, string>) =>
      [...names].map(([number, content]) => ({ number, content }));
    return printJson({
      dry_run: flags.dryRun === true,
      named: named.map(({ modId, cmdId, name }) => ({ modid: modId, cmdid: cmdId, name })),
      refused: refused.map(({ modId, cmdId, name, why }) => ({
        ...{ modid: modId, cmdid: cmdId, name, why },
      })),
      added: { modules: plain(modules), commands: plain(commands) },
    });
  }
  const would = flags.dryRun === true ? "would be " : "";
  for (const module of named) printLine(`${would}named ${moduleLabel(module)}`);
  for (const [modId, content] of modules) printLine(`${would}added modid ${modId} ${content}`);
  for (const [cmdId, content] of commands) printLine(`${would}added cmdid ${cmdId} ${content}`);
  const count = named.length + modules.size + commands.size;
  const version = outcome === undefined ? "" : `, ${versionText(outcome)}`;
  printLine(
    count === 0 ? "Both sides have the same names" : `${quantity(count, "name")}${version}`,
  );
}
