// Shell. The whole system in virtual time, by as many seeds as wanted.
//
//     deno task system-sim --seeds 100 [--from SEED] [--minutes 5] [--workers 2]
//     deno task system-sim --seeds 1 --from SEED --trace [--bug NAME]
//     deno task system-sim --results orderly --seeds 1000 [--from SEED] [--trace]

import process from "node:process";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { runSeeds, wholeOption } from "../support/seed_pool.ts";
import { HELP_OPTION, taskValues } from "../support/task_values.ts";
import { PLANTED_BUGS } from "./planted_bugs.ts";
import { replayOfResults, runResults } from "./result_run.ts";
import { runSystem } from "./system_run.ts";
import type { SystemSeedResult } from "./system_worker.ts";

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

const HELP = `Usage: deno task system-sim [--seeds N] [--from SEED] [--minutes N]
                            [--workers N] [--trace] [--bug NAME]
                            [--results orderly|killed]

The whole system in virtual time under faults, a run for each seed; --trace
prints all that happens, --bug plants one of planted_bugs.ts. With --results
senders and reporters alone, two minutes each, that come and go in good order,
or are killed as well. Exit code 0: no rule was broken, 1: one was, 2: wrong
options.`;

const values = taskValues(HELP, {
  seeds: { type: "string", default: "20" },
  from: { type: "string", default: "1" },
  minutes: { type: "string", default: "5" },
  workers: { type: "string", default: "2" },
  bug: { type: "string", default: "" },
  trace: { type: "boolean", default: false },
  results: { type: "string", default: "" },
  ...HELP_OPTION,
});
const count = wholeOption("seeds", values.seeds, 1);
const from = wholeOption("from", values.from, 0);
const minutes = wholeOption("minutes", values.minutes, 1);
const workers = wholeOption("workers", values.workers, 1);
const bug = PLANTED_BUGS.find(({ name }) => name === values.bug);
if (values.bug !== "" && bug === undefined) {
  console.error(`--bug must be one of:\n${PLANTED_BUGS.map(({ name }) => `  ${name}`).join("\n")}`);
  process.exit(2);
}

if (!["", "orderly", "killed"].includes(values.results)) {
  console.error("--results must be orderly or killed");
  process.exit(2);
}

/** How to see one seed again. */
function replayOf(seed: number): string {
  if (values.results !== "") return replayOfResults(seed, values.results === "orderly");
  const more = values.bug === "" ? "" : ` --bug "${values.bug}"`;
  return `deno task system-sim --seeds 1 --from ${seed} --minutes ${minutes} --trace${more}`;
}

const startMs = systemClock.nowMs();
let [broken, simulatedMs, events] = [0, 0, 0];

function take({ seed, run }: SystemSeedResult): void {
  simulatedMs += run.simulatedMs;
  events += run.events;
  if (run.broken.length === 0) return;
  broken++;
  for (const rule of run.broken) console.log(`seed ${seed}: ${rule}`);
  console.log(`  again: ${replayOf(seed)}`);
}

const trace = values.trace ? (line: string): void => console.log(line) : undefined;

if (values.results !== "") {
  const isOrderly = values.results === "orderly";
  for (let seed = from; seed < from + count; seed++) {
    take({ seed, run: await runResults(seed, { isOrderly, trace }) });
  }
} else if (trace !== undefined) {
  for (let seed = from; seed < from + count; seed++) {
    take({ seed, run: await runSystem(seed, { chaosMs: minutes * MINUTE_MS, bug, trace }) });
  }
} else {
  await runSeeds<SystemSeedResult>({
    entry: new URL("./system_worker.ts", import.meta.url),
    ...{ from, count, workers, onResult: take },
    init: { chaosMs: minutes * MINUTE_MS, bug: values.bug },
  });
}
const tookMs = systemClock.nowMs() - startMs;
console.log(
  `${count} seeds, ${(simulatedMs / HOUR_MS).toFixed(1)} simulated hours and ${events} events in ` +
    `${(tookMs / 1000).toFixed(1)} s (${
      (simulatedMs / DAY_MS / (tookMs / HOUR_MS)).toFixed(1)
    } simulated days an hour): ${broken} broken`,
);
process.exit(broken === 0 ? 0 : 1);
