// Shell. Two relays on NATS, killed round after round: nothing acknowledged may be lost, out of order, or twice.
//
//     deno run -A tests/relay/relay_rounds.ts --rounds 100 [--fault relay|server|leader|pause|early]

import process from "node:process";
import { natsProgram } from "../support/nats.ts";
import { withProcesses } from "../support/processes.ts";
import { RELAY_FAULTS, relayRounds, type RoundsSoFar } from "../support/relay_rounds.ts";
import { HELP_OPTION, taskValues } from "../support/task_values.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";

const HELP = `Usage: relay_rounds.ts [--rounds COUNT] [--fault ${RELAY_FAULTS.join("|")}]`;

const values = taskValues(HELP, {
  rounds: { type: "string", default: "10" },
  fault: { type: "string", default: RELAY_FAULTS[0] },
  ...HELP_OPTION,
});
const rounds = Number(values.rounds);
const fault = RELAY_FAULTS.find((one) => one === values.fault);
const program = natsProgram();
if (!Number.isInteger(rounds) || rounds < 1 || fault === undefined || program === undefined) {
  console.error(
    program === undefined ? "There is no nats-server here, and it cannot be fetched" : HELP,
  );
  process.exit(2);
}
const beganMs = systemClock.nowMs();
const report = ({ rounds: done, acknowledged, watch }: RoundsSoFar): string => {
  const seconds = Math.round((systemClock.nowMs() - beganMs) / 1000);
  const own = `${done} of ${rounds} rounds (${fault}): ${acknowledged} messages, ${seconds} s`;
  return watch === undefined
    ? own
    : `${own}; ${watch.leaderless} times no leader, ${watch.behind} times a server behind, ` +
      `${watch.restarts} servers restarted`;
};
await withProcesses(async (processes) => {
  const say = (text: string): void => console.log(text);
  const end = await relayRounds(processes, program, fault, rounds, (one) => say(report(one)), say);
  say(`${report(end)}; all that was acknowledged came, in order of each sender, once`);
});
