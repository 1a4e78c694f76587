// Shell. `lars test simulator`: calls of which a share fails.

import type { LarsClient } from "../api/mod.ts";
import { RetCode } from "../proto/message_ids.ts";
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
}

/** Arguments of the simulator. */
export interface SimulatorPlan {
  readonly modId: number;
  readonly cmdId: number;
  /** Failures in 10 calls. */
  readonly errRate: number;
  readonly queryCnt: number;
}

/** Counts of one address. */
interface Tally {
  success: number;
  error: number;
}

/** Runs all calls, then prints the counts by address, in order of the address text. */
export async function runSimulator(
  client: LarsClient,
  flags: SimulatorFlags,
  plan: SimulatorPlan,
): Promise<void> {
  const { modId, cmdId, errRate, queryCnt } = plan;
  const say = flags.json === true ? (): void => {} : printLine;
  const rng = flags.seed === undefined ? systemRng : seededRng(flags.seed);
  const tallies = new Map<string, Tally>();
  const refused = { [RetCode.Overload]: 0, [RetCode.NoExist]: 0 };
  say(`err_rate = ${errRate}`);
  await initModule(client, flags, modId, cmdId);
  for (let i = 0; i < queryCnt; i++) {
    const { retcode, host, error } = await client.tryGetHost(modId, cmdId);
    if (error !== undefined) throw error;
    if (host === undefined) {
      if (retcode === RetCode.Overload || retcode === RetCode.NoExist) refused[retcode]++;
      say(`${modId},${cmdId} ${retcodeText(retcode)}`);
    } else {
      const tally = tallies.get(host.ip) ?? { success: 0, error: 0 };
      tallies.set(host.ip, tally);
      const failed = nextInt(rng, 10) < errRate;
      tally[failed ? "error" : "success"]++;
      const outcome = failed ? RetCode.Overload : RetCode.Success;
      client.report(modId, cmdId, host.ip, host.port, outcome);
      say(`host ${host.ip}:${host.port} called ${failed ? "ERROR!!!" : "SUCCESS."}`);
    }
    if (flags.interval > 0) await sleep(systemClock, flags.interval);
  }
  const results = [...tallies].sort(([a], [b]) => a < b ? -1 : 1);
  for (const [ip, { success, error }] of results) {
    say(`ip : ${ip}: success: ${success}; error: ${error}`);
  }
  if (flags.json !== true) return;
  printJson({
    modid: modId,
    cmdid: cmdId,
    err_rate: errRate,
    query_cnt: queryCnt,
    hosts: results.map(([ip, tally]) => ({ ip, ...tally })),
    overloaded: refused[RetCode.Overload],
    not_exist: refused[RetCode.NoExist],
  });
}
