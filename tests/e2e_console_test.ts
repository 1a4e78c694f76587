// `lars web` as users start it, on both databases: first login, pushes, alerts, a restart.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { systemClock } from "../reactor/time/system_clock.ts";
import { openStore } from "../sql/mod.ts";
import type { ResponseOf } from "../web/contract.ts";
import { Client } from "./support/console_bench.ts";
import { noTestDatabaseReason, withTestDatabase } from "./support/mariadb.ts";
import { type Processes, type TestProcess, withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { WireConnection } from "./support/wire_client.ts";

const TIMEOUT = { timeout: 180_000 };

interface Started {
  readonly process: TestProcess;
  readonly base: string;
}

/** Starts the console as users do, and waits for its ready line. */
async function startConsole(processes: Processes, args: readonly string[]): Promise<Started> {
  const process = processes.spawn("lars web", "tools/lars.ts", ["web", "--web-port=0", ...args]);
  const ready = /web ready on (127\.0\.0\.1:\d+)/;
  await until(() => {
    assert.ok(process.alive, process.stderr);
    return ready.test(process.stdout);
  }, { timeoutMs: 30_000, what: "lars web" });
  return { process, base: `http://${ready.exec(process.stdout)?.[1]}` };
}

/** Logs in with the one-time password of the first start and changes it. */
async function firstLogin({ process, base }: Started): Promise<Client> {
  const shown = /one-time password (\S+)/.exec(process.stdout);
  assert.ok(shown !== null, process.stdout);
  const admin = await new Client(base).login("admin", shown[1]);
  await admin.get("PUT /session/password", {
    body: { oldPassword: shown[1], newPassword: "correct horse battery" },
  });
  return admin;
}

/** A real receiver of webhooks; gives their bodies. */
async function withReceiver(
  fn: (url: string, got: Record<string, unknown>[]) => Promise<void>,
): Promise<void> {
  const got: Record<string, unknown>[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
    request.on("end", () => {
      got.push(JSON.parse(body));
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await fn(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, got);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function failNode(url: string, overload: boolean): Promise<void> {
  const store = await openStore(url);
  await store.writeCallStatus([{
    modId: 9,
    cmdId: 1,
    ip: 0x0a000001,
    port: 7777,
    caller: 1,
    succCount: 1,
    errCount: 1,
    ts: Math.trunc(systemClock.wallMs() / 1000),
    overload,
  }]);
  await store.close();
}

/** First login, a push to a real dns, an alert at a webhook, a restart that keeps it all. */
async function tour(processes: Processes, url: string): Promise<void> {
  const migrated = await processes.run("tools/lars.ts", ["sql", "migrate", "--store", url]);
  assert.equal(migrated.code, 0, migrated.stderr);
  const dns = processes.spawn("lars dns", "tools/lars.ts", [
    "dns",
    "--reactor-port=0",
    "--store",
    url,
  ]);
  const dnsReady = /dns ready on \S+:(\d+)/;
  await until(() => dnsReady.test(dns.stdout), { timeoutMs: 30_000, what: "dns" });
  const subscriber = await WireConnection.open(Number(dnsReady.exec(dns.stdout)?.[1]));
  assert.equal((await subscriber.route(9, 1)).hosts.length, 0);

  const first = await startConsole(processes, ["--store", url]);
  const admin = await firstLogin(first);
  const pushed = subscriber.nextRoute(9, 1);
  const added = await admin.get<ResponseOf<"addNode">>("POST /modules/9/1/nodes", {
    body: { ip: "10.0.0.1", port: 7777, why: "first" },
  });
  assert.deepEqual(added.told.map(({ told }) => told), [true], JSON.stringify(added));
  assert.equal((await pushed).hosts.length, 1, "dns was told at commit");

  await withReceiver(async (hookUrl, got) => {
    await admin.get("POST /webhooks", { body: { title: "test", url: hookUrl } });
    const { rules } = await admin.get<ResponseOf<"listRules">>("GET /alert-rules");
    const { id, ...rule } = rules.find(({ kind }) => kind === "module_overload") ?? rules[0];
    await admin.get(`PUT /alert-rules/${id}`, { body: { ...rule, forS: 1, clearS: 1 } });
    await failNode(url, true);
    await until(() => got.some(({ state }) => state === "firing"), { timeoutMs: 30_000 });
    assert.match(String(got[0].text), /Module 9\/1: no node can be called/);
    const { alerts } = await admin.get<ResponseOf<"listAlerts">>("GET /alerts");
    assert.ok(alerts.some(({ state, modId }) => state === "firing" && modId === 9));
    await failNode(url, false);
    await until(() => got.some(({ state }) => state === "ended"), { timeoutMs: 30_000 });
    await until(async () => {
      const { events } = await admin.get<ResponseOf<"listEvents">>("GET /events?kind=alert.");
      return events.map(({ kind }) => kind).join() === "alert.ended,alert.firing";
    });
  });

  assert.equal((await fetch(`${first.base}/healthz`)).status, 200);
  assert.equal((await fetch(`${first.base}/readyz`)).status, 200);
  assert.equal((await first.process.stop()).code, 0);
  const second = await startConsole(processes, ["--store", url]);
  assert.doesNotMatch(second.process.stdout, /one-time/, "shown once");
  assert.doesNotMatch(second.process.stderr, /one-time/);
  const again = await new Client(second.base).login("admin", "correct horse battery");
  const { changes } = await again.get<ResponseOf<"listChanges">>("GET /changes");
  assert.deepEqual(changes.map(({ summary, why }) => [summary, why]), [
    ["add 9/1 10.0.0.1:7777; set policy of 9/1: policy recommended", "first"],
  ]);
  assert.equal((await second.process.stop()).code, 0);
}

test("lars web on SQLite: first login, push, alert, restart", TIMEOUT, async () => {
  await withProcesses((processes) =>
    tour(processes, `sqlite:${join(processes.directory, "l.db")}`)
  );
});

test("lars web on MariaDB: first login, push, alert, restart", {
  ...TIMEOUT,
  skip: noTestDatabaseReason() ?? false,
}, async (t: TestContext) => {
  await withTestDatabase(t, (url) => withProcesses((processes) => tour(processes, url)));
});

test(
  "lars web: refuses strangers without authentication, names a taken port",
  TIMEOUT,
  async () => {
    await withProcesses(async (processes) => {
      const data = ["--data", join(processes.directory, "data")];
      const open = await processes.run("tools/lars.ts", ["web", "--web-ip=0.0.0.0", ...data]);
      assert.equal(open.code, 2);
      assert.match(open.stderr, /Will not listen on 0\.0\.0\.0 without authentication/);
      const { base, process } = await startConsole(processes, data);
      const port = new URL(base).port;
      const taken = await processes.run("tools/lars.ts", ["web", `--web-port=${port}`, ...data]);
      assert.equal(taken.code, 1);
      assert.match(taken.stderr, new RegExp(`Cannot bind TCP 127\\.0\\.0\\.1:${port}`));
      const help = await processes.run("tools/lars.ts", ["web", "--help"]);
      assert.match(help.stdout, /--web-host-names/);
      assert.equal((await process.stop()).code, 0);
    });
  },
);

/** Modules, a drain, a confirmation and events through a console. */
async function otherCommands(
  processes: Processes,
  server: readonly string[],
  data: string,
): Promise<void> {
  const lars = async (...words: string[]): Promise<string> => {
    const { code, stdout, stderr } = await processes.run("tools/lars.ts", words);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const json = async (...words: string[]): Promise<Record<string, unknown>[]> =>
    JSON.parse(await lars(...words, "--json"));
  assert.match(
    await lars("module", "set", "2", "2", "--name", "shop", "--set", "errRate=0.2", ...server),
    /^set \(2,2\)/,
  );
  assert.match(await lars("module", "show", "2", "2", ...server), /shop[^]*errRate +0\.2 +module/);
  const both = await Promise.all([
    json("module", "ls", ...server),
    json("module", "ls", "--data", data),
  ]);
  assert.deepEqual(both[0], both[1], "the same through the console as from the database");
  const texts = both[0].map(({ updated_at: _, ...row }) => row);
  assert.deepEqual(texts, [
    { modid: 1, cmdid: 1, name: "", policy: { policy: "recommended" } },
    { modid: 2, cmdid: 2, name: "shop", policy: { policy: "recommended", errRate: 0.2 } },
  ]);
  await assert.rejects(lars("module", "show", "9", "9", ...server), /There is no module \(9,9\)/);
  assert.match(await lars("drain", "10.0.0.2:80", "--why", "disk", ...server), /drains, 1 module/);
  assert.match(await lars("undrain", "10.0.0.2:80", ...server), /gets calls again, 1 module/);
  assert.match(await lars("route", "confirm", "2", "2", ...server), /^confirmed \(2,2\)/);
  const waiting = await processes.run("tools/lars.ts", [
    "drain",
    "10.0.0.2:80",
    "--wait",
    ...server,
  ]);
  assert.equal(waiting.code, 1);
  assert.match(waiting.stderr, /No dns is signed in/);
  const store = await openStore(`sqlite:${join(data, "lars.db")}`);
  await store.addEvents([
    { atMs: 1000, kind: "node.overload", module: { modId: 2, cmdId: 2 }, text: "first" },
    { atMs: 2000, kind: "node.idle", module: { modId: 2, cmdId: 2 }, text: "second" },
  ]);
  await store.close();
  const shown = (await lars("events", "--module", "2", "2", ...server)).trim().split("\n");
  assert.deepEqual(shown.map((line) => line.split(/ {2,}/)[2]), ["first", "second"]);
  assert.match(await lars("events", "--kind", "node.idle", ...server), /second/);
}

test(
  "lars route works through a console, and its changes are in the history",
  TIMEOUT,
  async () => {
    await withProcesses(async (processes) => {
      const data = join(processes.directory, "data");
      const started = await startConsole(processes, ["--data", data]);
      const admin = await firstLogin(started);
      const { secret } = await admin.get<ResponseOf<"addToken">>("POST /tokens", {
        body: { title: "cli", role: "operator", days: 1 },
      });
      const tokenFile = join(processes.directory, "token");
      writeFileSync(tokenFile, `${secret}\n`);
      const server = ["--server", started.base, "--token-file", tokenFile];
      const route = async (...words: string[]): Promise<string> => {
        const { code, stdout, stderr } = await processes.run("tools/lars.ts", ["route", ...words]);
        assert.equal(code, 0, stderr);
        return stdout;
      };
      assert.match(
        await route("add", "1", "1", "10.0.0.1:80", "--why", "new", ...server),
        /^added/,
      );
      await route("set", "1", "1", "10.0.0.1:80", "--weight", "5", "--why", "slow", "--data", data);
      const [node] = JSON.parse(await route("ls", "1", "1", "--json", ...server));
      assert.deepEqual([node.ip, node.weight], ["10.0.0.1", 5]);
      const file = join(processes.directory, "routes.csv");
      await route("export", file, ...server);
      writeFileSync(file, `${readFileSync(file, "utf8")}2,2,10.0.0.2,80,100,,on\n`);
      assert.match(await route("import", file, ...server), /1 added/);
      const { changes } = await admin.get<ResponseOf<"listChanges">>("GET /changes");
      assert.deepEqual(changes.map(({ via, why, summary }) => [via, why, summary]), [
        ["token", "", "add 2/2 10.0.0.2:80; set policy of 2/2: policy recommended"],
        ["command", "slow", "set 1/1 10.0.0.1:80 weight 100 to 5"],
        ["token", "new", "add 1/1 10.0.0.1:80; set policy of 1/1: policy recommended"],
      ]);
      const failures: [string[], number, RegExp][] = [
        [["add", "1", "1", "10.0.0.1:80", ...server], 1, /exists already/],
        [["ls", "--server", started.base], 2, /needs an API token/],
        [["ls", "--server", "x", "--token-file", tokenFile], 2, /must look like http/],
        [["ls", "--server", "http://127.0.0.1:1", "--token-file", tokenFile], 1, /does not answer/],
        [["ls", ...server, "--data", data], 2, /cannot be used/],
      ];
      for (const [words, code, message] of failures) {
        const failed = await processes.run("tools/lars.ts", ["route", ...words]);
        assert.equal(failed.code, code, failed.stderr);
        assert.match(failed.stderr, message);
      }
      await otherCommands(processes, server, data);
      writeFileSync(tokenFile, "lars_a_token_that_nobody_made");
      const stranger = await processes.run("tools/lars.ts", ["route", "ls", ...server]);
      assert.match(stranger.stderr, /does not take the token/);
      assert.equal((await started.process.stop()).code, 0);
    });
  },
);
