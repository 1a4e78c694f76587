// Shell. `lars route import`, `export` and `diff`: the route table as a file.

import { writeOut } from "../daemon/output.ts";
import { readFile } from "node:fs/promises";
import { Buffer } from "node:buffer";
import process from "node:process";
import { type Command, Option } from "commander";
import { ConfigError, messageOf } from "../reactor/errors.ts";
import { ROUTE_EDITS_MAX, type RouteRow } from "../sql/store.ts";
import { CommandError, UsageError } from "./cli_errors.ts";
import { addExamples, type CommandContext } from "./command.ts";
import {
  addEditOptions,
  type EditFlags,
  made,
  outcomeJson,
  versionText,
  warnOfLeft,
} from "./route_edit.ts";
import { leftByEdits } from "../control/changes/left_nodes.ts";
import {
  decodeRouteFile,
  describeNode,
  formatRouteFile,
  parseRouteFile,
  ROUTE_FORMATS,
  type RouteFormat,
  type WantedNode,
} from "../control/changes/route_file.ts";
import {
  describePlan,
  editsOfPlan,
  planJson,
  type PlanOptions,
  planRoutes,
  type RoutePlan,
} from "../control/changes/route_plan.ts";
import { writeWholeFile } from "./whole_file.ts";
import { namesOf } from "./module_argument.ts";
import { type ModuleId, moduleId } from "../model/module.ts";
import { moduleLabel } from "../model/module_name.ts";
import { quantity } from "../model/quantity.ts";
import type { SystemAccess } from "../control/system_access.ts";
import { addServerOption, type SystemFlags, withSystem } from "./system_access.ts";
import { addStoreOptions } from "./store_access.ts";
import { coloursOf, noteLine, printJson, printLine, warningLine } from "./terminal.ts";
import { type CountedRow, isNodePort } from "../model/node.ts";

/** Lines of a difference that are printed; the rest is counted. `--json` prints all. */
const DIFFERENCE_LINES_MAX = 200;

/** Modules named when an import would empty them. */
const EMPTIED_NAMED_MAX = 10;

interface FileFlags extends SystemFlags {
  readonly format?: RouteFormat;
  readonly json?: boolean;
}

interface ImportFlags extends EditFlags, FileFlags {
  readonly dryRun?: boolean;
  readonly prune?: boolean;
  readonly yes?: boolean;
  readonly meant?: boolean;
}

/** Adds `import`, `export` and `diff` to `route`. */
export function addTransferCommands(route: Command, context: CommandContext): void {
  addImport(route);
  addExport(route);
  addDiff(route, context);
}

function formatOption(): Option {
  return new Option("--format <FORMAT>", "format of the file; default by its extension, else csv")
    .choices([...ROUTE_FORMATS]);
}

function addImport(route: Command): void {
  const command = route.command("import")
    .summary("Make the route table say what a file says.")
    .description(
      "Make the route table say what a file says: all of it in one transaction, or nothing. " +
        "Nodes that the file lacks stay, unless --prune.",
    )
    .argument("<FILE>", "CSV with a header row, or a JSON array; - for standard input")
    .addOption(formatOption())
    .option("--dry-run", "only show the difference")
    .option("--prune", "remove nodes that the file lacks")
    .option("--yes", "allow --prune to leave a module without any node; means --meant")
    .option("--meant", "agents take it at once, also where most nodes of a module go")
    .action((file: string, flags: ImportFlags) => importFile(file, flags));
  addServerOption(addEditOptions(command));
  addExamples(command, [
    ["lars route import routes.csv --dry-run", "what would change?"],
    ["lars route import routes.csv", "add and change"],
    ["lars route import routes.json --prune", "and remove what the file lacks"],
    ["lars route export - | ssh b lars route import -", "from one database to another"],
  ]);
  command.addHelpText(
    "after",
    "\nColumns: modid, cmdid, ip, port; optional: weight, zone, state (on, drain, off).\n" +
      "Lines of the difference: + added, ~ changed, - removed,\n? in the table only (stays).",
  );
}

function addExport(route: Command): void {
  const command = route.command("export")
    .description("Write the route table into a file.")
    .argument("[FILE]", "file to write; - for standard output", "-")
    .addOption(formatOption())
    .action(async (file: string, flags: FileFlags) => {
      const format = formatOf(file, flags);
      const rows = await withSystem(flags, readAllRoutes);
      warnOfBadRows(rows);
      const text = formatRouteFile(rows, format);
      if (file === "-") return writeOut(text);
      await writeWholeFile(file, text);
      noteLine(`${quantity(rows.length, "node")} written to ${file}`);
    });
  addServerOption(addStoreOptions(command));
  addExamples(command, [
    ["lars route export routes.csv", "for a spreadsheet or version control"],
    ["lars route export --format json | jq length", "into a program"],
  ]);
}

function addDiff(route: Command, context: CommandContext): void {
  const command = route.command("diff")
    .description("Compare a file with the route table; exit code 1 when they differ.")
    .argument("<FILE>", "CSV or JSON file; - for standard input")
    .addOption(formatOption())
    .option("--json", "print one JSON value")
    .action(async (file: string, flags: FileFlags) => {
      const wanted = await readWanted(file, flags);
      const [rows, names] = await withSystem(
        flags,
        async (system) => [await readAllRoutes(system), await namesOf(system)] as const,
      );
      const plan = planRoutes(rows, wanted);
      const lines = describePlan(plan, { prune: true }, names);
      context.exitCode = lines.length === 0 ? 0 : 1;
      if (flags.json === true) printJson({ equal: lines.length === 0, ...planJson(plan) });
      else printDifference(lines);
    });
  addServerOption(addStoreOptions(command));
  addExamples(command, [["lars route diff routes.csv", "+ only in the file, - only in the table"]]);
}

async function importFile(file: string, flags: ImportFlags): Promise<void> {
  const wanted = await readWanted(file, flags);
  const options: PlanOptions = { prune: flags.prune === true };
  if (wanted.length === 0 && flags.prune !== true) {
    throw new CommandError(`${file} names no node; nothing was written`);
  }
  await withSystem(flags, async (system) => {
    const rows = await readAllRoutes(system);
    const plan = planRoutes(rows, wanted);
    const edits = editsOfPlan(plan, options);
    const names = await namesOf(system);
    if (flags.json !== true) printDifference(describePlan(plan, options, names));
    if (options.prune && flags.dryRun !== true) refuseEmptying(plan, names, flags);
    if (edits.length > ROUTE_EDITS_MAX) {
      throw new CommandError(
        `One import changes at most ${ROUTE_EDITS_MAX} nodes: this file changes ${edits.length}; ` +
          "split it",
      );
    }
    if (flags.dryRun === true || edits.length === 0) {
      warnOfLeft(leftByEdits(rows, await system.texts(), { routes: edits }), "will");
      if (flags.json === true) printJson({ applied: false, ...planJson(plan) });
      else printLine(`${summaryOf(plan, options)}; nothing written`);
      return;
    }
    const meant = flags.meant === true || flags.yes === true;
    const outcome = await made(system.change({ routes: edits }, { why: flags.why, meant }));
    if (flags.json === true) {
      return printJson({ applied: true, ...planJson(plan), edit: outcomeJson(outcome) });
    }
    printLine(`${summaryOf(plan, options)}; ${versionText(outcome)}`);
  });
}

function summaryOf(plan: RoutePlan, options: PlanOptions): string {
  const removed = options.prune ? plan.missing.length : 0;
  return `${plan.added.length} added, ${plan.changed.length} changed, ${removed} removed, ` +
    `${plan.unchangedCount} as they were`;
}

/** Refuses to leave a module without any node unless that is meant. */
export function refuseEmptying(
  plan: RoutePlan,
  names: ReadonlyMap<ModuleId, string>,
  flags: { readonly yes?: boolean },
): void {
  if (plan.emptied.length === 0 || flags.yes === true) return;
  const named = plan.emptied.slice(0, EMPTIED_NAMED_MAX).map(({ modId, cmdId }) =>
    moduleLabel({ modId, cmdId, name: names.get(moduleId(modId, cmdId)) ?? "" })
  ).join(", ");
  const more = plan.emptied.length - EMPTIED_NAMED_MAX;
  throw new CommandError(
    `--prune would leave ${quantity(plan.emptied.length, "module")} without any node: ${named}` +
      `${more > 0 ? ` and ${more} more` : ""}; nothing was written; give --yes if that is meant`,
  );
}

/** Prints a difference, each line by its sign. */
export function printDifference(lines: readonly string[]): void {
  const { good, warn, bad, faint } = coloursOf("stdout");
  const shade: Record<string, (text: string) => string> = {
    "+": good,
    "~": warn,
    "-": bad,
    "?": faint,
  };
  for (const line of lines.slice(0, DIFFERENCE_LINES_MAX)) printLine(shade[line[0]](line));
  const more = lines.length - DIFFERENCE_LINES_MAX;
  if (more > 0) printLine(`and ${more} more`);
}

/** Reads and checks a whole file; nothing is done with a file that has a fault. */
async function readWanted(file: string, flags: FileFlags): Promise<WantedNode[]> {
  const name = file === "-" ? "standard input" : file;
  const text = await readFileText(file);
  const { nodes, problems } = parseRouteFile(text, formatOf(file, flags), name);
  if (problems.length > 0) throw new ConfigError(problems);
  return nodes;
}

/** The text of a file, or with `-` that of standard input. */
export async function readFileText(file: string): Promise<string> {
  if (file === "-") return await readStandardInput();
  try {
    return decodeRouteFile(await readFile(file));
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

async function readStandardInput(): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return decodeRouteFile(Buffer.concat(chunks));
}

function formatOf(file: string, flags: FileFlags): RouteFormat {
  return flags.format ?? (file.toLowerCase().endsWith(".json") ? "json" : "csv");
}

/** All routes, in the order of their numbers and addresses. */
export async function readAllRoutes(routes: SystemAccess): Promise<CountedRow[]> {
  return (await routes.read()).sort((a, b) =>
    a.modId - b.modId || a.cmdId - b.cmdId || a.ip - b.ip || a.port - b.port
  );
}

/** Rows that other programs wrote and dns passes over would be refused by an import. */
function warnOfBadRows(rows: readonly RouteRow[]): void {
  for (const row of rows) {
    if (isNodePort(row.port) && row.ip !== 0) continue;
    warningLine(`${describeNode(row)} is no usable node; remove it with lars route rm`);
  }
}
