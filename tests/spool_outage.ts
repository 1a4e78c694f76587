// Shell. `deno run -A tests/spool_outage.ts`: the full size of spooled_results_test.ts, and its figures.

import { parseArgs } from "node:util";
import { startMariaDb } from "./support/mariadb.ts";
import { withProcesses } from "./support/processes.ts";
import { spoolOutage } from "./support/spool_outage.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    rate: { type: "string", default: "5000" },
    senders: { type: "string", default: "20" },
    spool: { type: "string" },
  },
});

const server = await startMariaDb();
try {
  await withProcesses(async (processes) => {
    const figures = await spoolOutage(server, processes, {
      perSecond: Number(values.rate),
      senders: Number(values.senders),
      awayMs: Number(values.minutes) * 60_000,
      ...(values.spool === undefined ? {} : { spoolDir: values.spool }),
      say: (line) => console.log(line),
    });
    const lost = figures.made - figures.counted;
    const lostMs = Math.round(lost / figures.lostPerSecond * 1000);
    console.log(JSON.stringify({ ...figures, lost, lostMs, twice: Math.max(0, -lost) }));
  });
} finally {
  await server.stop();
}
