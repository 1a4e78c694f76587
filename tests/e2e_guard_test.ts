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
import type { ResponseOf } from "../web/contract.ts";
import { heldRoutes } from "../web/pages/modules/held_routes.ts";
import { withConsole } from "./support/console_bench.ts";
import { freePort } from "./support/free_port.ts";
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

/** Nodes 10.0.0.1 to 10.0.0.4 of module 1/1. */
const FOUR_NODES = [1, 2, 3, 4].map((last) => ({
  op: "add",
  modId: 1,
  cmdId: 1,
  ip: `10.0.0.${last}`,
  port: 80,
}));

test("the console tells what its agent holds back and explains, and passes on what is meant", async () => {
  const dnsPort = await freePort();
  const log = silentLogger;
  const agent = await startDaemon(agentDaemon, {
    flags: {
      "agent.port": "0",
      "agent.threads": "0",
      "agent.cache_dir": "",
      "dnsserver.ip": `127.0.0.1:${dnsPort}`,
      "reporter.ip": "127.0.0.1:9",
    },
  }, { log });
  const port = Number(agent.addresses[0].split(":")[1]);
  const client = new LarsClient({ port, deadlineMs: 5000, lastGoodMs: 0 });
  try {
    await withConsole(async (bench) => {
      const { clients: { operator, viewer }, url } = bench;
      // Before dns starts, which else might take the DELETE for a part of this change.
      await operator.get("POST /changes", { body: { edits: FOUR_NODES } });
      const dns = await startDaemon(dnsDaemon, {
        flags: {
          "store.url": url,
          "reactor.port": String(dnsPort),
          "dns.poll_interval": "0.05",
          "dns.reload_interval": "0.2",
        },
      }, { log });
      try {
        const explain = (key: string): Promise<ResponseOf<"explainModule">> =>
          viewer.get(`GET /modules/${key}/explain`);
        assert.equal((await explain("7/7")).routeState, "unknown");
        await until(async () => (await client.getRoute(1, 1)).length === 4, { what: "the route" });
        await explain("1/1");
        for (let i = 0; i < 8; i++) await client.getHost(1, 1);
        const explained = await explain("1/1");
        assert.deepEqual(explained.nodes.map(({ pickShare }) => pickShare), [.25, .25, .25, .25]);
        assert.equal(explained.picksRemembered, 8);

        statement(url.replace("sqlite:", ""), "DELETE FROM RouteData");
        const held = async (): Promise<ReturnType<typeof heldRoutes>> =>
          heldRoutes(
            (await viewer.get<ResponseOf<"listServices">>("GET /services")).services,
          );
        await until(async () => (await held()).length === 1, { what: "the route held back" });
        const [{ modId, cmdId, nodesAfter, nodesBefore }] = await held();
        assert.deepEqual([modId, cmdId, nodesAfter, nodesBefore], [1, 1, 0, 4]);
        assert.equal((await client.getRoute(1, 1)).length, 4);

        const refused = await viewer.ask("POST /modules/1/1/confirm", { body: {} });
        assert.equal(refused.status, 403);
        // The module has no node left, only the policy it was made with, and can be confirmed.
        const { nodeCount } = await viewer.get<ResponseOf<"getModule">>("GET /modules/1/1");
        assert.equal(nodeCount, 0);
        const { told } = await operator.get<ResponseOf<"confirmModule">>(
          "POST /modules/1/1/confirm",
          { body: { why: "the service is gone" } },
        );
        assert.deepEqual(told.map((one) => one.told), [true]);
        await until(async () => (await client.getRoute(1, 1)).length === 0, { what: "the change" });
        await until(async () => (await held()).length === 0, { what: "nothing held back" });
        const { entries } = await operator.get<ResponseOf<"listAudit">>(
          "GET /audit?action=module.confirm",
        );
        assert.deepEqual(entries.map(({ outcome, detail }) => [outcome, detail])[0], [
          "done",
          "the service is gone",
        ]);
      } finally {
        await dns.stop();
      }
    }, { settings: { agent: agent.addresses[0] } });
  } finally {
    await client.close();
    await agent.stop();
  }
});
