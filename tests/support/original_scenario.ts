// Shell. Plays the original's files against our services, step by step; prints one JSON line a step.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { runAdmin, startMariaDb } from "./mariadb.ts";
import {
  ORIGINAL_CONF,
  ORIGINAL_MYSQL,
  ORIGINAL_PORTS,
  ORIGINAL_SQL,
  SCENARIO_STEPS,
  type ScenarioResult,
} from "./original_conf.ts";
import { Processes, type TestProcess } from "./processes.ts";
import { until } from "./until.ts";
import {
  Id,
  ipNumber,
  monotonicMs,
  readRoute,
  WireCaller,
  WireConnection,
  type WireHost,
  type WireRoute,
} from "./wire_client.ts";

/** Three times the promised 1.5 s. */
const PUSH_TIMEOUT_MS = 4500;
/** dns reads all routes at least this often here, so that a bare DELETE need not take 10 s. */
const RELOAD_SECONDS = 1;
/** Three times the time a report may wait in agent and reporter, and some more. */
const STATUS_TIMEOUT_MS = 15_000;

const host = (last: number, port: number): WireHost => ({
  ip: ipNumber(`192.168.1.${last}`),
  port,
});
const keys = (hosts: readonly WireHost[]): string[] =>
  hosts.map(({ ip, port }) => `${ip}:${port}`).sort();

/** Runs statements through the `mariadb` client, as a person would. */
function mariadbClient(sql: string): Promise<void> {
  const { user, password } = ORIGINAL_MYSQL;
  const args = ["--no-defaults", "-h127.0.0.1", `-P${ORIGINAL_PORTS.mysql}`, `-u${user}`];
  return new Promise((resolve, reject) => {
    const child = spawn("mariadb", [...args, `-p${password}`], { stdio: ["pipe", "pipe", "pipe"] });
    let complaint = "";
    child.stderr.on("data", (chunk: Uint8Array) => complaint += new TextDecoder().decode(chunk));
    child.once("error", reject);
    child.once("close", (code) => code === 0 ? resolve() : reject(new Error(complaint)));
    child.stdin.end(sql);
  });
}

const loadFile = (path: string): Promise<void> => mariadbClient(readFileSync(path, "utf8"));
const rowsOf = (sql: string): Promise<Record<string, unknown>[]> =>
  runAdmin(ORIGINAL_MYSQL.url, sql);

class Scenario {
  readonly #processes = new Processes();
  #services: TestProcess[] = [];
  #peer: WireConnection | undefined;
  #caller: WireCaller | undefined;

  /** What runs on the original tables, and again on the migrated ones. */
  readonly #calls: readonly (() => Promise<string | void>)[] = [
    () => this.#startServices(),
    () => this.#getRoutes(),
    () => this.#pushTestInsert(),
    () => this.#getHosts(),
    () => this.#reportResults(),
    () => this.#editTwice(),
    () => this.#moveNode(),
    () => this.#deleteBare(),
    () => this.#dropRoutes(),
  ];

  /** The steps in the order of {@linkcode SCENARIO_STEPS}; each may say what it measured. */
  readonly steps: readonly (() => Promise<string | void>)[] = [
    () => this.#loadSql(),
    ...this.#calls,
    () => this.#stopServices(),
    () => this.#migrate(),
    () => this.#repeatOnMigrated(),
    () => this.#loadSchemaAgain(),
  ];

  async end(): Promise<void> {
    this.#peer?.close();
    this.#caller?.close();
    await this.#processes.endAll();
  }

  /** What the services wrote, for the message of a failed step. */
  get report(): string {
    return this.#processes.report;
  }

  async #loadSql(): Promise<void> {
    await loadFile(ORIGINAL_SQL.schema);
    await loadFile(ORIGINAL_SQL.insert);
    const tables = (await rowsOf("SHOW TABLES")).map((row) => Object.values(row)[0]);
    assert.deepEqual(tables.sort(), [
      "RouteChange",
      "RouteData",
      "RouteVersion",
      "ServerCallStatus",
    ]);
    assert.equal((await rowsOf("SELECT * FROM RouteData")).length, 4);
  }

  async #startServices(): Promise<string> {
    const startMs = monotonicMs();
    const start = (name: "dns" | "reporter" | "agent"): Promise<TestProcess> =>
      this.#processes.spawn(name, "tools/lars.ts", [name, "-c", ORIGINAL_CONF[name]], {
        env: { LARS_DNS_RELOAD_INTERVAL: String(RELOAD_SECONDS) },
      }).untilReady();
    this.#services = await Promise.all([start("dns"), start("reporter"), start("agent")]);
    const [dns, reporter, agent] = this.#services;
    assert.deepEqual([dns.port(), reporter.port()], [ORIGINAL_PORTS.dns, ORIGINAL_PORTS.reporter]);
    assert.deepEqual([0, 1, 2].map((index) => agent.port(index)), [8888, 8889, 8890]);
    this.#peer?.close();
    this.#caller?.close();
    this.#peer = await WireConnection.open(ORIGINAL_PORTS.dns);
    this.#caller = await WireCaller.open(ORIGINAL_PORTS.agent);
    return `three services ready in ${Math.round(monotonicMs() - startMs)} ms`;
  }

  get #dns(): WireConnection {
    assert.ok(this.#peer !== undefined, "dns was started");
    return this.#peer;
  }

  get #agent(): WireCaller {
    assert.ok(this.#caller !== undefined, "agent was started");
    return this.#caller;
  }

  /** Does something and waits for the push of exactly these nodes. */
  async #expectPush(
    act: () => Promise<void>,
    expected: readonly { module: [number, number]; hosts: WireHost[] }[],
  ): Promise<string> {
    await act();
    const startMs = monotonicMs();
    const late: number[] = [];
    // Pushes of several modules come in any order: frames are sorted before they are taken.
    const found = new Map<string, WireRoute>();
    const wanted = new Map(expected.map(({ module, hosts }) => [module.join(), keys(hosts)]));
    while (wanted.size > 0) {
      const push = await this.#dns.next(undefined, PUSH_TIMEOUT_MS).catch((error) => {
        throw new Error(`${error.message}; still wanted: ${JSON.stringify([...wanted])}`);
      });
      assert.equal(push.msgId, Id.GetRouteResponse);
      const route = readRoute(push.body);
      const name = `${route.modId},${route.cmdId}`;
      found.set(name, route);
      if (JSON.stringify(wanted.get(name)) !== JSON.stringify(keys(route.hosts))) continue;
      wanted.delete(name);
      late.push(Math.round(push.atMs - startMs));
    }
    return `pushed ${late.join(" and ")} ms after the client had ended`;
  }

  async #getRoutes(): Promise<void> {
    const one = await this.#dns.route(1, 1);
    assert.deepEqual(keys(one.hosts), keys([host(177, 7777)]));
    const two = await this.#dns.route(1, 2);
    assert.deepEqual(keys(two.hosts), keys([host(178, 7776), host(179, 7778), host(180, 7779)]));
  }

  #pushTestInsert(): Promise<string> {
    return this.#expectPush(() => loadFile(ORIGINAL_SQL.testInsert), [
      { module: [1, 1], hosts: [host(177, 7777), host(177, 9999)] },
    ]);
  }

  async #getHosts(): Promise<void> {
    // (1,1) is served on 8890, (1,2) on 8888; the caller works the port out of the rule.
    for (const [modId, cmdId, count] of [[1, 1, 2], [1, 2, 3]]) {
      await this.#agent.untilHost(modId, cmdId);
      const picked = new Set<string>();
      await until(async () => {
        const answer = await this.#agent.getHost(modId, cmdId);
        assert.equal(answer.retCode, 0);
        if (answer.host !== undefined) picked.add(keys([answer.host])[0]);
        return picked.size === count;
      }, { what: `${count} nodes of ${modId}/${cmdId}`, intervalMs: 1 });
      assert.equal((await this.#agent.getRoute(modId, cmdId)).hosts.length, count);
    }
  }

  async #reportResults(): Promise<string> {
    await rowsOf("DELETE FROM ServerCallStatus");
    const startMs = monotonicMs();
    for (let i = 0; i < 5; i++) this.#agent.report(1, 2, host(178, 7776), i === 0 ? 1 : 0);
    let seen = "";
    await until(async () => {
      const rows = await rowsOf("SELECT * FROM ServerCallStatus WHERE modid = 1 AND cmdid = 2");
      const row = rows.find((one) =>
        Number(one.ip) >>> 0 === ipNumber("192.168.1.178") && one.port === 7776
      );
      seen = JSON.stringify(row ?? rows);
      return row?.succ_cnt === 4 && row.err_cnt === 1 && String(row.overload) === "0";
    }, { timeoutMs: STATUS_TIMEOUT_MS, what: "the row of 192.168.1.178:7776" }).catch((error) => {
      throw new Error(`${error.message}; last seen: ${seen}`);
    });
    return `row there after ${Math.round(monotonicMs() - startMs)} ms: ${seen}`;
  }

  #editTwice(): Promise<string> {
    const second = `SET @time = UNIX_TIMESTAMP(NOW());
      UPDATE RouteVersion SET version = @time WHERE id = 1;
      INSERT INTO RouteChange(modid, cmdid, version) VALUES(1, 2, @time);`;
    const add = (port: number): string =>
      `USE lars_dns; INSERT INTO RouteData(modid, cmdid, serverip, serverport)
       VALUES(1, 2, 3232235954, ${port}); ${second}`;
    const before = [host(178, 7776), host(179, 7778), host(180, 7779)];
    return this.#expectPush(() => mariadbClient(add(6001)), [
      { module: [1, 2], hosts: [...before, host(178, 6001)] },
    ]).then((first) =>
      // Right after the first was seen, so mostly within its second.
      this.#expectPush(() => mariadbClient(add(6002)), [
        { module: [1, 2], hosts: [...before, host(178, 6001), host(178, 6002)] },
      ]).then((next) => `${first}; ${next}`)
    );
  }

  #moveNode(): Promise<string> {
    const sql = `USE lars_dns;
      UPDATE RouteData SET cmdid = 1 WHERE modid = 1 AND cmdid = 2 AND serverport = 7778;
      UPDATE RouteVersion SET version = UNIX_TIMESTAMP(NOW()) WHERE id = 1;
      INSERT INTO RouteChange(modid, cmdid, version) VALUES(1, 1, UNIX_TIMESTAMP(NOW()));`;
    return this.#expectPush(() => mariadbClient(sql), [
      { module: [1, 1], hosts: [host(177, 7777), host(177, 9999), host(179, 7778)] },
      {
        module: [1, 2],
        hosts: [host(178, 7776), host(180, 7779), host(178, 6001), host(178, 6002)],
      },
    ]);
  }

  #deleteBare(): Promise<string> {
    const sql = "USE lars_dns; DELETE FROM RouteData WHERE serverport = 9999;";
    return this.#expectPush(() => mariadbClient(sql), [
      { module: [1, 1], hosts: [host(177, 7777), host(179, 7778)] },
    ]);
  }

  async #dropRoutes(): Promise<string> {
    const pushed = await this.#expectPush(() => loadFile(ORIGINAL_SQL.drop), [
      { module: [1, 1], hosts: [] },
      { module: [1, 2], hosts: [] },
    ]);
    await until(async () => (await this.#agent.getHost(1, 2)).retCode === 3, {
      timeoutMs: PUSH_TIMEOUT_MS,
      what: "the agent to answer RET_NOEXIST",
    });
    return pushed;
  }

  async #stopServices(): Promise<string> {
    const startMs = monotonicMs();
    const ended = await Promise.all(this.#services.map((service) => service.stop()));
    assert.deepEqual(ended.map(({ code }) => code), [0, 0, 0]);
    return `${Math.round(monotonicMs() - startMs)} ms`;
  }

  async #migrate(): Promise<void> {
    for (let round = 0; round < 2; round++) {
      const ended = await this.#processes.run("tools/lars.ts", [
        "sql",
        "migrate",
        "--store",
        ORIGINAL_MYSQL.url,
      ]);
      assert.equal(ended.code, 0, ended.stderr);
    }
    const columns = async (table: string): Promise<unknown[]> =>
      (await rowsOf(`SHOW COLUMNS FROM ${table}`)).map((row) => row.Field);
    assert.deepEqual((await columns("RouteData")).slice(0, 5), [
      "id",
      "modid",
      "cmdid",
      "serverip",
      "serverport",
    ]);
    assert.deepEqual((await columns("ServerCallStatus")).slice(0, 9), [
      "modid",
      "cmdid",
      "ip",
      "port",
      "caller",
      "succ_cnt",
      "err_cnt",
      "ts",
      "overload",
    ]);
  }

  async #repeatOnMigrated(): Promise<string> {
    await loadFile(ORIGINAL_SQL.insert);
    const measured: string[] = [];
    for (const step of this.#calls) measured.push(await step() ?? "ok");
    return measured.join("; ");
  }

  async #loadSchemaAgain(): Promise<string> {
    await loadFile(ORIGINAL_SQL.schema);
    return await this.#expectPush(() => loadFile(ORIGINAL_SQL.insert), [
      { module: [1, 1], hosts: [host(177, 7777)] },
      { module: [1, 2], hosts: [host(178, 7776), host(179, 7778), host(180, 7779)] },
    ]);
  }
}

function print(result: ScenarioResult): void {
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

async function main(): Promise<void> {
  const server = await startMariaDb([
    `--extra-port=${ORIGINAL_PORTS.mysql}`,
    "--extra-max-connections=100",
  ]);
  const scenario = new Scenario();
  try {
    const { user, password } = ORIGINAL_MYSQL;
    await runAdmin(
      server.url,
      `CREATE OR REPLACE USER '${user}'@'127.0.0.1' IDENTIFIED BY '${password}'`,
    );
    await runAdmin(server.url, `GRANT ALL ON *.* TO '${user}'@'127.0.0.1' WITH GRANT OPTION`);
    for (const [index, step] of scenario.steps.entries()) {
      const name = SCENARIO_STEPS[index];
      try {
        const measured = await step();
        print({ step: name, ...(typeof measured === "string" ? { measured } : {}) });
      } catch (error) {
        const text = error instanceof Error ? error.stack ?? error.message : String(error);
        print({ step: name, fault: `${text}\n${scenario.report}` });
        return; // later steps build on this one
      }
    }
  } finally {
    await scenario.end();
    await server.stop();
  }
}

await main();
