// Goal: what only a real Galera cluster does is taken as it is meant. Method: three nodes on this
// machine, conflicts between two of them, limits of theirs, one that lags, and one without quorum.

import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreError } from "../../reactor/errors.ts";
import { silentLogger } from "../../reactor/log.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { noGaleraReason, statusOf, withGalera } from "../../tests/support/galera.ts";
import { type MariaDb, runAdmin } from "../../tests/support/mariadb.ts";
import { until } from "../../tests/support/until.ts";
import type { Store } from "../store.ts";
import { withStore } from "../testing/store_conformance.ts";
import { MysqlDriver } from "./mysql_store.ts";
import { rowsScript } from "./sql_script.ts";
import { parseStoreUrl } from "./store_url.ts";

const hostOf = ({ port }: MariaDb): string => `127.0.0.1:${port}`;

/** Url of a store over several nodes, in this order. */
function urlOf(...nodes: readonly MariaDb[]): string {
  return `mysql://lars:pw@${nodes.map(hostOf).join(",")}/lars`;
}

function driverOf(url: string): MysqlDriver {
  const parsed = parseStoreUrl(url);
  assert.ok(parsed.dialect === "mysql");
  return new MysqlDriver(parsed, {
    ...{ queryTimeoutMs: 5000, connectTimeoutMs: 3000, connectionsMax: 2 },
    ...{ clock: systemClock, log: silentLogger },
  });
}

/** Port of the node that a driver asks. */
async function portOf(driver: MysqlDriver): Promise<number> {
  const [row] = await driver.run(() => rowsScript("SELECT @@port AS port"));
  return Number(row.port);
}

/** Port of the node that a driver with this url would use first. */
async function firstPort(url: string): Promise<number> {
  const driver = driverOf(url);
  try {
    return await portOf(driver);
  } finally {
    await driver.close();
  }
}

/** 1213 comes from COMMIT, or from any later statement: each edit is made all the same. */
async function editThroughTwo(one: Store, two: Store): Promise<void> {
  const [writers, each] = [4, 10];
  await Promise.all(Array.from({ length: writers }, async (_, writer) => {
    for (let index = 0; index < each; index++) {
      const edit = { op: "add", modId: 1, cmdId: 1, ip: writer * each + index, port: 80 } as const;
      const { changed } = await (writer % 2 === 0 ? one : two).editRoutes([edit]);
      assert.equal(changed.length, 1);
    }
  }));
  await until(async () => {
    let rows = 0;
    await two.readRoutes((page) => void (rows += page.length));
    return rows === writers * each;
  }, { what: "all rows at the second node" });
}

/** 1180 for a transaction of too many rows: it is divided, not repeated for ever. */
async function writeBeyondLimit(node: MariaDb, store: Store): Promise<void> {
  await runAdmin(node.url, "SET GLOBAL wsrep_max_ws_rows = 100");
  const rows = Array.from({ length: 450 }, (_, index) => ({
    ...{ modId: 2, cmdId: 1, ip: index, port: 80, caller: 1, succCount: index, errCount: 0 },
    ...{ ts: 1_700_000_000, overload: false, succTotal: index, errTotal: 0 },
  }));
  try {
    assert.deepEqual(await store.writeCallStatus(rows), [], "no row is refused");
  } finally {
    await runAdmin(node.url, "SET GLOBAL wsrep_max_ws_rows = 0");
  }
  const [{ n }] = await runAdmin(node.url, "SELECT COUNT(*) AS n FROM lars.ServerCallStatus");
  assert.equal(Number(n), rows.length);
}

/** What a backup does: a node is let behind, and says that it is ready. */
async function startAtLagging(one: MariaDb, two: MariaDb, three: MariaDb): Promise<void> {
  assert.equal(await firstPort(urlOf(two, one)), two.port, "the first of the url");
  const { createConnection } = await import("mysql2/promise");
  const backups = await Promise.all(
    [two, three].map(({ url }) => createConnection({ uri: url })),
  );
  const [atTwo, atThree] = backups;
  await atTwo.query("FLUSH TABLES WITH READ LOCK");
  await until(async () => await statusOf(two, "wsrep_local_state") !== "4", { what: "the desync" });
  assert.equal(await statusOf(two, "wsrep_ready"), "ON");
  const [elsewhere, kept] = [driverOf(urlOf(two, one)), driverOf(urlOf(one, two))];
  assert.equal(await portOf(elsewhere), one.port, "one that lags is passed over");
  assert.equal(await portOf(kept), one.port);
  await withStore(
    urlOf(one),
    (store) => store.editRoutes([{ op: "add", modId: 9, cmdId: 9, ip: 1, port: 80 }]),
  );
  await withStore(urlOf(two, one), async (store) => {
    const rows = await store.readModules([{ modId: 9, cmdId: 9 }]);
    assert.equal(rows.length, 1, "whoever starts reads what was written last");
  });
  await atThree.query("FLUSH TABLES WITH READ LOCK");
  await until(async () => await statusOf(three, "wsrep_local_state") !== "4", { what: "both" });
  // The third has the edit above, which the second lacks.
  assert.equal(await firstPort(urlOf(two, three)), three.port, "where all lag, the furthest");
  for (const backup of backups) {
    await backup.query("UNLOCK TABLES");
    await backup.end();
  }
  for (const node of [two, three]) {
    await until(async () => await statusOf(node, "wsrep_local_state") === "4", {
      what: "the rest",
    });
  }
  assert.equal(await firstPort(urlOf(two, one)), two.port, "and is taken again");
  await until(async () => await portOf(elsewhere) === two.port, {
    what: "the way back of who went to the second of its url",
  });
  assert.equal(await portOf(kept), one.port, "who is at the first stays there");
  for (const driver of [elsewhere, kept]) await driver.close();
}

test("a real Galera cluster: conflicts, limits, a node that lags, and one without quorum", {
  timeout: 400_000,
  skip: noGaleraReason() ?? false,
}, async () => {
  await withGalera(3, async (nodes) => {
    const [one, two, three] = nodes;
    await runAdmin(one.url, "CREATE DATABASE lars");
    await withStore(urlOf(one), async (store) => {
      await store.migrate();
      await until(async () => {
        const found = await runAdmin(two.url, "SHOW TABLES FROM lars LIKE 'ReportMark'");
        return found.length === 1;
      }, { what: "the tables at the second node" });
      await withStore(urlOf(two), (other) => editThroughTwo(store, other));
      await writeBeyondLimit(one, store);
    });
    await startAtLagging(one, two, three);
    await two.kill9();
    await three.kill9();
    await until(async () => await statusOf(one, "wsrep_ready") === "OFF", {
      timeoutMs: 40_000,
      what: "the loss of the quorum",
    });
    for (const url of [urlOf(one), urlOf(two, one)]) {
      await withStore(url, async (store) => {
        await assert.rejects(
          store.routeMark(),
          (error) => error instanceof StoreError && error.transient,
        );
      });
    }
  });
});
