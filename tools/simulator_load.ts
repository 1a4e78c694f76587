// Shell. `lars test simulator`: calls of which a share fails.

import type { LarsClient } from "../api/mod.ts";
import { RetCode } from "../proto/message_ids.ts";
import { parseIpv4 } from "../reactor/address.ts";
import { sleep } from "../reactor/time/clock.ts";
import { nextInt, seededRng } from "../reactor/time/rng.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import { type AgentFlags, initModule, retcodeText } from "./agent_options.ts";
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
  const refused = { [RetCode.Overload]: 0, [RetCode.NoExist]: 0 };
  say(`modid = ${modId}, cmdid = ${cmdId}, err_rate = ${errRate}`);
  await initModule(client, flags, modId, cmdId);
  for (let i = 0; i < queryCnt; i++) {
    const { retcode, host, error } = await client.tryGetHost(modId, cmdId);
    if (error !== undefined) throw error;
    if (host === undefined) {
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
      sayCall(`host ${node} called ${failed ? "ERROR!!!" : "SUCCESS."}`);
    }
    if (flags.interval > 0) await sleep(systemClock, flags.interval);
  }
  const results = [...tallies.values()].sort(byAddress);
  for (const { ip, port, success, error } of results) {
    say(`${modId},${cmdId} ip : ${ip}:${port}: success: ${success}; error: ${error}`);
  }
  for (const retcode of [RetCode.Overload, RetCode.NoExist] as const) {
    if (refused[retcode] > 0) {
      say(`${modId},${cmdId} ${retcodeText(retcode)}: ${refused[retcode]} of ${queryCnt} calls`);
    }
  }
  if (flags.json !== true) return;
  printJson({
    modid: modId,
    cmdid: cmdId,
    err_rate: errRate,
    query_cnt: queryCnt,
    hosts: results,
    overloaded: refused[RetCode.Overload],
    not_exist: refused[RetCode.NoExist],
  });
}

function byAddress(one: Tally, other: Tally): number {
  return parseIpv4(one.ip) - parseIpv4(other.ip) || one.port - other.port;
}
