import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { StoreError } from "../../reactor/errors.ts";
import {
  findProgram,
  type MariaDb,
  noPrivateServerReason,
  runAdmin,
  withPrivateMariaDb,
} from "../../tests/support/mariadb.ts";
import { accountName, GRANTED_SERVICES, type GrantedService, grantFile } from "../grants/grants.ts";
import { migrationsOf } from "./migrations.ts";
import { withStore } from "../testing/store_conformance.ts";
import type { LeaseRow } from "../../model/lease.ts";
import type { AuditEntry } from "../console/console_store.ts";
import type { LeaseEdits } from "../leases/lease_store.ts";
import type { RouteRow, Store } from "../store.ts";

// The original files drop and create the database lars_dns, so they run on a private server only.

/** Servers start slowly on a loaded machine. */
const CLIENT = findProgram("mariadb") ?? findProgram("mysql");
const SLOW = {
  timeout: 120_000,
  skip: noPrivateServerReason() ??
    (CLIENT === undefined ? "no command line client of MariaDB or MySQL is installed" : false),
};

function fixture(name: string): string {
  return readFileSync(fileURLToPath(new URL(`../original/${name}`, import.meta.url)), "utf8");
}

/** Runs a file the way the original tells its users to: through the command line client. */
function runFile(server: MariaDb, name: string): void {
  assert.ok(CLIENT !== undefined);
  execFileSync(CLIENT, [
    "--no-defaults",
    "--host=127.0.0.1",
    `--port=${server.port}`,
    "--user=lars",
    "--password=pw",
  ], { input: fixture(name), stdio: "pipe" });
}

function withOriginal(
  t: TestContext,
  fn: (server: MariaDb, url: string) => Promise<void>,
): Promise<void> {
  return withPrivateMariaDb(t, async (server) => {
    runFile(server, "lars_dns.sql");
    await fn(server, `${server.url}/lars_dns`);
  });
}

async function allRoutes(store: Store): Promise<RouteRow[]> {
  const routes: RouteRow[] = [];
  await store.readRoutes((rows) => void routes.push(...rows));
  return routes;
}

const INSERTED = [[1, 1, 3232235953, 7777], [1, 2, 3232235954, 7776], [1, 2, 3232235955, 7778], [
  1,
  2,
  3232235956,
  7779,
]].map(([modId, cmdId, ip, port]) => ({
  modId,
  cmdId,
  ip,
  port,
  weight: 100,
  zone: "",
  state: "on",
}));

/** What the original C++ reporter sends, with its unsigned numbers for signed columns left out. */
const CPP_STATUS = "INSERT INTO ServerCallStatus" +
  "(modid, cmdid, ip, port, caller, succ_cnt, err_cnt, ts, overload) " +
  "VALUES (1, 2, 1, 7777, 2130706433, 10, 20, 1700000000, 1) ON DUPLICATE KEY " +
  "UPDATE succ_cnt = 11, err_cnt = 21, ts = 1700000001, overload = 0";

const VERSION = migrationsOf("mysql").at(-1)?.version;

function isPermanent(error: unknown): boolean {
  assert.ok(error instanceof StoreError, String(error));
  assert.equal(error.transient, false, error.message);
  return true;
}

test("a store works on the original schema as it is", SLOW, async (t) => {
  await withOriginal(t, async (server, url) => {
    runFile(server, "dns_route_insert.sql");
    await withStore(url, async (store) => {
      assert.equal(await store.schemaVersion(), 0);
      assert.deepEqual(await allRoutes(store), INSERTED);
      assert.deepEqual(await store.readModules([{ modId: 1, cmdId: 1 }]), INSERTED.slice(0, 1));
      const mark = await store.routeMark();
      runFile(server, "test_insert_dns_route.sql");
      assert.deepEqual(await store.changedModules(mark.changeIdMax), [{ modId: 1, cmdId: 1 }]);
      const node = { modId: 5, cmdId: 6, ip: 7, port: 8 };
      const edit = await store.editRoutes([{ op: "add", ...node }]);
      assert.ok(edit.version > (mark.version || 0));
      await assert.rejects(
        store.editRoutes([{ op: "set", ...node, weight: 3 }]),
        (error) => isPermanent(error) && /run the migrations/.test(String(error)),
      );
      await store.editRoutes([{ op: "remove", ...node }]);
      const row = { ...node, caller: 9, succCount: 1, errCount: 2, ts: 3, overload: true };
      await store.writeCallStatus([{ ...row, succTotal: 100, errTotal: 200 }]);
      assert.deepEqual(await store.readCallStatus(), [row]);
      const instance = {
        kind: "dns",
        address: "a",
        software: "",
        startedAt: 1,
        seenAt: 1,
        detail: {},
      } as const;
      await assert.rejects(store.heartbeat(instance), isPermanent);
      await store.forgetInstance("dns", "a");
      assert.deepEqual(await store.instances(), []);
    });
  });
});

test("the original files and statements run on a migrated schema", SLOW, async (t) => {
  await withOriginal(t, async (server, url) => {
    await withStore(url, async (store) => {
      const { applied, version } = await store.migrate();
      assert.equal(applied.length, migrationsOf("mysql").length);
      assert.equal(version, VERSION);
      runFile(server, "dns_route_insert.sql");
      assert.deepEqual(await allRoutes(store), INSERTED);
      const before = await store.routeMark();
      runFile(server, "test_insert_dns_route.sql");
      const after = await store.routeMark();
      assert.equal(after.changeIdMax, before.changeIdMax + 1);
      assert.equal((await allRoutes(store)).length, 5);
      for (let round = 0; round < 2; round++) await runAdmin(url, CPP_STATUS);
      const [status] = await store.readCallStatus();
      assert.equal(status.succCount, 11);
      assert.equal(status.succTotal, 0);
      await store.editRoutes([{ op: "set", ...INSERTED[0], weight: 5, zone: "z", state: "off" }]);
      runFile(server, "dns_route_drop.sql");
      assert.deepEqual(await allRoutes(store), []);
    });
  });
});

test(
  "tables created anew by the original file are read at once, and mended by migrate()",
  SLOW,
  async (t) => {
    await withOriginal(t, async (server, url) => {
      await withStore(url, async (store) => {
        await store.migrate();
        await store.editRoutes([{ op: "add", ...INSERTED[0], weight: 5, zone: "", state: "on" }]);
        // The file drops the whole database under the open connections.
        runFile(server, "lars_dns.sql");
        runFile(server, "dns_route_insert.sql");
        assert.deepEqual(await allRoutes(store), INSERTED);
        assert.equal(await store.schemaVersion(), 0);
        assert.equal((await store.migrate()).version, VERSION);
        await store.editRoutes([{ op: "set", ...INSERTED[1], weight: 7 } as never]);
        assert.equal((await allRoutes(store))[1].weight, 7);
      });
    });
  },
);

const COLUMNS_SQL = "SELECT table_name AS t, column_name AS c, column_type AS type, " +
  "is_nullable AS nullable, column_default AS preset, extra, column_key AS k, " +
  "collation_name AS collation FROM information_schema.columns WHERE table_schema = DATABASE() " +
  "AND table_name IN ('RouteData', 'RouteVersion', 'RouteChange', 'ServerCallStatus') " +
  "ORDER BY table_name, ordinal_position";

test("migrate() makes the original columns exactly, ours come after them", SLOW, async (t) => {
  await withOriginal(t, async (server, url) => {
    // The latest sources of the original have addresses unsigned; so has every migrated table.
    const original = (await runAdmin(url, COLUMNS_SQL)).map((column) =>
      column.t === "ServerCallStatus" && ["ip", "port", "caller"].includes(String(column.c))
        ? { ...column, type: String(column.type).replace(/ unsigned$/, "") + " unsigned" }
        : column
    ).map((column) => ({ ...column, type: String(column.type).replace("int(10)", "int(11)") }));
    await runAdmin(server.url, "CREATE DATABASE fresh");
    for (const migrated of [`${server.url}/fresh`, url]) {
      await withStore(migrated, (store) => store.migrate());
      const columns = await runAdmin(migrated, COLUMNS_SQL);
      const ours = ["weight", "zone", "state", "meant", "succ_total", "err_total"];
      const theirs = columns.filter((column) => !ours.includes(String(column.c)));
      // Our index makes modid a key column; nothing else may differ.
      const plain = theirs.map((column) =>
        column.t === "RouteData" && column.c === "modid" ? { ...column, k: "" } : column
      );
      const sameCharset = (rows: Record<string, unknown>[]): unknown =>
        rows.map(({ collation: _, ...rest }) => ({
          ...rest,
          type: String(rest.type).replace("int(10)", "int(11)"),
        }));
      assert.deepEqual(sameCharset(plain), sameCharset(original));
      assert.deepEqual(
        columns.filter((column) => column.t === "RouteData").map((column) => column.c),
        ["id", "modid", "cmdid", "serverip", "serverport", "weight", "zone", "state"],
      );
      assert.deepEqual(
        columns.filter((column) => column.t === "ServerCallStatus").slice(-2).map((row) => row.c),
        ["succ_total", "err_total"],
      );
    }
    const [row] = await runAdmin(url, "SELECT * FROM RouteVersion");
    assert.deepEqual({ ...row }, { id: 1, version: 0 });
    await runAdmin(
      url,
      "INSERT INTO RouteData(modid, cmdid, serverip, serverport) VALUES(1,2,3,4)",
    );
    const [route] = await runAdmin(url, "SELECT * FROM RouteData");
    assert.deepEqual(Object.values(route).slice(1), [1, 2, 3, 4, 100, "", "on"]);
  });
});

test("the grants of each service are enough, and no more", SLOW, async (t) => {
  await withOriginal(t, async (server, url) => {
    await withStore(url, (store) => store.migrate());
    for (const service of GRANTED_SERVICES.filter((one) => one !== "all")) {
      await runAdmin(server.url, `CREATE USER ${accountName(service)} IDENTIFIED BY 'pw'`);
      const path = new URL(`../grants/${service}.sql`, import.meta.url);
      const file = readFileSync(fileURLToPath(path), "utf8");
      assert.equal(file, grantFile(service), "deno task files makes it");
      const grants = [...file.matchAll(/^GRANT .*;$/gm)].map(([line]) => line);
      for (const grant of grants) await runAdmin(server.url, grant.slice(0, -1));
    }
    const as = <T>(service: GrantedService, fn: (store: Store) => Promise<T>): Promise<T> =>
      withStore(url.replace("lars:pw", `lars_${service}:pw`), fn);
    const node = { modId: 1, cmdId: 1, ip: 1, port: 1 };
    const status = { ...node, caller: 1, succCount: 1, errCount: 0, ts: 1, overload: false };
    const instance = { address: "a", software: "", startedAt: 1, seenAt: 1, detail: {} };
    await as("migrate", (store) => store.migrate());
    await as("web", async (store) => {
      await store.editRoutes([{ op: "add", ...node, weight: 3 }]);
      await store.editRoutes([{ op: "set", ...node, zone: "z" }]);
      await store.setModules([{ ...node, policy: "{}" }]);
      await store.setModules([{ ...node, name: "n" }, { modId: 2, cmdId: 2, name: "m" }]);
      await store.setModules([{ modId: 2, cmdId: 2, name: "" }]);
      await store.confirmRoutes([node]);
      assert.equal((await store.instances()).length, 0);
      assert.equal((await store.readCallStatus()).length, 0);
      await assert.rejects(store.writeCallStatus([status]), isPermanent);
      await assert.rejects(store.migrate(), isPermanent);
    });
    await as("dns", async (store) => {
      assert.equal(await store.schemaVersion(), VERSION);
      assert.equal((await allRoutes(store))[0].zone, "z");
      assert.equal((await store.routeMark()).changeCount, 7);
      assert.equal((await store.changedModules(0)).length, 2);
      assert.deepEqual((await store.moduleRows()).map(({ meant }) => meant !== ""), [true, false]);
      assert.deepEqual((await store.moduleRows()).map(({ name, policy }) => name + policy), [
        "n{}",
        "",
      ]);
      await assert.rejects(store.setModules([{ ...node, name: "x" }]), isPermanent);
      await store.heartbeat({ ...instance, kind: "dns" });
      await store.forgetInstance("dns", "a");
      await assert.rejects(store.editRoutes([{ op: "remove", ...node }]), isPermanent);
    });
    await as("reporter", async (store) => {
      await store.writeCallStatus([{ ...status, succTotal: 1 }]);
      await store.writeCallStatus([status]);
      const refused = { overload: 1, unusable: 0, noNode: 0, noRoute: 0 };
      await store.writeCallStatus([{ ...status, ip: 0, port: 0, refused }]);
      await store.writeCallStatus([{ ...status, ip: 0, port: 0, refused }]);
      assert.equal((await store.readRefused()).length, 1);
      await store.heartbeat({ ...instance, kind: "reporter" });
      assert.equal((await store.readCallStatus())[0].succTotal, 1);
      await assert.rejects(allRoutes(store), isPermanent);
      const bucket = {
        ...status,
        atSeconds: 10,
        reportCount: 1,
        overloadCount: 0,
        timedCount: 1,
        timeMsSum: 9,
        refusedCount: 0,
      };
      await store.writeCallHistory(1, [bucket, { ...bucket, ip: 0, port: 0, caller: 0 }]);
      await store.rollUpCallHistory({ nowSeconds: 7200 });
      await store.rollUpCallHistory({ nowSeconds: 900 * 86_400 });
      await store.addEvents([{ atMs: 1, kind: "x", text: "" }]);
      await store.pruneEvents({ nowMs: 1 });
    });
    await as("relay", async ({ mail }) => {
      const message = { name: "a", sender: "b", id: "1", data: new Uint8Array(3) };
      const times = { sentAtMs: 1000, expiresAtMs: 2000 };
      const limits = { messagesMax: 9, bytesMax: 99, totalMessagesMax: 9, totalBytesMax: 99 };
      await mail.put([{ ...message, ...times }, { ...message, ...times, id: "2" }], limits, 1);
      await mail.open("a", 1);
      assert.equal((await mail.read("a", 0, 9, 1500)).mail.length, 2);
      assert.equal(await mail.take("a", 1), 1);
      assert.equal((await mail.prune(3000, 3000)).expired, 1);
      assert.equal((await mail.list(9)).boxes.length, 1);
    });
    await as("discovery", async (store) => {
      const { leases } = store;
      const key = { modId: 9, cmdId: 9, ip: 1, port: 1 };
      const route = { weight: 1, zone: "", state: "on" } as const;
      const row: LeaseRow = {
        ...{ ...key, incarnation: 1, holder: 1, phase: "live", ttlMs: 1000, weight: 1, zone: "" },
        ...{ source: "lars", owner: "", note: "", check: "", sinceS: 1, written: route, hand: {} },
      };
      const audit: AuditEntry = {
        ...{ atMs: 1, who: "d", action: "lease.change", target: "", outcome: "done" },
        ...{ detail: "", address: "" },
      };
      const change = (edits: Partial<LeaseEdits>) =>
        leases.change({
          nodes: [key],
          decide: () => ({ leases: [], routes: [], modules: [], audit, ...edits }),
        });
      await change({
        leases: [row],
        routes: [{ op: "add", ...key }],
        modules: [{ modId: 9, cmdId: 9, policy: "{}" }],
      });
      await change({ leases: [{ ...row, phase: "gone" }], routes: [{ op: "remove", ...key }] });
      await leases.since(0, 9);
      await leases.foreignChanges(0, []);
      await leases.beat({ id: 1, address: "", beat: 1 });
      await leases.putGuard(1, [{
        ...{ holder: 1, modId: 9, cmdId: 9, heldCount: 1, liveCount: 1, sinceS: 1 },
        isConfirmed: false,
      }]);
      await leases.forgetHolder(1);
      await leases.prune();
      await store.heartbeat({ ...instance, kind: "discovery" });
      await store.forgetInstance("discovery", "a");
      await store.addEvents([{ atMs: 1, kind: "x", text: "" }]);
      await store.instances(["dns"]);
      await assert.rejects(store.writeCallStatus([status]), isPermanent);
    });
    await as("web", async (store) => {
      await store.leases.list({}, 9);
      await store.leases.guard();
      const range = { fromSeconds: 0, toSeconds: 10, stepSeconds: 10 };
      assert.deepEqual((await store.readCallHistory(range)).points, []);
      await store.addEvents([{ atMs: 1, kind: "x", text: "" }]);
      assert.equal((await store.readEvents()).length, 3);
    });
  });
});

test(
  "migrate() turns signed addresses of results unsigned, and keeps every row",
  SLOW,
  async (t) => {
    await withOriginal(t, async (server, url) => {
      await runAdmin(
        url,
        "ALTER TABLE ServerCallStatus MODIFY ip int(11) NOT NULL, MODIFY port int(11) NOT NULL, " +
          "MODIFY caller int(11) NOT NULL",
      );
      await withStore(url, async (store) => {
        const addresses = [1, 0x7fff_ffff, 0x8000_0000, 0xc0a8_01b1, 0xffff_ffff];
        const rows = (modId: number) =>
          addresses.flatMap((ip) =>
            addresses.map((caller) => ({
              ...{ modId, cmdId: 1, ip, port: 7777, caller, succCount: 3, errCount: 1, ts: 9 },
              overload: ip > caller,
            }))
          );
        const read = async (): Promise<string[]> =>
          (await store.readCallStatus()).map((row) =>
            JSON.stringify([row.modId, row.ip, row.caller, row.succCount, row.overload])
          ).sort();
        const wanted = (...modIds: number[]): string[] =>
          modIds.flatMap(rows).map((row) =>
            JSON.stringify([row.modId, row.ip, row.caller, row.succCount, row.overload])
          ).sort();
        assert.deepEqual(await store.writeCallStatus(rows(0xffff_ffff)), []);
        const [stored] = await runAdmin(url, "SELECT MIN(ip) AS least FROM ServerCallStatus");
        assert.equal(Number(stored.least), -0x8000_0000, "as our reporter wrote them");
        // Pages of what nodes were called, in the order of the table, whichever it is.
        const paged = async (): Promise<number> => {
          const nodes = new Set<string>();
          let page = await store.console.nodeCalls(0, undefined, 2);
          while (page.length > 0 && nodes.size < 1000) {
            for (const { modId, ip } of page) nodes.add(`${modId} ${ip}`);
            page = await store.console.nodeCalls(0, page.at(-1), 2);
          }
          return nodes.size;
        };
        assert.equal(await paged(), addresses.length);
        await withStore(url, (other) => other.migrate());
        assert.deepEqual(await read(), wanted(0xffff_ffff));
        // The store that runs knows only now that the columns are others.
        assert.deepEqual(await store.writeCallStatus(rows(5)), []);
        assert.deepEqual(await read(), wanted(0xffff_ffff, 5));
        assert.equal(await paged(), 2 * addresses.length);
        const [after] = await runAdmin(url, "SELECT MIN(ip) AS least FROM ServerCallStatus");
        assert.equal(Number(after.least), 1);
        assert.deepEqual((await withStore(url, (other) => other.migrate())).applied, []);
        void server;
      });
    });
  },
);

/** What the latest sources of the original have beside the tables of the tutorial. */
const LATEST_TABLES = [
  "ALTER TABLE ServerCallStatus MODIFY ip int(11) unsigned NOT NULL, " +
  "MODIFY port int(11) unsigned NOT NULL, MODIFY caller int(11) unsigned NOT NULL",
  "CREATE TABLE ModIDConfig (id int(10) unsigned NOT NULL AUTO_INCREMENT, " +
  "modid int(10) unsigned NOT NULL, content char(255) NOT NULL, PRIMARY KEY (id)) CHARSET=utf8",
  "CREATE TABLE CmdIDConfig (id int(10) unsigned NOT NULL AUTO_INCREMENT, " +
  "cmdid int(10) unsigned NOT NULL, content char(255) NOT NULL, PRIMARY KEY (id)) CHARSET=utf8",
];

test(
  "a store works on the latest schema of the original, as it is and migrated",
  SLOW,
  async (t) => {
    await withOriginal(t, async (server, url) => {
      await runAdmin(url, ...LATEST_TABLES);
      runFile(server, "dns_route_insert.sql");
      await runAdmin(url, "INSERT INTO ModIDConfig(modid, content) VALUES(1, 'pay')");
      await runAdmin(url, CPP_STATUS.replace("(1, 2, 1,", "(1, 2, 3232235953,"));
      const [before] = await runAdmin(url, "SELECT COUNT(*) AS n FROM ServerCallStatus");
      assert.equal(Number(before.n), 1);
      const row = { modId: 1, cmdId: 2, ip: 0xc0a8_01b1, port: 7777, caller: 0xc0a8_0101 };
      const status = { ...row, succCount: 5, errCount: 0, ts: 3, overload: false };
      await withStore(url, async (store) => {
        for (let round = 0; round < 2; round++) {
          assert.deepEqual(await allRoutes(store), INSERTED);
          assert.deepEqual(await store.writeCallStatus([status]), []);
          const found = (await store.readCallStatus()).map(({ ip, caller }) => [ip, caller]);
          assert.deepEqual(found, [[row.ip, 2_130_706_433], [row.ip, row.caller]]);
          const { modules } = await store.console.originalNames();
          assert.deepEqual([...modules], [[1, "pay"]]);
          if (round === 0) assert.equal((await store.migrate()).version, VERSION);
        }
      });
      // What the reporter of the original writes, on what we have migrated.
      await runAdmin(url, CPP_STATUS.replace("(1, 2, 1,", "(1, 2, 4294967295,"));
      const console = "SELECT m.content FROM RouteData r JOIN ModIDConfig m ON m.modid = r.modid";
      assert.equal((await runAdmin(url, console)).length, 4);
    });
  },
);
