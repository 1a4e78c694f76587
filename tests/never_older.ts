// Shell. Schedules in which no agent may go back to an older route: as many as wanted, from a seed on.
//
//     deno task never-older --schedules 1000000 [--from SEED] [--workers 2]

import process from "node:process";
import { systemClock } from "../reactor/time/system_clock.ts";
import { runSeeds, wholeOption } from "./support/seed_pool.ts";
import { HELP_OPTION, taskValues } from "./support/task_values.ts";

/** Schedules of one batch, and between two lines about how far it is. */
const BATCH = 100;
const LINE = 10_000;

const HELP = `Usage: deno task never-older [--schedules N] [--from SEED] [--workers N]

Random schedules of writers, dns and agents: none may go back to an older
route. Exit code 0: none did, 1: one did, 2: wrong options.`;

const values = taskValues(HELP, {
  schedules: { type: "string", default: "10000" },
  from: { type: "string", default: "1" },
  workers: { type: "string", default: "2" },
  ...HELP_OPTION,
});
const count = wholeOption("schedules", values.schedules, 1);
const from = wholeOption("from", values.from, 0);
const workers = wholeOption("workers", values.workers, 1);
const startMs = systemClock.nowMs();
let broken = 0;
for (let done = 0; done < count; done += LINE) {
  const some = Math.min(LINE, count - done);
  await runSeeds<string[]>({
    ...{ from: from + done, count: some, workers, batch: BATCH, init: undefined },
    entry: new URL("./support/never_older_worker.ts", import.meta.url),
    onResult(faults): void {
      broken++;
      for (const fault of faults) console.log(fault);
    },
  });
  const seconds = ((systemClock.nowMs() - startMs) / 1000).toFixed(1);
  console.log(`${done + some} schedules in ${seconds} s: ${broken} broken`);
}
process.exit(broken === 0 ? 0 : 1);
