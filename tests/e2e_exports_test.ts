// Goal: what operators and agents say of nodes reaches programs that speak no Lars, within a second,
// and stays while dns is away.
// Method: dns, an agent and exports in this process; questions by the resolver of the runtime and by
// dig, a file by a template.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { Resolver } from "node:dns/promises";
import { join } from "node:path";
import { test } from "node:test";
import { agentDaemon } from "../agent/service.ts";
import { LarsClient } from "../api/mod.ts";
import { type DaemonDefinition, type RunningService, startDaemon } from "../daemon/daemon.ts";
import { followerSource, listFollowers } from "../control/system/follower_list.ts";
import type { FollowerList } from "../control/schemas.ts";
import { dnsDaemon } from "../dns/service.ts";
import { exportDaemon } from "../export/service.ts";
import { silentLogger } from "../reactor/log.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { openStore, type Store } from "../sql/mod.ts";
import { freePort } from "./support/free_port.ts";
import { findProgram } from "./support/mariadb.ts";
import { withTempDir } from "./support/temp_dir.ts";
import { until } from "./support/until.ts";

const DIG = findProgram("dig");

interface System {
  readonly store: Store;
  readonly folder: string;
  readonly namePort: number;
  readonly dnsPort: number;
  readonly agentPort: number;
  readonly services: Map<string, RunningService>;
  readonly exportFlags: Record<string, string>;
  readonly dnsFlags: Record<string, string>;
  start(definition: DaemonDefinition, flags: Record<string, string>): Promise<RunningService>;
}

async function withSystem(body: (system: System) => Promise<void>): Promise<void> {
  await withTempDir(async (folder) => {
    const url = `sqlite:${join(folder, "lars.db")}`;
    const store = await openStore(url);
    await store.migrate();
    const services = new Map<string, RunningService>();
    const start: System["start"] = async (definition, flags) => {
      const all = { "metrics.port": "0", ...flags };
      const service = await startDaemon(definition, { flags: all }, { log: silentLogger });
      services.set(definition.name, service);
      return service;
    };
    const dnsPort = await freePort();
    const namePort = await freePort();
    const template = join(folder, "nodes.template");
    writeFileSync(template, "{{#modules}}{{name}}:{{#up}} {{address}}{{/up}}\n{{/modules}}");
    const dnsserver = { "dnsserver.ip": "127.0.0.1", "dnsserver.port": String(dnsPort) };
    const dnsFlags = {
      "store.url": url,
      "reactor.port": String(dnsPort),
      "dns.poll_interval": "0.05",
    };
    await start(dnsDaemon, dnsFlags);
    const agent = await start(agentDaemon, {
      ...dnsserver,
      ...{ "agent.port": "0", "agent.threads": "0", "reporter.port": String(await freePort()) },
    });
    const exportFlags = {
      ...dnsserver,
      "export.cache_dir": join(folder, "cache"),
      "nameserver.port": String(namePort),
      "file.template": template,
      "file.out": join(folder, "nodes.txt"),
      "file.interval": "0",
    };
    await start(exportDaemon, exportFlags);
    const agentPort = Number(agent.addresses[0].split(":")[1]);
    try {
      await body({
        store,
        folder,
        namePort,
        dnsPort,
        agentPort,
        services,
        start,
        exportFlags,
        dnsFlags,
      });
    } finally {
      await Promise.all([...services.values()].map((service) => service.stop()));
      await store.close();
    }
  });
}

/** Answers in short form, sorted; one line that says so when there is none. */
function dig(port: number, ...words: string[]): Promise<string[]> {
  const argv = ["@127.0.0.1", "-p", String(port), "+short", "+tries=1", "+time=2", ...words];
  return new Promise((resolve) => {
    execFile(DIG ?? "", argv, { encoding: "utf8" }, (error, stdout) => {
      const lines = stdout.split("\n").filter((line) => line !== "" && !line.startsWith(";"));
      resolve(error === null ? lines.sort() : ["no answer"]);
    });
  });
}

const NODES = [1, 2, 3].map((last) => ({ modId: 1, cmdId: 2, ip: 0x7f000000 + last, port: 8000 }));

test("names and files follow routes, drains and verdicts of agents, and outlive dns", {
  skip: DIG === undefined ? "dig is not installed (apt-get install dnsutils)" : false,
}, async () => {
  await withSystem(async (system) => {
    const { store, folder, namePort, agentPort, services, start, exportFlags } = system;
    const file = join(folder, "nodes.txt");
    const fileIs = (text: string): boolean =>
      existsSync(file) && readFileSync(file, "utf8") === text;
    const becomes = async (what: string, addresses: string[]): Promise<void> => {
      const line = `login: ${addresses.map((address) => `${address}:8000`).join(" ")}\n`;
      let seen: string[] = [];
      await until(async () => {
        seen = await dig(namePort, "login.lars", "A");
        return JSON.stringify(seen) === JSON.stringify(addresses) && fileIs(line);
      }, { what: () => `${what}: ${seen} ${fileIs(line)}` });
    };
    await store.editRoutes(NODES.slice(0, 2).map((node) => ({ op: "add", ...node })));
    await store.setModules([{ modId: 1, cmdId: 2, name: "login" }]);
    await becomes("a module that is new", ["127.0.0.1", "127.0.0.2"]);
    assert.deepEqual(await dig(namePort, "2.1.lars", "SRV"), [
      "0 65280 8000 127-0-0-1.node.lars.",
      "0 65280 8000 127-0-0-2.node.lars.",
    ]);
    assert.deepEqual(await dig(namePort, "+tcp", "login.lars", "TXT"), [
      '"module=1/2" "name=login" "nodes=2" "up=2"',
    ]);
    assert.deepEqual(await dig(namePort, "nobody.lars", "A"), []);
    await store.editRoutes([{ op: "add", ...NODES[2] }]);
    await becomes("a node that is new", ["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    await store.editRoutes([{ op: "set", ...NODES[2], state: "drain" }]);
    await becomes("a node that is drained", ["127.0.0.1", "127.0.0.2"]);

    const client = new LarsClient({ port: agentPort });
    try {
      await client.getHost(1, 2);
      const report = (last: number, retcode: number): void => {
        for (let i = 0; i < 20; i++) client.report(1, 2, `127.0.0.${last}`, 8000, retcode);
      };
      report(2, 1);
      await becomes("a node that the agent keeps out", ["127.0.0.1"]);
      report(1, 1);
      await becomes("all nodes out: none is left out", ["127.0.0.1", "127.0.0.2"]);
    } finally {
      await client.close();
    }
    await services.get("dns")?.stop();
    services.delete("dns");
    await until(() => services.get("export")?.stats().dns_connected === 0, { what: "the loss" });
    await becomes("dns is away: what was known last", ["127.0.0.1", "127.0.0.2"]);
    assert.equal(services.get("export")?.readiness?.(), undefined);
    await services.get("export")?.stop();
    rmSync(file);
    await start(exportDaemon, exportFlags);
    await becomes("started anew while dns is away", ["127.0.0.1", "127.0.0.2"]);
    assert.equal(services.get("export")?.readiness?.(), undefined);
    await start(dnsDaemon, system.dnsFlags);
    await store.editRoutes([{ op: "set", ...NODES[2], state: "on" }]);
    await becomes("dns is back", ["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
  });
});

test("dns writes down who follows through an export, until it stops", async () => {
  await withSystem(async ({ store, services, namePort, folder }) => {
    await store.editRoutes([{ op: "add", ...NODES[0] }]);
    const rows = (): Promise<FollowerList> =>
      Promise.all([store.instances(), store.routeMark()]).then(([all, { version }]) =>
        listFollowers(all.map((one) => followerSource(one, version, systemClock.wallMs())), version)
      );
    const resolver = new Resolver({ timeout: 1_000 });
    resolver.setServers([`127.0.0.1:${namePort}`]);
    let seen: FollowerList | undefined;
    await until(async () => {
      await resolver.resolve4("2.1.lars").catch(() => []);
      seen = await rows();
      const names = seen.followers.find(({ way }) => way === "names");
      return names?.followers === 1 && names.revision === seen.version;
    }, {
      what: () => `the name server and who asks it: ${JSON.stringify(seen)}`,
      timeoutMs: 40_000,
    });
    const ways = (await rows()).followers.map(({ way, at, fault }) => [way, at, fault]);
    assert.deepEqual(ways, [
      ["agents", "", null],
      ["in-process", "", null],
      ["table", "", null],
      ["names", `127.0.0.1:${namePort}`, null],
      ["file", join(folder, "nodes.txt"), null],
    ]);
    await services.get("export")?.stop();
    services.delete("export");
    await until(async () => !(await rows()).followers.some(({ way }) => way === "names"), {
      what: "the row to go",
    });
  });
});

test("streams that say nothing, or rubbish, keep nobody from an answer", {
  skip: DIG === undefined ? "dig is not installed (apt-get install dnsutils)" : false,
}, async () => {
  await withSystem(async ({ store, namePort }) => {
    await store.editRoutes([{ op: "add", ...NODES[0] }]);
    const isAnswered = async (...words: string[]): Promise<boolean> =>
      String(await dig(namePort, ...words, "2.1.lars", "A")) === "127.0.0.1";
    await until(() => isAnswered(), { what: "the module" });
    const open: Socket[] = [];
    for (let i = 0; i < 200; i++) {
      const socket = createConnection({ host: "127.0.0.1", port: namePort });
      socket.on("error", () => undefined);
      if (i % 2 === 0) socket.write(new Uint8Array([255, 255, 1, 2, 3]));
      open.push(socket);
    }
    await until(() => isAnswered(), { what: "an answer over UDP" });
    for (const socket of open) socket.destroy();
    await until(() => isAnswered("+tcp"), { what: "an answer over TCP" });
  });
});
