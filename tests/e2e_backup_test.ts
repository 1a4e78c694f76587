// Goal: `lars backup` and `lars restore` while services run, from each kind of database into each:
// all that was there is there again, dns and its agents take it, and a damaged file changes nothing.

import assert from "node:assert/strict";
import { statSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { openStore, type Store } from "../sql/mod.ts";
import type { Script, SqlRow } from "../sql/drivers/sql_script.ts";
import { openDriver } from "../sql/open_store.ts";
import { addNodes, agentFlags, nodeOf } from "./support/fleet.ts";
import { noTestDatabaseReason, withTestDatabase } from "./support/mariadb.ts";
import { type Ended, type Processes, withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { WireCaller } from "./support/wire_client.ts";

const TIMEOUT = { timeout: 600_000 } as const;

/** A restore brings the schema up to date first, which is slow on a busy machine. */
const LARS_MS_MAX = 120_000;

const MODULE = { modId: 7, cmdId: 1 };

/** Everything that a backup has to bring back, as far as a store shows it. */
async function contentOf(store: Store): Promise<unknown> {
  const routes: unknown[] = [];
  await store.readRoutes((rows) => void routes.push(...rows));
  const query = { fromSeconds: 1_700_000_000, toSeconds: 1_700_000_100, stepSeconds: 10 };
  return {
    routes,
    modules: (await store.moduleRows()).map(({ modId, cmdId, name, policy }) => ({
      ...{ modId, cmdId, name, policy },
    })),
    results: await store.readCallStatus(),
    history: await store.readCallHistory({ ...query, groupBy: "node" }),
    events: await store.readEvents(),
    users: (await store.console.users()).map(({ name, role }) => ({ name, role })),
    marks: await store.readMarkStates([9_007_199_254_740_991]),
  };
}

/** Something in each part; more rows than fit one page. */
async function fill(store: Store): Promise<void> {
  await store.migrate();
  await addNodes(store, 7, 1, [nodeOf(1), nodeOf(2)]);
  const edits = Array.from({ length: 6_000 }, (_, i) => ({
    ...{ op: "add" as const, modId: 8, cmdId: 1 + i % 3, ip: 0x0a010000 + i, port: 80 },
  }));
  await store.editRoutes([...edits, {
    op: "add",
    modId: 2 ** 32 - 1,
    cmdId: 1,
    ip: 0xfffffffe,
    port: 1,
  }]);
  await store.setModules([{ ...MODULE, name: 'né "quoted" \\ 🚚', policy: '{"policy":"maglev"}' }]);
  const node = { ...MODULE, ip: 0xfffffffe, port: 65_535, caller: 0xc0a80001 };
  const status = { succCount: 3, errCount: 1, ts: 1_700_000_000, overload: true };
  await store.writeCallStatus([{ ...node, ...status, succTotal: 2 ** 40, errTotal: 1 }]);
  const gains = { reportCount: 1, overloadCount: 0, timedCount: 2, timeMsSum: 9, refusedCount: 0 };
  await store.writeMarkedHistory({
    ...{ source: 4_000_000_000, writer: 5, number: 1 },
    rows: [{ ...node, ...gains, atSeconds: 1_700_000_010, succCount: 5, errCount: 1 }],
    marks: [{ session: 9_007_199_254_740_991, from: 3, to: 5 }],
  });
  await store.addEvents([{
    ...{ atMs: 1_700_000_000_123, kind: "node.overload", module: MODULE, text: "out" },
    ...{ node: { ip: node.ip, port: 80 }, host: node.caller, detail: { succ: 1 } },
  }]);
}

async function lars(processes: Processes, ...words: string[]): Promise<Ended> {
  return await processes.spawn("lars", "tools/lars.ts", words).untilEnded(LARS_MS_MAX);
}

async function larsOk(processes: Processes, ...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await lars(processes, ...words);
  assert.equal(code, 0, stderr);
  return stdout;
}

/** A running dns, an agent and a caller on a database. */
async function withCaller(
  processes: Processes,
  url: string,
  body: (node: () => Promise<number | undefined>, dnsLog: () => string) => Promise<void>,
): Promise<void> {
  const flags = ["--reactor-port=0", `--store=${url}`, "--dns-poll-interval=0.1"];
  const dns = await processes.start("dns", flags);
  const agent = await processes.start("agent", [
    ...agentFlags(processes, [dns.port()], [1]),
    "--loadbalance-update-timeout=1",
  ]);
  const caller = await WireCaller.open(agent.port());
  await caller.untilHost(7, 1);
  await body(async () => (await caller.getHost(7, 1)).host?.ip, () => dns.stderr);
  caller.close();
}

async function backAndForth(processes: Processes, from: string, to: string): Promise<void> {
  const [source, target] = [await openStore(from), await openStore(to)];
  await fill(source);
  const file = join(processes.directory, "lars.gz");
  await withCaller(processes, from, async (node, dnsLog) => {
    // Somebody writes meanwhile: the file has a state before or after, never a half one.
    let isOver = false;
    const extra = { modId: 9, cmdId: 9, ip: 1 };
    const writing = (async () => {
      for (let port = 1; !isOver; port++) {
        await source.editRoutes([
          { op: "add", ...extra, port: 2 * port },
          { op: "add", ...extra, port: 2 * port + 1 },
        ]);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    })();
    await until(async () => (await source.readModules([{ modId: 9, cmdId: 9 }])).length > 0);
    const json = JSON.parse(await larsOk(processes, "backup", file, "--store", from, "--json"));
    isOver = true;
    await writing;
    assert.ok(json.tables.RouteData >= 6_005 && json.tables.RouteData % 2 === 1, "a whole state");
    assert.equal(statSync(file).mode & 0o777, 0o600);

    const whole = await larsOk(processes, "restore", file, "--dry-run");
    assert.match(whole, /is whole: \d+ rows of .* from lars\//);
    await larsOk(processes, "restore", file, "--store", to);
    const routes = (await contentOf(source)) as { routes: { modId: number }[] };
    const strip = (content: unknown): unknown => {
      const { routes: all, modules, ...rest } = content as {
        routes: { modId: number }[];
        modules: { modId: number }[];
      };
      const own = <T extends { modId: number }>(rows: T[]): T[] =>
        rows.filter(({ modId }) => modId !== 9);
      return { ...rest, routes: own(all), modules: own(modules) };
    };
    assert.deepEqual(strip(await contentOf(target)), strip(routes));

    const used = await lars(processes, "restore", file, "--store", to);
    assert.equal(used.code, 1);
    assert.match(used.stderr, /is in use, table RouteData has rows: give --replace/);
    const asked = await lars(processes, "restore", file, "--store", to, "--replace");
    assert.equal(asked.code, 2);
    assert.match(asked.stderr, /give --yes if that is meant/);

    // Back to the state of the file, under the services.
    await source.editRoutes([
      { op: "add", ...MODULE, ...nodeOf(3) },
      { op: "remove", ...MODULE, ...nodeOf(1) },
      { op: "remove", ...MODULE, ...nodeOf(2) },
    ]);
    await until(async () => await node() === nodeOf(3).ip, { what: "the newest node" });
    const bytes = await readFile(file);
    writeFileSync(`${file}.cut`, bytes.subarray(0, Math.floor(bytes.length * 0.9)));
    const cut = await lars(
      processes,
      "restore",
      `${file}.cut`,
      "--store",
      from,
      "--replace",
      "--yes",
    );
    assert.equal(cut.code, 2);
    assert.match(cut.stderr, /lars\.gz\.cut: It (is no whole backup|has no end)/);
    assert.equal(await node(), nodeOf(3).ip, "nothing has changed");
    await larsOk(processes, "restore", file, "--store", from, "--replace", "--yes");
    const before = [nodeOf(1).ip, nodeOf(2).ip];
    await until(async () => before.includes(await node() ?? 0), { what: "the restored route" });
    assert.match(dnsLog(), /Database counts as it is from now on/);
  });
  await Promise.all([source.close(), target.close()]);
}

const withMaria = { ...TIMEOUT, skip: noTestDatabaseReason() ?? false };

test("from an embedded database into another", TIMEOUT, async () => {
  await withProcesses(async (processes) => {
    const [from, to] = ["one", "two"].map((name) => `sqlite:${processes.directory}/${name}.db`);
    await backAndForth(processes, from, to);
  });
});

test("a database that is in use is left alone, its older schema too", TIMEOUT, async () => {
  await withProcesses(async (processes) => {
    const url = `sqlite:${processes.directory}/old.db`;
    const store = await openStore(url);
    await store.migrate();
    await addNodes(store, 7, 1, [nodeOf(1)]);
    await store.close();
    const file = join(processes.directory, "lars.gz");
    await larsOk(processes, "backup", file, "--store", url);
    const driver = await openDriver(url);
    try {
      await driver.run(function* (): Script<void> {
        yield { sql: "DROP TABLE ReportGap" };
      });
      const refused = await lars(processes, "restore", file, "--store", url);
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, /is in use, table RouteData has rows: give --replace/);
      const tables = await driver.run(function* (): Script<readonly SqlRow[]> {
        return yield { sql: "SELECT name FROM sqlite_master WHERE name = 'ReportGap'" };
      });
      assert.deepEqual(tables, []);
    } finally {
      await driver.close();
    }
  });
});

test("from an embedded database into MariaDB", withMaria, async (t) => {
  await withTestDatabase(t, async (url) => {
    await withProcesses((processes) =>
      backAndForth(processes, `sqlite:${processes.directory}/one.db`, url)
    );
  });
});

test("from MariaDB into an embedded database", withMaria, async (t) => {
  await withTestDatabase(t, async (url) => {
    await withProcesses((processes) =>
      backAndForth(processes, url, `sqlite:${processes.directory}/two.db`)
    );
  });
});
