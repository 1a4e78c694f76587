// Shell. `lars explain`: why an agent picks which node.

import type { Command } from "commander";
import { readSecrets } from "../daemon/daemon.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import type { ModuleKey } from "../model/module.ts";
import { EXPLAIN_NODES_MAX } from "../control/schemas.ts";
import { addAgentOptions, AGENT_ANSWER_TIMEOUT_MS, type AgentFlags } from "./agent_options.ts";
import { TOKEN_FILE_VARIABLE } from "./cli_errors.ts";
import { moduleLabel, type NamedModule } from "../model/module_name.ts";
import { addNameStoreOptions, lookUpModule } from "./module_lookup.ts";
import { withModuleWords } from "./module_argument.ts";
import { addExamples, type CommandContext } from "./command.ts";
import { addServerOption, ConsoleClient, type ServerFlags } from "./console_client.ts";
import { ageText, explanationJson, nodeLines, zoneLine } from "./explain_text.ts";
import { coloursOf, printJson, printLine, printTable } from "./terminal.ts";
import type { Explanation } from "../control/schemas.ts";

interface ExplainFlags extends AgentFlags, ServerFlags {}

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
  addServerOption(addNameStoreOptions(addAgentOptions(command)), ["agent"]);
  addExamples(command, [
    ["lars explain 1 1", "the agent of this host"],
    ["lars explain login", "the module of that name, in the database"],
    ["lars explain 1 1 --json", "all of it, for programs"],
    ["lars explain 1 1 --server http://10.0.0.5:8080", "the agent of that console's host"],
  ]);
  command.addHelpText(
    "after",
    "\nShares are of the latest 1,000 picks, remembered from the first question on for\nten " +
      "minutes: ask twice.\nExit code 1: the agent does not know the module.",
  );
}

/** What the agent of `--agent` says, or the one of the console's host. */
async function explain(key: ModuleKey, flags: ExplainFlags): Promise<Explanation> {
  const client = await ConsoleClient.of(flags);
  const { modId, cmdId } = key;
  if (client !== undefined) {
    const query = { limit: `${EXPLAIN_NODES_MAX}` };
    return await client.call("explainModule", { params: { modId, cmdId }, query });
  }
  const secrets = await readSecrets(flags.tokenFile ?? runtime.env(TOKEN_FILE_VARIABLE) ?? "");
  const { explainService } = await import("../web/explain_client.ts");
  return await explainService(flags.agent, secrets, AGENT_ANSWER_TIMEOUT_MS)
    .explain(key, EXPLAIN_NODES_MAX);
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
