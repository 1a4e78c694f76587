import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RouteRow } from "../sql/store.ts";
import { type ModuleId, moduleId, type ModuleKey } from "../model/module.ts";
import { buildSnapshot } from "./route_snapshot.ts";
import { type InstallResult, RouteTable } from "./route_table.ts";

function row(modId: number, cmdId: number, ip: number, port = 80): RouteRow {
  return { modId, cmdId, ip, port, weight: 100, zone: "", state: "on" };
}

function install(table: RouteTable, rows: readonly RouteRow[]): InstallResult {
  table.beginReload();
  return finishInstall(table, rows);
}

function finishInstall(table: RouteTable, rows: readonly RouteRow[]): InstallResult {
  const steps = table.install(buildSnapshot(rows));
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
