// Signals to services as processes: the end by one key press, new settings by SIGHUP.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";

test("a service ends well when one key press arrives as two signals", async () => {
  await withProcesses(async (processes) => {
    const store = `sqlite:${processes.directory}/lars.db`;
    await processes.run("tools/lars.ts", ["sql", "migrate", "--store", store]);
    const dns = await processes.start("dns", ["--reactor-port", "0", "--store", store]);
    dns.signal("SIGINT");
    dns.signal("SIGINT");
    dns.signal("SIGTERM");
    assert.equal((await dns.untilEnded()).code, 0);
  });
});

test("SIGHUP takes over a good configuration and keeps the old one instead of a bad one", async () => {
  await withProcesses(async (processes) => {
    const file = `${processes.directory}/agent.conf`;
    const write = (content: string): void => writeFileSync(file, `[loadbalance]\n${content}\n`);
    write("probe_num = 10");
    const agent = await processes.start("agent", ["-c", file, "--agent-port", "0"]);
    write("probe_num = 20");
    agent.signal("SIGHUP");
    await until(() => agent.stderr.includes("Configuration read again"));
    write("probe_num = many");
    agent.signal("SIGHUP");
    await until(() => agent.stderr.includes("the old one stays"));
    assert.match(agent.stderr, /agent.conf:2: \[loadbalance\] probe_num must be a whole number/);
    assert.equal((await agent.stop()).code, 0);
  });
});
