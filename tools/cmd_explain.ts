// Shell. `lars explain`: why an agent picks which node.

import { type Command, Option } from "commander";
import type { ModuleKey } from "../model/module.ts";
import { EXPLAIN_NODES_MAX } from "../control/schemas.ts";
import { type Address, isLoopback } from "../reactor/address.ts";
import { AGENT_ANSWER_TIMEOUT_MS, type AgentFlags } from "./agent_options.ts";
import { parseAgent } from "./cli_arguments.ts";
import { argument, TOKEN_FILE_VARIABLE } from "./cli_errors.ts";
import { sharedSecrets } from "./shared_secret.ts";
import { moduleLabel, type NamedModule } from "../model/module_name.ts";
import { addNameStoreOptions, lookUpModule } from "./module_lookup.ts";
import { withModuleWords } from "./module_argument.ts";
import { addExamples, type CommandContext } from "./command.ts";
import { addServerOption, ConsoleClient, type ServerFlags } from "./console_client.ts";
import { withSystem } from "./system_access.ts";
import { ageText, explanationJson, nodeLines, zoneLine } from "./explain_text.ts";
import { coloursOf, printJson, printLine, printTable } from "./terminal.ts";
import type { Explanation } from "../control/schemas.ts";

interface ExplainFlags extends Omit<AgentFlags, "agent">, ServerFlags {
  /** As it was given; absent: the agent of this host, or of the console's. */
  readonly agent?: string;
}

/** Nodes shown; `--json` has all. */
const NODES_SHOWN_MAX = 200;

/** Adds `explain`. */
export function addTo(parent: Command, context: CommandContext): void {
  const command = parent.command("explain")
    .description(
      "Ask an agent why which node of a module is picked: every node with weight, state, counts, " +
        "the reason of its state and its share of the latest picks; zones; the latest decisions.",
    );
  withModuleWords(command, [], async (word, _values, flags: ExplainFlags) => {
    const key = await lookUpModule(word, flags);
    const explained = await explain(key, flags);
    const isKnown = explained.routeState !== "unknown";
    if (!isKnown) context.exitCode = 1;
    if (flags.json === true) {
      const json = explanationJson(key, explained);
      return printJson(json === null || key.name === "" ? json : { name: key.name, ...json });
    }
    if (isKnown) return await show(key, explained);
    printLine(`Nobody has asked the agent at ${explained.agent} for ${moduleLabel(key)}`);
  });
  addServerOption(addNameStoreOptions(
    command
      .addOption(
        new Option(
          "--agent <HOST[:PORT]>",
          "any agent that dns has heard of, or one on this host by its first UDP port " +
            "(default: the one of this host, or of the console's)",
        ).argParser(argument(checkedAgent)),
      )
      .option("--token-file <FILE>", `secret of the agent and of dns (or ${TOKEN_FILE_VARIABLE})`)
      .option("--json", "print JSON"),
  ));
  addExamples(command, [
    ["lars explain 1 1", "the agent of this host"],
    ["lars explain login", "the module of that name, in the database"],
    ["lars explain 1 1 --json", "all of it, for programs"],
    ["lars explain 1 1 --agent 10.0.0.7", "the agent of that host, through its dns"],
    ["lars explain 1 1 --server http://10.0.0.5:8080", "the agent of that console's host"],
  ]);
  command.addHelpText(
    "after",
    "\nShares are of the latest 1,000 picks, remembered from the first question on for\nten " +
      "minutes: ask twice.\nExit code 1: the agent does not know the module.",
  );
}

/**
 * What the agent of `--agent` says, or the one of the console's host. Agents of this host are asked by
 * UDP, all others through the dns that they are linked to.
 */
async function explain(key: ModuleKey, flags: ExplainFlags): Promise<Explanation> {
  const local = flags.agent === undefined ? parseAgent("127.0.0.1") : localAgent(flags.agent);
  if (flags.agent !== undefined && (local === undefined || flags.server !== undefined)) {
    const { agent } = flags;
    return await withSystem(flags, (system) => system.explain(key, agent, EXPLAIN_NODES_MAX));
  }
  const client = await ConsoleClient.of(flags);
  const { modId, cmdId } = key;
  if (client !== undefined) {
    const query = { limit: `${EXPLAIN_NODES_MAX}` };
    return await client.call("explainModule", { params: { modId, cmdId }, query });
  }
  const secrets = await sharedSecrets(flags);
  const { explainService } = await import("../web/explain_client.ts");
  return await explainService(local ?? parseAgent("127.0.0.1"), secrets, AGENT_ANSWER_TIMEOUT_MS)
    .explain(key, EXPLAIN_NODES_MAX);
}

/** @throws {RangeError} when it is no address of an agent. */
function checkedAgent(text: string): string {
  parseAgent(text);
  return text;
}

/** The address of an agent on this host; undefined for one that is elsewhere. */
function localAgent(text: string): Address | undefined {
  const address = parseAgent(text);
  return address.hostname === "localhost" || isLoopback(address.hostname) ? address : undefined;
}

async function show(key: NamedModule, module: Explanation): Promise<void> {
  const { routeState, ageMs } = module;
  const age = ageMs === null ? "from its cache" : `${ageText(ageMs)} old`;
  printLine(`${moduleLabel(key)} route ${routeState}, ${age}`);
  if (!module.hasNodes) return;
  const { warn, bad, good, faint } = coloursOf("stdout");
  const settings = Object.entries(module.settings)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(" ");
  printLine(`policy ${module.policy}${settings === "" ? "" : ` ${settings}`}`);
  if (module.mode !== "normal") {
    const since = module.modeSinceMs === null ? "" : ` for ${ageText(module.modeSinceMs)}`;
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
    ["NODE", "ZONE", "WEIGHT", "STATE", "FOR", "EXPECTED", "PICKS", "OK", "FAILED", "WHY"],
    nodeLines(shown).map(({ condition, ...line }) => [
      line.node,
      line.zone,
      line.weight,
      shade(condition),
      line.since,
      line.expected,
      line.share,
      line.succTotal,
      line.errTotal,
      line.reason,
    ]),
  );
  const more = module.nodeCount - shown.length;
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
