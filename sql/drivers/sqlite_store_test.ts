import assert from "node:assert/strict";
import { once } from "node:events";
import { statSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { sleep } from "../../reactor/time/clock.ts";
import { StoreError } from "../../reactor/errors.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { withTempDir } from "../../tests/support/temp_dir.ts";
import { until } from "../../tests/support/until.ts";
import { openDriver, openStore } from "../open_store.ts";
import { testStoreConformance, withStore } from "../testing/store_conformance.ts";
import { LOG_BYTES_MAX, LOG_PAGES_MAX } from "./sqlite_checkpoints.ts";
import type { Script } from "./sql_script.ts";

function pathOf(url: string): string {
  return url.slice("sqlite:".length);
}

function execute(url: string, ...statements: string[]): Promise<Record<string, unknown>[]> {
  const database = new DatabaseSync(pathOf(url), { timeout: 2000 });
  try {
    const rows = statements.map((sql) => database.prepare(sql).all());
    return Promise.resolve((rows.at(-1) ?? []) as Record<string, unknown>[]);
  } finally {
    database.close();
  }
}

testStoreConformance({
  name: "sqlite",
  withDatabase: (_test, fn) => withTempDir((path) => fn(`sqlite:${join(path, "a/b/lars.db")}`)),
  execute,
});

test("sqlite store waits for another writer, then fails as transient", async () => {
  await withTempDir(async (path) => {
    const url = `sqlite:${join(path, "lars.db")}`;
    await withStore(url, async (store) => {
      await store.migrate();
      const other = new DatabaseSync(join(path, "lars.db"));
      other.exec("BEGIN IMMEDIATE");
      const edit = { op: "add", modId: 1, cmdId: 1, ip: 1, port: 1 } as const;
      await assert.rejects(store.editRoutes([edit]), (error: unknown) => {
        assert.ok(error instanceof StoreError && error.transient);
        assert.match(error.message, /Could not edit the routes in sqlite:.*locked/);
        return true;
      });
      assert.equal((await store.routeMark()).version, 0, "reads do not wait");
      const late = store.editRoutes([edit]);
      await sleep(systemClock, 100);
      other.exec("COMMIT");
      assert.equal((await late).changed.length, 1);
      other.close();
    }, { queryTimeoutMs: 300 });
  });
});

test("many calls that wait for another writer hold up nothing else of the process", async () => {
  await withTempDir(async (path) => {
    const url = `sqlite:${join(path, "lars.db")}`;
    await withStore(url, async (store) => {
      await store.migrate();
      const other = new DatabaseSync(join(path, "lars.db"));
      other.exec("BEGIN EXCLUSIVE");
      const calls = Array.from({ length: 20 }, (_, index) => {
        const edit = { op: "add", modId: 1, cmdId: 1, ip: index, port: 1 } as const;
        return store.editRoutes([edit]).then(() => "written", () => "given up");
      });
      // Each turn of the loop is a chance for others. With a wait in the driver there are few of
      // them: twenty calls that wait 50 ms each leave one in a second.
      let turns = 0;
      const endMs = systemClock.nowMs() + 1000;
      while (systemClock.nowMs() < endMs && turns < 100) {
        await sleep(systemClock, 1);
        turns++;
      }
      assert.equal(turns, 100);
      other.exec("ROLLBACK");
      other.close();
      assert.deepEqual(new Set(await Promise.all(calls)), new Set(["written"]));
    }, { queryTimeoutMs: 20_000 });
  });
});

test("the log of a database is moved into it by another thread, again and again", async () => {
  await withTempDir(async (path) => {
    const file = join(path, "lars.db");
    const sizes: number[] = [];
    await withStore(`sqlite:${file}`, async (store) => {
      await store.migrate();
      const rows = Array.from({ length: 200 }, (_, index) => ({
        ...{ modId: 1, cmdId: 1, ip: index, port: 80, caller: 1, succCount: index, errCount: 0 },
        ...{ ts: 1_700_000_000, overload: false, succTotal: index, errTotal: 0 },
      }));
      for (let round = 0; round < 2; round++) {
        let most = 0;
        // Writes go on while it is moved.
        await until(async () => {
          await store.writeCallStatus(rows.map((row) => ({ ...row, ts: row.ts + sizes.length })));
          const { size } = statSync(`${file}-wal`);
          sizes.push(size);
          most = Math.max(most, size);
          return most > LOG_BYTES_MAX / 2 && size < LOG_BYTES_MAX / 4;
        }, {
          what: () => `a log that begins anew, of ${most} bytes`,
          timeoutMs: 60_000,
          intervalMs: 0,
        });
        assert.ok(most < LOG_PAGES_MAX * 4096 / 2, "not by SQLite itself");
      }
      assert.equal((await store.readCallStatus()).length, 200);
    });
  });
});

test("sqlite store reads all of a text with a NUL, on every runtime", async () => {
  await withTempDir(async (path) => {
    await withStore(`sqlite:${join(path, "lars.db")}`, async (store) => {
      await store.migrate();
      const texts = ["a\0b", "a\0c", "\0", "plain"];
      const events = texts.map((text) => ({ atMs: 1, kind: "x", text }));
      await store.addEvents(events);
      const read = (await store.readEvents()).map(({ text }) => text);
      assert.deepEqual(read, ["a\uFFFDb", "a\uFFFDc", "\uFFFD", "plain"]);
    });
  });
});

test("sqlite store says what is wrong with a file", async () => {
  await withTempDir(async (path) => {
    const file = join(path, "lars.db");
    writeFileSync(file, "this is no database, and long enough to be told apart".repeat(30));
    const store = await openStore(`sqlite:${file}`);
    await assert.rejects(store.ping(), (error: unknown) => {
      assert.ok(error instanceof StoreError && !error.transient && error.refusal === "unusable");
      assert.match(error.message, /Could not reach the database in sqlite:.*not a database/);
      return true;
    });
    await store.close();
    const blocked = await openStore(`sqlite:${join(file, "below/lars.db")}`);
    await assert.rejects(
      blocked.ping(),
      (error) => error instanceof StoreError && error.refusal === "unusable",
    );
    await blocked.close();
  });
});

test("sqlite store without tables fails for good and names the cure", async () => {
  await withTempDir(async (path) => {
    await withStore(`sqlite:${join(path, "lars.db")}`, async (store) => {
      assert.equal(await store.schemaVersion(), 0);
      assert.deepEqual(await store.instances(), []);
      await assert.rejects(store.routeMark(), (error: unknown) => {
        assert.ok(error instanceof StoreError && !error.transient);
        assert.match(error.message, /no such table: .*migrations/);
        return true;
      });
    });
  });
});

test("sqlite store says which tables are not seen that migrations have made", async () => {
  await withTempDir(async (path) => {
    const file = join(path, "lars.db");
    await withStore(`sqlite:${file}`, async (store) => {
      const hidden = (): Promise<string[]> =>
        store.console.hiddenTables(["Module", "AlertRule", "Lease"]);
      assert.deepEqual(await hidden(), [], "nobody has migrated it");
      await store.migrate();
      assert.deepEqual(await hidden(), []);
      const database = new DatabaseSync(file);
      database.exec("DROP TABLE AlertRule; DROP TABLE Event");
      database.close();
      assert.deepEqual(await hidden(), ["AlertRule"]);
      assert.deepEqual(await store.readEvents(), []);
      const event = { atMs: 1, kind: "test.hidden", text: "" };
      await assert.rejects(store.addEvents([event]), (error: unknown) => {
        assert.ok(error instanceof StoreError && error.refusal === "schema");
        assert.match(error.message, /Table Event is missing, or hidden .*reporter\.sql, web\.sql/);
        return true;
      });
    });
  });
});

test("a store that nobody closes ends no program when it is collected", async () => {
  await withTempDir(async (path) => {
    const leave = async (name: string): Promise<void> => {
      await (await openStore(`sqlite:${join(path, name)}`)).migrate();
    };
    for (let index = 0; index < 10; index++) await leave(`${index}.db`);
    // Bun ends a program then whose file objects are still open; nothing else can be told to collect.
    const collector = globalThis as { Bun?: { gc(isSync: boolean): void } };
    for (let turn = 0; turn < 3; turn++) {
      collector.Bun?.gc(true);
      await sleep(systemClock, 20);
    }
  });
});

test("a long script of statements without a transaction gives others their turn", async () => {
  await withTempDir(async (path) => {
    const driver = await openDriver(`sqlite:${join(path, "lars.db")}`);
    // Of others it is connections that count: timers have their turn sooner.
    const server = createServer((socket) => void socket.pipe(socket));
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = server.address() as AddressInfo;
    let echoes = 0;
    const client = connect(port, "127.0.0.1", () => client.write("x"));
    client.on("data", () => {
      echoes++;
      client.write("x");
    });
    const sql = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 20000) " +
      "SELECT count(*) + ? AS value FROM c";
    const values = await driver.run(function* (): Script<number[]> {
      const all: number[] = [];
      for (let value = 0; value < 100; value++) {
        const [row] = yield { sql, params: [value] };
        all.push(Number(row.value));
      }
      return all;
    });
    const heard = echoes;
    client.destroy();
    server.close();
    assert.deepEqual(values, Array.from({ length: 100 }, (_, value) => 20_000 + value));
    assert.ok(heard >= 3, `${heard} echoes while the script ran`);
    const late = driver.run(function* (): Script<void> {
      for (let value = 0; value < 100; value++) yield { sql: "SELECT 1" };
    });
    await driver.close();
    await assert.rejects(late, /the store is closed/);
  });
});
