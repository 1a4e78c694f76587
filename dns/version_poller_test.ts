import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep } from "../reactor/time/clock.ts";
import { StoreError } from "../reactor/errors.ts";
import { type Logger, silentLogger } from "../reactor/log.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import type { ModuleRow, RouteMark, RouteReadOptions, RouteRow } from "../sql/store.ts";
import { StoreHealth } from "../service/store_health.ts";
import { LogList } from "../tests/support/log_list.ts";
import { until } from "../tests/support/until.ts";
import { RouteTable } from "./route_table.ts";
import { BEHIND_MS, CHANGED_MODULES_MAX, VersionPoller } from "./version_poller.ts";
import type { ModuleKey } from "../model/module.ts";
import { meantMark, pickableNodes } from "../model/pickable_nodes.ts";

function row(modId: number, ip: number): RouteRow {
  return { modId, cmdId: 1, ip, port: 80, weight: 100, zone: "", state: "on" };
}

type Call = "routeMark" | "changedModules" | "readRoutes" | "readModules";

/** A database in memory that can be slow, fail, and tell what it was asked. */
class FakeStore {
  rows: RouteRow[] = [];
  changes: { id: number; modId: number }[] = [];
  version = 1;
  epoch = 0;
  /** What happens between a look at the mark and the read that follows it. */
  beforeRead: (() => void) | undefined;
  /** Policies by modId, and which nodes are meant. */
  readonly policies = new Map<number, string>();
  readonly names = new Map<number, string>();
  readonly marks = new Map<number, string>();
  readonly calls: Call[] = [];
  readonly keysRead: number[] = [];
  readonly failing = new Set<Call>();
  /** Awaited inside a call, after its rows were taken. */
  readonly gates = new Map<Call, Promise<void>>();

  change(rows: RouteRow[], ...modIds: number[]): void {
    this.rows = rows;
    for (const modId of modIds) {
      const id = (this.changes[this.changes.length - 1]?.id ?? 0) + 1;
      this.changes.push({ id, modId });
    }
    this.version++;
  }

  count(call: Call): number {
    return this.calls.filter((one) => one === call).length;
  }

  async #enter(
    call: Call,
    { atLeastVersion = 0, atLeastEpoch = 0 }: RouteReadOptions = {},
  ): Promise<void> {
    this.calls.push(call);
    const isOlder = this.epoch < atLeastEpoch ||
      this.epoch === atLeastEpoch && this.version < atLeastVersion;
    if (isOlder) throw new StoreError(`at least ${atLeastVersion}`, true);
    if (this.failing.has(call)) throw new StoreError(`${call} failed`, true);
    await this.gates.get(call);
  }

  async routeMark(options?: RouteReadOptions): Promise<RouteMark> {
    const changeIdMax = this.changes[this.changes.length - 1]?.id ?? 0;
    const { version, epoch } = this;
    const mark = { version, epoch, changeIdMax, changeCount: this.changes.length };
    await this.#enter("routeMark", options);
    return mark;
  }

  async changedModules(afterChangeId: number): Promise<ModuleKey[]> {
    await this.#enter("changedModules");
    const modIds = this.changes.filter(({ id }) => id > afterChangeId).map(({ modId }) => modId);
    return [...new Set(modIds)].map((modId) => ({ modId, cmdId: 1 }));
  }

  async readRoutes(
    onRows: (rows: RouteRow[]) => void | Promise<void>,
    options?: RouteReadOptions,
  ): Promise<void> {
    this.beforeRead?.();
    const { rows, epoch, version } = this;
    await this.#enter("readRoutes", options);
    options?.onPlan?.({ epoch, version }, undefined);
    for (let at = 0; at < rows.length; at += 1000) await onRows(rows.slice(at, at + 1000));
  }

  async readModules(keys: readonly ModuleKey[], options?: RouteReadOptions): Promise<RouteRow[]> {
    this.keysRead.push(keys.length);
    this.beforeRead?.();
    const { epoch, version } = this;
    const modIds = new Set(keys.map(({ modId }) => modId));
    const rows = this.rows.filter(({ modId }) => modIds.has(modId));
    await this.#enter("readModules", options);
    options?.onPlan?.({ epoch, version }, undefined);
    return rows;
  }

  /** Says that a module is meant to have the nodes it has now. */
  mean(modId: number): void {
    const nodes = pickableNodes(this.rows.filter((row) => row.modId === modId));
    this.marks.set(modId, meantMark(++this.version, nodes.name));
  }

  moduleRows(keys?: readonly ModuleKey[]): Promise<ModuleRow[]> {
    const wanted = keys?.map(({ modId }) => modId);
    const modIds = new Set(
      [...this.policies, ...this.names, ...this.marks].map(([modId]) => modId),
    );
    return Promise.resolve(
      [...modIds].filter((modId) => wanted === undefined || wanted.includes(modId)).map((modId) => {
        const meant = this.marks.get(modId) ?? "";
        const policy = this.policies.get(modId) ?? "";
        const name = this.names.get(modId) ?? "";
        return { modId, cmdId: 1, name, policy, updatedAt: 0, meant };
      }),
    );
  }
}

interface Setup {
  store: FakeStore;
  table: RouteTable;
  poller: VersionPoller;
  health: StoreHealth;
  /** Modules told as changed, in order. */
  told: number[];
  ips(modId: number): number[];
}

function setUp(
  options: {
    pollIntervalMs?: number;
    reloadIntervalMs?: number;
    clock?: ManualClock;
    log?: Logger;
  } = {},
): Setup {
  const clock = options.clock ?? systemClock;
  const store = new FakeStore();
  const table = new RouteTable(0);
  const told: number[] = [];
  const health = new StoreHealth({ clock, log: silentLogger, label: "fake", meanwhile: "serving" });
  const poller = new VersionPoller({
    store,
    table,
    health,
    clock,
    rng: seededRng(1),
    log: options.log ?? silentLogger,
    pollIntervalMs: options.pollIntervalMs ?? 5,
    reloadIntervalMs: options.reloadIntervalMs ?? 0,
    *onLoaded(): Generator<void, void> {},
    *onChanged(changed): Generator<void, void> {
      for (const { modId } of changed) {
        told.push(modId);
        yield;
      }
    },
  });
  const ips = (modId: number): number[] => {
    const { snapshot, index } = table.route(modId, 1);
    const start = index < 0 ? 0 : snapshot.columns.starts[index];
    return [...snapshot.columns.ips.slice(start, start + snapshot.nodeCountOf(index))];
  };
  return { store, table, poller, health, told, ips };
}

/** Lets promises settle, then moves time, in steps of one millisecond. */
async function advance(clock: ManualClock, byMs: number): Promise<void> {
  for (let ms = 0; ms <= byMs; ms++) {
    for (let i = 0; i < 30; i++) await Promise.resolve();
    if (ms < byMs) clock.advance(1);
  }
}

test("VersionPoller reads named modules first, then everything, and tells each change once", async () => {
  const { store, table, poller, told, ips } = setUp();
  store.rows = [row(1, 1), row(2, 1)];
  poller.start();
  await until(() => table.loaded);
  store.change([row(1, 1), row(2, 2), row(3, 3)], 2);
  await until(() => told.length === 2);
  assert.deepEqual(told, [2, 3], "module 3 had no change row and came with the full read");
  assert.deepEqual([ips(2), ips(3)], [[2], [3]]);
  const order = store.calls.filter((call) => call !== "routeMark");
  assert.deepEqual(order, ["readRoutes", "changedModules", "readModules", "readRoutes"]);
  poller.stop();
});

test("VersionPoller sees rows that were committed late, below the cursor", async () => {
  const { store, table, poller, told } = setUp();
  store.changes = [{ id: 5, modId: 1 }];
  store.rows = [row(1, 1)];
  poller.start();
  await until(() => table.loaded);
  store.rows = [row(1, 1), row(4, 4)];
  store.changes = [{ id: 3, modId: 4 }, { id: 5, modId: 1 }];
  await until(() => told.length === 1);
  assert.deepEqual(told, [4]);
  poller.stop();
});

test("VersionPoller says which rows are not served, and once that all are again", async () => {
  const log = new LogList();
  const { store, table, poller, told } = setUp({ log });
  const bad = { ...row(2, 1), port: 0 };
  store.rows = [row(1, 1), bad];
  poller.start();
  await until(() => table.loaded);
  store.change([row(1, 2), bad], 1);
  await until(() => store.count("readRoutes") === 2 && poller.version === 2);
  store.change([row(1, 3)], 1);
  await until(() => poller.version === 3);
  store.change([row(1, 4)], 1);
  await until(() => poller.version === 4 && told.length === 3);
  const lines = log.lines.filter((line) => line.includes("RouteData"));
  assert.deepEqual(lines, [
    'warn Rows of RouteData are not served {"badPort":1,"overLimit":0,"modules":["2,1: 1"]}',
    "info All rows of RouteData are served again {}",
  ]);
  poller.stop();
});

test("VersionPoller never takes a lower version for an emptied table", async () => {
  const { store, table, poller, told, health, ips } = setUp({ reloadIntervalMs: 10 });
  store.rows = [row(1, 1), row(1, 2)];
  store.version = 7;
  store.changes = [{ id: 5, modId: 1 }];
  poller.start();
  await until(() => table.loaded);
  // The server that it failed over to knows less.
  store.rows = [row(1, 9)];
  store.version = 6;
  store.changes = [{ id: 4, modId: 1 }];
  await until(() => !health.up);
  assert.match(String(health.stats().store_reason), /at least 7/);
  poller.modulesChanged([{ modId: 1, cmdId: 1 }]);
  const looks = store.count("routeMark");
  await until(() => store.count("routeMark") > looks + 5);
  assert.deepEqual([ips(1), told], [[1, 2], []]);
  // It has caught up: what its emptied RouteChange has is new.
  store.rows = [row(1, 1)];
  store.version = 8;
  await until(() => told.length === 1);
  assert.deepEqual([ips(1), health.up], [[1], true]);
  // Nothing is above the highest version: whatever follows it counts.
  store.version = 4_294_967_295;
  await until(() => poller.version === store.version);
  store.rows = [row(1, 3)];
  store.version = 5;
  await until(() => told.length === 2);
  poller.stop();
});

for (const read of ["readRoutes", "readModules"] as const) {
  test(`VersionPoller that came upon a later epoch in ${read} takes nothing of the one before`, async () => {
    const { store, table, poller, health, ips } = setUp();
    store.rows = [row(1, 1)];
    poller.start();
    await until(() => table.loaded);
    // The operator's word comes after the mark, which is still of the epoch before.
    store.beforeRead = () => {
      store.epoch = 7;
      store.rows = [row(1, 2)];
      store.beforeRead = undefined;
      // No look at a mark comes between this read and the older server.
      store.failing.add("routeMark");
    };
    if (read === "readModules") poller.modulesChanged([{ modId: 1, cmdId: 1 }]);
    else poller.modulesChanged([]);
    await until(() => ips(1)[0] === 2);
    store.epoch = 0;
    store.rows = [row(1, 1)];
    store.failing.clear();
    const before = store.count("routeMark");
    poller.modulesChanged([{ modId: 1, cmdId: 1 }]);
    poller.modulesChanged([]);
    await until(() => store.count("routeMark") > before + 5);
    assert.deepEqual([ips(1), health.up, poller.memory?.highest.epoch], [[2], false, 7]);
    store.epoch = 7;
    store.change([row(1, 3)], 1);
    await until(() => ips(1)[0] === 3);
    poller.stop();
  });
}

test("VersionPoller does not take a mark as seen until what it announced was read", async () => {
  const { store, table, poller, told, health } = setUp();
  store.rows = [row(1, 1)];
  poller.start();
  await until(() => table.loaded);
  for (const call of ["changedModules", "readModules", "readRoutes"] as const) {
    store.failing.add(call);
    // Without a change row only the full read can find it.
    const named = call === "readRoutes" ? [] : [1];
    store.change([row(1, store.version + 10)], ...named);
    await until(() => !health.up, { what: `${call} to fail` });
    const before = told.length;
    store.failing.clear();
    await until(() => health.up && told.length > before, { what: `the change after ${call}` });
  }
  poller.stop();
});

test("VersionPoller goes on serving while reads fail, and says when it was lost and found", async () => {
  const { store, table, poller, health, ips } = setUp();
  store.rows = [row(1, 7)];
  poller.start();
  await until(() => table.loaded);
  store.failing.add("routeMark");
  await until(() => !health.up);
  assert.deepEqual(ips(1), [7]);
  assert.equal(health.stats().store, "away");
  assert.equal(health.stats().store_reason, "routeMark failed");
  store.failing.clear();
  await until(() => health.up);
  assert.equal(health.lossCount, 1);
  poller.stop();
});

test("VersionPoller is not called well while only full reads fail", async () => {
  const { store, table, poller, health } = setUp({ reloadIntervalMs: 10 });
  poller.start();
  await until(() => table.loaded);
  store.failing.add("readRoutes");
  await until(() => !health.up);
  const looks = store.count("routeMark");
  await until(() => store.count("routeMark") > looks + 5);
  assert.equal(health.lossCount, 1, "no flapping between looks and full reads");
  store.failing.clear();
  await until(() => health.up);
  poller.stop();
});

test("VersionPoller pushes what a writer announces at once, at most 50 reads a second", async () => {
  const clock = new ManualClock();
  const { store, table, poller, told } = setUp({ clock, pollIntervalMs: 60_000 });
  poller.start();
  await advance(clock, 1);
  assert.ok(table.loaded);
  store.rows = [row(1, 1)];
  poller.modulesChanged([{ modId: 1, cmdId: 1 }]);
  await advance(clock, 0);
  assert.deepEqual(told, [1], "the first one without any delay");
  for (let ms = 0; ms < 1000; ms++) {
    poller.modulesChanged([{ modId: ms % 7, cmdId: 1 }]);
    await advance(clock, 1);
  }
  const reads = store.count("readModules");
  assert.ok(reads > 40 && reads <= 51, `${reads} reads`);
  poller.stop();
});

test("VersionPoller reads everything when a writer names too much or nothing", async () => {
  const { store, table, poller, told } = setUp({ pollIntervalMs: 60_000 });
  poller.start();
  await until(() => table.loaded);
  store.rows = [row(1, 1)];
  poller.modulesChanged([]);
  await until(() => told.length === 1);
  store.rows = [row(1, 2)];
  const many = Array.from({ length: CHANGED_MODULES_MAX + 1 }, (_, modId) => ({ modId, cmdId: 1 }));
  poller.modulesChanged(many);
  await until(() => told.length === 2);
  assert.equal(store.count("readModules"), 0);
  assert.equal(store.count("readRoutes"), 3);
  poller.stop();
});

test("VersionPoller lets a newer module win over an older full read, and checks it again", async () => {
  const { store, table, poller, told, ips } = setUp({ pollIntervalMs: 60_000 });
  store.rows = [row(1, 1)];
  poller.start();
  await until(() => table.loaded);
  const gate = Promise.withResolvers<void>();
  store.gates.set("readRoutes", gate.promise);
  poller.modulesChanged([]);
  await until(() => store.count("readRoutes") === 2);
  store.gates.clear();
  store.rows = [row(1, 2)];
  poller.modulesChanged([{ modId: 1, cmdId: 1 }]);
  await until(() => told.length === 1);
  gate.resolve();
  await until(() => table.installCount === 2 && store.count("readModules") === 2);
  assert.deepEqual(ips(1), [2]);
  assert.deepEqual(told, [1], "the old rows of the full read were never told");
  poller.stop();
});

test("VersionPoller reads a module again when a full read ended meanwhile", async () => {
  const { store, table, poller, ips } = setUp({ pollIntervalMs: 60_000 });
  store.rows = [row(1, 1)];
  poller.start();
  await until(() => table.loaded);
  const gate = Promise.withResolvers<void>();
  store.gates.set("readModules", gate.promise);
  poller.modulesChanged([{ modId: 1, cmdId: 1 }]);
  await until(() => store.count("readModules") === 1);
  store.rows = [row(1, 2)];
  poller.modulesChanged([]);
  await until(() => table.installCount === 2);
  store.gates.clear();
  gate.resolve();
  await until(() => store.count("readModules") === 2);
  assert.deepEqual(ips(1), [2]);
  poller.stop();
});

test("VersionPoller tells of a policy that changed alone, named or found by a full read", async () => {
  const { store, table, poller, told } = setUp({ pollIntervalMs: 5, reloadIntervalMs: 20 });
  store.rows = [row(1, 1), row(2, 2)];
  store.policies.set(2, '{"a":1}');
  poller.start();
  await until(() => table.loaded);
  assert.equal(table.route(2, 1).policy, '{"a":1}');
  const before = table.route(1, 1).revision;
  store.policies.set(1, "{}");
  store.change(store.rows, 1);
  await until(() => told.length === 1);
  assert.deepEqual([table.route(1, 1).policy, told], ["{}", [1]]);
  assert.ok(table.route(1, 1).revision > before);
  // By hand, without any trace; also of a module without nodes.
  store.policies.delete(1);
  store.policies.set(3, "{}");
  await until(() => told.length === 3);
  assert.deepEqual([table.route(1, 1).policy, table.route(3, 1).policy], ["", "{}"]);
  assert.deepEqual(told.slice(1).sort(), [1, 3]);
  poller.stop();
});

test("VersionPoller tells of a name that changed alone, named or found by a full read", async () => {
  const { store, table, poller, told } = setUp({ pollIntervalMs: 5, reloadIntervalMs: 20 });
  store.rows = [row(1, 1), row(2, 2)];
  store.names.set(2, "mail");
  poller.start();
  await until(() => table.loaded);
  assert.equal(table.route(2, 1).name, "mail");
  const before = table.route(1, 1).revision;
  store.names.set(1, "pay");
  store.change(store.rows, 1);
  await until(() => told.length === 1);
  assert.deepEqual([table.route(1, 1).name, told], ["pay", [1]]);
  assert.ok(table.route(1, 1).revision > before);
  // By hand, without any trace; also of a module without nodes.
  store.names.delete(1);
  store.names.set(3, "new");
  await until(() => told.length === 3);
  assert.deepEqual([table.route(1, 1).name, table.route(3, 1).name], ["", "new"]);
  assert.deepEqual(told.slice(1).sort(), [1, 3]);
  poller.stop();
});

test("VersionPoller takes over which changes are meant, until nodes go without a mark", async () => {
  const { store, table, poller, told } = setUp({ pollIntervalMs: 5 });
  store.rows = [1, 2, 3, 4].map((ip) => row(1, ip));
  poller.start();
  await until(() => table.loaded);
  const change = async (rows: RouteRow[], meant: boolean): Promise<boolean> => {
    const count = told.length;
    store.change(rows, 1);
    if (meant) store.mean(1);
    await until(() => told.length > count);
    return table.route(1, 1).meant;
  };
  assert.equal(await change(store.rows.slice(1), false), false);
  assert.equal(await change(store.rows.slice(2), true), true);
  assert.equal(await change([...store.rows, row(1, 9)], false), true, "nothing was lost since");
  assert.equal(await change(store.rows.slice(1), false), false);
  assert.equal(await change(store.rows, true), true, "a mark alone is told too");
  poller.stop();
});

test("VersionPoller keeps a mark beside changes with higher ids that were seen before it", async () => {
  const { store, table, poller, told } = setUp({ pollIntervalMs: 5 });
  store.rows = [1, 2, 3].map((ip) => row(1, ip));
  store.changes = [{ id: 1, modId: 1 }];
  poller.start();
  await until(() => table.loaded);
  const looks = store.count("routeMark");
  store.changes.push({ id: 9, modId: 7 });
  await until(() => store.count("routeMark") > looks + 3);
  // Its id was given before the other one, and it is seen after it.
  store.rows = [row(1, 1)];
  store.changes.splice(1, 0, { id: 5, modId: 1 });
  store.mean(1);
  await until(() => told.includes(1));
  assert.deepEqual([table.route(1, 1).meant, table.nodeCount], [true, 1]);
  poller.stop();
});

test("VersionPoller keeps the marks of a change of more modules than it reads one by one", async () => {
  const { store, table, poller, told } = setUp({ pollIntervalMs: 5 });
  const modIds = Array.from({ length: CHANGED_MODULES_MAX + 1000 }, (_, i) => i + 1);
  store.rows = modIds.flatMap((modId) => [1, 2, 3].map((ip) => row(modId, ip)));
  poller.start();
  await until(() => table.loaded);
  store.change(modIds.map((modId) => row(modId, 1)), ...modIds);
  for (const modId of modIds) {
    store.marks.set(modId, meantMark(7, pickableNodes([row(modId, 1)]).name));
  }
  await until(() => told.length === modIds.length);
  assert.ok(modIds.every((modId) => table.route(modId, 1).meant));
  poller.stop();
});

test("VersionPoller honours at its start the marks of what it finds, and no older ones", async () => {
  const { store, table, poller } = setUp();
  store.change([row(1, 1), row(2, 1), row(3, 1), row(3, 2)], 1, 2, 3);
  store.mean(2);
  store.mean(3);
  // Emptied by hand while no dns was there.
  store.rows = store.rows.filter(({ modId }) => modId !== 3);
  poller.start();
  await until(() => table.loaded);
  assert.deepEqual([1, 2, 3].map((modId) => table.route(modId, 1).meant), [false, true, false]);
  poller.stop();
});

test("VersionPoller rests twice as long as a full read took", async () => {
  const clock = new ManualClock();
  const { store, table, poller } = setUp({ clock, pollIntervalMs: 100, reloadIntervalMs: 100 });
  poller.start();
  await advance(clock, 1);
  assert.ok(table.loaded);
  const starts: number[] = [];
  store.readRoutes = async (): Promise<void> => {
    starts.push(clock.nowMs());
    await sleep(clock, 400);
  };
  await advance(clock, 5000);
  const gaps = starts.slice(1).map((start, i) => start - starts[i]);
  assert.ok(gaps.length >= 3, `${starts}`);
  assert.ok(gaps.every((gap) => gap >= 1200), `a read of 400 ms and a rest of 800 ms: ${gaps}`);
  poller.stop();
});

test("VersionPoller loads 1,000,000 rows in slices", { timeout: 60_000 }, async () => {
  const { store, table, poller } = setUp({ pollIntervalMs: 60_000 });
  store.readRoutes = async (onRows): Promise<void> => {
    for (let at = 0; at < 1_000_000; at += 1000) {
      await onRows(Array.from({ length: 1000 }, (_, i) => row((at + i) % 50_000, at + i)));
      if (at % 20_000 === 0) await sleep(systemClock, 0);
    }
  };
  poller.start();
  await until(() => table.loaded, { timeoutMs: 30_000, intervalMs: 5 });
  assert.deepEqual([table.moduleCount, table.nodeCount], [50_000, 1_000_000]);
  poller.modulesChanged([]);
  await until(() => table.installCount === 2, { timeoutMs: 30_000, intervalMs: 5 });
  assert.equal(table.nodeCount, 1_000_000);
  poller.stop();
});

test("VersionPoller says that it is behind before the first look, and after ten seconds without one", async () => {
  const clock = new ManualClock();
  const { store, poller, table } = setUp({ clock, pollIntervalMs: 1000, reloadIntervalMs: 5000 });
  store.failing.add("routeMark");
  poller.start();
  await advance(clock, 3000);
  assert.equal(poller.behindMs, BEHIND_MS + 3000);
  store.failing.clear();
  await advance(clock, 1500);
  assert.deepEqual([table.loaded, poller.behindMs], [true, undefined]);
  // Looks that fail, and looks that go well while full reads fail.
  for (const call of ["routeMark", "readRoutes"] as const) {
    store.failing.add(call);
    await advance(clock, 10_000);
    assert.equal(poller.behindMs, undefined, `${call}: not yet`);
    await advance(clock, 8_000);
    assert.ok((poller.behindMs ?? 0) > BEHIND_MS, `${call}: ${poller.behindMs}`);
    store.failing.clear();
    await advance(clock, 2_000);
    assert.equal(poller.behindMs, undefined, call);
  }
  // One that hangs.
  store.gates.set("routeMark", new Promise(() => {}));
  await advance(clock, 15_000);
  assert.ok((poller.behindMs ?? 0) > BEHIND_MS);
  poller.stop();
});
