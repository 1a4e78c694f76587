// Goal: what `DELETE FROM RouteData` does to callers, of a module that our editors made and of one
// that only SQL made, with dns and agent as they run.

import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { agentDaemon } from "../agent/service.ts";
import { LarsClient } from "../api/mod.ts";
import { type RunningService, startDaemon } from "../daemon/daemon.ts";
import { dnsDaemon } from "../dns/service.ts";
import { silentLogger } from "../reactor/log.ts";
import { openStore } from "../sql/mod.ts";
import { withTempDir } from "./support/temp_dir.ts";
import { until } from "./support/until.ts";

function statement(path: string, sql: string): void {
  const database = new DatabaseSync(path);
  try {
    database.exec(`PRAGMA busy_timeout = 10000; ${sql}`);
  } finally {
    database.close();
  }
}

test("a bare DELETE is held back where our editors work, until it is confirmed, and nowhere else", async () => {
  await withTempDir(async (directory) => {
    const path = join(directory, "lars.db");
    const store = await openStore(`sqlite:${path}`);
    await store.migrate();
    const services: RunningService[] = [];
    const log = silentLogger;
    try {
      const ours = [1, 2, 3, 4].map((ip) => ({ modId: 1, cmdId: 1, ip, port: 80 }));
      await store.editRoutes(ours.map((node) => ({ op: "add", ...node })));
      statement(
        path,
        "INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES (2, 1, 5, 80)",
      );
      const dns = await startDaemon(dnsDaemon, {
        flags: {
          "store.url": `sqlite:${path}`,
          "reactor.port": "0",
          "dns.poll_interval": "0.05",
          "dns.reload_interval": "0.2",
        },
      }, { log });
      services.push(dns);
      const agent = await startDaemon(agentDaemon, {
        flags: {
          "agent.port": "0",
          "agent.threads": "0",
          "dnsserver.ip": dns.addresses[0],
          // Nobody listens there, and nothing here asks for it.
          "reporter.ip": "127.0.0.1:9",
        },
      }, { log });
      services.push(agent);
      const port = Number(agent.addresses[0].split(":")[1]);
      const client = new LarsClient({ port, deadlineMs: 5000, lastGoodMs: 0 });
      const nodes = async (modId: number): Promise<number> =>
        (await client.getRoute(modId, 1)).length;
      await until(async () => await nodes(1) === 4 && await nodes(2) === 1, { what: "the routes" });

      statement(path, "DELETE FROM RouteData");
      await until(async () => await nodes(2) === 0, { what: "the end of the module of SQL" });
      await until(() => agent.stats().modulesHeld === 1, { what: "the guard" });
      assert.equal(await nodes(1), 4);
      assert.match(String(agent.stats().routesHeldBack), /^1,1: 0 of 4 nodes/);

      await store.confirmRoutes([{ modId: 1, cmdId: 1 }]);
      await until(async () => await nodes(1) === 0, { what: "what was confirmed" });

      // What an editor of ours removes is meant.
      await store.editRoutes(ours.map((node) => ({ op: "add", ...node })));
      await until(async () => await nodes(1) === 4, { what: "the nodes" });
      await store.editRoutes(ours.map((node) => ({ op: "remove", ...node })));
      await until(async () => await nodes(1) === 0, { what: "the edit" });
      assert.equal(agent.stats().modulesHeld, 0);
      await client.close();
    } finally {
      for (const service of services.reverse()) await service.stop();
      await store.close();
    }
  });
});
