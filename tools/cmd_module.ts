// Shell. `lars module`: names and policies of modules.

import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import {
  defaultBalanceSettings,
  parseModulePolicy,
  policyNameOf,
  PRESETS,
} from "../balancer/mod.ts";
import { messageOf } from "../reactor/errors.ts";
import type { SystemAccess } from "../control/system_access.ts";
import type { ModuleKey } from "../model/module.ts";
import type { ModuleRow } from "../sql/store.ts";
import { moduleLabel, moduleLabels, moduleNameFault, sharedNames } from "../model/module_name.ts";
import {
  type ModuleWord,
  requireModule,
  resolveFilter,
  resolveModule,
  withModuleFilter,
  withModuleWords,
} from "./module_argument.ts";
import { argument, repeated, UsageError } from "./cli_errors.ts";
import { addNames } from "./cmd_module_names.ts";
import { addExamples } from "./command.ts";
import {
  changePolicy,
  checkPolicyText,
  type KeyChange,
  lostPreset,
  parseKeyChange,
  policyObject,
} from "./policy_text.ts";
import { addServerOption, type SystemFlags, withSystem } from "./system_access.ts";
import { addEditOptions, type EditFlags, made, printChange } from "./route_edit.ts";
import { addStoreOptions } from "./store_access.ts";
import { coloursOf, printJson, printLine, printTable, warningLine } from "./terminal.ts";

interface ListFlags extends SystemFlags {
  readonly json?: boolean;
}

interface SetFlags extends EditFlags, SystemFlags {
  readonly name?: string;
  readonly policy?: string;
  readonly set: readonly KeyChange[];
  readonly unset: readonly string[];
}

/** Adds `module` and its subcommands. */
export function addTo(parent: Command): void {
  const module = parent.command("module").description(
    "Names and policies of modules: which node is picked, and when one is taken out.",
  );
  addList(module);
  addShow(module);
  addSet(module);
  addNames(module);
  addExamples(module, [
    ["lars module ls", "modules with a name or a policy"],
    ["lars module set 1 1 --name login --set policy=p2c_ewma", "live in every agent at once"],
    ["lars module show login", "all settings, those left out with their defaults"],
    ["lars module set 1 1 --policy ''", "back to the rules of the configuration"],
  ]);
}

function addList(module: Command): void {
  const command = module.command("ls")
    .description("List modules that have a name or a policy.")
    .option("--json", "print one JSON array");
  withModuleFilter(command, async (filter, flags: ListFlags) => {
    const { rows, all } = await withSystem(flags, async (system) => {
      const { modId, cmdId } = await resolveFilter(system, filter);
      const all = await system.texts();
      const rows = all.filter((row) =>
        (modId === undefined || row.modId === modId) &&
        (cmdId === undefined || row.cmdId === cmdId)
      );
      return { rows, all };
    });
    for (const [name, same] of sharedNames(all)) {
      warningLine(
        `"${name}" is the name of ${moduleLabels(same)}: a name finds one module only; ` +
          "give the others another with lars module set MODID CMDID --name",
      );
    }
    if (flags.json === true) return printJson(rows.map(rowJson));
    await printRows(rows);
  });
  addServerOption(addStoreOptions(command));
  addExamples(command, [["lars module ls 1 --json", "those with module number 1, for programs"]]);
}

/** The policy as an object; as text when a foreign hand wrote what is none. */
function rowJson({ modId, cmdId, name, policy, updatedAt }: ModuleRow): Record<string, unknown> {
  let parsed: unknown = policy;
  try {
    parsed = policy === "" ? null : JSON.parse(policy);
  } catch {
    // Shown as it is.
  }
  return { modid: modId, cmdid: cmdId, name, policy: parsed, updated_at: updatedAt };
}

async function printRows(rows: readonly ModuleRow[]): Promise<void> {
  if (rows.length === 0) return printLine("No module has a name or a policy.");
  const { bad } = coloursOf("stdout");
  await printTable(
    ["MODID", "CMDID", "NAME", "POLICY"],
    rows.map((row) => [
      row.modId,
      row.cmdId,
      row.name,
      policyFault(row.policy) === undefined ? row.policy : bad(`refused: ${row.policy}`),
    ]),
  );
}

/** Why agents refuse a policy; undefined when they take it. */
function policyFault(policy: string): string | undefined {
  try {
    checkPolicyText(policy);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function addShow(module: Command): void {
  const command = module.command("show")
    .description("Show the name and every setting of a module.")
    .option("--json", "print one JSON value");
  withModuleWords(command, [], async (word, _values, flags: ListFlags) => {
    const row = await withSystem(flags, (system) => knownModule(system, word));
    const fault = policyFault(row.policy);
    const given = fault === undefined ? policyObject(row.policy) : {};
    const parsed = parseModulePolicy(fault === undefined ? balancerText(given) : "");
    const { settings } = parsed;
    const policy = policyNameOf(parsed);
    const preset = parsed.preset === undefined ? {} : PRESETS[parsed.preset].settings;
    if (flags.json === true) {
      return printJson({
        ...rowJson(row),
        refused: fault ?? null,
        effective: { policy, settings },
      });
    }
    printLine(moduleLabel(row));
    if (fault !== undefined) printLine(`Agents refuse its policy: ${fault}`);
    const { faint } = coloursOf("stdout");
    const agentDefaults: Readonly<Record<string, unknown>> = { ...defaultBalanceSettings };
    const lines: [string, unknown][] = [["policy", policy], ...Object.entries(settings)];
    await printTable(
      ["SETTING", "VALUE", "FROM"],
      lines.map(([name, value]) => {
        // What is null is the agent's own: what its file says, or else what every agent begins with.
        const shown = value ?? agentDefaults[name];
        return [
          name,
          typeof shown === "string" ? shown : JSON.stringify(shown),
          name in given
            ? "module"
            : name in preset
            ? policy
            : faint(value === null ? "agent" : "default"),
        ];
      }),
    );
    printLine(
      faint("agent: where the [loadbalance] of an agent's file says otherwise, that holds there"),
    );
  });
  addServerOption(addStoreOptions(command));
  addExamples(command, [["lars module show 1 1", "what holds for module (1,1)"]]);
}

/**
 * Name and policy of a module that exists.
 *
 * @throws {CommandError} when it has neither a name, a policy nor a node.
 */
async function knownModule(system: SystemAccess, word: ModuleWord): Promise<ModuleRow> {
  const { modId, cmdId } = await resolveModule(system, word);
  await requireModule(system, { modId, cmdId });
  return await textsOf(system, { modId, cmdId });
}

/** Name and policy of a module; both empty when it has none. */
async function textsOf(system: SystemAccess, key: ModuleKey): Promise<ModuleRow> {
  const [row] = await system.texts(key);
  return row ?? { ...key, name: "", policy: "", updatedAt: 0 };
}

function balancerText(given: Record<string, unknown>): string {
  return Object.keys(given).length === 0 ? "" : JSON.stringify(given);
}

function addSet(module: Command): void {
  const command = module.command("set")
    .description(
      "Set the name or the policy of a module; live in every agent as soon as dns has told it. " +
        "A policy that agents would refuse is not stored.",
    )
    .option(
      "--name <NAME>",
      "what people call it, up to 128 characters; '' takes it away",
      argument(parseName),
    )
    .option("--policy <JSON>", "the whole policy, or @FILE; '' takes it away")
    .option(
      "--set <KEY=VALUE>",
      "change one key of the policy (may be given several times); the value is JSON or text",
      repeated(parseKeyChange),
      [],
    )
    .option(
      "--unset <KEY>",
      "remove one key (may be given several times)",
      repeated((text) => text),
      [],
    );
  withModuleWords(command, [], (word, _values, flags: SetFlags) => setModule(word, flags));
  addServerOption(addEditOptions(command));
  addExamples(command, [
    ["lars module set 1 1 --name login", "shown wherever the module is"],
    ["lars module set 1 1 --set policy=ring_hash --set virtualNodes=200", "two keys"],
    ['lars module set 1 1 --policy \'{"policy":"recommended"}\'', "what a new module gets"],
    ["lars module set 1 1 --policy @login.json", "all of it from a file"],
    ["lars module set 1 1 --unset virtualNodes", "back to its default"],
  ]);
}

/** @throws {RangeError} when it cannot be the name of a module. */
function parseName(text: string): string {
  const fault = moduleNameFault(text);
  if (fault === undefined) return text;
  throw new RangeError(`Name of a module ${fault}: current value is "${text}"`);
}

async function setModule(word: ModuleWord, flags: SetFlags): Promise<void> {
  const { name, set, unset } = flags;
  const whole = flags.policy?.startsWith("@") === true
    ? await readPolicyFile(flags.policy.slice(1))
    : flags.policy;
  if (name === undefined && whole === undefined && set.length + unset.length === 0) {
    throw new UsageError("Nothing to set: give --name, --policy, --set or --unset");
  }
  const { module, outcome, lost } = await withSystem(flags, async (system) => {
    const { modId, cmdId } = await resolveModule(system, word);
    const before = await textsOf(system, { modId, cmdId });
    const policy = policyAfter(whole ?? before.policy, flags);
    const change = {
      modId,
      cmdId,
      ...(name === undefined ? {} : { name }),
      // Said to be none, a new module gets none.
      ...(policy === before.policy && whole === undefined ? {} : { policy }),
    };
    const outcome = await made(
      system.change({ routes: [], modules: [change] }, { why: flags.why, meant: false }),
    );
    if (outcome.changed.length === 0) await requireModule(system, { modId, cmdId });
    const lost = lostPreset(before.policy, policy);
    return { module: { modId, cmdId, name: name ?? before.name }, outcome, lost };
  });
  if (lost !== undefined) warningLine(lost);
  printChange(outcome, "set", moduleLabel(module), flags);
}

function policyAfter(before: string, { set, unset, policy }: SetFlags): string {
  // A name may be changed beside a policy that a foreign hand wrote and nobody can read.
  if (set.length + unset.length === 0 && policy === undefined) return before;
  try {
    const after = changePolicy(before.trim(), set, unset);
    checkPolicyText(after);
    return after;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new UsageError(error.message, { cause: error });
  }
}

async function readPolicyFile(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}
