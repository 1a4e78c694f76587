// Goal: no change is ever lost. Method: writers of every kind edit a pretended database whose
// calls are slow and fail at random, two pollers follow it in virtual time, and what each has told
// is replayed on a model that must end up equal to the database. Failures print their seed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep } from "../reactor/time/clock.ts";
import { StoreError } from "../reactor/errors.ts";
import { silentLogger } from "../reactor/log.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { nextInt, type Rng, seededRng } from "../reactor/time/rng.ts";
import type { RouteMark, RouteReadOptions, RouteRow } from "../sql/store.ts";
import { StoreHealth } from "../service/store_health.ts";
import { RouteTable } from "./route_table.ts";
import { VersionPoller } from "./version_poller.ts";
import type { ModuleKey } from "../model/module.ts";

const MODULES = 6;
const STAMP_IP = 99;

function key(modId: number): ModuleKey {
  return { modId, cmdId: 1 };
}

/** What a server of the database holds. */
interface SimState {
  readonly rows: RouteRow[];
  readonly version: number;
  readonly changes: { id: number; modId: number }[];
}

/**
 * How writers and servers are: careless as real ones; tidy, a change row for every edit; or with a
 * second server besides, which now and then stands still and is asked instead of the first.
 */
type Manner = "careless" | "tidy" | "lagging";

/** Rows, version and change rows. */
class SimDatabase implements SimState {
  rows: RouteRow[] = [];
  version = 0;
  changes: { id: number; modId: number }[] = [];
  failing = true;
  /** What the server that is asked holds, when it lags. */
  #behind: SimState | undefined;
  readonly #clock: ManualClock;
  readonly #rng: Rng;
  readonly #tidy: boolean;
  readonly #lags: boolean;
  #nextId = 1;
  #stampCount = 0;

  constructor(clock: ManualClock, rng: Rng, manner: Manner) {
    this.#clock = clock;
    this.#rng = rng;
    this.#tidy = manner !== "careless";
    this.#lags = manner === "lagging";
  }

  /** One edit by a random kind of writer; returns the modules it says it changed. */
  edit(): ModuleKey[] {
    const rng = this.#rng;
    if (this.#lags && rng.next() < 0.3) this.#toggleServer();
    const modId = nextInt(rng, MODULES);
    const ip = 1 + nextInt(rng, 3);
    const had = this.rows.filter((row) => row.modId !== modId || row.ip !== ip);
    if (had.length < this.rows.length && rng.next() < 0.6) this.rows = had;
    else {
      const weight = nextInt(rng, 3);
      this.rows = [...had, { ...key(modId), ip, port: 80, weight, zone: "", state: "on" }];
    }
    if (!this.#tidy && rng.next() < 0.02) this.rows = [];
    if (this.#tidy) this.#stamp(modId);
    if (this.#tidy || rng.next() < 0.7) this.changes.push({ id: this.#nextId++, modId });
    if (this.#lags) this.version++;
    else if (rng.next() < 0.5) this.version = Math.floor(this.#clock.nowMs() / 1000);
    if (!this.#tidy && rng.next() < 0.03) this.changes = this.changes.slice(-2);
    return rng.next() < 0.5 ? [key(modId)] : [];
  }

  /** A node that every edit of a module replaces: its weight tells old states from new ones. */
  #stamp(modId: number): void {
    const others = this.rows.filter((row) => row.modId !== modId || row.ip !== STAMP_IP);
    const weight = ++this.#stampCount;
    const stamp = { ...key(modId), ip: STAMP_IP, port: 80, weight, zone: "", state: "on" as const };
    this.rows = [...others, stamp];
  }

  #toggleServer(): void {
    const { rows, version } = this;
    this.#behind = this.#behind === undefined
      ? { rows, version, changes: [...this.changes] }
      : undefined;
  }

  /** Every server is up to date, and none fails any more. */
  settle(): void {
    this.failing = false;
    this.#behind = undefined;
  }

  /** A call that takes time before and after its look at the data, and may fail. */
  async #call<T>(
    look: (state: SimState) => T,
    { atLeastVersion = 0 }: RouteReadOptions = {},
  ): Promise<T> {
    await sleep(this.#clock, nextInt(this.#rng, 30));
    const state = this.#behind ?? this;
    if (this.#lags && state.version < atLeastVersion) throw new StoreError("behind", true);
    const seen = look(state);
    await sleep(this.#clock, nextInt(this.#rng, 60));
    if (this.failing && this.#rng.next() < 0.15) throw new StoreError("lost", true);
    return seen;
  }

  routeMark(options?: RouteReadOptions): Promise<RouteMark> {
    return this.#call(({ version, changes }) => ({
      version,
      changeIdMax: changes[changes.length - 1]?.id ?? 0,
      changeCount: changes.length,
    }), options);
  }

  changedModules(after: number): Promise<ModuleKey[]> {
    return this.#call(({ changes }) =>
      changes.filter(({ id }) => id > after).map(({ modId }) => key(modId))
    );
  }

  readModules(keys: readonly ModuleKey[], options?: RouteReadOptions): Promise<RouteRow[]> {
    return this.#call(({ rows }) => {
      const modIds = new Set(keys.map(({ modId }) => modId));
      return rows.filter(({ modId }) => modIds.has(modId));
    }, options);
  }

  moduleRows(): Promise<[]> {
    return this.#call(() => []);
  }

  async readRoutes(
    onRows: (rows: RouteRow[]) => void | Promise<void>,
    options?: RouteReadOptions,
  ): Promise<void> {
    const rows = await this.#call((state) => state.rows, options);
    for (let at = 0; at < rows.length; at += 3) {
      await onRows(rows.slice(at, at + 3));
      await sleep(this.#clock, nextInt(this.#rng, 40));
    }
  }
}

function nodesOf(table: RouteTable, modId: number): string {
  const { snapshot, index } = table.route(modId, 1);
  const { starts, ips, weights } = snapshot.columns;
  const start = index < 0 ? 0 : starts[index];
  return Array.from(
    { length: snapshot.nodeCountOf(index) },
    (_, n) => `${ips[start + n]}*${weights[start + n]}`,
  ).join(" ");
}

function truthOf(rows: readonly RouteRow[], modId: number): string {
  return rows.filter((row) => row.modId === modId).sort((a, b) => a.ip - b.ip)
    .map((row) => `${row.ip}*${row.weight}`).join(" ");
}

/** A poller and what a subscriber of every module would have been sent. */
class Follower {
  readonly table = new RouteTable(0);
  readonly model = new Map<number, string>();
  readonly poller: VersionPoller;
  #revisions = new Map<number, number>();

  constructor(database: SimDatabase, clock: ManualClock, rng: Rng, reloadIntervalMs: number) {
    const tell = (modId: number): void => {
      const { revision } = this.table.route(modId, 1);
      assert.ok(revision >= (this.#revisions.get(modId) ?? 0), "revisions never go back");
      this.#revisions.set(modId, revision);
      const stampOf = (nodes: string): number => Number(/99\*(\d+)/.exec(nodes)?.[1] ?? 0);
      const told = nodesOf(this.table, modId);
      const before = this.model.get(modId) ?? "";
      assert.ok(stampOf(told) >= stampOf(before), `never an old state: ${before} then ${told}`);
      this.model.set(modId, told);
    };
    this.poller = new VersionPoller({
      store: database,
      table: this.table,
      health: new StoreHealth({ clock, log: silentLogger, label: "sim", meanwhile: "serving" }),
      clock,
      rng,
      log: silentLogger,
      pollIntervalMs: 200,
      reloadIntervalMs,
      *onLoaded(): Generator<void, void> {
        for (let modId = 0; modId < MODULES; modId++) {
          tell(modId);
          yield;
        }
      },
      *onChanged(changed): Generator<void, void> {
        for (const { modId } of changed) {
          tell(modId);
          yield;
        }
      },
    });
  }
}

async function advance(clock: ManualClock, byMs: number): Promise<void> {
  for (let ms = 0; ms < byMs; ms += 5) {
    for (let i = 0; i < 20; i++) await Promise.resolve();
    clock.advance(5);
  }
}

async function simulate(seed: number, manner: Manner): Promise<void> {
  const clock = new ManualClock(1000);
  const rng = seededRng(seed);
  const database = new SimDatabase(clock, rng, manner);
  for (let i = 0; i < 5; i++) database.edit();
  const reloadIntervalMs = manner === "tidy" ? 0 : 3000;
  const followers = [0, 1].map(() => new Follower(database, clock, rng, reloadIntervalMs));
  for (const { poller } of followers) poller.start();
  for (let edit = 0; edit < 60; edit++) {
    await advance(clock, nextInt(rng, 200));
    const said = database.edit();
    const to = followers[nextInt(rng, 3)];
    if (said.length > 0 && to !== undefined) to.poller.modulesChanged(said);
  }
  database.settle();
  // The longest way: a full read that has just looked, its rest, the interval, and one more read.
  await advance(clock, 10_000);
  for (const { table, model, poller } of followers) {
    poller.stop();
    for (let modId = 0; modId < MODULES; modId++) {
      const truth = truthOf(database.rows, modId);
      assert.equal(nodesOf(table, modId), truth, `table, module ${modId}, seed ${seed}`);
      assert.equal(model.get(modId) ?? "", truth, `pushes, module ${modId}, seed ${seed}`);
    }
  }
  await advance(clock, 500);
}

test("every change reaches every subscriber, whatever writers and database do", async () => {
  for (let seed = 1; seed <= 60; seed++) await simulate(seed, "careless");
});

test("announced changes reach every subscriber without the regular full read, in order", async () => {
  for (let seed = 1; seed <= 60; seed++) await simulate(seed, "tidy");
});

test("no server of the database that lags brings an old state back", async () => {
  for (let seed = 1; seed <= 60; seed++) await simulate(seed, "lagging");
});
