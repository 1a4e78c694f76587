// Shell. `lars sample`: the sample nodes of `lars up` told to fail, and called.

import type { Command } from "commander";
import { parseWhole } from "../model/route_values.ts";
import { withModuleFilter } from "./module_argument.ts";
import { addNameStoreOptions, lookUpModule } from "./module_lookup.ts";
import { addServerOption, type SystemFlags } from "./system_access.ts";
import { formatAddress, parseAddress } from "../reactor/address.ts";
import { messageOf } from "../reactor/errors.ts";
import { addAgentOptions, type AgentFlags, withClient } from "./agent_options.ts";
import { argument, CommandError, UsageError } from "./cli_errors.ts";
import { addExamples, type CommandContext } from "./command.ts";
import { type CallsPlan, runCalls } from "./sample_calls.ts";
import { readSampleNodes, sampleName } from "./sample_nodes.ts";
import { SAMPLE_MODULES, sampleAddress, type SampleNode } from "./sample_routes.ts";
import { DATA_DEFAULT_TEXT, dataDirOf } from "./store_access.ts";
import { printJson, printLine, printTable } from "./terminal.ts";

/** A node on this machine answers at once. */
const NODE_TIMEOUT_MS = 2000;

/** The module that is meant when none is named: it has several nodes. */
const MODULE_DEFAULT = { modId: 1, cmdId: 2 };

interface SampleFlags {
  readonly data?: string;
  readonly json?: boolean;
}

interface SampleState {
  readonly mode: string;
  readonly calls: number;
}

/** Adds `sample` and its words. */
export function addTo(parent: Command, context: CommandContext): void {
  const sample = parent.command("sample").description(
    "The sample nodes that `lars up` runs on this machine: see them, make one fail, and call them " +
      "as a program would, to watch a bad node kept out and coming back.",
  );
  addList(sample);
  addTurn(sample, "fail", "failing", "Make a sample node fail: each call of it ends with 500.");
  addTurn(sample, "slow", "slow", "Make a sample node slow: it answers after 200 ms.");
  addTurn(sample, "heal", "well", "Make a sample node well again: it answers at once.");
  addCall(sample, context);
  addExamples(sample, [
    ["lars sample call", "50 calls a second, a line each second, until Ctrl-C"],
    ["lars sample fail", "in another shell: one node of (1,2) fails from now on"],
    ["lars sample heal", "and is well again"],
    ["lars sample ls", "which nodes there are, and how they do"],
  ]);
}

function addDataOption(command: Command): Command {
  return command
    .option("--data <DIR>", `data folder of that \`lars up\` ${DATA_DEFAULT_TEXT}`)
    .option("--json", "print JSON");
}

function addList(sample: Command): void {
  const command = sample.command("ls").description("List the sample nodes and how they do.")
    .action(async (flags: SampleFlags) => {
      const nodes = await nodesOf(flags);
      const states = await Promise.all(nodes.map((node) => askState(node)));
      if (flags.json === true) {
        return printJson(nodes.map((node, index) => ({
          modid: node.modId,
          cmdid: node.cmdId,
          node: sampleAddress(node),
          ...states[index] ?? { mode: "away" },
        })));
      }
      await printTable(
        ["MODULE", "NODE", "STATE", "CALLS"],
        nodes.map((node, index) => [
          sampleName(node),
          sampleAddress(node),
          states[index]?.mode ?? "away",
          states[index]?.calls ?? 0,
        ]),
      );
    });
  addDataOption(command);
  addExamples(command, [["lars sample ls --json", "for programs"]]);
}

function addTurn(sample: Command, word: string, mode: string, what: string): void {
  const command = sample.command(word).description(what)
    .argument(
      "[IP:PORT]",
      "which one, as `lars sample ls` has it; left out, the first of module (1,2)",
      argument(parseSample),
    )
    .action(async (given: SampleNodeAddress | undefined, flags: SampleFlags) => {
      const node = await chosenNode(given, flags);
      const address = sampleAddress(node);
      await post(address, word);
      if (flags.json === true) return printJson({ node: address, mode });
      printLine(`${address} is ${mode} now`);
    });
  addDataOption(command);
  addExamples(command, [
    [`lars sample ${word}`, "the first node of module (1,2)"],
    [`lars sample ${word} 127.0.0.1:9003`, "another one"],
    [`curl -X POST http://127.0.0.1:9003/${word}`, "does the same"],
  ]);
}

function addCall(sample: Command, context: CommandContext): void {
  const command = sample.command("call")
    .description(
      "Call the nodes of a module by HTTP as a program would: ask the agent which, call it, report " +
        "how it went. Each second a line says how many calls went to which node, how many of them " +
        "failed, and which node the agent keeps out.",
    )
    .option(
      "--rate <N>",
      "calls a second, 1 to 1000",
      argument((text) => parseWhole("Rate", text, 1, 1000)),
      50,
    )
    .option(
      "--seconds <N>",
      "stop after so many seconds, 1 to 86400; default: at Ctrl-C",
      argument((text) => parseWhole("Seconds", text, 1, 86_400)),
    );
  addServerOption(addNameStoreOptions(addAgentOptions(command)));
  withModuleFilter(command, async (filter, flags: CallFlags) => {
    if (filter !== undefined && "modId" in filter) {
      throw new UsageError("A module is named by two numbers, MODID CMDID, or by its name");
    }
    const module = await lookUpModule(filter ?? { key: MODULE_DEFAULT }, flags);
    const { rate, seconds, json } = flags;
    const { modId, cmdId } = module;
    const plan: CallsPlan = { modId, cmdId, rate, seconds, json: json === true };
    context.exitCode = await withClient(flags, (client) => runCalls(client, plan));
  });
  addExamples(command, [
    ["lars sample call", "module (1,2), until Ctrl-C"],
    ["lars sample call 2 1 --seconds 10", "another module"],
  ]);
}

type CallFlags = AgentFlags & SystemFlags & { rate: number; seconds?: number };

type SampleNodeAddress = { readonly port: number };

/** Only this machine's: whoever types the address of a real node should not send it anything. */
function parseSample(text: string): SampleNodeAddress {
  const address = parseAddress(text);
  if (address.hostname === "127.0.0.1") return address;
  throw new RangeError(
    `A sample node is on 127.0.0.1: current value is ${formatAddress(address)}`,
  );
}

async function nodesOf(flags: SampleFlags): Promise<SampleNode[]> {
  const folder = dataDirOf(flags);
  const nodes = await readSampleNodes(folder);
  if (nodes.length > 0) return nodes;
  throw new CommandError(
    `There are no sample nodes in the data folder ${folder}: \`lars up\` makes them in a new one; ` +
      "name the folder with --data",
  );
}

async function chosenNode(
  given: SampleNodeAddress | undefined,
  flags: SampleFlags,
): Promise<SampleNodeAddress> {
  if (given !== undefined) return given;
  const nodes = await nodesOf(flags);
  return nodes.find(({ modId, cmdId }) =>
    SAMPLE_MODULES.some((module) =>
      module.nodes.length > 1 && module.modId === modId && module.cmdId === cmdId
    )
  ) ?? nodes[0];
}

async function post(address: string, word: string): Promise<void> {
  const response = await ask(address, word, "POST");
  if (response.ok) return;
  throw new CommandError(`${address} is no sample node: it answered with ${response.status}`);
}

async function ask(address: string, path: string, method: "GET" | "POST"): Promise<Response> {
  try {
    const signal = AbortSignal.timeout(NODE_TIMEOUT_MS);
    const response = await fetch(`http://${address}/${path}`, { method, signal });
    await response.clone().arrayBuffer();
    return response;
  } catch (error) {
    throw new CommandError(
      `No sample node answers at ${address}: they run with \`lars up\` only (${messageOf(error)})`,
      { cause: error },
    );
  }
}

/** Undefined when it does not run. */
async function askState(node: SampleNode): Promise<SampleState | undefined> {
  try {
    const response = await ask(sampleAddress(node), "state", "GET");
    return await response.json() as SampleState;
  } catch (error) {
    if (error instanceof CommandError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
