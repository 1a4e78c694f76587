// Shell. `lars test`: the test tools of the original, with its arguments and its words.

import type { Command } from "commander";
import type { Host, LarsClient } from "../api/mod.ts";
import { formatIpv4 } from "../reactor/address.ts";
import { RetCode } from "../proto/message_ids.ts";
import {
  addAgentOptions,
  type AgentFlags,
  initModule,
  retcodeText,
  tellNoAnswer,
  withClient,
} from "./agent_options.ts";
import { parseNodeIp, parsePort, parseWhole } from "../model/route_values.ts";
import { withModuleWords } from "./module_argument.ts";
import { addNameStoreOptions, lookUpModule } from "./module_lookup.ts";
import { addServerOption, type SystemFlags } from "./system_access.ts";
import { argument } from "./cli_errors.ts";
import { addExamples, type CommandContext } from "./command.ts";
import { QPS_THREADS_MAX, type QpsFlags, runQps } from "./qps_load.ts";
import { runSimulator, type SimulatorFlags } from "./simulator_load.ts";
import { printJson, printLine } from "./terminal.ts";

/** Adds `test` and its tools. */
export function addTo(parent: Command, context: CommandContext): void {
  const tools = parent.command("test").description("Ask an agent, report to it, and load it.");
  addGetHost(tools);
  addGetRoute(tools);
  addReport(tools);
  addSimulator(tools);
  addQps(tools, context);
  addExample(tools);
  addExamples(tools, [
    ["lars test gethost 1 1", "one node of module (1,1)"],
    ["lars test getroute 1 2", "all nodes of module (1,2)"],
    ["lars test report 1 1 192.168.1.177 7777 0", "a call went well"],
    ["lars test simulator 1 1 2 100", "100 calls of which 2 in 10 fail"],
    ["lars test qps 3 --seconds 5", "3 callers for 5 seconds"],
  ]);
}

type ToolFlags = AgentFlags & SystemFlags;

/** Options of a tool that names a module: where the agent is, and where names are looked up. */
function addToolOptions(command: Command): void {
  addServerOption(addNameStoreOptions(addAgentOptions(command)));
}

function parseOutcome(text: string): number {
  if (text === "0" || text === "1") return Number(text);
  throw new RangeError(`Outcome must be one of 0, 1: current value is "${text}"`);
}

interface HostAnswer {
  readonly retcode: number;
  readonly host: Host | undefined;
}

/** Asks for a host, and says so when there is none. */
async function askHost(
  client: LarsClient,
  flags: AgentFlags,
  modId: number,
  cmdId: number,
): Promise<HostAnswer> {
  const { retcode, host, error } = await client.tryGetHost(modId, cmdId);
  if (host === undefined) {
    const words = `${modId},${cmdId} ${retcodeText(retcode)} (ret = ${retcode})`;
    tellNoAnswer(flags, error === undefined ? words : error.message);
  }
  return { retcode, host };
}

const NO_AGENT: HostAnswer = { retcode: RetCode.SystemError, host: undefined };

function addGetHost(tools: Command): void {
  const command = withModuleWords(
    tools.command("gethost").description("Ask for one node of a module."),
    [],
    async (word, _values, flags: ToolFlags) => {
      const { modId, cmdId } = await lookUpModule(word, flags);
      await withClient(flags, async (client) => {
        const { retcode, host } = await initModule(client, flags, modId, cmdId)
          ? await askHost(client, flags, modId, cmdId)
          : NO_AGENT;
        if (flags.json === true) {
          return printJson({ modid: modId, cmdid: cmdId, retcode, ...hostJson(host) });
        }
        if (host !== undefined) printLine(`host is ${host.ip}:${host.port}`);
      });
    },
  );
  addToolOptions(command);
  addExamples(command, [
    ["lars test gethost 1 1", "prints: host is 192.168.1.177:7777"],
    ["lars test gethost 1 1 --strict", "exit code 1 when there is none"],
    ["lars test gethost 1 1 --agent 127.0.0.1:18888", "another agent"],
  ]);
}

function hostJson(host: Host | undefined): Record<string, string | number> {
  if (host === undefined) return {};
  const { ip, port, weight, zone } = host;
  return {
    ip,
    port,
    ...(weight === undefined ? {} : { weight }),
    ...(zone === undefined ? {} : { zone }),
  };
}

/** Nodes of a module; undefined without an agent, which has been said then. */
async function askRoute(
  client: LarsClient,
  flags: AgentFlags,
  modId: number,
  cmdId: number,
): Promise<readonly Host[] | undefined> {
  if (!await initModule(client, flags, modId, cmdId)) return undefined;
  const hosts = await client.getRoute(modId, cmdId);
  if (hosts.length === 0) tellNoAnswer(flags, `${modId},${cmdId} has no nodes`);
  return hosts;
}

function addGetRoute(tools: Command): void {
  const command = withModuleWords(
    tools.command("getroute").description("Ask for all nodes of a module."),
    [],
    async (word, _values, flags: ToolFlags) => {
      const { modId, cmdId } = await lookUpModule(word, flags);
      await withClient(flags, async (client) => {
        const hosts = await askRoute(client, flags, modId, cmdId) ?? [];
        if (flags.json === true) {
          return printJson({ modid: modId, cmdid: cmdId, hosts: hosts.map(hostJson) });
        }
        for (const { ip, port } of hosts) printLine(`ip = ${ip}, port = ${port}`);
      });
    },
  );
  addToolOptions(command);
  addExamples(command, [["lars test getroute 1 2", "prints: ip = 192.168.1.178, port = 7776 …"]]);
}

function addReport(tools: Command): void {
  const command = withModuleWords(
    tools.command("report").description("Tell the agent how one call of a node went.").option(
      "--timecost <MS>",
      "time the call took, in milliseconds",
      argument((text) => parseWhole("Time cost", text, 0, 4_294_967_295)),
    ),
    [
      { name: "IP", about: "IPv4 address of the node", parse: parseNodeIp },
      { name: "PORT", about: "port of the node", parse: parsePort },
      { name: "0|1", about: "0: success, 1: overload", parse: parseOutcome },
    ],
    async (word, [ip, port, retcode], flags: ToolFlags & { timecost?: number }) => {
      const { modId, cmdId } = await lookUpModule(word, flags);
      const call = { modId, cmdId, ip, port, retcode };
      await withClient(flags, (client) => report(client, flags, call));
    },
  );
  addToolOptions(command);
  addExamples(command, [
    ["lars test report 1 1 192.168.1.177 7777 0", "it went well"],
    ["lars test report 1 1 192.168.1.177 7777 1 --timecost 900", "it failed after 900 ms"],
  ]);
}

async function report(
  client: LarsClient,
  flags: AgentFlags & { timecost?: number },
  call: { modId: number; cmdId: number; ip: number; port: number; retcode: number },
): Promise<void> {
  const { modId, cmdId, port, retcode } = call;
  const ip = formatIpv4(call.ip);
  // Reports are not answered: this also tells whether there is an agent at all.
  await initModule(client, flags, modId, cmdId);
  client.report(modId, cmdId, ip, port, retcode, flags.timecost);
  if (flags.json === true) return printJson({ modid: modId, cmdid: cmdId, ip, port, retcode });
  const word = retcode === RetCode.Success ? "SUCC" : "OVERLOAD";
  printLine(`report modid = ${modId}, cmdid = ${cmdId} | ${ip}:${port} ${word}`);
}

function addSimulator(tools: Command): void {
  const command = withModuleWords(
    tools.command("simulator").description(
      "Ask and report again and again, with a share of calls that fail, and count by node.",
    ),
    [
      {
        name: "errRate",
        about: "failures in 10 calls, 0 to 10",
        parse: (text) => parseWhole("errRate", text, 0, 10),
        initial: 2,
      },
      {
        name: "queryCnt",
        about: "calls, 0 to 999999",
        parse: (text) => parseWhole("queryCnt", text, 0, 999_999),
        initial: 100,
      },
    ],
    async (word, [errRate, queryCnt], flags: SimulatorFlags & ToolFlags) => {
      const { modId, cmdId } = await lookUpModule(word, flags);
      const load = { modId, cmdId, errRate, queryCnt };
      await withClient(flags, (client) => runSimulator(client, flags, load));
    },
  )
    .option(
      "--interval <MS>",
      "pause between two calls in milliseconds, 0 to 60000",
      argument((text) => parseWhole("Interval", text, 0, 60_000)),
      6,
    )
    .option("-v, --verbose", "print each call too")
    .option(
      "--seed <N>",
      "the same failures each time",
      argument((text) => parseWhole("Seed", text, 0, 4_294_967_295)),
    );
  addToolOptions(command);
  addExamples(command, [
    ["lars test simulator 1 2", "100 calls, 2 in 10 fail; the sums of each node"],
    ["lars test simulator 1 2 -v", "and each call"],
    ["lars test simulator 1 2 5 1000 --interval 0", "1000 calls without a pause, half fail"],
  ]);
}

function addQps(tools: Command, context: CommandContext): void {
  const command = tools.command("qps")
    .description(
      "Ask and report as fast as possible: caller i, counted from 0, asks for module (i + 1, 1). " +
        "Prints one line for each caller and second, until Ctrl-C or --seconds.",
    )
    .argument(
      "<ThreadNum>",
      `concurrent callers, 1 to ${QPS_THREADS_MAX}`,
      argument((text) => parseWhole("ThreadNum", text, 1, QPS_THREADS_MAX)),
    )
    .option(
      "--seconds <N>",
      "stop after so many seconds, 1 to 86400; default: never",
      argument((text) => parseWhole("Seconds", text, 1, 86_400)),
    )
    .action(async (threads: number, flags: QpsFlags) => {
      context.exitCode = await runQps(threads, flags);
    });
  addAgentOptions(command);
  addExamples(command, [
    ["lars test qps 1", "one caller, until Ctrl-C"],
    ["lars test qps 10 --seconds 5 --json", "ten callers, for a program"],
  ]);
}

function addExample(tools: Command): void {
  const command = withModuleWords(
    tools.command("example").description(
      "What a program does: register, list, pick, report a success.",
    ),
    [],
    async (word, _values, flags: ToolFlags) => {
      const { modId, cmdId } = await lookUpModule(word, flags);
      await withClient(flags, (client) => runExample(client, flags, modId, cmdId));
    },
  );
  addToolOptions(command);
  addExamples(command, [["lars test example 1 1", "all four steps"]]);
}

async function runExample(
  client: LarsClient,
  flags: AgentFlags,
  modId: number,
  cmdId: number,
): Promise<void> {
  const hosts = await askRoute(client, flags, modId, cmdId);
  const json = flags.json === true;
  if (!json && hosts !== undefined) {
    printLine("get route succ!");
    for (const { ip, port } of hosts) printLine(`ip = ${ip}, port = ${port}`);
  }
  const { host } = hosts === undefined ? NO_AGENT : await askHost(client, flags, modId, cmdId);
  if (host !== undefined) client.report(modId, cmdId, host.ip, host.port, RetCode.Success);
  if (json) {
    return printJson({
      modid: modId,
      cmdid: cmdId,
      hosts: (hosts ?? []).map(hostJson),
      host: hostJson(host),
      ...(host === undefined ? {} : { reported: RetCode.Success }),
    });
  }
  if (host !== undefined) printLine(`host is ${host.ip}:${host.port}`);
}
