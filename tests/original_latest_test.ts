// The configuration files, tables and rows of the original's latest sources, where they differ from
// the tutorial's.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { agentSettings, balanceSettingsOf } from "../agent/config.ts";
import { storeUrl } from "../daemon/settings/common_settings.ts";
import { readSettings } from "../daemon/settings/settings.ts";
import { dnsSettings } from "../dns/config.ts";
import { ConfigFile } from "../reactor/config_file.ts";
import { reporterSettings } from "../reporter/config.ts";
import { runAdmin, withTestDatabase } from "./support/mariadb.ts";
import { LATEST_CONF, LATEST_NODES, latestRows, latestTables } from "./support/original_latest.ts";
import {
  type Processes,
  PROJECT_ROOT,
  type TestProcess,
  withProcesses,
} from "./support/processes.ts";
import { until } from "./support/until.ts";
import { ipNumber, WireCaller, type WireHost } from "./support/wire_client.ts";

const latestFile = (name: keyof typeof LATEST_CONF): ConfigFile =>
  ConfigFile.parse(LATEST_CONF[name], name);

test("dns and reporter take their database from [mysql] of one and the same kind of file", () => {
  const dns = latestFile("lars_dns.conf");
  const reporter = latestFile("lars_reporter.conf");
  const urls = [
    storeUrl(readSettings(dnsSettings, { file: dns })),
    storeUrl(readSettings(reporterSettings, { file: reporter })),
  ];
  assert.deepEqual(urls, new Array(2).fill("mysql://root:123456@127.0.0.1:3306/lars_dns"));
  assert.equal(readSettings(reporterSettings, { file: reporter }).queueCount, 3);
});

test("the agent takes succ_rate 0.5 and init_err_cnt", () => {
  const file = latestFile("lars_lb_agent.conf");
  const rules = balanceSettingsOf(readSettings(agentSettings, { file }));
  assert.deepEqual([rules.succRate, rules.initErrCnt, rules.probeNum], [0.5, 5, 10]);
});

/** Where the files say 3306, root and the fixed ports, a test has others; the files stay. */
function placeOf(url: string): Record<string, string> {
  const { hostname, port, username, password, pathname } = new URL(url);
  return {
    LARS_MYSQL_DB_HOST: hostname,
    LARS_MYSQL_DB_PORT: port || "3306",
    LARS_MYSQL_DB_USER: decodeURIComponent(username),
    LARS_MYSQL_DB_PASSWD: decodeURIComponent(password),
    LARS_MYSQL_DB_NAME: pathname.slice(1),
    LARS_METRICS_PORT: "0",
  };
}

interface Services {
  readonly all: readonly TestProcess[];
  readonly caller: WireCaller;
}

/** Starts the three services in a folder with `conf/`, as the original's are started. */
async function startLatest(processes: Processes, url: string): Promise<Services> {
  const env = placeOf(url);
  const start = (name: string, more: Record<string, string>): Promise<TestProcess> =>
    processes.spawn(name, "tools/lars.ts", [name], {
      cwd: processes.directory,
      env: { ...env, ...more },
    }).untilReady();
  const [dns, reporter] = await Promise.all([
    start("dns", { LARS_REACTOR_PORT: "0" }),
    start("reporter", { LARS_REACTOR_PORT: "0" }),
  ]);
  const agent = await start("agent", {
    LARS_AGENT_PORT: "0",
    LARS_DNSSERVER_PORT: String(dns.port()),
    LARS_REPORTER_PORT: String(reporter.port()),
  });
  for (const service of [dns, reporter, agent]) {
    assert.match(service.stderr, /the configuration is that of \.\/conf\/lars_\w+\.conf/);
  }
  return { all: [dns, reporter, agent], caller: await WireCaller.open(agent.port()) };
}

/** Reports each node so often, and waits for exactly that in the table, the addresses unsigned. */
async function reportAll(url: string, caller: WireCaller, times: number): Promise<void> {
  const nodes = LATEST_NODES.map((ip): WireHost => ({ ip: ipNumber(ip), port: 7777 }));
  await caller.untilHost(1, 1);
  for (let i = 0; i < times; i++) for (const node of nodes) caller.report(1, 1, node, 0);
  const wanted = LATEST_NODES.map((ip) => `${ip} ${times}`);
  let found: string[] = [];
  await until(async () => {
    const rows = await runAdmin(
      url,
      "SELECT INET_NTOA(ip & 4294967295) AS node, succ_cnt, caller & 4294967295 AS caller " +
        "FROM ServerCallStatus WHERE modid = 1 AND cmdid = 1 ORDER BY ip & 4294967295",
    );
    found = rows.map(({ node, succ_cnt: count }) => `${node} ${count}`);
    return JSON.stringify(found) === JSON.stringify(wanted);
  }, { timeoutMs: 30_000, what: `${wanted} in ServerCallStatus` }).catch((error) => {
    throw new Error(`${error.message}; found: ${found}`);
  });
}

/** The three services serve the rows and write results, whatever the tables are. */
async function serveAndReport(processes: Processes, url: string): Promise<void> {
  const { all, caller } = await startLatest(processes, url);
  let addresses: number[] = [];
  await until(async () => {
    const route = await caller.getRoute(1, 1).catch(() => undefined);
    addresses = (route?.hosts ?? []).map(({ ip }) => ip >>> 0).sort((a, b) => a - b);
    return addresses.length === LATEST_NODES.length;
  }, { what: "the route" });
  assert.deepEqual(addresses, LATEST_NODES.map(ipNumber));
  await reportAll(url, caller, 7);
  caller.close();
  const ended = await Promise.all(all.map((service) => service.stop()));
  assert.deepEqual(ended.map(({ code }) => code), [0, 0, 0]);
  for (const { stderr } of ended) assert.doesNotMatch(stderr, /Database is away|refuses it/);
}

for (const kind of ["unsigned", "signed"] as const) {
  test(`the latest files, tables (${kind}) and rows work as they are, and migrated`, {
    timeout: 300_000,
  }, async (t) => {
    await withTestDatabase(t, async (url) => {
      await runAdmin(url, ...latestTables(kind), ...latestRows(ipNumber));
      await withProcesses(async (processes) => {
        mkdirSync(join(processes.directory, "conf"));
        for (const [name, text] of Object.entries(LATEST_CONF)) {
          writeFileSync(join(processes.directory, "conf", name), text);
        }
        await serveAndReport(processes, url);
        const run = async (...args: string[]): Promise<string> => {
          const ended = await processes.run("tools/lars.ts", [...args, "--store", url]);
          assert.equal(ended.code, 0, ended.stderr);
          return ended.stdout;
        };
        await run("sql", "migrate");
        await run("module", "sync-names");
        assert.match(await run("module", "ls", "--json"), /支付/);
        await runAdmin(url, "DELETE FROM ServerCallStatus");
        await serveAndReport(processes, url);
      });
    });
  });
}

/** The commands of the page's steps, in their order. */
function pageCommands(): string[] {
  const path = join(PROJECT_ROOT, "docs/moving-from-the-original.md");
  const steps = /## Step by step\n([\s\S]*?)\n## /.exec(readFileSync(path, "utf8"))?.[1] ?? "";
  return [...steps.matchAll(/^ {7}(\S.*)$/gm)].map(([, command]) => command);
}

test("every command of the page on moving from the original does what it says", {
  timeout: 300_000,
}, async (t) => {
  await withTestDatabase(t, async (url) => {
    await runAdmin(url, ...latestTables("unsigned"), ...latestRows(ipNumber));
    await withProcesses(async (processes) => {
      const outputs = new Map<string, string>();
      const started = new Map<string, TestProcess>();
      const ports = (): Record<string, string> => ({
        LARS_DNSSERVER_PORT: String(started.get("dns")?.port() ?? 7778),
        LARS_REPORTER_PORT: String(started.get("reporter")?.port() ?? 7779),
      });
      const commands = pageCommands();
      assert.ok(commands.length >= 9, commands.join("\n"));
      for (const command of commands) {
        const [, folder, text] = /^(?:cd (\S+) && )?lars (.*)$/.exec(command) ?? [];
        assert.ok(text !== undefined, command);
        const words = text.split(" ")
          .map((word) => word.startsWith("mysql://") ? url : word);
        if (folder !== undefined) {
          const cwd = join(processes.directory, folder);
          mkdirSync(join(cwd, "conf"), { recursive: true });
          for (const [name, content] of Object.entries(LATEST_CONF)) {
            writeFileSync(join(cwd, "conf", name), content);
          }
          const own = { LARS_REACTOR_PORT: "0", LARS_AGENT_PORT: "0", ...ports() };
          const env = { ...placeOf(url), ...own };
          const [name] = words;
          started.set(
            name,
            await processes.spawn(name, "tools/lars.ts", words, { cwd, env }).untilReady(),
          );
          continue;
        }
        const agent = started.get("lbagent");
        const at = agent === undefined ? [] : ["--agent", `127.0.0.1:${agent.port()}`];
        const ended = await processes.run("tools/lars.ts", [...words, ...at]);
        assert.equal(ended.code, 0, `${command}\n${ended.stdout}${ended.stderr}`);
        outputs.set(words.slice(0, 2).join(" "), ended.stdout);
      }
      assert.deepEqual([...started.keys()], ["reporter", "dns", "lbagent"]);
      assert.match(outputs.get("route ls") ?? "", /192\.168\.1\.177:7777/);
      assert.match(outputs.get("test gethost") ?? "", /^host is [\d.]+:7777$/m);
      for (const words of ["sql status", "sql migrate", "module sync-names"]) {
        assert.ok(outputs.has(words), words);
      }
      assert.match(outputs.get("status --store") ?? "", /dns/);
    });
  });
});
