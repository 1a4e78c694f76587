// Shell. How a test command reaches the agent.

import type { Command } from "commander";
import { LarsClient } from "../api/mod.ts";
import { resolvedAgent } from "../control/explain/agent_probe.ts";
import { RetCode } from "../proto/message_ids.ts";
import { type Address, formatAddress } from "../reactor/address.ts";
import { ConnectError } from "../reactor/errors.ts";
import { CommandError, TOKEN_FILE_VARIABLE } from "./cli_errors.ts";
import { sharedSecrets } from "./shared_secret.ts";
import { agentOption } from "./command.ts";
import { errorLine, printLine } from "./terminal.ts";

/** Time an answer may take. Longer than callers wait: a tool should tell slow from absent. */
export const AGENT_ANSWER_TIMEOUT_MS = 500;

/** Options of every test command. */
export interface AgentFlags {
  readonly agent: Address;
  readonly tokenFile?: string;
  readonly json?: boolean;
  /** A question without a node is a failure, other than in the original. */
  readonly strict?: boolean;
}

/** Adds `--agent`, `--token-file`, `--json` and `--strict`. */
export function addAgentOptions(command: Command): Command {
  return command
    .addOption(agentOption("first UDP port of the agent"))
    .option("--token-file <FILE>", `secret the agent asks for (or ${TOKEN_FILE_VARIABLE})`)
    .option("--json", "print JSON")
    .option("--strict", "exit code 1 without an agent or a node, which is 0 as in the original");
}

/** Makes a client of the agent. */
export async function openClient(flags: AgentFlags): Promise<LarsClient> {
  const secrets = await sharedSecrets(flags);
  return new LarsClient({
    // What is tried is the agent: each word of the command line is a datagram to it, as in the original.
    sharedTable: false,
    hostname: flags.agent.hostname,
    port: flags.agent.port,
    deadlineMs: AGENT_ANSWER_TIMEOUT_MS,
    // A tool shows what the agent says now, never what it said earlier.
    lastGoodMs: 0,
    ...(secrets === undefined ? {} : { token: secrets.first }),
  });
}

/** Runs `fn` with a client, which sends its last reports before it closes. */
export async function withClient<T>(
  flags: AgentFlags,
  fn: (client: LarsClient) => Promise<T>,
): Promise<T> {
  const client = await openClient(flags);
  try {
    return await fn(client);
  } finally {
    await client.close();
  }
}

/**
 * Says that there is no answer. The tools of the original end with 0 all the same, and so do these.
 *
 * @throws {CommandError} when that is to be a failure.
 */
export function tellNoAnswer(flags: AgentFlags, message: string): void {
  if (flags.strict === true) throw new CommandError(message);
  errorLine(message);
}

/**
 * Lets the agent fetch the route of a module, and says so when it has none, as the original does.
 *
 * @returns false when no agent answers, which has been said then.
 */
export async function initModule(
  client: LarsClient,
  flags: AgentFlags,
  modId: number,
  cmdId: number,
): Promise<boolean> {
  const retcode = await client.regInit(modId, cmdId);
  if (retcode === RetCode.Success) return true;
  const answers = retcode !== RetCode.SystemError;
  if (flags.json !== true) {
    // Whether there is an agent at all is the same to the original.
    const shown = `ret = ${RetCode.NoExist}`;
    printLine(`modid ${modId}, cmdid ${cmdId} still not exist host, after register, ${shown}`);
  }
  if (answers) return true;
  tellNoAnswer(flags, await noAgentText(flags.agent));
  return false;
}

/** What to look at when an agent is silent. */
async function noAgentText(agent: Address): Promise<string> {
  try {
    await resolvedAgent(agent);
  } catch (error) {
    if (error instanceof ConnectError) return error.message;
    throw error;
  }
  return `No agent answers at ${formatAddress(agent)}: is it running, and does it want a token?`;
}

/** What a return code means, in the words of the original's tools. */
export function retcodeText(retcode: number): string {
  if (retcode === RetCode.Overload) return "all hosts were overloaded!!!";
  if (retcode === RetCode.SystemError) return "system err";
  if (retcode === RetCode.NoExist) return "not exist";
  return `get error code ${retcode}`;
}
