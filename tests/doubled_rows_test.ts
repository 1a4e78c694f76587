// A node that stands in several rows: dns, the console and edits all take the row stored last.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { planRoutes } from "../control/changes/route_plan.ts";
import { formatRouteFile, parseRouteFile } from "../control/changes/route_file.ts";
import { SystemModel } from "../control/system/system_model.ts";
import { buildSnapshot } from "../dns/route_snapshot.ts";
import { nodeText, type RouteRow, rowsThatCount } from "../model/node.ts";
import { pickableNodes } from "../model/pickable_nodes.ts";
import { groupModules } from "../sql/console/route_difference.ts";
import { planEdits } from "../sql/routes/route_edits.ts";

const MODULE = { modId: 30, cmdId: 1 };

/** Few nodes, so that most stand in several rows. */
const rows = fc.array(
  fc.record({
    modId: fc.constant(MODULE.modId),
    cmdId: fc.constant(MODULE.cmdId),
    ip: fc.integer({ min: 1, max: 3 }),
    port: fc.integer({ min: 80, max: 81 }),
    weight: fc.integer({ min: 0, max: 3 }),
    zone: fc.constantFrom("", "a"),
    state: fc.constantFrom("on", "drain", "off"),
  }) as fc.Arbitrary<RouteRow>,
  { minLength: 1, maxLength: 12 },
);

function textOf(row: RouteRow): string {
  return `${nodeText(row)} ${row.weight} ${row.zone} ${row.state}`;
}

function texts(all: Iterable<RouteRow>): string[] {
  return [...all].map(textOf).sort();
}

test("of several rows of one node the last counts, whoever looks", () => {
  fc.assert(fc.property(rows, (stored) => {
    const counting = rowsThatCount(stored);
    assert.equal(new Set(counting.map(nodeText)).size, counting.length, "each node once");
    for (const row of counting) {
      const same = stored.filter((one) => nodeText(one) === nodeText(row));
      assert.equal(textOf(row), textOf(same[same.length - 1]));
      assert.equal(row.copies ?? 1, same.length);
    }
    const served = buildSnapshot(stored);
    const on = counting.filter(({ state }) => state !== "off");
    assert.deepEqual(texts(served.rowsOf(served.find(30, 1))), texts(on), "dns");
    assert.deepEqual(pickableNodes(stored), pickableNodes(counting), "the guard of pushes");
    const model = new SystemModel();
    model.setRoutes(stored, []);
    assert.deepEqual(texts(model.stored(30, 1)?.nodes ?? []), texts(counting), "the console");
    const [module] = groupModules([MODULE], stored, []);
    assert.deepEqual(texts(module.nodes), texts(counting), "changes");
    const [first] = counting;
    const { inserts, updates } = planEdits(stored.map((row, id) => ({ ...row, id })), [
      { op: "set", ...first },
    ]);
    assert.equal(inserts.length, 0);
    for (const { weight, zone, state } of updates) {
      assert.deepEqual({ weight, zone, state }, {
        weight: first.weight,
        zone: first.zone,
        state: first.state,
      }, "an edit that changes nothing writes what counts");
    }
  }));
});

test("an export of rows that double is read back without a difference", () => {
  fc.assert(fc.property(rows, (stored) => {
    const counting = rowsThatCount(stored);
    for (const format of ["csv", "json"] as const) {
      const { nodes, problems } = parseRouteFile(formatRouteFile(counting, format), format, "x");
      assert.deepEqual(problems, []);
      const { added, changed, missing } = planRoutes(counting, nodes);
      assert.deepEqual([added, changed, missing], [[], [], []]);
    }
  }));
});
