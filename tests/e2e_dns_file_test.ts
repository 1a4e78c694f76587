// Goal: a dns that starts while its database is away, or was set back, serves what it had. Method: dns and
// an agent as processes; the database is a file that is moved away.

import assert from "node:assert/strict";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DatabaseSync } from "node:sqlite";
import { openStore } from "../sql/mod.ts";
import { agentFlags, nodeOf, withStoredNode } from "./support/fleet.ts";
import { freePort } from "./support/free_port.ts";
import type { TestProcess } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { WireCaller } from "./support/wire_client.ts";

test("a dns serves the routes of its last run while the database is away, and says so", async () => {
  await withStoredNode(async ({ processes, url, store }) => {
    const path = url.slice("sqlite:".length);
    const cache = join(processes.directory, "dns cache");
    const startDns = (port: number): Promise<TestProcess> =>
      processes.start("dns", [
        ...[`--reactor-port=${port}`, `--store=${url}`, `--dns-cache-dir=${cache}`],
        ...["--dns-poll-interval=0.1", "--metrics-port=0"],
      ]);
    const port = await freePort();
    const first = await startDns(port);
    await until(() => /Routes loaded/.test(first.stderr), { what: "the routes" });
    await store.editRoutes([{ op: "add", modId: 1, cmdId: 1, ...nodeOf(2) }]);
    const served = async (name: string): Promise<number> => {
      const agent = await processes.start("agent", [
        ...agentFlags(processes, [port], [1], name),
        "--loadbalance-update-timeout=1",
      ]);
      const caller = await WireCaller.open(agent.port());
      await caller.untilHost(1, 1);
      const nodes = new Set<number>();
      for (let call = 0; call < 20; call++) {
        const { host } = await caller.getHost(1, 1);
        if (host !== undefined) nodes.add(host.ip);
      }
      caller.close();
      assert.equal((await agent.stop()).code, 0);
      return nodes.size;
    };
    await until(async () => await served(`a${systemTick()}`) === 2, { what: "both nodes" });
    assert.equal((await first.stop()).code, 0);

    await store.close();
    renameSync(path, `${path}.away`);
    const second = await startDns(port);
    assert.match(second.stderr, /Serving the routes of the last run .* modules=1 nodes=2/);
    assert.equal(await served("b"), 2, "an agent that knew nothing");
    assert.equal((await second.stop()).code, 0);
    // In place of the empty one that has been made meanwhile.
    for (const end of ["", "-wal", "-shm"]) rmSync(`${path}${end}`, { force: true });
    renameSync(`${path}.away`, path);
    const back = await startDns(port);
    await until(() => /Routes read from the database again/.test(back.stderr), {
      what: "the database",
    });
    assert.equal((await back.stop()).code, 0);

    // Set back while no dns ran: it knows by its file.
    const database = new DatabaseSync(path);
    database.exec(`DELETE FROM RouteData WHERE serverip = ${nodeOf(2).ip}`);
    database.exec("UPDATE RouteVersion SET version = version - 1000 WHERE id = 1");
    database.close();
    const third = await startDns(port);
    await until(() => /accept-restored/.test(third.stderr), { what: "a word of it" });
    assert.equal(await served("c"), 2);
    const again = await openStore(url);
    await again.acceptRestored();
    await again.close();
    await until(async () => await served(`d${systemTick()}`) === 1, { what: "the accepted route" });
    assert.equal((await third.stop()).code, 0);

    writeFileSync(join(cache, "dns.cache"), "broken");
    const fourth = await startDns(port);
    assert.match(fourth.stderr, /Route cache is not used .*dns\.cache.* kept=.*dns\.cache\.bad/);
    assert.equal(await served("e"), 1);
  });
});

let ticks = 0;
/** Names another folder for each agent, so that none knows anything. */
function systemTick(): number {
  return ++ticks;
}
