// Shell. `deno task edits-in-force`: edits of the console, and how long each takes until it is in force
// at every kind of follower.

import process from "node:process";
import { wholeOption } from "../support/seed_pool.ts";
import { HELP_OPTION, taskValues } from "../support/task_values.ts";
import { arrivalRows, arrivalText, isInTime, measureArrivals } from "./edit_arrival.ts";

const HELP = `deno task edits-in-force [--edits 200] [--kill-every 0] [--json]

Makes edits through the console, one after the other: weight, drain, remove,
add.
Asks followers of every kind that is installed what is in force for them.

  --edits N       how many edits
  --kill-every N  after so many, dns and export are killed and started anew;
                  the next edit is made once they are ready, and shown apart
  --json          print JSON

Ends with 1 when an edit was late at a follower, in more than 1 of 100 cases.`;

const values = taskValues(HELP, {
  ...HELP_OPTION,
  edits: { type: "string", default: "200" },
  "kill-every": { type: "string", default: "0" },
  json: { type: "boolean", default: false },
});
const edits = wholeOption("edits", values.edits, 1);
const killEvery = wholeOption("kill-every", values["kill-every"], 0);
const result = await measureArrivals({
  ...{ edits, killEvery },
  say: (text) => void process.stderr.write(`${text}\n`),
});
const rows = arrivalRows(result);
if (values.json === true) console.log(JSON.stringify({ edits, rows, missing: result.missing }));
else process.stdout.write(arrivalText(result));
process.exit(rows.every(isInTime) ? 0 : 1);
