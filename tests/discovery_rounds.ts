// Shell. Faults of discoveries and their database, round after round: nobody that lives may expire.
//
//     deno task discovery-rounds --rounds 100 [--faults kill,stop,starve,database] [--galera]
//     deno task discovery-rounds --herd 10000

import process from "node:process";
import {
  DiscoveryRounds,
  FULL_TIMES,
  herdReturns,
  ROUND_FAULTS,
  type RoundFault,
} from "./support/discovery_rounds.ts";
import { withGalera } from "./support/galera.ts";
import { type MariaDb, runAdmin, startMariaDb } from "./support/mariadb.ts";
import { withProcesses } from "./support/processes.ts";
import { HELP_OPTION, taskValues } from "./support/task_values.ts";
import { openStore } from "../sql/mod.ts";

const HELP = `Usage: deno task discovery-rounds [--rounds COUNT] [--galera] [--herd COUNT]
                                  [--faults ${ROUND_FAULTS.join(",")}]`;

const values = taskValues(HELP, {
  rounds: { type: "string", default: "4" },
  faults: { type: "string", default: ROUND_FAULTS.join(",") },
  galera: { type: "boolean", default: false },
  herd: { type: "string", default: "0" },
  ...HELP_OPTION,
});
const rounds = Number(values.rounds);
const faults = values.faults.split(",")
  .map((name) => ROUND_FAULTS.find((fault) => fault === name));
if (!Number.isInteger(rounds) || rounds < 1 || faults.includes(undefined)) {
  console.error(HELP);
  process.exit(2);
}

async function returnOfHerd(server: MariaDb, count: number): Promise<void> {
  await runAdmin(server.url, "CREATE DATABASE lars");
  await withProcesses(async (processes) => {
    const tookMs = await herdReturns(processes, `${server.url}/lars`, count);
    console.log(`${count} nodes registered again after ${tookMs.toFixed(0)} ms`);
  });
}

async function run(servers: readonly MariaDb[]): Promise<number> {
  await runAdmin(servers[0].url, "CREATE DATABASE lars");
  const urls = servers.map(({ url }) => `${url}/lars`);
  const store = await openStore(urls[0]);
  await store.migrate();
  await store.close();
  let expired = 0;
  await withProcesses(async (processes) => {
    const world = new DiscoveryRounds(processes, urls, servers);
    await world.start();
    for (let round = 0; round < rounds; round++) {
      const fault = faults[round % faults.length] as RoundFault;
      const lacking = await world.round(fault, FULL_TIMES);
      expired += lacking;
      console.log(`round ${round + 1}, ${fault}: ${lacking} expired that lived`);
    }
    world.stop();
  });
  return expired;
}

let expired = 0;
if (values.galera) {
  await withGalera(3, async (nodes) => {
    expired = await run(nodes);
  });
} else {
  const server = await startMariaDb();
  try {
    const herd = Number(values.herd);
    if (herd > 0) await returnOfHerd(server, herd);
    else expired = await run([server]);
  } finally {
    await server.stop();
  }
}
if (values.herd === "0") console.log(`${rounds} rounds: ${expired} expired that lived`);
process.exit(expired === 0 ? 0 : 1);
