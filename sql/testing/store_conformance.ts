// Shell. The tests that every kind of store must pass; each driver's test file runs them.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { ConflictError, LimitError, StoreError } from "../../reactor/errors.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { migrationsOf } from "../schema/migrations.ts";
import type { BenchTest, Define } from "./conformance_bench.ts";
import { testHistoryConformance } from "./history_conformance.ts";
import { testLeaseConformance } from "./lease_conformance.ts";
import { testMailConformance } from "./mail_conformance.ts";
import { openStore, type StoreOptions } from "../open_store.ts";
import { ROUTE_CHANGES_MIN } from "../routes/change_pruning.ts";
import {
  type CallStatusRow,
  INSTANCE_ROWS_MAX,
  type ModuleChange,
  type ModuleRow,
  ROUTE_EDITS_MAX,
  type RouteEdit,
  type RouteRow,
  type ServiceInstance,
  type Store,
} from "../store.ts";
import type { ModuleKey } from "../../model/module.ts";
import { markNames, pickableNodes } from "../../model/pickable_nodes.ts";

/** What differs between the databases under test. */
export interface ConformanceTarget {
  /** Prefix of the test names. */
  readonly name: string;
  /** Why the tests cannot run here, if so. */
  readonly skipReason?: string;
  /** Runs `fn` with the url of a fresh database without tables. */
  withDatabase(test: TestContext, fn: (url: string) => Promise<void>): Promise<void>;
  /** Runs statements as a foreign writer would, and gives the rows of the last one. */
  execute(url: string, ...statements: string[]): Promise<Record<string, unknown>[]>;
}

/** Servers start slowly on a loaded machine. */
const TEST_TIMEOUT_MS = 120_000;
const IP = 3_232_235_953;

/** Registers all conformance tests for one kind of database. */
export function testStoreConformance(target: ConformanceTarget): void {
  const define = (name: string, fn: BenchTest): void => {
    test(
      `${target.name}: ${name}`,
      optionsOf(target),
      (t) =>
        target.withDatabase(t, async (url) => {
          await withStore(url, async (store) => {
            await store.migrate();
            await fn({ url, store, execute: (sql) => target.execute(url, sql) });
          });
        }),
    );
  };
  testReads(define);
  testBehind(define);
  testSetBack(define);
  testLoweredByHand(define);
  testEdits(define);
  testEditFaults(define);
  testConcurrency(define);
  testChanges(define);
  testCallStatus(define);
  testInstances(define);
  testSightings(define);
  testModules(define);
  testMeant(define);
  testHistoryConformance(define);
  testLeaseConformance(define);
  testMailConformance(define);
  testMigrations(define);
  testCrashedMigrations(target);
  testClosing(define);
}

function optionsOf(target: ConformanceTarget): { timeout: number; skip: string | false } {
  return { timeout: TEST_TIMEOUT_MS, skip: target.skipReason ?? false };
}

/** Opens a store for `fn` and closes it afterwards. */
export async function withStore<T>(
  url: string,
  fn: (store: Store) => Promise<T>,
  options: StoreOptions = {},
): Promise<T> {
  const store = await openStore(url, options);
  try {
    return await fn(store);
  } finally {
    await store.close();
  }
}

function add(modId: number, cmdId: number, ip = IP, port = 7777): RouteEdit {
  return { op: "add", modId, cmdId, ip, port };
}

function row(modId: number, cmdId: number, ip = IP, port = 7777): RouteRow {
  return { modId, cmdId, ip, port, weight: 100, zone: "", state: "on" };
}

async function allRoutes(store: Store, pageRows?: number): Promise<RouteRow[]> {
  const routes: RouteRow[] = [];
  await store.readRoutes((rows) => void routes.push(...rows), { pageRows });
  return routes;
}

function insertRoute(modId: number, cmdId: number, ip: number, port: number): string {
  return "INSERT INTO RouteData(modid, cmdid, serverip, serverport) " +
    `VALUES(${modId}, ${cmdId}, ${ip}, ${port})`;
}

function testReads(define: Define): void {
  define("readRoutes() gives rows as stored, in order, in pages of any size", async (bench) => {
    const stored = [[1, 1, IP, 7777], [1, 2, 0, 0], [4294967295, 0, 4294967295, 70000], [
      1,
      1,
      IP,
      7777,
    ], [0, 4294967295, 1, 1]];
    for (const [modId, cmdId, ip, port] of stored) {
      await bench.execute(insertRoute(modId, cmdId, ip, port));
    }
    const expected = stored.map(([modId, cmdId, ip, port]) => row(modId, cmdId, ip, port));
    for (const pageRows of [1, 2, 4, 5, 6, undefined, 0, -3, NaN]) {
      assert.deepEqual(await allRoutes(bench.store, pageRows), expected, `pages of ${pageRows}`);
    }
  });

  define("readRoutes() sees one instant, whatever is written meanwhile", async (bench) => {
    await bench.store.editRoutes([1, 2, 3, 4].map((cmdId) => add(1, cmdId)));
    const seen: number[] = [];
    await bench.store.readRoutes(async (rows) => {
      seen.push(...rows.map((route) => route.cmdId));
      if (seen.length !== 1) return;
      await bench.store.editRoutes([{ op: "remove", modId: 1, cmdId: 3, ip: IP, port: 7777 }]);
      await bench.store.editRoutes([add(1, 5)]);
    }, { pageRows: 1 });
    assert.deepEqual(seen, [1, 2, 3, 4]);
    assert.deepEqual((await allRoutes(bench.store)).map((route) => route.cmdId), [1, 2, 4, 5]);
  });

  define("readRoutes() passes on what the reader throws, and goes on working", async (bench) => {
    await bench.store.editRoutes([add(1, 1)]);
    const stop = new Error("enough");
    for (let round = 0; round < 10; round++) {
      await assert.rejects(
        bench.store.readRoutes(() => {
          throw stop;
        }),
        stop,
      );
    }
    assert.equal((await allRoutes(bench.store)).length, 1);
  });

  define("readModules() answers any number of keys", async (bench) => {
    const edits: RouteEdit[] = [];
    for (let index = 0; index < 1200; index++) edits.push(add(index % 7, index));
    await bench.store.editRoutes(edits);
    const keys: ModuleKey[] = edits.map(({ modId, cmdId }) => ({ modId, cmdId }));
    const rows = await bench.store.readModules([...keys, ...keys, { modId: 99, cmdId: 99 }]);
    assert.equal(rows.length, 1200);
    const sorted = [...rows].sort((a, b) => a.modId - b.modId || a.cmdId - b.cmdId);
    assert.deepEqual(rows, sorted);
    assert.deepEqual(await bench.store.readModules([]), []);
    assert.deepEqual(await bench.store.readModules([{ modId: 1, cmdId: 2 }]), []);
    assert.deepEqual(await bench.store.readModules([{ modId: 1, cmdId: 1 }]), [row(1, 1)]);
  });
}

function testBehind(define: Define): void {
  define("reads refuse a server that is behind what was read before", async ({ store }) => {
    const { version } = await store.editRoutes([add(1, 1)]);
    const keys = [{ modId: 1, cmdId: 1 }];
    const rows: RouteRow[] = [];
    const reads = (atLeastVersion: number): (() => Promise<unknown>)[] => [
      () => store.routeMark({ atLeastVersion }),
      () => store.readRoutes((page) => void rows.push(...page), { atLeastVersion }),
      () => store.readModules(keys, { atLeastVersion }),
      () => store.moduleRows(undefined, { atLeastVersion }),
      () => store.moduleRows(keys, { atLeastVersion }),
    ];
    for (const read of reads(version)) await read();
    assert.equal(rows.length, 1);
    for (const read of reads(version + 1)) {
      await assert.rejects(read, (error: unknown) => {
        assert.ok(error instanceof StoreError && error.transient, String(error));
        assert.match(
          error.message,
          new RegExp(`at least ${version + 1},.* value is ${version}\\.`),
        );
        return true;
      });
    }
    assert.equal(rows.length, 1, "nothing came of what is behind");
    assert.equal((await store.readModules(keys)).length, 1, "the store goes on");
  });
}

function testSetBack(define: Define): void {
  define(
    "a database that was set back is known, and counts when somebody says so",
    async (bench) => {
      const { store, execute } = bench;
      await store.editRoutes([add(1, 1)]);
      const keys = [{ modId: 1, cmdId: 1 }];
      const told: unknown[] = [];
      await store.readModules(keys, { onPlan: (plan, newest) => told.push(plan, newest) });
      await store.readRoutes(() => {}, { onPlan: (plan, newest) => told.push(plan, newest) });
      const mark = await store.routeMark();
      const plan = { epoch: 0, version: mark.version };
      const newest = { id: mark.changeIdMax, version: mark.changeVersion };
      assert.deepEqual(told, [plan, newest, plan, newest]);
      const seenChange = { id: mark.changeIdMax + 1, version: mark.version, mustBeThere: false };
      const read = { atLeastVersion: mark.version, seenChange };
      const reads = [
        () => store.routeMark(read),
        () => store.routeMark({ ...read, changeIdMax: mark.changeIdMax - 1 }),
        () => store.readModules(keys, read),
        () => store.readRoutes(() => {}, read),
      ];
      const isLag = (error: unknown): boolean =>
        error instanceof StoreError && error.transient && /must have change.*accept-restored/.test(
          error.message,
        );
      const isRefusal = (error: unknown): boolean =>
        error instanceof StoreError && !error.transient && error.refusal === "setBack" &&
        /accept-restored/.test(error.message);
      for (const one of reads) await assert.rejects(one, isLag, "its changes end before it");
      const insert = (id: number): Promise<unknown> =>
        execute(`INSERT INTO RouteChange(id, modid, cmdid, version) VALUES(${id}, 1, 1, 7)`);
      await insert(seenChange.id + 1);
      for (const one of reads) await assert.rejects(one, isRefusal, "they go on without it");
      await insert(seenChange.id);
      for (const one of reads) await assert.rejects(one, isRefusal, "that change is another one");
      await execute(`DELETE FROM RouteChange WHERE id <= ${seenChange.id}`);
      for (const one of reads) await one();
      seenChange.mustBeThere = true;
      for (const one of reads) await assert.rejects(one, isRefusal, "it had been missed before");
      await execute("DELETE FROM RouteChange");
      for (const one of reads) await assert.rejects(one, isRefusal, "all changes are gone");
      seenChange.mustBeThere = false;
      for (const one of reads) await one();
      await execute(`UPDATE RouteVersion SET version = ${mark.version - 100} WHERE id = 1`);
      await assert.rejects(store.routeMark(read), /at least .* accept-restored/);
      seenChange.mustBeThere = true;
      const accepted = await store.acceptRestored();
      assert.ok(accepted.epoch >= mark.version && accepted.version >= mark.version, "the clock's");
      for (const one of reads) await one();
      assert.equal((await store.routeMark(read)).epoch, accepted.epoch);
      const atLeastEpoch = accepted.epoch + 1;
      await assert.rejects(store.routeMark({ atLeastEpoch }), /epoch must be at least/);
      await assert.rejects(store.readModules(keys, { atLeastEpoch }), /epoch must be at least/);
      assert.ok((await store.acceptRestored()).epoch > accepted.epoch, "again");
    },
  );
}

function testLoweredByHand(define: Define): void {
  define(
    "routeMark() takes a lower version that a foreign hand has just written",
    async (bench) => {
      const { store, execute } = bench;
      await store.editRoutes([add(1, 1)]);
      const { changeIdMax } = await store.routeMark();
      const read = { atLeastVersion: Math.trunc(Date.now() / 1000) + 1000, changeIdMax };
      const set = (version: number): Promise<unknown> =>
        execute(`UPDATE RouteVersion SET version = ${version} WHERE id = 1`);
      await set(Math.trunc(Date.now() / 1000));
      assert.equal(
        (await store.routeMark(read)).changeIdMax,
        changeIdMax,
        "the time as the version",
      );
      await set(1000);
      await assert.rejects(store.routeMark(read), /at least/, "of a server that lags");
      await execute("INSERT INTO RouteChange(modid, cmdid, version) VALUES(1, 1, 1000)");
      assert.equal((await store.routeMark(read)).version, 1000, "a newer change");
      await assert.rejects(store.routeMark({ atLeastVersion: read.atLeastVersion }), /at least/);
    },
  );
}

function testEdits(define: Define): void {
  define("editRoutes() adds, sets and removes", async ({ store }) => {
    const node = { modId: 1, cmdId: 2, ip: IP, port: 80 };
    const added = await store.editRoutes([{
      op: "add",
      ...node,
      weight: 0,
      zone: "ö'\\\"%_",
      state: "drain",
    }]);
    assert.deepEqual(added.changed, [{ modId: 1, cmdId: 2 }]);
    assert.deepEqual(await allRoutes(store), [
      { ...node, weight: 0, zone: "ö'\\\"%_", state: "drain" },
    ]);
    const set = await store.editRoutes([{ op: "set", ...node, weight: 10_000 }]);
    assert.ok(set.version > added.version);
    assert.deepEqual(await allRoutes(store), [
      { ...node, weight: 10_000, zone: "ö'\\\"%_", state: "drain" },
    ]);
    await store.editRoutes([{ op: "set", ...node, zone: "😀".repeat(32), state: "off" }]);
    assert.equal((await allRoutes(store))[0].zone, "😀".repeat(32));
    const removed = await store.editRoutes([{ op: "remove", ...node }]);
    assert.deepEqual(removed.changed, [{ modId: 1, cmdId: 2 }]);
    assert.deepEqual(await allRoutes(store), []);
  });

  define(
    "editRoutes() raises the version and names each changed module once",
    async ({ store }) => {
      const before = await store.routeMark();
      assert.deepEqual(before, { version: 0, changeIdMax: 0, changeCount: 0 });
      const first = await store.editRoutes([add(1, 1), add(1, 1, IP, 2), add(4294967295, 3)]);
      const nowS = Math.trunc(systemClock.wallMs() / 1000);
      assert.ok(Math.abs(first.version - nowS) < 60, `version ${first.version} is about now`);
      assert.deepEqual(await store.changedModules(0), [
        { modId: 1, cmdId: 1 },
        { modId: 4294967295, cmdId: 3 },
      ]);
      const mark = await store.routeMark();
      const { version } = first;
      assert.deepEqual(mark, { version, changeIdMax: 2, changeCount: 2, changeVersion: version });
      const second = await store.editRoutes([add(1, 1, IP, 3)]);
      assert.ok(second.version > first.version, "two edits in one second differ");
      assert.deepEqual(await store.changedModules(mark.changeIdMax), [{ modId: 1, cmdId: 1 }]);
    },
  );

  define("editRoutes() without effect changes nothing", async ({ store }) => {
    await store.editRoutes([add(1, 1)]);
    const mark = await store.routeMark();
    const node = { modId: 1, cmdId: 1, ip: IP, port: 7777 };
    for (
      const edits of [
        [],
        [{ op: "set", ...node }],
        [{ op: "set", ...node, weight: 100, state: "on" }],
        [{ op: "remove", ...node }, add(1, 1)],
        [add(2, 2), { op: "remove", ...node, modId: 2, cmdId: 2 }],
      ] as RouteEdit[][]
    ) {
      assert.deepEqual(await store.editRoutes(edits), { changed: [], version: mark.version });
    }
    assert.deepEqual(await store.routeMark(), mark);
  });

  define("editRoutes() cleans up what foreign writers left", async (bench) => {
    for (const port of [0, 70000, 7777, 7777]) await bench.execute(insertRoute(1, 1, IP, port));
    const node = { modId: 1, cmdId: 1, ip: IP };
    await bench.store.editRoutes([{ op: "set", ...node, port: 7777, weight: 7 }]);
    assert.deepEqual((await allRoutes(bench.store)).map((route) => route.weight), [100, 100, 7, 7]);
    await bench.store.editRoutes([0, 70000, 7777].map((port) => ({ op: "remove", ...node, port })));
    assert.deepEqual(await allRoutes(bench.store), []);
  });

  define("editRoutes() writes thousands of nodes at once", async ({ store }) => {
    const edits: RouteEdit[] = [];
    for (let index = 0; index < 2500; index++) edits.push(add(index, 1, index, 1));
    const { changed } = await store.editRoutes(edits);
    assert.equal(changed.length, 2500);
    assert.equal((await store.changedModules(0)).length, 2500);
    assert.equal((await allRoutes(store, 999)).length, 2500);
    const off = edits.map((edit) => ({ ...edit, op: "set", state: "off" }) as RouteEdit);
    await store.editRoutes(off);
    assert.ok((await allRoutes(store)).every((route) => route.state === "off"));
    await store.editRoutes(edits.map((edit) => ({ ...edit, op: "remove" }) as RouteEdit));
    assert.equal((await allRoutes(store)).length, 0);
  });
}

const BAD_EDITS: readonly (readonly [string, unknown, RegExp])[] = [
  ["no object", null, /Edit 1 must be an object/],
  ["unknown op", { ...add(1, 1), op: "drop" }, /op must be one of .* "drop"/],
  ["port 0", add(1, 1, IP, 0), /Edit 1: port must be .* 1 to 65535: current value is 0/],
  ["port 65536", add(1, 1, IP, 65536), /port must be/],
  ["negative modId", add(-1, 1), /modId must be/],
  ["fraction", add(1, 1.5), /cmdId must be/],
  ["ip past 32 bits", add(1, 1, 2 ** 32), /ip must be/],
  ["text as number", { ...add(1, 1), ip: "1" }, /ip must be a number/],
  ["NaN", add(NaN, 1), /modId must be/],
  ["weight", { ...add(1, 1), weight: 10_001 }, /weight must be .* 10001/],
  ["negative weight", { ...add(1, 1), weight: -1 }, /weight must be/],
  ["state", { ...add(1, 1), state: "up" }, /state must be one of on, drain, off/],
  ["zone length", { ...add(1, 1), zone: "x".repeat(65) }, /zone must be at most 64/],
  ["zone control", { ...add(1, 1), zone: "a\nb" }, /zone must be/],
  ["zone surrogate", { ...add(1, 1), zone: "\ud800" }, /zone must be/],
  ["zone type", { ...add(1, 1), zone: 5 }, /zone must be text/],
];

function testEditFaults(define: Define): void {
  define("editRoutes() refuses what cannot be stored as meant", async ({ store }) => {
    for (const [what, edit, message] of BAD_EDITS) {
      await assert.rejects(store.editRoutes([edit as RouteEdit]), (error: unknown) => {
        assert.ok(error instanceof TypeError || error instanceof RangeError, what);
        assert.match(error.message, message);
        return true;
      });
    }
    const many = new Array<RouteEdit>(ROUTE_EDITS_MAX + 1).fill(add(1, 1));
    await assert.rejects(store.editRoutes(many), LimitError);
    assert.equal((await store.routeMark()).version, 0);
  });

  define("editRoutes() applies all or nothing", async ({ store }) => {
    await store.editRoutes([add(1, 1)]);
    const mark = await store.routeMark();
    const node = { modId: 1, cmdId: 9, ip: IP, port: 1 };
    const conflicts: readonly (readonly [RouteEdit, RegExp])[] = [
      [add(1, 1), /Node 1\/1 192\.168\.1\.177:7777 exists already/],
      [{ op: "remove", ...node }, /Node 1\/9 192\.168\.1\.177:1 does not exist/],
      [{ op: "set", ...node, weight: 1 }, /does not exist/],
    ];
    for (const [edit, message] of conflicts) {
      await assert.rejects(store.editRoutes([add(2, 2), edit]), (error: unknown) => {
        assert.ok(error instanceof ConflictError);
        assert.match(error.message, message);
        return true;
      });
    }
    await assert.rejects(store.editRoutes([add(3, 3), add(3, 3)]), ConflictError);
    assert.deepEqual(await allRoutes(store), [row(1, 1)]);
    assert.deepEqual(await store.routeMark(), mark);
  });

  define(
    "editRoutes() makes the version row when it is missing, and stays in range",
    async (bench) => {
      await bench.execute("DELETE FROM RouteVersion");
      assert.equal((await bench.store.routeMark()).version, 0);
      await bench.store.editRoutes([add(1, 1)]);
      assert.ok((await bench.store.routeMark()).version > 0);
      await bench.execute("UPDATE RouteVersion SET version = 4294967294 WHERE id = 1");
      assert.equal((await bench.store.editRoutes([add(1, 2)])).version, 4294967295);
      const last = await bench.store.editRoutes([add(1, 3)]);
      assert.ok(last.version < 4294967295, "a different version, though a smaller one");
    },
  );
}

function testConcurrency(define: Define): void {
  define("editRoutes() of several writers to one module never loses an edit", async (bench) => {
    const stores = [bench.store];
    for (let count = 1; count < 3; count++) stores.push(await openStore(bench.url));
    const versions: number[] = [];
    let conflicts = 0;
    const write = async (store: Store, writer: number): Promise<void> => {
      for (let port = 1; port <= 20; port++) {
        // Odd ports belong to one writer, even ports are wanted by all.
        const cmdId = 1;
        const ip = port % 2 === 0 ? IP : IP + writer;
        try {
          versions.push((await store.editRoutes([add(1, cmdId, ip, port)])).version);
        } catch (error) {
          assert.ok(error instanceof ConflictError, String(error));
          conflicts++;
        }
      }
    };
    await Promise.all(stores.flatMap((store, index) => [write(store, index)]));
    for (const store of stores.slice(1)) await store.close();
    assert.equal(versions.length, 10 + 3 * 10);
    assert.equal(conflicts, 2 * 10);
    assert.equal(new Set(versions).size, versions.length, "every edit has a version of its own");
    const mark = await bench.store.routeMark();
    assert.equal(mark.version, Math.max(...versions));
    assert.equal(mark.changeCount, versions.length);
    assert.equal((await allRoutes(bench.store)).length, versions.length);
  });

  define("refused calls are kept by module and caller, and go after their time", async (bench) => {
    const { store } = bench;
    const refused = (modId: number, caller: number, overload: number, ts = 100): CallStatusRow => ({
      ...{ modId, cmdId: 1, ip: 0, port: 0, caller, succCount: 0, errCount: 0, overload: false },
      ...{ ts, refused: { overload, unusable: 1, noNode: 2, noRoute: Number.MAX_SAFE_INTEGER } },
    });
    assert.deepEqual([await store.readRefused(), await store.refusedTotals(0)], [[], []]);
    const big = 4_294_967_295;
    await store.writeCallStatus([refused(big, big, 4), refused(1, 1, 1), status(1, 1, 1)]);
    await store.writeCallStatus([refused(big, big, 5), refused(big, 2, 7, 200)]);
    const rows = await store.readRefused();
    assert.deepEqual(rows, [refused(1, 1, 1), refused(big, 2, 7, 200), refused(big, big, 5)]);
    assert.equal((await store.readCallStatus()).length, 1, "they are no results of nodes");
    const totals = (await store.refusedTotals(0)).map(({ noRoute: _, ...total }) => total);
    assert.deepEqual(totals, [
      { modId: 1, cmdId: 1, overload: 1, unusable: 1, noNode: 2, ts: 100 },
      { modId: big, cmdId: 1, overload: 12, unusable: 2, noNode: 4, ts: 200 },
    ]);
    assert.deepEqual((await store.refusedTotals(150)).map(({ overload }) => overload), [7]);
    await store.pruneEvents({ nowMs: 1_150_000, keepSeconds: 1000 });
    assert.deepEqual((await store.readRefused()).map(({ caller }) => caller), [2]);
  });

  define(
    "pruneCallStatus() deletes what nobody has renewed, of every module",
    async ({ store }) => {
      const old = [1, 2].map((modId) => ({ ...status(modId, 1, 1), ts: 1000 }));
      const young = [2, 3].map((modId) => ({ ...status(modId, 2, 1), ts: 2000 }));
      await store.writeCallStatus([...old, ...young]);
      await store.pruneCallStatus(2000);
      const left = await store.readCallStatus();
      assert.deepEqual(left.map(({ modId, ts }) => [modId, ts]), [[2, 2000], [3, 2000]]);
      await store.pruneCallStatus(2000);
      assert.equal((await store.readCallStatus()).length, 2);
    },
  );

  define("writeCallStatus() of several writers never deadlocks for good", async (bench) => {
    const stores = [bench.store, await openStore(bench.url), await openStore(bench.url)];
    const rowsOf = (writer: number): CallStatusRow[] =>
      Array.from({ length: 300 }, (_, index) => status(1, (index * 7919) % 300, writer));
    await Promise.all(stores.map(async (store, writer) => {
      for (let round = 0; round < 10; round++) {
        const rows = rowsOf(writer);
        await store.writeCallStatus(writer === 1 ? rows.reverse() : rows);
      }
    }));
    for (const store of stores.slice(1)) await store.close();
    assert.equal((await bench.store.readCallStatus()).length, 300);
  });
}

function testChanges(define: Define): void {
  define("routeMark() sees what foreign writers do", async ({ store, execute }) => {
    await store.editRoutes([add(1, 1)]);
    let mark = await store.routeMark();
    const statements = [
      `UPDATE RouteVersion SET version = ${mark.version - 5} WHERE id = 1`,
      "INSERT INTO RouteChange(id, modid, cmdid, version) VALUES(100, 1, 1, 5)",
      // Committed late: an id below the largest one.
      "INSERT INTO RouteChange(id, modid, cmdid, version) VALUES(50, 2, 2, 5)",
      "DELETE FROM RouteChange WHERE id = 50",
    ];
    for (const sql of statements) {
      await execute(sql);
      const next = await store.routeMark();
      assert.notDeepEqual(next, mark, sql);
      mark = next;
    }
    assert.equal(mark.changeIdMax, 100);
    assert.deepEqual(await store.changedModules(1), [{ modId: 1, cmdId: 1 }]);
    assert.deepEqual(await store.changedModules(100), []);
  });

  define("editRoutes() prunes old RouteChange, but not the newest", async ({ store, execute }) => {
    const nowS = Math.trunc(systemClock.wallMs() / 1000);
    const last = 1 + ROUTE_CHANGES_MIN;
    for (const [id, ageS] of [[1, 90_000], [2, 90_000], [3, 86_000], [last, 90_000]]) {
      await execute(
        `INSERT INTO RouteChange(id, modid, cmdid, version) VALUES(${id}, ${id}, 0, ${
          nowS - ageS
        })`,
      );
    }
    const left = async (): Promise<number[]> =>
      (await store.changedModules(0)).map((key) => key.modId);
    await store.editRoutes([add(8, 8)]);
    assert.deepEqual(await left(), [2, 3, 8, last]);
    await store.editRoutes([add(9, 9)]);
    assert.deepEqual(await left(), [3, 8, 9, last]);
  });
}

function status(modId: number, cmdId: number, succCount = 1): CallStatusRow {
  return {
    modId,
    cmdId,
    ip: IP,
    port: 7777,
    caller: 2130706433,
    succCount,
    errCount: 0,
    ts: 1_700_000_000,
    overload: false,
    succTotal: 10,
    errTotal: 20,
  };
}

function testCallStatus(define: Define): void {
  define("writeCallStatus() overwrites by key and keeps the last of a kind", async ({ store }) => {
    await store.writeCallStatus([]);
    await store.writeCallStatus([status(1, 1, 1), status(1, 2), status(1, 1, 2)]);
    await store.writeCallStatus([{ ...status(1, 2, 5), overload: true, errCount: 3 }]);
    assert.deepEqual(await store.readCallStatus(), [
      status(1, 1, 2),
      { ...status(1, 2, 5), overload: true, errCount: 3 },
    ]);
    assert.deepEqual(await store.readCallStatus({ modId: 1, cmdId: 1 }), [status(1, 1, 2)]);
    assert.deepEqual(await store.readCallStatus({ cmdId: 2, modId: 7 }), []);
  });

  define("writeCallStatus() of a writer that is gone replaces nothing newer", async ({ store }) => {
    const totals = (ts: number, succTotal: number, errTotal = 2): CallStatusRow => ({
      ...status(1, 1, succTotal % 100),
      ...{ ts, succTotal, errTotal },
    });
    const refused = (ts: number, overload: number): CallStatusRow => ({
      ...{ ...status(1, 1), ip: 0, port: 0, succCount: 0, ts },
      refused: { overload, unusable: 0, noNode: 0, noRoute: 0 },
    });
    const stored = async (): Promise<unknown[]> => {
      const [row] = await store.readCallStatus({ modId: 1 });
      return [
        row.ts,
        row.succTotal,
        row.succCount,
        (await store.readRefused())[0].refused?.overload,
      ];
    };
    await store.writeCallStatus([totals(5000, 150), refused(5000, 7)]);
    await store.writeCallStatus([totals(4999, 149), refused(4999, 6)]);
    assert.deepEqual(await stored(), [5000, 150, 50, 7], "late");
    await store.writeCallStatus([totals(4999, 149, 3), refused(4998, 8)]);
    assert.deepEqual(await stored(), [4999, 149, 49, 8], "a total grew: the clock was set back");
    await store.writeCallStatus([totals(5001, 1, 0), refused(5001, 1)]);
    assert.deepEqual(await stored(), [5001, 1, 1, 1], "counted from the start, and newer");
    await store.writeCallStatus([totals(1000, 0, 0), refused(1000, 0)]);
    assert.deepEqual(await stored(), [1000, 0, 0, 0], "long before: a clock that was far ahead");
  });

  define("recentCallers() counts and adds up in the database", async ({ store }) => {
    const row = { ...status(1, 1, 3), ts: 1000, ip: 0xc0a80001 };
    await store.writeCallStatus([
      { ...row, caller: 0xc0a80105 },
      { ...row, caller: 0xc0a80105, ip: 0xc0a80002, succCount: 4 },
      { ...row, caller: 2, succCount: 1, errCount: 1 },
      { ...row, caller: 3, ts: 999 },
      { ...row, caller: 4, succCount: 0 },
      { ...row, caller: 5, cmdId: 2 },
    ]);
    const query = { modId: 1, cmdId: 1, sinceTs: 1000, limit: 10 };
    assert.deepEqual(await store.recentCallers(query), {
      callers: [{ caller: 0xc0a80105, calls: 7 }, { caller: 2, calls: 2 }],
      count: 2,
    });
    const node = { ip: 0xc0a80001, port: 7777 };
    assert.deepEqual(await store.recentCallers({ ...query, node, limit: 1 }), {
      callers: [{ caller: 0xc0a80105, calls: 3 }],
      count: 2,
    });
    const other = { ...node, port: 7778 };
    assert.deepEqual(await store.recentCallers({ ...query, node: other }), {
      callers: [],
      count: 0,
    });
  });

  define("writeCallStatus() holds unsigned ids and clips counts", async ({ store, execute }) => {
    const extreme: CallStatusRow = {
      ...status(4294967295, 2147483648),
      caller: 3232235777,
      succCount: 2 ** 40,
      errCount: -5,
      ts: 1_700_000_000.9,
      succTotal: 2 ** 60,
      errTotal: NaN,
    };
    await store.writeCallStatus([extreme]);
    const [stored] = await store.readCallStatus({ modId: 4294967295 });
    assert.deepEqual(stored, {
      ...extreme,
      succCount: 2147483647,
      errCount: 0,
      ts: 1_700_000_000,
      succTotal: Number.MAX_SAFE_INTEGER,
      errTotal: 0,
    });
    const [raw] = await execute("SELECT modid, cmdid, ip, caller, overload FROM ServerCallStatus");
    // Addresses are unsigned in MySQL, as in the latest sources of the original.
    const [ip, caller] = store.dialect === "mysql"
      ? [3232235953, 3232235777]
      : [-1062731343, -1062731519];
    assert.deepEqual({ ...raw }, { modid: -1, cmdid: -2147483648, ip, caller, overload: "0" });
  });

  define("writeCallStatus() without totals leaves stored totals alone", async ({ store }) => {
    await store.writeCallStatus([status(1, 1)]);
    const { succTotal: _s, errTotal: _e, ...plain } = status(1, 1, 9);
    await store.writeCallStatus([plain, { ...plain, cmdId: 2 }]);
    assert.deepEqual(await store.readCallStatus(), [
      status(1, 1, 9),
      { ...status(1, 2, 9), succTotal: 0, errTotal: 0 },
    ]);
  });

  define("writeCallStatus() writes more rows than one statement holds", async ({ store }) => {
    const rows = Array.from({ length: 2501 }, (_, index) => status(1, index));
    await store.writeCallStatus(rows);
    assert.deepEqual(await store.readCallStatus(), rows);
  });
}

function instance(address: string, seenAt = 1_700_000_000): ServiceInstance {
  return {
    kind: "dns",
    address,
    software: "lars/0.1.0",
    startedAt: 1_600_000_000,
    seenAt,
    detail: { modules: 3, note: "a'\"\\b" },
  };
}

function agent(address: string, seenAt: number, note = ""): ServiceInstance {
  return { ...instance(address, seenAt), kind: "agent", detail: { note } };
}

function testSightings(define: Define): void {
  const notes = async (store: Store): Promise<string[]> =>
    (await store.instances(["agent"])).map(({ address, seenAt, detail }) =>
      `${address} ${seenAt} ${detail.note}`
    );

  define("sightings() keeps what was seen last, whoever writes later", async ({ url, store }) => {
    await withStore(url, async (other) => {
      await store.sightings([agent("b:1", 1000, "one"), agent("a:1", 1000, "one")]);
      await other.sightings([agent("a:1", 1005, "two"), agent("b:1", 999, "two")]);
      assert.deepEqual(await notes(store), ["a:1 1005 two", "b:1 1000 one"]);
      // The link moved: the dns that has lost it comes late with what it knew.
      await store.sightings([agent("a:1", 1004, "one")]);
      await store.sightings([agent("b:1", 1000, "same second")]);
      assert.deepEqual(await notes(store), ["a:1 1005 two", "b:1 1000 same second"]);
    });
    const two = [agent("a:1", 1007, "late"), agent("a:1", 1006, "early")];
    await store.sightings(two);
    await store.sightings(two.reverse());
    assert.equal((await notes(store))[0], "a:1 1007 late");
    await store.sightings([]);
    await assert.rejects(store.sightings([agent("x".repeat(129), 1)]), RangeError);
  });

  define("sightings() of many agents by several dns neither fails nor loses one", async (bench) => {
    const count = 1200;
    const agents = (seenAt: number): ServiceInstance[] =>
      Array.from(
        { length: count },
        (_, index) => agent(`10.0.0.1:${(index * 7919) % count}`, seenAt),
      );
    await withStore(bench.url, async (other) => {
      await Promise.all([
        bench.store.sightings(agents(1_700_000_000)),
        other.sightings(agents(1_700_000_001).reverse()),
      ]);
    });
    const found = await bench.store.instances(["agent"]);
    assert.equal(found.length, count);
    assert.ok(found.every(({ seenAt }) => seenAt === 1_700_000_001));
    await bench.store.heartbeat(instance("127.0.0.1:2"));
    assert.equal((await bench.store.instances(["dns", "reporter"])).length, 1);
    assert.deepEqual(await bench.store.instances([]), []);
    assert.equal((await bench.store.instances()).length, count + 1);
    // Whoever beats forgets what is silent for too long, agents too.
    await withStore(
      bench.url,
      (other) => other.heartbeat(instance("127.0.0.1:3", 1_700_000_002 + 7 * 86_400)),
    );
    assert.deepEqual(await bench.store.instances(["agent"]), []);
  });

  define("sightings() keeps a bounded number of rows, those seen last", async (bench) => {
    const row = (index: number): string =>
      `('agent', '10.1.${index >> 8}.${index & 255}:1', '', 1, ${1000 + index}, '{}')`;
    const columns = "kind, address, software, started_at, seen_at, detail";
    for (let start = 0; start < INSTANCE_ROWS_MAX; start += 2000) {
      const values = Array.from({ length: 2000 }, (_, index) => row(start + index)).join(",");
      await bench.execute(`INSERT INTO ServiceInstance(${columns}) VALUES ${values}`);
    }
    await bench.store.sightings([agent("10.2.0.1:1", 90_000), agent("10.2.0.2:1", 90_000)]);
    const found = await bench.store.instances(["agent"]);
    assert.equal(found.length, INSTANCE_ROWS_MAX);
    const oldest = Math.min(...found.map(({ seenAt }) => seenAt));
    assert.equal(oldest, 1002, "the two seen longest ago are gone");
  });
}

function testInstances(define: Define): void {
  define("heartbeat() keeps one row for each service", async ({ store }) => {
    await store.heartbeat(instance("127.0.0.1:2"));
    await store.heartbeat(instance("127.0.0.1:1"));
    await store.heartbeat({ ...instance("127.0.0.1:1", 1_700_000_005.5), detail: {} });
    await store.heartbeat({ ...instance("127.0.0.1:1"), kind: "agent" });
    assert.deepEqual(await store.instances(), [
      { ...instance("127.0.0.1:1"), kind: "agent" },
      { ...instance("127.0.0.1:1", 1_700_000_005), detail: {} },
      instance("127.0.0.1:2"),
    ]);
    await store.forgetInstance("dns", "127.0.0.1:1");
    await store.forgetInstance("dns", "127.0.0.1:1");
    assert.equal((await store.instances()).length, 2);
  });

  define("heartbeat() refuses what does not fit", async ({ store }) => {
    await assert.rejects(store.heartbeat(instance("x".repeat(129))), RangeError);
    await assert.rejects(store.heartbeat(instance("x", 1_700_000_000_000)), /unix seconds/);
    await assert.rejects(
      store.heartbeat({ ...instance("x"), detail: { long: "x".repeat(20_000) } }),
      LimitError,
    );
    await store.heartbeat({ ...instance("x"), software: "s".repeat(500) });
    assert.equal((await store.instances())[0].software.length, 128);
  });

  define("heartbeat() forgets services silent for 7 days", async ({ url, store }) => {
    await store.heartbeat(instance("old", 1_700_000_000 - 7 * 86_400 - 1));
    await store.heartbeat(instance("week", 1_700_000_000 - 7 * 86_400));
    await withStore(url, (other) => other.heartbeat(instance("new")));
    assert.deepEqual((await store.instances()).map((found) => found.address), ["new", "week"]);
  });
}

function testModules(define: Define): void {
  const MODULE = { modId: 4294967295, cmdId: 7 };
  const nameOf = ({ modId, cmdId, name, policy }: ModuleRow): unknown[] => [
    modId,
    cmdId,
    name,
    policy,
  ];

  define("setModules() stores names and policies, and moduleRows() gives them", async (bench) => {
    const { store } = bench;
    assert.deepEqual(await store.moduleRows(), []);
    const policy = '{"policy":"ewma","note":"ümlaut"}';
    const first = await store.setModules([
      { ...MODULE, name: "Bücher", policy },
      { modId: 1, cmdId: 2, name: "b" },
      { modId: 1, cmdId: 1, policy: "{}" },
    ]);
    assert.equal(first.changed.length, 3);
    const rows = await store.moduleRows();
    assert.deepEqual(rows.map(nameOf), [
      [1, 1, "", "{}"],
      [1, 2, "b", ""],
      [4294967295, 7, "Bücher", policy],
    ]);
    assert.ok(rows[0].updatedAt > 1_700_000_000 && rows[0].updatedAt < 100_000_000_000);
    await store.setModules([{ ...MODULE, name: "Books" }]);
    const some = await store.moduleRows([MODULE, MODULE, { modId: 9, cmdId: 9 }]);
    assert.deepEqual(some.map(nameOf), [[4294967295, 7, "Books", policy]]);
    await store.setModules([{ ...MODULE, name: "", policy: "" }, { modId: 1, cmdId: 2, name: "" }]);
    assert.deepEqual((await store.moduleRows()).map(nameOf), [
      [1, 1, "", "{}"],
      [1, 2, "", ""],
      [4294967295, 7, "", ""],
    ]);
    assert.deepEqual(await store.moduleRows([]), []);
  });

  define("moduleRows() pages through more rows than one SELECT takes", async ({ store }) => {
    const changes = Array.from({ length: 2500 }, (_, i) => ({
      modId: i % 3,
      cmdId: Math.floor(i / 3),
      name: `module ${i}`,
    }));
    await store.setModules(changes);
    const rows = await store.moduleRows();
    assert.equal(rows.length, 2500);
    assert.equal(new Set(rows.map(({ name }) => name)).size, 2500);
    assert.ok(rows.every((row, i) =>
      i === 0 || rows[i - 1].modId < row.modId ||
      rows[i - 1].modId === row.modId && rows[i - 1].cmdId < row.cmdId
    ));
  });

  define("setModules() tells of the change as an edit of routes does, and once", async (bench) => {
    const { store } = bench;
    const before = await store.routeMark();
    const { changed, version } = await store.setModules([{ ...MODULE, policy: "{}" }]);
    assert.deepEqual(changed, [MODULE]);
    const after = await store.routeMark();
    assert.equal(after.version, version);
    assert.ok(after.version > before.version && after.changeIdMax > before.changeIdMax);
    assert.deepEqual(await store.changedModules(before.changeIdMax), [MODULE]);
    assert.deepEqual(
      await store.setModules([{ ...MODULE, policy: "{}" }, { modId: 5, cmdId: 5, name: "" }]),
      { changed: [], version },
    );
    assert.deepEqual(await store.routeMark(), after);
    assert.deepEqual(await store.setModules([]), { changed: [], version });
  });

  define(
    "setModules() refuses what it cannot store as meant, and stores nothing",
    async (bench) => {
      const { store } = bench;
      const good = { ...MODULE, name: "good" };
      const long = `{"a":"${"ü".repeat(2048)}"}`;
      const wrong: [ModuleChange, RegExp][] = [
        [{ modId: -1, cmdId: 1, name: "x" }, /Module 2: modId must be/],
        [{ modId: 1, cmdId: 4294967296, name: "x" }, /cmdId must be/],
        [{ ...MODULE, name: "x".repeat(129) }, /at most 128 printable characters/],
        [{ ...MODULE, name: "a\nb" }, /printable/],
        [{ ...MODULE, policy: "[]" }, /policy must be a JSON object/],
        [{ ...MODULE, policy: "{" }, /policy must be a JSON object/],
        [{ ...MODULE, policy: long }, /at most 4096 bytes: current value has 4104/],
      ];
      for (const [change, message] of wrong) {
        await assert.rejects(store.setModules([good, change]), (error: unknown) => {
          assert.ok(error instanceof RangeError);
          assert.match(error.message, message);
          return true;
        });
      }
      await assert.rejects(store.setModules([{ ...MODULE, name: 1 as never }]), TypeError);
      await assert.rejects(
        store.setModules(new Array(ROUTE_EDITS_MAX + 1).fill(good)),
        LimitError,
      );
      assert.deepEqual(await store.moduleRows(), []);
      const exact = `{"a":"${"x".repeat(4096 - 8)}"}`;
      await store.setModules([{ ...MODULE, policy: exact }]);
      assert.equal((await store.moduleRows())[0].policy, exact);
    },
  );

  define(
    "editRoutes() gives each module it changes a row, and leaves those there are",
    async (bench) => {
      const { store } = bench;
      await bench.execute(insertRoute(7, 7, IP, 80));
      await store.setModules([{ modId: 1, cmdId: 1, name: "one" }]);
      await store.editRoutes([add(1, 1), add(1, 2)]);
      const rows = await store.moduleRows();
      assert.deepEqual(rows.map(nameOf), [[1, 1, "one", ""], [1, 2, "", ""]]);
      await store.editRoutes([{ op: "remove", modId: 1, cmdId: 2, ip: IP, port: 7777 }]);
      const left = await store.moduleRows();
      const plain = (row: ModuleRow): ModuleRow => ({ ...row, meant: undefined });
      assert.deepEqual(left.map(plain), rows.map(plain), "it stays, also without nodes");
    },
  );

  define("moduleRows() gives what foreign hands wrote as it is", async ({ store, execute }) => {
    await execute(
      "INSERT INTO Module(modid, cmdid, name, policy, updated_at) " +
        "VALUES (1, 1, 'by hand', 'no json', 5)",
    );
    assert.deepEqual(await store.moduleRows(), [
      { modId: 1, cmdId: 1, name: "by hand", policy: "no json", updatedAt: 5, meant: "" },
    ]);
  });
}

/** What marks say of module 1/1 to 1/5, by cmdId: the nodes now are meant, or not; "": no mark. */
async function meantNow(store: Store): Promise<Record<number, boolean | "">> {
  const found: Record<number, boolean | ""> = {};
  for (const { modId, cmdId, meant } of await store.moduleRows()) {
    const { name } = pickableNodes(await store.readModules([{ modId, cmdId }]));
    found[cmdId] = meant === undefined || meant === "" ? "" : markNames(meant, name);
  }
  return found;
}

function testMeant(define: Define): void {
  define("editRoutes() binds its mark to the nodes that it leaves", async (bench) => {
    const { store } = bench;
    await store.editRoutes([add(1, 1), add(1, 2), add(1, 3), add(1, 3, IP + 1)], { meant: false });
    assert.deepEqual(await meantNow(store), { 1: "", 2: "", 3: "" });
    await store.editRoutes([
      { op: "remove", modId: 1, cmdId: 2, ip: IP, port: 7777 },
      { op: "set", modId: 1, cmdId: 3, ip: IP, port: 7777, state: "drain" },
    ]);
    assert.deepEqual(await meantNow(store), { 1: "", 2: true, 3: true });
    const before = await store.moduleRows();
    await bench.execute("DELETE FROM RouteData WHERE cmdid = 3");
    assert.deepEqual(await meantNow(store), { 1: "", 2: true, 3: false });
    await store.setModules([{ modId: 1, cmdId: 2, name: "two" }]);
    assert.deepEqual(
      (await store.moduleRows()).map(({ meant }) => meant),
      before.map(({ meant }) => meant),
      "a name means nothing",
    );
    await store.editRoutes([add(1, 2)]);
    assert.equal((await meantNow(store))[2], true);
    assert.notEqual((await store.moduleRows())[1].meant, before[1].meant);
  });

  define("editRoutes() without a mark passes on the one before, unless nodes go", async (bench) => {
    const { store } = bench;
    const remove = (cmdId: number): RouteEdit => (
      { op: "remove", modId: 1, cmdId, ip: IP, port: 7777 }
    );
    await store.editRoutes([add(1, 1), add(1, 2), add(1, 3)]);
    await bench.execute("UPDATE RouteData SET serverport = 1 WHERE cmdid = 3");
    await store.editRoutes([add(1, 1, IP + 1), remove(1)], { meant: false });
    await store.editRoutes([remove(2)], { meant: false });
    await store.editRoutes([add(1, 3)], { meant: false });
    assert.deepEqual(await meantNow(store), { 1: true, 2: "", 3: "" });
    // What was meant before is meant no more, though the nodes are the same again.
    await store.editRoutes([add(1, 2)], { meant: false });
    assert.equal((await meantNow(store))[2], "");
  });

  define("editRoutes() marks 6,000 modules as it does one", async ({ store }) => {
    const modIds = Array.from({ length: 6_000 }, (_, i) => i + 1);
    await store.editRoutes(modIds.flatMap((modId) => [add(modId, 1), add(modId, 1, IP + 1)]));
    await store.editRoutes(
      modIds.map((modId) => ({ op: "remove", modId, cmdId: 1, ip: IP, port: 7777 })),
    );
    const { name } = pickableNodes([row(1, 1, IP + 1)]);
    const rows = await store.moduleRows();
    assert.equal(rows.length, 6_000);
    assert.ok(rows.every(({ meant = "" }) => markNames(meant, name)));
  });

  define("confirmRoutes() marks modules as they are, each once", async ({ store }) => {
    await store.editRoutes([add(1, 1)], { meant: false });
    const before = await store.routeMark();
    const keys = [{ modId: 1, cmdId: 1 }, { modId: 8, cmdId: 8 }, { modId: 1, cmdId: 1 }];
    const { changed, version } = await store.confirmRoutes(keys);
    assert.deepEqual(changed, keys.slice(0, 2));
    const after = await store.routeMark();
    assert.equal(after.version, version);
    assert.equal(after.changeCount, before.changeCount + 2);
    assert.deepEqual(await meantNow(store), { 1: true }, "nobody holds back what has no row");
    const [{ meant }] = await store.moduleRows();
    assert.deepEqual(await allRoutes(store), [row(1, 1)]);
    await assert.rejects(store.confirmRoutes([{ modId: -1, cmdId: 0 }]), RangeError);
    assert.deepEqual(await store.confirmRoutes([]), { changed: [], version });
    await store.confirmRoutes(keys.slice(0, 1));
    assert.notEqual((await store.moduleRows())[0].meant, meant, "each mark is another one");
  });
}

const NAMES = migrationsOf("sqlite").map((migration) => migration.name);
const VERSION = migrationsOf("sqlite").at(-1)?.version;

function testMigrations(define: Define): void {
  define("migrate() twice does nothing the second time", async ({ store }) => {
    assert.deepEqual(await store.migrate(), { applied: [], version: VERSION });
    assert.equal(await store.schemaVersion(), VERSION);
  });

  define("migrate() at several places at once leaves one whole schema", async (bench) => {
    for (const table of ["RouteData", "RouteVersion", "RouteChange", "ServerCallStatus"]) {
      await bench.execute(`DROP TABLE ${table}`);
    }
    await bench.execute("DROP TABLE Module");
    for (const table of ["ServiceInstance", "CallHistory", "CallHistoryStep", "Event"]) {
      await bench.execute(`DROP TABLE ${table}`);
    }
    await bench.execute("DROP TABLE SchemaMigration");
    assert.equal(await bench.store.schemaVersion(), 0);
    const results = await Promise.all(
      Array.from({ length: 4 }, () => withStore(bench.url, (store) => store.migrate())),
    );
    assert.deepEqual(results.map((result) => result.version), new Array(4).fill(VERSION));
    assert.deepEqual(results.flatMap((result) => result.applied).sort(), NAMES, "each once");
    await bench.store.editRoutes([add(1, 1)]);
    assert.deepEqual(await allRoutes(bench.store), [row(1, 1)]);
  });

  define("migrate() mends what a crash or a foreign hand undid", async (bench) => {
    await bench.store.editRoutes([add(1, 1)]);
    const undo = [
      "DELETE FROM SchemaMigration WHERE version = 3",
      "ALTER TABLE ServerCallStatus DROP COLUMN err_total",
      "ALTER TABLE RouteData DROP COLUMN zone",
      "DELETE FROM RouteVersion",
      "DROP TABLE ServiceInstance",
      "DROP TABLE Module",
      "ALTER TABLE RouteChange DROP COLUMN meant",
      "DROP TABLE Event",
      "DELETE FROM CallHistoryStep WHERE id = 60",
    ];
    for (const sql of undo) await bench.execute(sql);
    assert.ok((await bench.store.schemaVersion()) < 2);
    assert.deepEqual(await bench.store.moduleRows(), []);
    for (
      const refused of [
        () => bench.store.setModules([{ modId: 1, cmdId: 1, name: "x" }]),
        () => bench.store.confirmRoutes([{ modId: 1, cmdId: 1 }]),
      ]
    ) {
      await assert.rejects(refused, (error) => error instanceof StoreError && !error.transient);
    }
    await bench.store.editRoutes([add(1, 2)], { meant: true });
    await bench.store.editRoutes([{ op: "remove", modId: 1, cmdId: 2, ip: IP, port: 7777 }]);
    await bench.execute("DELETE FROM RouteVersion");
    await assert.rejects(bench.store.heartbeat(instance("x")), (error: unknown) => {
      assert.ok(error instanceof StoreError && !error.transient);
      return true;
    });
    assert.deepEqual(await allRoutes(bench.store), [row(1, 1)], "reads go on with defaults");
    const { applied, version } = await bench.store.migrate();
    assert.equal(version, VERSION);
    assert.deepEqual(applied.map((name) => name.slice(0, 4)), [
      "0001",
      "0002",
      "0003",
      "0004",
      "0005",
      "0007",
      "0009",
    ]);
    assert.equal((await bench.store.routeMark()).version, 0);
    await bench.store.heartbeat(instance("x"));
  });
}

/** Places of one test: few, so that none takes long on a busy machine. */
const CRASHES_PER_TEST = 4;

function testCrashedMigrations(target: ConformanceTarget): void {
  const counts = (["mysql", "sqlite"] as const).map((dialect) =>
    migrationsOf(dialect).flatMap(({ statements }) => statements).length
  );
  for (let from = 0; from <= Math.max(...counts); from += CRASHES_PER_TEST) {
    testCrashesFrom(target, from);
  }
}

function testCrashesFrom(target: ConformanceTarget, from: number): void {
  const end = from + CRASHES_PER_TEST;
  test(
    `${target.name}: migrate() goes on where another one was killed, after ${from} to ${end - 1}`,
    optionsOf(target),
    async (t) => {
      let total = Infinity;
      for (let done = from; done < end && done <= total; done++) {
        await target.withDatabase(t, async (url) => {
          await withStore(url, async (store) => {
            const statements = migrationsOf(store.dialect).flatMap((one) => one.statements);
            total = statements.length;
            if (done > total) return;
            await store.schemaVersion(); // Makes the file where there is one.
            await target.execute(url, ...statements.slice(0, done).map(({ sql }) => sql));
            assert.equal(await store.schemaVersion(), 0);
            assert.equal((await store.migrate()).version, VERSION, `after ${done} statements`);
            await store.editRoutes([{ ...add(1, 1), zone: "z" } as RouteEdit]);
            await store.writeCallStatus([status(1, 1)]);
            await store.heartbeat(instance("x"));
            assert.deepEqual(await store.migrate(), { applied: [], version: VERSION });
          });
        });
      }
    },
  );
}

function testClosing(define: Define): void {
  define("close() ends the store for good", async ({ url, store }) => {
    await store.ping();
    const other = await openStore(url);
    await other.ping();
    await other.close();
    await other.close();
    await assert.rejects(other.ping(), (error: unknown) => {
      assert.ok(error instanceof StoreError && !error.transient, String(error));
      assert.match(error.message, /closed/);
      return true;
    });
    await store.ping();
  });
}
