// Shell. `lars explain`: why an agent picks which node.

import type { Command } from "commander";
import type { ModuleExplanation } from "../api/mod.ts";
import { formatAddress } from "../reactor/address.ts";
import { addAgentOptions, type AgentFlags, withClient } from "./agent_options.ts";
import { parseCmdId, parseModId } from "./cli_arguments.ts";
import { argument } from "./cli_errors.ts";
import { addExamples, type CommandContext } from "./command.ts";
import { ageText, nodeLines, zoneLine } from "./explain_text.ts";
import { coloursOf, printJson, printLine, printTable } from "./terminal.ts";

/** Nodes shown; `--json` has all. */
const NODES_SHOWN_MAX = 200;

/** Adds `explain`. */
export function addTo(parent: Command, context: CommandContext): void {
  const command = parent.command("explain")
    .description(
      "Ask an agent why which node of a module is picked: every node with weight, state, counts, " +
        "the reason of its state and its share of the latest picks; zones; the latest decisions.",
    )
    .argument("<MODID>", "module number, 0 to 4294967295", argument(parseModId))
    .argument("<CMDID>", "command number, 0 to 4294967295", argument(parseCmdId))
    .action(async (modId: number, cmdId: number, flags: AgentFlags) => {
      const explained = await withClient(flags, (client) => client.explain(modId, cmdId));
      if (explained === undefined) context.exitCode = 1;
      if (flags.json === true) return printJson(explained ?? null);
      if (explained === undefined) {
        return printLine(
          `Nobody has asked the agent at ${formatAddress(flags.agent)} for (${modId},${cmdId})`,
        );
      }
      await show(modId, cmdId, explained);
    });
  addAgentOptions(command);
  addExamples(command, [
    ["lars explain 1 1", "the agent of this host"],
    ["lars explain 1 1 --json", "all of it, for programs"],
  ]);
  command.addHelpText(
    "after",
    "\nShares are of the latest 1,000 picks, remembered from the first question on for ten " +
      "minutes: ask twice.\nExit code 1: the agent does not know the module.",
  );
}

async function show(modId: number, cmdId: number, explained: ModuleExplanation): Promise<void> {
  const { state, ageMs, module } = explained;
  const age = ageMs === undefined ? "from its cache" : `${ageText(ageMs)} old`;
  printLine(`(${modId},${cmdId}) route ${state}, ${age}`);
  if (module === undefined) return;
  const { warn, bad, good, faint } = coloursOf("stdout");
  const settings = Object.entries(module.settings)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(" ");
  printLine(`policy ${module.policy}${settings === "" ? "" : ` ${settings}`}`);
  if (module.mode !== "normal") {
    const since = module.modeSinceMs === undefined ? "" : ` for ${ageText(module.modeSinceMs)}`;
    printLine(bad(`mode ${module.mode}${since}: ${module.modeReason}`));
  }
  for (const zone of module.zones) printLine(zoneLine(zone));
  const shade = (condition: string): string =>
    condition === "idle"
      ? good(condition)
      : condition === "overload"
      ? bad(condition)
      : warn(condition);
  const shown = module.nodes.slice(0, NODES_SHOWN_MAX);
  await printTable(
    ["NODE", "ZONE", "WEIGHT", "STATE", "FOR", "PICKS", "OK", "FAILED", "WHY"],
    nodeLines(shown).map(({ condition, ...line }) => [
      line.node,
      line.zone,
      line.weight,
      shade(condition),
      line.since,
      line.share,
      line.succTotal,
      line.errTotal,
      line.reason,
    ]),
  );
  const more = module.nodes.length - shown.length;
  if (more > 0) printLine(`and ${more} more; --json has all`);
  if (module.picksRemembered === 0) {
    printLine(faint("Picks are remembered from now on: ask again for shares."));
  } else {
    printLine(faint(`PICKS are shares of the latest ${module.picksRemembered} picks`));
  }
  for (const { agoMs, node, became, reason } of module.decisions) {
    printLine(`${ageText(agoMs)} ago: ${node ?? "module"} ${became}: ${reason}`);
  }
}
