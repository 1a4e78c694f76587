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

  register(previous = 0): Promise<{ readonly result: string; readonly row: LeaseRow | undefined }> {
    const wish: LeaseWish = {
      ...{ op: "register", node: NODE, spec: SPEC, previous, holder: this.holder },
      ...{ incarnation: 7, makesModule: true },
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
