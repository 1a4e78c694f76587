// Shell. Schedules in which no agent may go back to an older route: as many as wanted, from a seed on.
//
//     deno task never-older --schedules 1000000 [--from SEED]

import process from "node:process";
import { parseArgs } from "node:util";
import { systemClock } from "../reactor/time/system_clock.ts";
import { neverOlderFaults } from "./support/never_older.ts";

const { values } = parseArgs({
  options: {
    schedules: { type: "string", default: "10000" },
    from: { type: "string", default: "1" },
  },
});
const [count, from] = [Number(values.schedules), Number(values.from)];
if (!Number.isInteger(count) || count < 1 || !Number.isInteger(from)) {
  console.error("Usage: deno task never-older [--schedules COUNT] [--from SEED]");
  process.exit(2);
}
const startMs = systemClock.nowMs();
let broken = 0;
for (let seed = from; seed < from + count; seed++) {
  const faults = await neverOlderFaults(seed);
  if (faults.length > 0) broken++;
  for (const fault of faults) console.log(fault);
  if ((seed - from + 1) % 10_000 === 0) console.log(`${seed - from + 1} schedules`);
}
const seconds = ((systemClock.nowMs() - startMs) / 1000).toFixed(1);
console.log(`${count} schedules in ${seconds} s: ${broken} broken`);
process.exit(broken === 0 ? 0 : 1);
