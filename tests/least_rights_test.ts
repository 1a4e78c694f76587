// Goal: each service works with the permissions of its task in deno.json and the rights of its account
// in the database, and with nothing more. Method: processes with these flags on MariaDB; a
// program that tries more, with the same flags.

import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { LarsClient, register } from "../api/mod.ts";
import {
  accountName,
  GRANTED_SERVICES,
  type GrantedService,
  grantStatements,
} from "../sql/grants/grants.ts";
import { withStore } from "../sql/testing/store_conformance.ts";
import { DENO_SERVICE_FLAGS } from "../reactor/runtime/engine_flags.ts";
import { noPrivateServerReason, runAdmin, withPrivateMariaDb } from "./support/mariadb.ts";
import {
  type Processes,
  PROJECT_ROOT,
  runtimeName,
  type TestProcess,
  withProcesses,
} from "./support/processes.ts";
import { until } from "./support/until.ts";

const SERVICES = ["dns", "reporter", "discovery", "agent", "web", "relay", "export"] as const;
type Service = (typeof SERVICES)[number];

const tasks = (JSON.parse(readFileSync(join(PROJECT_ROOT, "deno.json"), "utf8")) as {
  tasks: Record<Service, string>;
}).tasks;

/** The flags of a task, and its script. */
function flagsOf(service: Service): { flags: string[]; script: string } {
  const [deno, run, ...rest] = tasks[service].split(" ");
  assert.deepEqual([deno, run], ["deno", "run"]);
  const script = rest.pop() ?? "";
  assert.equal(script, `${service}/main.ts`);
  return { flags: rest, script: join(PROJECT_ROOT, script) };
}

function spawn(
  processes: Processes,
  service: Service,
  script: string,
  args: readonly string[],
): TestProcess {
  const { flags } = flagsOf(service);
  const words = [process.execPath, "run", "--quiet", "--no-check", ...flags, script, ...args];
  return processes.spawnCommand(service, words, { cwd: processes.directory });
}

const OUTSIDE = join(tmpdir(), `outside-of-lars-${process.pid}`);

/** Tries what a service has no business with, and prints what was let through, and why else not. */
const PROBE = `
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { hostname, userInfo } from "node:os";
import { runtime } from "${pathToFileURL(join(PROJECT_ROOT, "reactor/runtime/mod.ts"))}";
const tries = {
  run: () => {
    // Why it did not run is not said.
    if (spawnSync("true").status !== 0) throw new Error("not permitted");
  },
  callC: () => runtime.openLibc().getpid(),
  write: () => writeFileSync("outside", ""),
  writeElsewhere: () => writeFileSync("${OUTSIDE}", ""),
  writeData: () => { mkdirSync("data", { recursive: true }); writeFileSync("data/a", ""); },
  readMemory: () => readFileSync("/proc/self/environ"),
  nameHost: () => hostname(),
  nameUser: () => userInfo(),
};
const done = [];
for (const [name, fn] of Object.entries(tries)) {
  try {
    fn();
    done.push(name);
  } catch (error) {
    const isDenied = /NotCapable|not permitted|--allow/.test(error.name + error.message + error.code);
    if (!isDenied) done.push(name + ": " + error.name + " " + error.message);
  }
}
await import("https://127.0.0.1:1/x.js").catch((error) => {
  done.push(/--allow-import/.test(error.message) ? "no import" : error.message);
});
console.log(JSON.stringify(done));
`;

test("a service that tries more than its task permits fails", {
  skip: runtimeName() !== "deno" && "Bun has no permissions",
  timeout: 120_000,
}, () =>
  withProcesses(async (processes) => {
    const probe = join(processes.directory, "probe.ts");
    writeFileSync(probe, PROBE);
    const all = [process.execPath, "run", "--quiet", "-A", probe];
    const free = await processes.spawnCommand("all", all, { cwd: processes.directory })
      .untilEnded(30_000);
    const tried = JSON.parse(free.stdout) as string[];
    assert.deepEqual(tried.slice(0, -1), [
      ...["run", "callC", "write", "writeElsewhere", "writeData", "readMemory"],
      ...["nameHost", "nameUser"],
    ], "who may do everything does");
    rmSync(OUTSIDE);
    for (const service of SERVICES) {
      const { flags } = flagsOf(service);
      assert.ok(!flags.some((flag) => /^(-A|--allow-all|--allow-import)/.test(flag)), service);
      assert.ok(flags.includes("--no-prompt"), service);
      assert.ok(DENO_SERVICE_FLAGS.every((flag) => flags.includes(flag)), service);
      const { stdout, stderr } = await spawn(processes, service, probe, []).untilEnded(30_000);
      const mayCallC = service === "agent" || service === "relay";
      assert.deepEqual(
        JSON.parse(stdout),
        [...(mayCallC ? ["callC"] : []), "writeData", "no import"],
        `${service}: ${stderr}`,
      );
    }
  }));

test("services work with the permissions of their tasks and the rights of their accounts", {
  skip: runtimeName() !== "deno" ? "Bun has no permissions" : noPrivateServerReason() ?? false,
  timeout: 120_000,
}, (t) =>
  withPrivateMariaDb(t, (server) =>
    withProcesses(async (processes) => {
      await runAdmin(server.url, "CREATE DATABASE lars_dns");
      await withStore(`${server.url}/lars_dns`, (store) => store.migrate());
      for (const service of GRANTED_SERVICES.filter((one) => one !== "all")) {
        await runAdmin(server.url, `CREATE USER ${accountName(service)} IDENTIFIED BY 'pw'`);
        const grants = grantStatements(service).map((line) => line.slice(0, -1));
        await runAdmin(server.url, ...grants);
      }
      const urlOf = (service: GrantedService): string =>
        `mysql://lars_${service}:pw@127.0.0.1:${server.port}/lars_dns`;
      const start = (service: Service, ...args: string[]): Promise<TestProcess> =>
        spawn(processes, service, flagsOf(service).script, [
          ...["--json", "--metrics-port=0", ...args],
        ]).untilReady();
      const [dns, reporter, discovery, web, relay] = await Promise.all([
        start("dns", "--reactor-port=0", `--store=${urlOf("dns")}`),
        start("reporter", "--reactor-port=0", `--store=${urlOf("reporter")}`),
        start("discovery", "--reactor-port=0", `--store=${urlOf("discovery")}`),
        start("web", "--web-port=0", `--store=${urlOf("web")}`),
        start("relay", "--relay-port=0", `--relay-store=${urlOf("relay")}`),
      ]);
      const agent = await start("agent", ...[
        ...["--agent-port=0", `--dnsserver-ip=127.0.0.1:${dns.port()}`],
        `--reporter-ip=127.0.0.1:${reporter.port()}`,
      ]);
      const client = new LarsClient({ port: agent.port(), deadlineMs: 1000 });
      const node = await register({
        discovery: `127.0.0.1:${discovery.port()}`,
        ...{ modId: 7, cmdId: 1, port: 8080, ip: "10.0.0.7", createModule: true },
      });
      try {
        const add = ["route", "add", "1", "1", "10.0.0.1:80", "--store", urlOf("web")];
        const added = await processes.run("tools/lars.ts", add);
        assert.equal(added.code, 0, added.stderr);
        for (const modId of [1, 7]) {
          await until(async () => (await client.tryGetHost(modId, 1)).retcode === 0, {
            what: `module ${modId}`,
          });
        }
        const { host } = await client.tryGetHost(1, 1);
        client.report(1, 1, host?.ip ?? "", host?.port ?? 0, 0, 5);
        await until(async () => {
          const rows = await runAdmin(`${server.url}/lars_dns`, "SELECT * FROM ServerCallStatus");
          return rows.length > 0;
        }, { what: "the result in the database" });
        assert.equal((await fetch(`http://127.0.0.1:${web.port()}/readyz`)).status, 200);
      } finally {
        await node.close({ limitMs: 2000, quietMs: 100 });
        await client.close();
      }
      for (const one of [agent, relay, web, discovery, reporter, dns]) {
        assert.equal((await one.stop()).code, 0, one.name);
        assert.doesNotMatch(one.stderr, /NotCapable|Requires \w+ access|denied/i, one.name);
      }
    })));
