// Goal: discoveries that share a database know the same leases, and expire nobody who asks them for
// something. Method: their registries in virtual time, on the database of the simulation.

import assert from "node:assert/strict";
import { test } from "node:test";
import { HearingTime } from "../../discovery/hearing_time.ts";
import type { LeaseSpec, LeaseWish } from "../../discovery/lease_plan.ts";
import { LeaseRegistry } from "../../discovery/lease_registry.ts";
import { LeaseTable } from "../../discovery/lease_table.ts";
import { LossGuard } from "../../discovery/loss_guard.ts";
import type { LeaseRow } from "../../model/lease.ts";
import type { NodeKey } from "../../model/node.ts";
import { silentLogger } from "../../reactor/log.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import { StoreHealth } from "../../service/store_health.ts";
import { SimDatabase } from "./sim_database.ts";
import { calmWeather, SimStore } from "./sim_store.ts";

const NODE = { modId: 2, cmdId: 1, ip: 0x0a000001, port: 80 };
const SPEC: LeaseSpec = {
  ...{ ttlMs: 2_000, weight: 100, zone: "", note: "", isReady: true },
  ...{ source: "lars", owner: "test", check: "" },
};

/** One discovery. */
class Discovery {
  readonly weather = calmWeather();
  readonly table: LeaseTable;
  readonly registry: LeaseRegistry;

  constructor(clock: ManualClock, database: SimDatabase, readonly holder: number) {
    const rng = seededRng(holder);
    const store = new SimStore(database, clock, rng, this.weather).asStore;
    const time = new HearingTime(clock);
    const guard = new LossGuard();
    this.table = new LeaseTable({ time, guard, holder });
    this.registry = new LeaseRegistry({
      ...{ store, table: this.table, time, clock, rng, log: silentLogger, holder, guards: [guard] },
      notify: { store, clock, software: "test", secrets: undefined, addresses: [] },
      health: new StoreHealth({ clock, log: silentLogger, label: "sim", meanwhile: "" }),
      ...{ address: () => "sim:1", watched: [], onRoutes: () => {}, pollMs: 1000 },
    });
    this.registry.start();
  }

  register(
    previous = 0,
    node: NodeKey = NODE,
    incarnation = 7,
    ttlMs = SPEC.ttlMs,
  ): Promise<{ readonly result: string; readonly row: LeaseRow | undefined }> {
    const wish: LeaseWish = {
      ...{ op: "register", node, spec: { ...SPEC, ttlMs }, previous, holder: this.holder },
      ...{ incarnation, makesModule: true },
    };
    return this.registry.ask(wish);
  }
}

async function withTwo(
  fn: (one: Discovery, other: Discovery, pass: (ms: number) => Promise<void>) => Promise<void>,
  database = new SimDatabase(new ManualClock(), new Map()),
  clock = new ManualClock(),
): Promise<void> {
  const two = [new Discovery(clock, database, 1), new Discovery(clock, database, 2)];
  const pass = async (ms: number): Promise<void> => {
    const endMs = clock.nowMs() + ms;
    while (clock.nextDueMs <= endMs) {
      clock.fireNext();
      for (let turn = 0; turn < 20; turn++) await undefined;
    }
    clock.advance(endMs - clock.nowMs());
  };
  await pass(1_500);
  await fn(two[0], two[1], pass);
  for (const { registry } of two) void registry.stop();
  await pass(1_000);
}

test("a discovery hears of a change of another, also when it wrote nothing in between", async () => {
  await withTwo(async (one, other, pass) => {
    const registered = other.register();
    await pass(1_500);
    assert.equal((await registered).result, "done");
    assert.equal(one.table.get(NODE)?.row.holder, 2);
    void other.registry.ask({ op: "leave", node: NODE, incarnation: 7 });
    await pass(50);
    const looked = one.registry.ask({ op: "look", node: NODE });
    await pass(1_500);
    await looked;
    assert.equal(one.table.get(NODE), undefined, "it has left, at the other one");
  });
});

test("a node that asks again while the database is away does not expire with its answer", async () => {
  const clock = new ManualClock();
  const database = new SimDatabase(clock, new Map());
  const ends: string[] = [];
  database.onLease = ({ phase }) => void ends.push(phase);
  await withTwo(
    async (one, _other, pass) => {
      void one.register();
      await pass(500);
      one.table.heard(NODE, 7);
      one.weather.away = "refused";
      await pass(2_500);
      const again = one.register(7);
      await pass(1_500);
      one.weather.away = "no";
      await pass(1_500);
      assert.equal((await again).result, "done");
      assert.deepEqual(ends.filter((phase) => phase !== "live"), []);
    },
    database,
    clock,
  );
});

test("two discoveries that are cut off at once let no more nodes go than one alone", async () => {
  for (const isSilent of [true, false]) {
    const clock = new ManualClock();
    const database = new SimDatabase(clock, new Map());
    await withTwo(
      async (one, other, pass) => {
        const keepers = [one, other].map(({ table }) => table.openKeeper());
        const beat = (): void => {
          for (const [at, { table }] of [one, other].entries()) table.heardKeeper(keepers[at]);
        };
        for (let index = 0; index < 10; index++) {
          const discovery = [one, other][index % 2];
          const node = { ...NODE, ip: NODE.ip + index };
          void discovery.register(0, node, 100 + index);
          await pass(100);
          discovery.table.heard(node, 100 + index, keepers[index % 2]);
          beat();
        }
        await pass(1_100);
        beat();
        // Heard no more, or known to be cut off, in the same moment.
        if (!isSilent) {
          for (const [at, { table }] of [one, other].entries()) table.lose(keepers[at]);
        }
        await pass(10_000);
        const live = [...database.leases.values()].filter(({ row }) => row.phase === "live");
        assert.ok(
          live.length >= 5,
          `${live.length} of 10 stay, ${isSilent ? "silent" : "cut off"}`,
        );
        const held = [one, other].filter(({ registry }) => registry.stats().leases_held_back > 0);
        assert.ok(held.length > 0, "which is said");
      },
      database,
      clock,
    );
  }
});

test("a database that was set back has its nodes again, as they are heard", async () => {
  const clock = new ManualClock();
  const database = new SimDatabase(clock, new Map());
  await withTwo(
    async (one, other, pass) => {
      const nodes = [0, 1, 2, 3].map((index) => ({ ...NODE, ip: NODE.ip + index }));
      const [same, anew, late, elsewhere] = nodes;
      const enter = async (by: Discovery, node: NodeKey, incarnation: number): Promise<void> => {
        void by.register(0, node, incarnation, 60_000);
        await pass(1_100);
        by.table.heard(node, incarnation, by.table.openKeeper());
      };
      for (const node of [same, anew]) await enter(one, node, 7);
      const backup = new Map(database.leases);
      const { leaseSeq } = database;
      await enter(one, anew, 8);
      await enter(one, late, 9);
      await enter(other, elsewhere, 10);
      database.leases.clear();
      for (const [id, lease] of backup) database.leases.set(id, lease);
      database.leaseSeq = leaseSeq;
      const change = { isReady: false };
      const asked = one.registry.ask({ op: "change", node: anew, incarnation: 8, change });
      void other.registry.ask({ op: "look", node: elsewhere });
      // First it might be a server that lags.
      await pass(8_000);
      assert.equal((await asked).result, "done", "it is not told that another program is there");
      const found = nodes.map((node) => {
        const row = [...database.leases.values()].find(({ row: { ip } }) => ip === node.ip)?.row;
        return `${row?.incarnation} ${row?.phase} ${row?.holder}`;
      });
      assert.deepEqual(found, ["7 live 1", "8 drain 1", "9 live 1", "10 live 2"]);
      assert.equal(one.table.get(elsewhere)?.row.incarnation, 10);
      assert.equal(other.table.get(anew)?.row.incarnation, 8);
    },
    database,
    clock,
  );
});

test("a server that lags for a while is not taken for a database that was set back", async () => {
  const clock = new ManualClock();
  const database = new SimDatabase(clock, new Map());
  await withTwo(
    async (one, other, pass) => {
      const nodes = [0, 1].map((index) => ({ ...NODE, ip: NODE.ip + index }));
      const stateOf = (): [Map<string, { row: LeaseRow; seq: number }>, number] => [
        new Map(database.leases),
        database.leaseSeq,
      ];
      const show = ([leases, seq]: ReturnType<typeof stateOf>): void => {
        database.leases.clear();
        for (const [id, lease] of leases) database.leases.set(id, lease);
        database.leaseSeq = seq;
      };
      void one.register(0, nodes[0], 7, 60_000);
      await pass(1_100);
      const older = stateOf();
      void one.register(0, nodes[1], 8, 60_000);
      await pass(1_100);
      for (const [index, node] of nodes.entries()) {
        one.table.heard(node, 7 + index, one.table.openKeeper());
      }
      const newer = stateOf();
      show(older);
      const change = { isReady: false };
      const asked = one.registry.ask({ op: "change", node: nodes[1], incarnation: 8, change });
      void other.registry.ask({ op: "look", node: nodes[0] });
      await pass(3_000);
      assert.equal(database.leaseSeq, older[1], "nothing is written to it");
      show(newer);
      await pass(3_000);
      assert.equal((await asked).result, "done");
      const phases = [...database.leases.values()].map(({ row }) =>
        `${row.incarnation} ${row.phase}`
      );
      assert.deepEqual(phases.sort(), ["7 live", "8 drain"]);
    },
    database,
    clock,
  );
});

test("a discovery that is silent is not forgotten before its leases are another's", async () => {
  const clock = new ManualClock();
  const database = new SimDatabase(clock, new Map());
  const left: number[] = [];
  const forget = database.holders.delete.bind(database.holders);
  database.holders.delete = (id) => {
    const held = [...database.leases.values()].filter(({ row }) => row.holder === id);
    if (id === 9) left.push(held.length);
    return forget(id);
  };
  await withTwo(
    async (one, _other, pass) => {
      void one.register(0, NODE, 7, 60_000);
      await pass(1_100);
      const [{ row }] = database.leases.values();
      // It has ended without a word.
      database.holders.set(9, { id: 9, address: "sim:9", beat: 1 });
      database.putLeases([{ ...row, holder: 9 }]);
      await pass(8_000);
      const [backup, { leaseSeq }] = [new Map(database.leases), database];
      void one.register(0, { ...NODE, ip: NODE.ip + 1 }, 8, 60_000);
      await pass(1_100);
      database.leases.clear();
      for (const [id, lease] of backup) database.leases.set(id, lease);
      database.leaseSeq = leaseSeq;
      // The database is known as set back while the leases are to be taken over.
      await pass(20_000);
      assert.ok(left.length > 0);
      assert.deepEqual(left.filter((count) => count > 0), []);
      const holders = [...database.leases.values()].map((lease) => lease.row.holder);
      assert.ok(!holders.includes(9), `held by ${holders}`);
    },
    database,
    clock,
  );
});
