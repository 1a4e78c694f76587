import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RouteRow } from "../sql/store.ts";
import { type ModuleId, moduleId, type ModuleKey } from "../model/module.ts";
import { encodeFleetModules } from "../proto/codec.ts";
import { FRAME_BODY_BYTES_MAX } from "../reactor/frame.ts";
import { meantMark, pickableNodes } from "../model/pickable_nodes.ts";
import { buildSnapshot } from "./route_snapshot.ts";
import { type InstallResult, type RouteExtras, RouteTable } from "./route_table.ts";

function row(modId: number, cmdId: number, ip: number, port = 80): RouteRow {
  return { modId, cmdId, ip, port, weight: 100, zone: "", state: "on" };
}

function install(table: RouteTable, rows: readonly RouteRow[]): InstallResult {
  table.beginReload();
  return finishInstall(table, rows);
}

function finishInstall(
  table: RouteTable,
  rows: readonly RouteRow[],
  extras?: RouteExtras,
): InstallResult {
  const steps = table.install(buildSnapshot(rows), extras);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

function routeText(table: RouteTable, modId: number, cmdId: number): string {
  const { snapshot, index } = table.route(modId, cmdId);
  const { starts, ips, ports, weights } = snapshot.columns;
  const start = index < 0 ? 0 : starts[index];
  return Array.from(
    { length: snapshot.nodeCountOf(index) },
    (_, n) => `${ips[start + n]}:${ports[start + n]}*${weights[start + n]}`,
  ).join(" ");
}

const keys = [0, 1, 2, 3, 4].map((modId) => ({ modId, cmdId: 7 }));
const rowsArbitrary = fc.array(
  fc.record({
    modId: fc.integer({ min: 0, max: 4 }),
    cmdId: fc.constant(7),
    ip: fc.integer({ min: 1, max: 4 }),
    port: fc.integer({ min: 1, max: 2 }),
    weight: fc.constantFrom(1, 100),
    zone: fc.constant(""),
    state: fc.constantFrom("on" as const, "off" as const),
  }),
  { maxLength: 12 },
);
const stepArbitrary = fc.oneof(
  fc.record({ kind: fc.constant("full" as const), rows: rowsArbitrary }),
  fc.record({
    kind: fc.constant("modules" as const),
    rows: rowsArbitrary,
    modIds: fc.uniqueArray(fc.integer({ min: 0, max: 4 })),
  }),
);

test("replaying the changes of any history on a model gives the table", () => {
  fc.assert(fc.property(fc.array(stepArbitrary, { maxLength: 12 }), (steps) => {
    const table = new RouteTable(1000);
    install(table, []);
    const model = new Map<ModuleId, string>();
    const revisions = new Map<ModuleId, number>();
    let truth: RouteRow[] = [];
    for (const step of steps) {
      let changed: readonly ModuleKey[];
      if (step.kind === "full") {
        truth = step.rows;
        changed = install(table, truth).changed;
      } else {
        const wanted = keys.filter((key) => step.modIds.includes(key.modId));
        const rows = step.rows.filter((one) => step.modIds.includes(one.modId));
        truth = [...truth.filter((one) => !step.modIds.includes(one.modId)), ...rows];
        changed = table.replaceModules(wanted, rows);
      }
      for (const { modId, cmdId } of changed) {
        const id = moduleId(modId, cmdId);
        assert.notEqual(model.get(id) ?? "", routeText(table, modId, cmdId), "a real change");
        model.set(id, routeText(table, modId, cmdId));
        const { revision } = table.route(modId, cmdId);
        assert.ok(revision > (revisions.get(id) ?? 0), "revision grows");
        revisions.set(id, revision);
      }
      const expected = new RouteTable(0);
      install(expected, truth);
      for (const { modId, cmdId } of keys) {
        const text = routeText(expected, modId, cmdId);
        assert.equal(routeText(table, modId, cmdId), text);
        assert.equal(model.get(moduleId(modId, cmdId)) ?? "", text);
        assert.ok(
          table.route(modId, cmdId).revision >= (revisions.get(moduleId(modId, cmdId)) ?? 0),
        );
      }
      assert.equal(table.moduleCount, expected.moduleCount);
      assert.equal(table.nodeCount, expected.nodeCount);
    }
  }));
});

test("install() names nothing on the first load and says so", () => {
  const table = new RouteTable(5);
  assert.equal(table.loaded, false);
  const result = install(table, [row(1, 1, 9)]);
  assert.deepEqual([result.first, result.changed, table.loaded], [true, [], true]);
  assert.equal(table.route(1, 1).revision, 6);
});

test("install() names removed modules and counts what is left", () => {
  const table = new RouteTable(0);
  install(table, [row(1, 1, 9), row(2, 1, 9), row(2, 1, 10)]);
  const result = install(table, [row(1, 1, 9)]);
  assert.deepEqual(result.changed, [{ modId: 2, cmdId: 1 }]);
  assert.deepEqual([result.nodesBefore, result.nodesAfter], [3, 1]);
});

test("install() keeps modules that were read while the full read ran, and asks to recheck", () => {
  const table = new RouteTable(0);
  install(table, [row(1, 1, 1), row(2, 1, 1)]);
  table.beginReload();
  assert.deepEqual(table.replaceModules([{ modId: 1, cmdId: 1 }], [row(1, 1, 2)]), [
    { modId: 1, cmdId: 1 },
  ]);
  // Read again without a difference: it must win over the full read all the same.
  assert.deepEqual(table.replaceModules([{ modId: 2, cmdId: 1 }], [row(2, 1, 1)]), []);
  const result = finishInstall(table, [row(1, 1, 1), row(2, 1, 7), row(3, 1, 3)]);
  assert.deepEqual(result.changed, [{ modId: 3, cmdId: 1 }]);
  assert.deepEqual(result.recheck, [{ modId: 1, cmdId: 1 }, { modId: 2, cmdId: 1 }]);
  assert.equal(routeText(table, 1, 1), "2:80*100");
  assert.equal(routeText(table, 2, 1), "1:80*100");
  assert.equal(table.nodeCount, 3);
  install(table, [row(1, 1, 2)]);
  assert.equal(routeText(table, 1, 1), "2:80*100");
  assert.equal(table.nodeCount, 1);
});

test("a module read from an older state while a newer full read is taken over does not stay", () => {
  const table = new RouteTable(1);
  const at = (version: number): { epoch: number; version: number } => ({ epoch: 0, version });
  const rows = (ip: number): RouteRow[] =>
    Array.from({ length: 5000 }, (_, modId) => row(modId, 7, modId === 1 ? ip : 9));
  for (const _ of table.install(buildSnapshot(rows(3)), undefined, at(3)));
  table.beginReload();
  const steps = table.install(buildSnapshot(rows(5)), undefined, at(5));
  assert.equal(steps.next().done, false, "it takes several steps");
  const key = { modId: 1, cmdId: 7 };
  assert.deepEqual(table.replaceModules([key], [row(1, 7, 4)], undefined, at(4)), []);
  assert.deepEqual(table.replaceModules([{ ...key, modId: 2 }], [row(2, 7, 6)], undefined, at(6)), [
    { modId: 2, cmdId: 7 },
  ]);
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  assert.deepEqual([step.value.changed, step.value.recheck], [[key], [{ modId: 2, cmdId: 7 }]]);
  assert.deepEqual(table.plan, at(5));
  const seen = [1, 2, 3].map((modId) => [routeText(table, modId, 7), table.route(modId, 7).plan]);
  assert.deepEqual(seen, [["5:80*100", at(5)], ["6:80*100", at(6)], ["9:80*100", at(5)]]);
  // One that was given up holds nothing back.
  table.beginReload();
  table.install(buildSnapshot(rows(9)), undefined, at(9)).next();
  table.abandonReload();
  assert.deepEqual(table.replaceModules([key], [row(1, 7, 8)], undefined, at(8)), [key]);
});

test("a module that vanishes and comes back has growing revisions all the way", () => {
  const table = new RouteTable(0);
  install(table, [row(1, 1, 1)]);
  const seen = [table.route(1, 1).revision];
  const key = { modId: 1, cmdId: 1 };
  table.replaceModules([key], []);
  seen.push(table.route(1, 1).revision);
  install(table, []);
  seen.push(table.route(1, 1).revision);
  table.replaceModules([{ modId: 5, cmdId: 5 }], [row(5, 5, 1)]);
  seen.push(table.route(1, 1).revision);
  install(table, [row(1, 1, 1), row(5, 5, 1)]);
  seen.push(table.route(1, 1).revision);
  assert.deepEqual(seen, [...seen].sort((a, b) => a - b));
  assert.ok(seen[4] > seen[3]);
});

const KEY = { modId: 1, cmdId: 1 };

/** What is read of module 1/1 when it has these nodes and this mark. */
function reading(ips: readonly number[], mark: string): [RouteRow[], RouteExtras] {
  const rows = ips.map((ip) => row(1, 1, ip));
  return [rows, new Map([[moduleId(1, 1), { policy: "", name: "", mark }]])];
}

function markOf(version: number, ips: readonly number[]): string {
  return meantMark(version, pickableNodes(ips.map((ip) => row(1, 1, ip))).name);
}

/** Brings a reading into the table, by a full read or by one of the module; was it told? */
function take(table: RouteTable, full: boolean, ips: readonly number[], mark: string): boolean {
  const [rows, extras] = reading(ips, mark);
  if (!full) return table.replaceModules([KEY], rows, extras).length > 0;
  table.beginReload();
  return finishInstall(table, rows, extras).changed.length > 0;
}

test("a mark is honoured for the nodes that it names, once", () => {
  type Step = [what: string, ips: number[], mark: string, meant: boolean, told: boolean];
  const emptied = markOf(5, []);
  const steps: Step[] = [
    ["it is meant so", [1, 2, 3, 4], markOf(1, [1, 2, 3, 4]), true, true],
    ["more by hand", [1, 2, 3, 4, 5], markOf(1, [1, 2, 3, 4]), true, true],
    ["emptied by hand right after", [], markOf(1, [1, 2, 3, 4]), false, true],
    ["filled by hand as it was meant once", [1, 2, 3, 4], markOf(1, [1, 2, 3, 4]), false, true],
    ["the same read again", [1, 2, 3, 4], markOf(1, [1, 2, 3, 4]), false, false],
    ["the mark of what has not been read yet", [1, 2, 3, 4], markOf(2, [1]), false, false],
    ["read now", [1], markOf(2, [1]), true, true],
    ["meant away", [], emptied, true, true],
    ["filled by hand", [1, 2, 3, 4], emptied, true, true],
    ["emptied by hand: the mark has been honoured before", [], emptied, false, true],
    ["confirmed", [], markOf(6, []), true, true],
    ["confirmed again", [], markOf(7, []), true, false],
    ["filled by hand", [1, 2], markOf(7, []), true, true],
    ["emptied by hand, and confirmed twice before", [], markOf(7, []), false, true],
    ["meant away once more", [], markOf(8, []), true, true],
    ["nothing is marked any more", [], "", true, false],
  ];
  for (const full of [true, false]) {
    const table = new RouteTable(0);
    take(table, true, [], "");
    for (const [what, ips, mark, meant, told] of steps) {
      assert.equal(take(table, full, ips, mark), told, `told: ${what}, full read: ${full}`);
      const view = table.route(1, 1);
      assert.deepEqual([view.meant, view.guarded], [meant, true], `${what}, full read: ${full}`);
    }
  }
});

test("at the first load only a mark of what is there holds", () => {
  const cases: [ips: number[], mark: string, meant: boolean][] = [
    [[1, 2], markOf(1, [1, 2]), true],
    [[], markOf(1, [1, 2]), false],
    [[], markOf(1, []), true],
    [[1], markOf(1, [1, 2]), false],
    [[1], "", false],
  ];
  for (const [ips, mark, meant] of cases) {
    const table = new RouteTable(0);
    take(table, true, ips, mark);
    assert.equal(table.route(1, 1).meant, meant, `${ips}, ${mark}`);
  }
});

test("without a mark in the schema nothing is guarded, and a module loses both with its row", () => {
  const table = new RouteTable(0);
  table.beginReload();
  const unmarked = new Map([[moduleId(1, 1), { policy: "{}", name: "", mark: undefined }]]);
  finishInstall(table, [row(1, 1, 1)], unmarked);
  assert.deepEqual([table.route(1, 1).guarded, table.route(1, 1).policy], [false, "{}"]);
  take(table, true, [1], markOf(1, [1]));
  assert.deepEqual([table.route(1, 1).guarded, table.route(1, 1).meant], [true, true]);
  install(table, [row(1, 1, 1)]);
  assert.deepEqual([table.route(1, 1).guarded, table.route(1, 1).meant], [false, false]);
});

test("a list of modules with names as long as a foreign table has them fits its frames", () => {
  const table = new RouteTable(0);
  const rows = Array.from({ length: 100 }, (_, modId) => row(modId, 1, 1));
  const names = ["😀".repeat(128), "x".repeat(70_000), "login"];
  const extras = new Map(rows.map(({ modId }) => {
    return [moduleId(modId, 1), {
      policy: "",
      name: names[Math.min(modId, 98) % 3],
      mark: undefined,
    }];
  }));
  table.beginReload();
  finishInstall(table, rows, extras);
  assert.deepEqual(
    [0, 1, 2].map((modId) => table.listing(modId, 1).name),
    [names[0], "x".repeat(128), "login"],
  );
  for (const name of [names[0], "ä".repeat(9_000)]) {
    const all = new Map(
      rows.map(({ modId }) => [moduleId(modId, 1), { policy: "", name, mark: undefined }]),
    );
    table.beginReload();
    finishInstall(table, rows, all);
    const body = encodeFleetModules({ modules: [...table.listed()], first: true, last: true });
    assert.ok(body.length <= FRAME_BODY_BYTES_MAX, `${body.length} bytes`);
  }
});
