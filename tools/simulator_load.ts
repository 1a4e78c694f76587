// Shell. `lars test simulator`: calls of which a share fails.

import type { LarsClient } from "../api/mod.ts";
import { RetCode } from "../proto/message_ids.ts";
import { parseIpv4 } from "../reactor/address.ts";
import { sleep } from "../reactor/time/clock.ts";
import { nextInt, seededRng } from "../reactor/time/rng.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import { type AgentFlags, initModule, retcodeText, tellNoAnswer } from "./agent_options.ts";
import { printJson, printLine } from "./terminal.ts";

/** Options of the simulator. */
export interface SimulatorFlags extends AgentFlags {
  /** Milliseconds between two calls. */
  readonly interval: number;
  readonly seed?: number;
  /** Prints each call too. */
  readonly verbose?: boolean;
}

/** Arguments of the simulator. */
export interface SimulatorPlan {
  readonly modId: number;
  readonly cmdId: number;
  /** Failures in 10 calls. */
  readonly errRate: number;
  readonly queryCnt: number;
}

/** Counts of one node. */
interface Tally {
  readonly ip: string;
  readonly port: number;
  success: number;
  error: number;
}

/** Runs all calls, then prints the counts by node, in order of addresses. */
export async function runSimulator(
  client: LarsClient,
  flags: SimulatorFlags,
  plan: SimulatorPlan,
): Promise<void> {
  const { modId, cmdId, errRate, queryCnt } = plan;
  const say = flags.json === true ? (): void => {} : printLine;
  const sayCall = flags.verbose === true ? say : (): void => {};
  const rng = flags.seed === undefined ? systemRng : seededRng(flags.seed);
  const tallies = new Map<string, Tally>();
  let unanswered = 0;
  const refused = { [RetCode.Overload]: 0, [RetCode.NoExist]: 0 };
  say(`modid = ${modId}, cmdid = ${cmdId}, err_rate = ${errRate}`);
  // As with the original each call would fail, a hundred times, with nothing learned.
  const calls = await initModule(client, flags, modId, cmdId) ? queryCnt : 0;
  for (let i = 0; i < calls; i++) {
    const { retcode, host, error } = await client.tryGetHost(modId, cmdId);
    if (error !== undefined) {
      unanswered++;
      sayCall(retcodeText(retcode));
    } else if (host === undefined) {
      if (retcode === RetCode.Overload || retcode === RetCode.NoExist) refused[retcode]++;
      sayCall(`${modId},${cmdId} ${retcodeText(retcode)}`);
    } else {
      const node = `${host.ip}:${host.port}`;
      const tally = tallies.get(node) ?? { ip: host.ip, port: host.port, success: 0, error: 0 };
      tallies.set(node, tally);
      const failed = nextInt(rng, 10) < errRate;
      tally[failed ? "error" : "success"]++;
      const outcome = failed ? RetCode.Overload : RetCode.Success;
      client.report(modId, cmdId, host.ip, host.port, outcome);
      // To the letter what the original prints, where the word stands in the place of the port.
      sayCall(`host ${host.ip}:hostcalled  ${failed ? "ERROR!!!" : "SUCCESS."}`);
    }
    if (flags.interval > 0) await sleep(systemClock, flags.interval);
  }
  if (unanswered > 0) {
    tellNoAnswer(flags, `${unanswered} of ${calls} calls got no answer from the agent`);
  }
  const results = [...tallies.values()].sort(byAddress);
  const [overloaded, unknown] = [refused[RetCode.Overload], refused[RetCode.NoExist]];
  if (flags.json !== true) return printSums(plan, results, overloaded, unknown);
  printJson({
    modid: modId,
    cmdid: cmdId,
    err_rate: errRate,
    query_cnt: queryCnt,
    hosts: results,
    overloaded,
    not_exist: unknown,
  });
}

function printSums(
  { modId, cmdId, queryCnt }: SimulatorPlan,
  results: readonly Tally[],
  overloaded: number,
  unknown: number,
): void {
  for (const { ip, port, success, error } of results) {
    printLine(`${modId},${cmdId} ip : ${ip}:${port}: success: ${success}; error: ${error}`);
  }
  for (const [retcode, count] of [[RetCode.Overload, overloaded], [RetCode.NoExist, unknown]]) {
    if (count === 0) continue;
    printLine(`${modId},${cmdId} ${retcodeText(retcode)}: ${count} of ${queryCnt} calls`);
  }
}

function byAddress(one: Tally, other: Tally): number {
  return parseIpv4(one.ip) - parseIpv4(other.ip) || one.port - other.port;
}
