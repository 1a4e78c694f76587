// Goal: a database that was set back takes no agent back, is said, and counts when an operator says so,
// however late.
// Method: dns and an agent as processes on an embedded database whose file is put back from a copy.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openStore } from "../sql/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { addNodes, agentFlags, nodeOf, sqliteTestStore } from "./support/fleet.ts";
import { withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { WireCaller } from "./support/wire_client.ts";

test("a restored database is refused until accept-restored", { timeout: 180_000 }, async () => {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    await addNodes(store, 1, 1, [nodeOf(1)]);
    const lars = async (...words: string[]): Promise<string> => {
      const { code, stdout, stderr } = await processes.run("tools/lars.ts", words);
      assert.equal(code, 0, stderr);
      return stdout;
    };
    const dnsFlags = [`--store=${url}`, "--dns-poll-interval=0.1"];
    const dns = await processes.start("dns", ["--reactor-port=0", ...dnsFlags]);
    const agent = await processes.start("agent", [
      ...agentFlags(processes, [dns.port()], [1]),
      "--loadbalance-update-timeout=1",
    ]);
    const caller = await WireCaller.open(agent.port());
    const node = async (): Promise<number | undefined> => (await caller.getHost(1, 1)).host?.ip;
    await caller.untilHost(1, 1);
    const version = await store.routeMark();
    // The edits that will be lost.
    await store.editRoutes([{ op: "add", modId: 1, cmdId: 1, ...nodeOf(2) }]);
    await store.editRoutes([{ op: "remove", modId: 1, cmdId: 1, ...nodeOf(1) }]);
    await until(async () => await node() === nodeOf(2).ip, { what: "the newest node" });
    const newest = await store.routeMark();
    await store.close();

    // As a restore does: the rows of before, in all tables.
    const { DatabaseSync } = await import("node:sqlite");
    const sqlite = new DatabaseSync(url.slice("sqlite:".length));
    sqlite.exec("BEGIN IMMEDIATE");
    sqlite.exec(`UPDATE RouteData SET serverip = ${nodeOf(1).ip}`);
    sqlite.exec(`DELETE FROM RouteChange WHERE id > ${version.changeIdMax}`);
    sqlite.exec(
      `UPDATE sqlite_sequence SET seq = ${version.changeIdMax} WHERE name = 'RouteChange'`,
    );
    sqlite.exec(`UPDATE RouteVersion SET version = ${version.version} WHERE id = 1`);
    sqlite.exec("COMMIT");
    sqlite.close();
    await until(() => /accept-restored/.test(dns.stderr), { what: "a word of what is to be done" });
    // A restore takes longer than versions run ahead of the clock.
    await until(() => systemClock.wallMs() / 1000 > newest.version + 2, { what: "a later second" });
    // An edit raises the version beyond all that was seen; its routes are older all the same.
    const edited = await openStore(url);
    await edited.editRoutes([{ op: "add", modId: 2, cmdId: 1, ...nodeOf(9) }]);
    await edited.close();
    const isKept = async (): Promise<void> => {
      const endMs = systemClock.nowMs() + 1500;
      await until(async () => {
        assert.equal(await node(), nodeOf(2).ip, "nobody takes what is older");
        return systemClock.nowMs() > endMs;
      }, { what: "some looks at the database" });
    };
    await isKept();
    assert.match(dns.stderr, /Database refuses what is asked/);
    // As it is after many more edits, which prune what shows that it was set back.
    const later = new DatabaseSync(url.slice("sqlite:".length));
    later.exec("UPDATE RouteChange SET id = id + 1000000");
    later.close();
    await isKept();

    const said = await lars("sql", "accept-restored", "--store", url);
    assert.match(said, /counts as it is, epoch \d{10}, version \d{10}/);
    await until(async () => await node() === nodeOf(1).ip, { what: "the accepted route" });
    assert.match(dns.stderr, /Database counts as it is from now on/);
    caller.close();
  });
});
