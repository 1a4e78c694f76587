import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { findProgram, runAdmin, withTestDatabase } from "../tests/support/mariadb.ts";
import { DatabaseSync } from "node:sqlite";
import { SCHEMA_VERSION } from "../sql/schema/migrations.ts";
import { withStoredNode } from "../tests/support/fleet.ts";
import { until } from "../tests/support/until.ts";
import { WireConnection } from "../tests/support/wire_client.ts";
import { freePort } from "../tests/support/free_port.ts";
import { type Ended, withProcesses } from "../tests/support/processes.ts";

test("lars sql, route and status work on MariaDB, and on the tables of the original", async (t) => {
  await withTestDatabase(t, (url) =>
    withProcesses(async (processes) => {
      const lars = (...args: string[]): Promise<Ended> =>
        processes.run("tools/lars.ts", args, { env: { LARS_STORE_URL: url } });
      const json = async (...args: string[]): Promise<Record<string, unknown>> => {
        const { code, stdout, stderr } = await lars(...args, "--json");
        assert.equal(code, 0, stderr);
        return JSON.parse(stdout);
      };
      const first = await json("sql", "migrate");
      assert.equal((first.applied as string[])[0], "0001_original_tables");
      assert.deepEqual((await json("sql", "migrate")).applied, []);
      assert.doesNotMatch(String(first.store), /:pw@/, "no password is shown");

      await runAdmin(
        url,
        "INSERT INTO RouteData(modid, cmdid, serverip, serverport) VALUES(1, 1, 3232235953, 70000)",
      );
      const added = await lars("route", "add", "1", "1", "192.168.1.177:7777");
      assert.equal(added.code, 0, added.stderr);
      const exported = await lars("route", "export");
      assert.match(exported.stdout, /^1,1,192\.168\.1\.177,7777,100,,on$/m);
      assert.match(exported.stderr, /192\.168\.1\.177:70000 is no usable node; remove it/);
      assert.equal((await lars("route", "rm", "1", "1", "192.168.1.177:70000")).code, 0);
      const facts = await json("sql", "status");
      assert.deepEqual([facts.modules, facts.nodes], [1, 1]);
      assert.equal(facts.schema_version, first.version);
    }));
});

test("lars warns of a password among the arguments, and reads a URL from a file", async () => {
  await withProcesses(async (processes) => {
    const run = async (...args: string[]): Promise<string> =>
      (await processes.run("tools/lars.ts", args)).stderr;
    const url = "mysql://lars:not-to-be-shown@127.0.0.1:1/lars_dns";
    const warned = await run("sql", "status", "--store", url);
    assert.match(warned, /everybody on this host can see the password in --store/);
    assert.ok(!warned.includes("not-to-be-shown"), warned);
    const file = `${processes.directory}/store.url`;
    writeFileSync(file, `${url}\n`);
    const quiet = await run("sql", "status", "--store", `@${file}`);
    assert.match(quiet, /127\.0\.0\.1:1/);
    assert.ok(!quiet.includes("everybody"), quiet);
    assert.match(await run("sql", "status", "--store", "@nowhere"), /--store cannot be read/);
    const dns = ["--reactor-port=0", `--store=${url}`];
    const { stderr } = await (await processes.start("dns", dns)).stop();
    assert.match(stderr, /can see the database's password among the arguments/);
    assert.ok(!stderr.includes("not-to-be-shown"), stderr);
  });
});

test("lars: a database that is away is a clear error and exit code 1", async () => {
  await withProcesses(async (processes) => {
    const store = ["--store", `mysql://lars:pw@127.0.0.1:${await freePort()}/lars`];
    for (const words of [["sql", "status"], ["sql", "migrate"], ["route", "ls"]]) {
      const { code, stdout, stderr } = await processes.run("tools/lars.ts", [...words, ...store]);
      assert.equal(code, 1, stderr);
      assert.equal(stdout, "");
      assert.match(stderr, /^lars: warning: [^\n]+password[^\n]+\nlars: .+\n$/);
      assert.match(stderr, /: 127\.0\.0\.1:\d+: connection refused\n$/);
      assert.doesNotMatch(stderr, /pw@/);
    }
    const args = ["status", "--json", "--agent", `127.0.0.1:${await freePort()}`, ...store];
    const { code, stdout } = await processes.run("tools/lars.ts", args);
    assert.equal(code, 1, "status still shows what it can");
    const status = JSON.parse(stdout);
    assert.equal(status.store.ok, false);
    assert.equal(status.agent.ok, false);
  });
});

test("a database newer than the program: everybody says so, nobody writes, reads go on", {
  timeout: 120_000,
}, async () => {
  await withStoredNode(async ({ processes, url, store }) => {
    const path = url.slice("sqlite:".length);
    const database = new DatabaseSync(path);
    database.exec("INSERT INTO SchemaMigration VALUES(99, '0099_of_later', 1)");
    const rowsOf = (): string =>
      JSON.stringify(
        ["RouteData", "RouteVersion", "ServiceInstance", "ConsoleAudit", "SchemaMigration"]
          .map((table) => database.prepare(`SELECT * FROM ${table}`).all()),
      );
    const before = rowsOf();
    const lars = (...args: string[]): Promise<Ended> =>
      processes.run("tools/lars.ts", [...args, "--store", url]);
    const knows = new RegExp(`has schema version 99, and this program knows ${SCHEMA_VERSION}`);
    for (const args of [["route", "export"], ["status"], ["top", "--once"], ["events"]]) {
      const { code, stderr } = await lars(...args);
      assert.equal(code, 0, stderr);
      assert.equal(stderr.match(new RegExp(knows, "g"))?.length, 1, `${args}: ${stderr}`);
    }
    const status = await lars("sql", "status");
    assert.match(status.stdout, /schema version 99, newer than this program/);
    const writes = [
      ["route", "add", "1", "1", "10.0.0.9:80"],
      ["module", "set", "1", "1", "--name", "pay"],
      ["user", "add", "joe"],
      ["sql", "migrate"],
    ];
    for (const args of writes) {
      const { code, stderr } = await lars(...args);
      assert.equal(code, 1, `${args}: ${stderr}`);
      assert.match(stderr, /Nothing was (written|migrated): .* has schema version 99/);
    }
    const dns = await processes.start("dns", ["--reactor-port=0", `--store=${url}`]);
    const reporter = await processes.start("reporter", ["--reactor-port=0", `--store=${url}`]);
    const web = await processes.start("web", ["--web-port=0", `--store=${url}`]);
    for (const service of [dns, reporter, web]) {
      await until(() => knows.test(service.stderr), { what: `${service.name} to say so` });
    }
    const connection = await WireConnection.open(dns.port());
    assert.equal((await connection.route(1, 1)).hosts.length, 1, "dns serves");
    connection.close();
    assert.equal(rowsOf(), before);
    database.close();
    await store.ping();
  });
});

test("lars: no command but those that make a database touches a file that is none", async () => {
  await withProcesses(async (processes) => {
    const cwd = processes.directory;
    const lars = (...args: string[]): Promise<Ended> =>
      processes.run("tools/lars.ts", args, { cwd });
    const other = new DatabaseSync(join(cwd, "other"));
    other.exec("CREATE TABLE t (a)");
    other.close();
    writeFileSync(join(cwd, "empty"), "");
    writeFileSync(join(cwd, "text"), "hello");
    const files = ["empty", "other", "text"];
    const bytesOf = (): string[] => files.map((name) => readFileSync(join(cwd, name), "base64"));
    const before = bytesOf();
    const faults = ["which is empty", "which has no table RouteData", "which is no file of SQLite"];
    const commands = [
      "route ls",
      "sql status",
      "backup b.gz",
      "route add 1 1 10.0.0.1:80",
      "user ls",
    ];
    for (const [index, file] of files.entries()) {
      await Promise.all(commands.map(async (line) => {
        const { code, stderr } = await lars(...line.split(" "), "--store", `sqlite:${file}`);
        assert.equal(code, 1, `${line}: ${stderr}`);
        assert.match(
          stderr,
          new RegExp(`no database of Lars at ${file}, ${faults[index]}: name one`),
        );
      }));
    }
    assert.deepEqual(bytesOf(), before);
    assert.deepEqual(readdirSync(cwd).sort(), files, "nothing was made beside them");
    assert.match(
      (await lars("route", "ls", "--store", "sqlite:.")).stderr,
      /at \., which is a folder/,
    );
    assert.equal((await lars("sql", "migrate", "--store", "sqlite:empty")).code, 0);
    assert.equal((await lars("route", "ls", "--store", "sqlite:empty")).code, 0);
  });
});

test("lars: a folder that nobody may look into is not said to have no database", {
  skip: findProgram("setpriv") === undefined && process.getuid?.() === 0 &&
    "setpriv (util-linux) is not installed: root may look into every folder",
}, async () => {
  await withProcesses(async (processes) => {
    const folder = join(processes.directory, "closed");
    mkdirSync(folder);
    const isRoot = process.getuid?.() === 0;
    const wrapper = isRoot ? ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] : [];
    chmodSync(folder, 0o000);
    try {
      for (const line of ["route ls", "backup b.gz"]) {
        const words = [...line.split(" "), "--data", folder];
        const { code, stderr } = await processes.run("tools/lars.ts", words, { wrapper });
        assert.equal(code, 1);
        assert.match(stderr, /closed\/lars\.db cannot be read: .*denied/);
      }
    } finally {
      chmodSync(folder, 0o755);
    }
  });
});
