// Goal: an agent that is stopped on purpose is missed by nobody, one that is killed is. Method: dns and
// two agents as processes, and what the database holds.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openStore } from "../sql/mod.ts";
import { type TestProcess, withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";

test("an agent that is stopped leaves no row behind, one that is killed does", async () => {
  await withProcesses(async (processes) => {
    const url = `sqlite:${processes.directory}/lars.db`;
    await processes.run("tools/lars.ts", ["sql", "migrate", "--store", url]);
    const dns = await processes.start("dns", ["--reactor-port=0", `--store=${url}`]);
    const start = (ip: string): Promise<TestProcess> =>
      processes.start("agent", [
        ...["--agent-port=0", `--dnsserver-ip=127.0.0.1:${dns.port()}`],
        ...["--reporter-ip=127.0.0.1:1", `--agent-caller-ip=${ip}`],
      ]);
    const [stopped, killed] = await Promise.all(["10.9.9.70", "10.9.9.71"].map(start));
    const store = await openStore(url);
    const rows = async (): Promise<string> =>
      (await store.instances()).filter(({ kind }) => kind === "agent")
        .map(({ address }) => address.replace(/:.*/, "")).sort().join(" ");
    try {
      await until(async () => await rows() === "10.9.9.70 10.9.9.71", {
        what: "the rows of both",
        timeoutMs: 60_000,
      });
      assert.equal((await stopped.stop()).code, 0);
      await killed.kill9();
      await until(async () => await rows() === "10.9.9.71", { what: "the goodbye" });
      assert.equal(await rows(), "10.9.9.71");
    } finally {
      await store.close();
    }
  });
});
