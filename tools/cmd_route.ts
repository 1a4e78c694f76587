// Shell. `lars route`: nodes of modules, one by one.

import type { Command } from "commander";
import type { RouteEdit, RouteRow } from "../sql/store.ts";
import { parseNodeAddress, parseStoredNodeAddress } from "./cli_arguments.ts";
import { quantity } from "../model/quantity.ts";
import { argument, CommandError, UsageError } from "./cli_errors.ts";
import { addExamples, type CommandContext } from "./command.ts";
import {
  addEditOptions,
  type EditFlags,
  made,
  outcomeJson,
  printChange,
  versionText,
} from "./route_edit.ts";
import { jsonNode } from "../control/changes/route_file.ts";
import { addTransferCommands } from "./route_transfer.ts";
import type { SystemAccess } from "../control/system_access.ts";
import { addServerOption, type SystemFlags, withSystem } from "./system_access.ts";
import { addStoreOptions } from "./store_access.ts";
import { coloursOf, noteLine, printJson, printLine, printTable, warningLine } from "./terminal.ts";
import {
  addressText,
  type CountedRow,
  NODE_STATES,
  type NodeAddress,
  nodeText,
  stateWord,
  WEIGHT_MAX,
} from "../model/node.ts";
import { parseState, parseWeight, parseZone } from "../model/route_values.ts";
import { type ModuleId, moduleId, type ModuleKey } from "../model/module.ts";
import { moduleLabel, moduleLabels, type NamedModule } from "../model/module_name.ts";
import { didYouMean } from "../model/near_words.ts";
import {
  type ModuleWord,
  namesOf,
  requireModule,
  resolveFilter,
  resolveModule,
  withModuleFilter,
  withModuleWords,
  type WordSpec,
} from "./module_argument.ts";

interface NodeFlags extends EditFlags, SystemFlags {
  readonly weight?: number;
  readonly zone?: string;
  readonly state?: RouteRow["state"];
}

/** Adds `route` and its subcommands. */
export function addTo(parent: Command, context: CommandContext): void {
  const route = parent.command("route").description(
    "Nodes of modules: list, change, import, export, compare.",
  );
  addList(route);
  addNode(route);
  removeNode(route);
  setNode(route);
  confirmModule(route);
  addTransferCommands(route, context);
  addExamples(route, [
    ["lars route ls 1 1", "nodes of module (1,1)"],
    ["lars route add 1 1 10.0.0.7:7777 --weight 50", "half the calls of a node of weight 100"],
    ["lars route set 1 1 10.0.0.7:7777 --state drain", "no new calls, still listed"],
    ["lars route export routes.csv", "all routes into a file"],
    ["lars route import routes.csv --dry-run", "what would change?"],
  ]);
}

function addList(route: Command): void {
  const command = route.command("ls")
    .description("List nodes: of all modules, of one module number, or of one module.")
    .option("--json", "print one JSON array");
  withModuleFilter(command, async (filter, flags: ListFlags) => {
    const { rows, names } = await withSystem(flags, async (system) => {
      const { modId, cmdId } = await resolveFilter(system, filter);
      const found = await readRows(system, modId, cmdId);
      if (found.length === 0 && modId !== undefined && cmdId !== undefined) {
        // A list may be empty; that nothing is known of the module is worth a word.
        await requireModule(system, { modId, cmdId }).catch((error: unknown) => {
          if (!(error instanceof CommandError)) throw error;
          warningLine(error.message);
        });
      }
      return { rows: found, names: await namesOf(system) };
    });
    if (flags.json === true) {
      return printJson(rows.map((row) => withName(jsonNode(row), row, names)));
    }
    await printRows(rows, names);
    const doubled = rows.filter(({ copies }) => copies !== undefined);
    if (doubled.length > 0) {
      noteLine(
        `${quantity(doubled.length, "node")} in more than one row, of which the last counts ` +
          `(${nodeText(doubled[0])} for one): lars route rm and add make it one`,
      );
    }
  });
  addServerOption(addStoreOptions(command));
  addExamples(command, [
    ["lars route ls", "everything"],
    ["lars route ls 1", "all modules with number 1"],
    ["lars route ls 1 2 --json", "module (1,2), for programs"],
    ["lars route ls login", "the module of that name"],
  ]);
}

interface ListFlags extends SystemFlags {
  readonly json?: boolean;
}

async function readRows(
  system: SystemAccess,
  modId: number | undefined,
  cmdId: number | undefined,
): Promise<CountedRow[]> {
  if (modId !== undefined && cmdId !== undefined) return await system.read({ modId, cmdId });
  const found = (await system.read()).filter((row) => modId === undefined || row.modId === modId);
  return found.sort((a, b) => a.modId - b.modId || a.cmdId - b.cmdId);
}

/** A row as JSON, with the name of its module where that has one. */
function withName(
  json: Record<string, unknown>,
  key: ModuleKey,
  names: ReadonlyMap<ModuleId, string>,
): Record<string, unknown> {
  const name = names.get(moduleId(key.modId, key.cmdId));
  return name === undefined ? json : { ...json, name };
}

function stateText(row: RouteRow): string {
  const { good, warn, faint } = coloursOf("stdout");
  const word = stateWord(row);
  return { on: good, drain: warn, off: faint, "on, drains": warn }[word](word);
}

async function printRows(
  rows: readonly RouteRow[],
  names: ReadonlyMap<ModuleId, string>,
): Promise<void> {
  if (rows.length === 0) return printLine("No nodes.");
  await printTable(
    ["MODID", "CMDID", "NODE", "WEIGHT", "STATE", "ZONE", ...(names.size > 0 ? ["MODULE"] : [])],
    rows.map((row) => [
      row.modId,
      row.cmdId,
      addressText(row),
      row.weight,
      stateText(row),
      row.zone,
      ...(names.size > 0 ? [names.get(moduleId(row.modId, row.cmdId)) ?? ""] : []),
    ]),
  );
}

function nodeWord(parse: (text: string) => NodeAddress): WordSpec<NodeAddress> {
  return { name: "IP:PORT", about: "the node", parse };
}

function withValueOptions(command: Command): Command {
  return command
    .option("--weight <N>", `share of the calls, 0 to ${WEIGHT_MAX}`, argument(parseWeight))
    .option("--zone <Z>", "zone the node stands in", argument(parseZone))
    .option("--state <STATE>", NODE_STATES.join(" | "), argument(parseState));
}

function valuesOf(flags: NodeFlags): Partial<Pick<RouteRow, "weight" | "zone" | "state">> {
  const { weight, zone, state } = flags;
  return {
    ...(weight === undefined ? {} : { weight }),
    ...(zone === undefined ? {} : { zone }),
    ...(state === undefined ? {} : { state }),
  };
}

function addNode(route: Command): void {
  const command = withModuleWords(
    withValueOptions(route.command("add")).description(
      "Add a node to a module (weight 100, no zone, state on unless said otherwise).",
    ),
    [nodeWord(parseNodeAddress)],
    (module, [node], flags: NodeFlags) =>
      editOne(
        module,
        (key) => ({ op: "add", ...key, ...node, ...valuesOf(flags) }),
        "added",
        flags,
      ),
  );
  addServerOption(addEditOptions(command));
  addExamples(command, [
    ["lars route add 1 1 10.0.0.7:7777", "agents know it within 100 ms"],
    ["lars route add login 10.0.0.7:7777", "a module by its name"],
    ["lars route add 1 1 10.0.0.8:7777 --weight 50 --zone east", "with a weight and a zone"],
  ]);
}

function removeNode(route: Command): void {
  const command = withModuleWords(
    route.command("rm").description("Remove a node from a module."),
    [nodeWord(parseStoredNodeAddress)],
    (module, [node], flags: NodeFlags) =>
      editOne(module, (key) => ({ op: "remove", ...key, ...node }), "removed", flags),
  );
  addServerOption(addEditOptions(command));
  addExamples(command, [["lars route rm 1 1 10.0.0.7:7777", "callers stop getting it"]]);
}

function setNode(route: Command): void {
  const command = withModuleWords(
    withValueOptions(route.command("set")).description("Change weight, zone or state of a node."),
    [nodeWord(parseNodeAddress)],
    (module, [node], flags: NodeFlags) => {
      const values = valuesOf(flags);
      if (Object.keys(values).length === 0) {
        throw new UsageError("Nothing to set: give --weight, --zone or --state");
      }
      return editOne(module, (key) => ({ op: "set", ...key, ...node, ...values }), "set", flags);
    },
  );
  addServerOption(addEditOptions(command));
  addExamples(command, [
    ["lars route set 1 1 10.0.0.7:7777 --state drain", "no new calls"],
    ["lars route set 1 1 10.0.0.7:7777 --state on --weight 10", "back, with a tenth of the calls"],
  ]);
}

function confirmModule(route: Command): void {
  const command = withModuleWords(
    route.command("confirm")
      .summary("Say that a route is meant as it is.")
      .description(
        "Say that the route of a module is meant as it is, so that agents which hold back a change " +
          "that removed most of its nodes take it at once.",
      ),
    [],
    async (word, _values, flags: EditFlags & SystemFlags) => {
      const { module, outcome } = await withSystem(flags, async (system) => {
        const module = await resolveModule(system, word);
        if ((await system.read(module)).length === 0) {
          warningLine(`${moduleLabel(module)} has no node: it is confirmed as empty`);
        }
        return { module, outcome: await made(system.confirm(keyOf(module), flags.why)) };
      });
      if (flags.json === true) return printJson(outcomeJson(outcome));
      printLine(`confirmed ${moduleLabel(module)}, ${versionText(outcome)}`);
    },
  );
  addServerOption(addEditOptions(command));
  addExamples(command, [["lars route confirm 1 1", "after DELETE FROM RouteData by hand"]]);
}

/**
 * @throws {CommandError} when the module has no such node, with nodes that are near, or the modules
 * that have it.
 */
async function requireNode(
  system: SystemAccess,
  module: NamedModule,
  node: NodeAddress,
): Promise<void> {
  const rows = await system.read(keyOf(module));
  if (rows.some(({ ip, port }) => ip === node.ip && port === node.port)) return;
  if (rows.length === 0) await requireModule(system, module);
  const elsewhere = await system.readNode(node);
  const hint = elsewhere.length > 0
    ? `: it is a node of ${moduleLabels(elsewhere.map((row) => ({ ...keyOf(row), name: "" })))}`
    : didYouMean(addressText(node), rows.map(addressText));
  throw new CommandError(`${moduleLabel(module)} has no node ${addressText(node)}${hint}`);
}

function keyOf({ modId, cmdId }: ModuleKey): ModuleKey {
  return { modId, cmdId };
}

async function editOne(
  word: ModuleWord,
  editOf: (key: ModuleKey) => RouteEdit,
  what: string,
  flags: NodeFlags,
): Promise<void> {
  const { module, edit, outcome } = await withSystem(flags, async (system) => {
    const module = await resolveModule(system, word);
    const edit = editOf(keyOf(module));
    if (edit.op !== "add") await requireNode(system, module, edit);
    return {
      module,
      edit,
      outcome: await made(system.change({ routes: [edit] }, { why: flags.why })),
    };
  });
  printChange(outcome, what, `${moduleLabel(module)} ${addressText(edit)}`, flags);
}
