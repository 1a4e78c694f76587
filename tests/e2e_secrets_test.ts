// Goal: the shared secret is replaced on running processes without an interruption, and one that
// differs is said where an operator looks. Method: dns, reporter, agent and lars as processes.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { LarsClient } from "../api/mod.ts";
import { freePort } from "./support/free_port.ts";
import { type Processes, type TestProcess, withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";

const OLD = "the old secret of this fleet";
const NEW = "the new secret of this fleet";

interface Fleet {
  readonly services: readonly TestProcess[];
  readonly agent: TestProcess;
  readonly dns: TestProcess;
  readonly store: string;
  readonly metricsPort: number;
  file(name: string): string;
  write(name: string, ...secrets: string[]): void;
  /** Has a service read its file again. */
  reload(service: TestProcess): Promise<void>;
}

const READ = "Secrets of [auth] token_file replaced";
const count = (text: string): number => text.split(READ).length - 1;

async function startFleet(processes: Processes, loops: number): Promise<Fleet> {
  const store = `sqlite:${processes.directory}/lars.db`;
  const file = (name: string): string => `${processes.directory}/${name}`;
  const write = (name: string, ...secrets: string[]): void =>
    writeFileSync(file(name), secrets.map((secret) => `${secret}\n`).join(""));
  const metricsPort = await freePort();
  for (const name of ["dns", "reporter", "agent"]) write(name, OLD);
  await processes.run("tools/lars.ts", ["sql", "migrate", "--store", store]);
  const add = ["route", "add", "1", "1", "10.0.0.1:80", "--store", store];
  await processes.run("tools/lars.ts", add);
  const serve = (name: "dns" | "reporter"): Promise<TestProcess> =>
    processes.start(name, [
      ...["--reactor-port=0", `--store=${store}`, `--auth-token-file=${file(name)}`],
      `--reactor-thread-num=${loops}`,
    ]);
  const [dns, reporter] = [await serve("dns"), await serve("reporter")];
  const agent = await processes.start("agent", [
    ...["--agent-port=0", `--metrics-port=${metricsPort}`, `--auth-token-file=${file("agent")}`],
    `--dnsserver-ip=127.0.0.1:${dns.port()}`,
    `--reporter-ip=127.0.0.1:${reporter.port()}`,
  ]);
  return {
    services: [dns, reporter, agent],
    ...{ agent, dns, store, metricsPort, file, write },
    async reload(service): Promise<void> {
      const before = count(service.stderr);
      service.signal("SIGHUP");
      await until(() => count(service.stderr) > before, { what: `${service.name} to read it` });
    },
  };
}

const connects = (agent: TestProcess): number => agent.stderr.split("Connected to dns").length - 1;

for (const loops of [1, 2]) {
  test(`a secret is replaced on running services, with ${loops} loops`, async () => {
    await withProcesses(async (processes) => {
      const { services, agent, dns, reload, write, store, metricsPort } = await startFleet(
        processes,
        loops,
      );
      const port = agent.port();
      const client = new LarsClient({ port, deadlineMs: 1000 });
      const asks = async (): Promise<boolean> => (await client.tryGetHost(1, 1)).retcode === 0;
      try {
        await until(asks, { what: "the first route" });
        for (const service of services) {
          write(service.name, NEW, OLD);
          await reload(service);
        }
        assert.equal(connects(agent), 1, "while both are valid nothing is interrupted");
        // The agent still has a session on the old one: its own change ends it, and it comes again.
        write("agent", NEW);
        await reload(agent);
        write("dns", NEW);
        await reload(dns);
        await until(() => connects(agent) === 2, { what: "the session on the new secret" });
        assert.ok(await asks());
        // One that is left behind is told, and tells; a second change brings it back.
        write("agent", OLD);
        await reload(agent);
        await until(() => /No connection to dns.*the secrets differ/.test(agent.stderr), {
          what: "the agent to say why",
        });
        await until(() => /Peer refuses this service.*the secrets differ/.test(dns.stderr), {
          what: "dns to say why",
        });
        assert.ok(await asks(), "it serves the routes it has");
        const ask = (): Promise<Response> => fetch(`http://127.0.0.1:${metricsPort}/readyz`);
        const ready = await ask();
        assert.equal(ready.status, 503);
        assert.match(await ready.text(), /: dns 127.0.0.1:\d+: the secrets differ/);
        const words = ["status", "--store", store, "--agent", `127.0.0.1:${agent.port()}`];
        const shows = async (): Promise<string> =>
          (await processes.run("tools/lars.ts", words)).stdout;
        await until(
          async () => /\bdns .* and its peers have refused each other/.test(await shows()),
          {
            what: "lars status to say so of dns",
          },
        );
        assert.match(await shows(), /dns: the secrets differ: compare the files/);
        write("agent", "short");
        agent.signal("SIGHUP");
        await until(() => /at least 16 bytes.*holds 5/.test(agent.stderr), { what: "the refusal" });
        write("agent", OLD, NEW);
        await reload(agent);
        await until(async () => (await ask()).status === 200, { what: "the return" });
        const logs = services.map(({ stderr }) => stderr).join("");
        assert.ok(!logs.includes(OLD) && !logs.includes(NEW), "no log shows a secret");
      } finally {
        await client.close();
      }
    });
  });
}
