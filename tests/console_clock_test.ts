// The clock of the console's host is two minutes ahead of everybody else's: nobody is silent for that.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openStore } from "../sql/mod.ts";
import { Client } from "./support/console_bench.ts";
import { addConsoleToken } from "./support/console_token.ts";
import { startFleet } from "./support/fleet.ts";
import { withTestDatabase } from "./support/mariadb.ts";
import { withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { findFaketime, WallClock } from "./support/wall_clock.ts";
import type { ResponseOf } from "../web/contract.ts";

const AHEAD_S = 120;

test("a console whose host is ahead takes nobody for silent, and says the difference", {
  timeout: 180_000,
  skip: findFaketime() === undefined
    ? "libfaketime is not on this machine (Debian: apt-get install libfaketime, or let " +
      "`deno task test` fetch it)"
    : false,
}, async (t) => {
  await withTestDatabase(t, async (url) => {
    await withProcesses(async (processes) => {
      const store = await openStore(url);
      await store.migrate();
      await store.console.addUser({
        ...{ name: "admin", role: "admin", passwordHash: "", mustChange: false, disabled: false },
        ...{ createdAtMs: 1, loginAtMs: 0 },
      }, {
        ...{ atMs: 1, who: "test", action: "user.add", target: "admin", outcome: "done" },
        ...{ detail: "", address: "" },
      });
      const token = await addConsoleToken(store, "admin", "admin");
      await startFleet(processes, url, {});
      const clock = new WallClock(processes.directory);
      clock.step(AHEAD_S);
      const flags = ["--web-port=0", "--metrics-port=0", `--store=${url}`];
      const web = await processes.start("web", flags, { env: clock.env });
      assert.match(web.stderr, /clock of this host differs from the database's.*aheadS.{1,3}120/);
      const client = new Client(`http://127.0.0.1:${web.port()}`, {
        Authorization: `Bearer ${token}`,
      });
      let report = await client.get<ResponseOf<"getReport">>("GET /report");
      await until(async () => {
        report = await client.get<ResponseOf<"getReport">>("GET /report");
        return report.agents.total === 1 && report.services.length === 2;
      }, { timeoutMs: 60_000, what: "dns, reporter and agent to be known" });
      assert.deepEqual(report.services.map(({ isAlive }) => isAlive), [true, true]);
      assert.equal(report.agents.silent, 0);
      const { services } = await client.get<ResponseOf<"listServices">>("GET /services");
      assert.deepEqual(services.filter(({ isSilent }) => isSilent), []);
      const answer = await client.ask("GET /services");
      const saidMs = Date.parse(answer.headers.get("Date") ?? "");
      assert.ok(Math.abs(saidMs - Date.now()) < 60_000, "pages tell ages by this");
      const status = await processes.run("tools/lars.ts", ["status", "--store", url], {
        env: clock.env,
      });
      assert.match(
        status.stderr,
        /clock of this host differs from the database's.*it is 1\d\d s ahead/,
      );
      assert.doesNotMatch(status.stdout, /silent|no sign of life/, "the command knows it too");
      const { alerts } = await client.get<ResponseOf<"listAlerts">>("GET /alerts");
      assert.deepEqual(alerts, []);
      await store.close();
    });
  });
});
