// Goal: a reporter whose database hangs is killed at the same moment as half of its agents, and again
// alone: what is lost was made within the last second, and nothing counts twice.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { noPrivateServerReason, startMariaDb } from "./support/mariadb.ts";
import { withProcesses } from "./support/processes.ts";
import { spoolOutage } from "./support/spool_outage.ts";

test(
  "a reporter and agents lost at once while the database hangs lose a second at most",
  { skip: noPrivateServerReason() ?? false, timeout: 400_000 },
  async () => {
    const server = await startMariaDb();
    try {
      await withProcesses(async (processes) => {
        const said: string[] = [];
        const figures = await spoolOutage(server, processes, {
          ...{ perSecond: 600, senders: 6, awayMs: 16_000, say: (line) => said.push(line) },
        });
        const lost = figures.made - figures.counted;
        const about = `${JSON.stringify(figures)} ${said.join("; ")}`;
        assert.ok(lost >= 0, `counted twice: ${about}`);
        // What a sender makes in a second comes at once: the last of each may be on its way.
        assert.ok(lost <= figures.heldByLost, about);
        const left = readdirSync(join(processes.directory, "spool"), { recursive: true });
        assert.deepEqual(left.filter((name) => String(name).endsWith(".spool")), [], about);
      });
    } finally {
      await server.stop();
    }
  },
);
