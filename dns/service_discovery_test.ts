import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreError } from "../reactor/errors.ts";
import type { RouteRow } from "../sql/store.ts";
import { discoverModules, DISCOVERY_TARGETS_MAX } from "./service_discovery.ts";
import type { ModuleKey } from "../model/module.ts";
import { RouteTable } from "./route_table.ts";
import { buildSnapshot } from "./route_snapshot.ts";

function row(more: Partial<RouteRow> = {}): RouteRow {
  return {
    modId: 1,
    cmdId: 2,
    ip: 0x0a000001,
    port: 80,
    weight: 100,
    zone: "",
    state: "on",
    ...more,
  };
}

const ROWS = [
  row(),
  row(),
  row({ ip: 0x0a000002, zone: "east" }),
  row({ ip: 0x0a000003, state: "drain" }),
  row({ ip: 0x0a000004, state: "off" }),
  row({ ip: 0x0a000005, port: 70_000 }),
  row({ cmdId: 3, port: 81 }),
];

/** A store with these rows, that gives them in two pages. */
function storeOf(rows: readonly RouteRow[]): Parameters<typeof discoverModules>[1] {
  return {
    async readRoutes(onRows): Promise<void> {
      await onRows(rows.slice(0, 2));
      await onRows(rows.slice(2));
    },
    readModules: ([key]: readonly ModuleKey[]) =>
      Promise.resolve(
        rows.filter(({ modId, cmdId }) => modId === key.modId && cmdId === key.cmdId),
      ),
  };
}

/** The table in memory after a full load of these rows. */
function tableOf(rows: readonly RouteRow[]): RouteTable {
  const table = new RouteTable(1);
  const steps = table.install(buildSnapshot(rows));
  while (steps.next().done !== true);
  return table;
}

async function ask(query: string, rows = ROWS): Promise<{ status: number; body: string }> {
  const { status, body } = await discoverModules(
    tableOf(rows),
    storeOf(rows),
    new URLSearchParams(query),
    false,
  );
  return { status, body };
}

async function targets(query: string): Promise<[string[], string, string][]> {
  const { status, body } = await ask(query);
  assert.equal(status, 200, body);
  const groups = JSON.parse(body) as { targets: string[]; labels: Record<string, string> }[];
  return groups.map(({ targets, labels }) => [
    targets,
    `${labels.__meta_lars_modid}/${labels.__meta_lars_cmdid}`,
    labels.__meta_lars_zone + labels.__meta_lars_state,
  ]);
}

test("discoverModules() groups nodes by module, zone and state", async () => {
  const first = [
    [["10.0.0.1:80"], "1/2", "on"],
    [["10.0.0.2:80"], "1/2", "easton"],
    [["10.0.0.3:80"], "1/2", "drain"],
  ];
  assert.deepEqual(await targets(""), [...first, [["10.0.0.1:81"], "1/3", "on"]]);
  assert.deepEqual(await targets("modid=1&cmdid=2"), first);
  assert.deepEqual(await targets("cmdid=3&port=9100"), [[["10.0.0.1:9100"], "1/3", "on"]]);
  assert.deepEqual(await targets("state=off"), [[["10.0.0.4:80"], "1/2", "off"]]);
  assert.deepEqual(await targets("modid=7"), []);
});

test("discoverModules() refuses what it does not understand", async () => {
  for (
    const query of ["modid=x", "cmdid=-1", "modid=4294967296", "port=65536", "state=up", "a=1"]
  ) {
    assert.equal((await ask(query)).status, 400, query);
  }
});

test("discoverModules() is bounded, and says when the database is away", async () => {
  const many = Array.from({ length: DISCOVERY_TARGETS_MAX + 1 }, (_, ip) => row({ ip }));
  assert.equal((await ask("", many)).status, 413);
  assert.equal((await ask("", many.slice(1))).status, 200);
  const away = {
    ...storeOf([]),
    readRoutes: () => Promise.reject(new StoreError("away", true)),
  };
  const table = tableOf(ROWS);
  const off = new URLSearchParams("state=on,off");
  const all = new URLSearchParams();
  assert.equal((await discoverModules(table, away, off, false)).status, 503);
  // What is in memory needs no database, but something must have been read, and be true.
  assert.equal((await discoverModules(table, away, all, false)).status, 200);
  assert.equal((await discoverModules(new RouteTable(1), away, all, false)).status, 503);
  const stale = await discoverModules(table, away, all, true);
  assert.equal(stale.status, 503, "an answer from memory would take the place of newer targets");
  assert.equal((await discoverModules(table, away, new URLSearchParams("a=1"), true)).status, 400);
});

test("discoverModules() gives a module that was read since the last full load, in its place", async () => {
  const table = tableOf(ROWS);
  const moved = [row({ ip: 0x0a000009 })];
  table.replaceModules([{ modId: 1, cmdId: 2 }, { modId: 9, cmdId: 9 }], [
    ...moved,
    row({ modId: 9, cmdId: 9 }),
  ]);
  const { body } = await discoverModules(table, storeOf([]), new URLSearchParams(), false);
  const groups = JSON.parse(body) as { targets: string[] }[];
  assert.deepEqual(groups.map(({ targets }) => targets), [
    ["10.0.0.9:80"],
    ["10.0.0.1:81"],
    ["10.0.0.1:80"],
  ]);
});
