// Goal: more silent connections than a process may have files keep nobody out, at any port. Method:
// `lars up` with few files, silent sockets at each port, and everybody else's work meanwhile.

import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { LarsClient } from "../api/mod.ts";
import { sleep } from "../reactor/time/clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { freePort } from "./support/free_port.ts";
import { withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { WireConnection } from "./support/wire_client.ts";

const FILES = 400;
const SILENT = 450;

test("silent connections at every port of lars up keep nobody out, and end nothing", async () => {
  await withProcesses(async (processes) => {
    const ports = {
      dns: await freePort(),
      reporter: await freePort(),
      console: await freePort(),
      metrics: await freePort(),
    };
    const agentPort = await freePort();
    const at = (port: number): string => `127.0.0.1:${port}`;
    const up = processes.spawn("up", "tools/lars.ts", [
      ...["up", "--json", "--no-samples", "--data", processes.directory, "--agent", at(agentPort)],
      ...["--dns", at(ports.dns), "--reporter", at(ports.reporter), "--console", at(ports.console)],
    ], {
      wrapper: ["prlimit", `--nofile=${FILES}:${FILES}`],
      env: { LARS_METRICS_PORT: `${ports.metrics}` },
    });
    await until(() => up.stdout.includes('"event":"up"'), { what: "the start", timeoutMs: 60_000 });
    const store = `sqlite:${processes.directory}/lars.db`;
    const add = ["route", "add", "70", "7", "10.0.0.1:80", "--store", store];
    await processes.run("tools/lars.ts", add);
    const client = new LarsClient({ port: agentPort, deadlineMs: 1000 });
    const serves = async (): Promise<boolean> => (await client.tryGetHost(70, 7)).retcode === 0;
    await until(serves, { what: "the route" });
    const fetchOk = async (port: number, path: string): Promise<number> =>
      (await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(3000) }))
        .status;
    try {
      for (const [name, port] of Object.entries(ports)) {
        const silent: Socket[] = [];
        for (let index = 0; index < SILENT; index++) {
          silent.push(connect(port, "127.0.0.1").on("error", () => {}));
          if (index % 50 === 49) await sleep(systemClock, 20);
        }
        assert.equal(await fetchOk(ports.console, "/readyz"), 200, `console beside ${name}`);
        assert.equal(await fetchOk(ports.metrics, "/healthz"), 200, `health beside ${name}`);
        const asker = await WireConnection.open(ports.dns);
        asker.askRoute(70, 7);
        await until(() => asker.frames.length > 0, { what: `dns beside ${name}`, timeoutMs: 3000 });
        asker.close();
        assert.ok(await serves(), `the agent beside ${name}`);
        for (const socket of silent) socket.destroy();
      }
      assert.equal(up.exitCode, undefined, "it runs on");
    } finally {
      await client.close();
    }
  });
});
