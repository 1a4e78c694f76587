// Shell. Two relays on NATS, killed round after round: nothing acknowledged may be lost, out of order, or twice.
//
//     deno run -A tests/relay/relay_rounds.ts --rounds 100 [--fault relay|server|leader|pause]

import process from "node:process";
import { parseArgs } from "node:util";
import { natsProgram } from "../support/nats.ts";
import { withProcesses } from "../support/processes.ts";
import { RELAY_FAULTS, relayRounds } from "../support/relay_rounds.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "10" },
    fault: { type: "string", default: RELAY_FAULTS[0] },
  },
});
const rounds = Number(values.rounds);
const fault = RELAY_FAULTS.find((one) => one === values.fault);
const program = natsProgram();
if (!Number.isInteger(rounds) || rounds < 1 || fault === undefined || program === undefined) {
  console.error(
    program === undefined
      ? "There is no nats-server here, and it cannot be fetched"
      : `Usage: relay_rounds.ts [--rounds COUNT] [--fault ${RELAY_FAULTS.join("|")}]`,
  );
  process.exit(2);
}
await withProcesses(async (processes) => {
  const count = await relayRounds(processes, program, fault, rounds, (round) => {
    console.log(`round ${round + 1} of ${rounds}: ${fault}`);
  });
  console.log(`${count} messages were acknowledged; all came, in order of each sender, once`);
});
