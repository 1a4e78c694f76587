// Shell. `lars route`: nodes of modules, one by one.

import type { Command } from "commander";
import type { RouteEdit, RouteRow } from "../sql/store.ts";
import { parseNodeAddress, parseStoredNodeAddress } from "./cli_arguments.ts";
import { argument, UsageError } from "./cli_errors.ts";
import { addExamples, type CommandContext } from "./command.ts";
import {
  addEditOptions,
  type EditFlags,
  made,
  outcomeJson,
  printChange,
  versionText,
} from "./route_edit.ts";
import { describeNode, jsonNode } from "../control/changes/route_file.ts";
import { addTransferCommands } from "./route_transfer.ts";
import type { SystemAccess } from "../control/system_access.ts";
import { addServerOption, type SystemFlags, withSystem } from "./system_access.ts";
import { addStoreOptions } from "./store_access.ts";
import { coloursOf, printJson, printLine, printTable } from "./terminal.ts";
import { addressText, NODE_STATES, type NodeAddress, WEIGHT_MAX } from "../model/node.ts";
import {
  parseCmdId,
  parseModId,
  parseState,
  parseWeight,
  parseZone,
} from "../model/route_values.ts";

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
    .argument("[MODID]", "module number", argument(parseModId))
    .argument("[CMDID]", "command number", argument(parseCmdId))
    .option("--json", "print one JSON array")
    .action(async (modId: number | undefined, cmdId: number | undefined, flags: ListFlags) => {
      const rows = await withSystem(flags, (system) => readRows(system, modId, cmdId));
      if (flags.json === true) return printJson(rows.map(jsonNode));
      await printRows(rows);
    });
  addServerOption(addStoreOptions(command));
  addExamples(command, [
    ["lars route ls", "everything"],
    ["lars route ls 1", "all modules with number 1"],
    ["lars route ls 1 2 --json", "module (1,2), for programs"],
  ]);
}

interface ListFlags extends SystemFlags {
  readonly json?: boolean;
}

async function readRows(
  system: SystemAccess,
  modId: number | undefined,
  cmdId: number | undefined,
): Promise<RouteRow[]> {
  if (modId !== undefined && cmdId !== undefined) return await system.read({ modId, cmdId });
  const found = (await system.read()).filter((row) => modId === undefined || row.modId === modId);
  return found.sort((a, b) => a.modId - b.modId || a.cmdId - b.cmdId);
}

async function printRows(rows: readonly RouteRow[]): Promise<void> {
  if (rows.length === 0) return printLine("No nodes.");
  const { good, warn, faint } = coloursOf("stdout");
  const shade = { on: good, drain: warn, off: faint };
  await printTable(
    ["MODID", "CMDID", "NODE", "WEIGHT", "STATE", "ZONE"],
    rows.map((row) => [
      row.modId,
      row.cmdId,
      addressText(row),
      row.weight,
      shade[row.state](row.state),
      row.zone,
    ]),
  );
}

function withNodeArguments(
  command: Command,
  parse: (text: string) => NodeAddress = parseNodeAddress,
): Command {
  return command
    .argument("<MODID>", "module number, 0 to 4294967295", argument(parseModId))
    .argument("<CMDID>", "command number, 0 to 4294967295", argument(parseCmdId))
    .argument("<IP:PORT>", "the node", argument(parse));
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
  const command = withValueOptions(withNodeArguments(
    route.command("add").description(
      "Add a node to a module (weight 100, no zone, state on unless said otherwise).",
    ),
  )).action(
    (modId: number, cmdId: number, node: NodeAddress, flags: NodeFlags) =>
      editOne({ op: "add", modId, cmdId, ...node, ...valuesOf(flags) }, "added", flags),
  );
  addServerOption(addEditOptions(command));
  addExamples(command, [
    ["lars route add 1 1 10.0.0.7:7777", "agents know it within 100 ms"],
    ["lars route add 1 1 10.0.0.8:7777 --weight 50 --zone east", "with a weight and a zone"],
  ]);
}

function removeNode(route: Command): void {
  const command = withNodeArguments(
    route.command("rm").description("Remove a node from a module."),
    parseStoredNodeAddress,
  ).action((modId: number, cmdId: number, node: NodeAddress, flags: NodeFlags) =>
    editOne({ op: "remove", modId, cmdId, ...node }, "removed", flags)
  );
  addServerOption(addEditOptions(command));
  addExamples(command, [["lars route rm 1 1 10.0.0.7:7777", "callers stop getting it"]]);
}

function setNode(route: Command): void {
  const command = withValueOptions(withNodeArguments(
    route.command("set").description("Change weight, zone or state of a node."),
  )).action((modId: number, cmdId: number, node: NodeAddress, flags: NodeFlags) => {
    const values = valuesOf(flags);
    if (Object.keys(values).length === 0) {
      throw new UsageError("Nothing to set: give --weight, --zone or --state");
    }
    return editOne({ op: "set", modId, cmdId, ...node, ...values }, "set", flags);
  });
  addServerOption(addEditOptions(command));
  addExamples(command, [
    ["lars route set 1 1 10.0.0.7:7777 --state drain", "no new calls"],
    ["lars route set 1 1 10.0.0.7:7777 --state on --weight 10", "back, with a tenth of the calls"],
  ]);
}

function confirmModule(route: Command): void {
  const command = route.command("confirm")
    .summary("Say that a route is meant as it is.")
    .description(
      "Say that the route of a module is meant as it is, so that agents which hold back a change " +
        "that removed most of its nodes take it at once.",
    )
    .argument("<MODID>", "module number, 0 to 4294967295", argument(parseModId))
    .argument("<CMDID>", "command number, 0 to 4294967295", argument(parseCmdId))
    .action(async (modId: number, cmdId: number, flags: EditFlags & SystemFlags) => {
      const outcome = await withSystem(
        flags,
        (system) => made(system.confirm({ modId, cmdId }, flags.why)),
      );
      if (flags.json === true) return printJson(outcomeJson(outcome));
      printLine(`confirmed (${modId},${cmdId}), ${versionText(outcome)}`);
    });
  addServerOption(addEditOptions(command));
  addExamples(command, [["lars route confirm 1 1", "after DELETE FROM RouteData by hand"]]);
}

async function editOne(edit: RouteEdit, word: string, flags: NodeFlags): Promise<void> {
  const outcome = await withSystem(
    flags,
    (system) => made(system.change({ routes: [edit] }, { why: flags.why })),
  );
  printChange(outcome, word, describeNode(edit), flags);
}
