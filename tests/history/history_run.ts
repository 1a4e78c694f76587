// Shell. A long record of edits, faults and looks, and what the checker says of it.
//
//     deno task history --minutes 10 [--seed 1]

import process from "node:process";
import { messageOf } from "../../reactor/errors.ts";
import { wholeOption } from "../support/seed_pool.ts";
import { HELP_OPTION, taskValues } from "../support/task_values.ts";
import { checkHistory } from "./history_checker.ts";
import { historySummary, recordHistory } from "./history_lab.ts";

const HELP = `Usage: deno task history [--minutes N] [--seed S]

Two dns, two agents and a MariaDB as processes, edited by writers of every
kind while faults strike them; all that was seen is held against what was
written.

  --minutes N  how long faults go on, from 0: each fault once (default 10)
  --seed S     which edits and faults (default 1)
  --help       print this

Exit code 0: all is right, 1: something was lost, went back or never was
true, or the run broke off, 2: wrong options.`;

const values = taskValues(HELP, {
  minutes: { type: "string", default: "10" },
  seed: { type: "string", default: "1" },
  ...HELP_OPTION,
});
const minutes = wholeOption("minutes", values.minutes, 0);
const seed = wholeOption("seed", values.seed, 0);
try {
  const say = (line: string): void => console.log(line);
  const run = await recordHistory({ seconds: minutes * 60, seed, say });
  const violations = checkHistory(run.record);
  for (const violation of violations) console.log(violation);
  console.log(`${historySummary(run)}: ${violations.length} violations`);
  process.exit(violations.length === 0 ? 0 : 1);
} catch (error) {
  console.error(`The run broke off: ${messageOf(error)}`);
  process.exit(1);
}
