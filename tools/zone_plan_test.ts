import assert from "node:assert/strict";
import { test } from "node:test";
import type { ModuleRow, RouteRow } from "../sql/store.ts";
import { planZone, withZone } from "./zone_plan.ts";

function row(modId: number, zone: string, state: RouteRow["state"] = "on"): RouteRow {
  return { modId, cmdId: 1, ip: modId, port: 80, weight: 100, zone, state };
}

function policyRow(modId: number, policy: string): ModuleRow {
  return { modId, cmdId: 1, name: "", policy, updatedAt: 0 };
}

test("withZone() takes a zone out and brings it back, and leaves the rest", () => {
  const east = withZone('{"policy":"maglev"}', "east", true);
  assert.deepEqual(JSON.parse(east), { policy: "maglev", evacuatedZones: ["east"] });
  assert.equal(withZone(east, "east", true), east);
  const both = withZone(east, "west", true);
  assert.deepEqual(JSON.parse(both).evacuatedZones, ["east", "west"]);
  assert.equal(withZone(both, "west", false), east);
  assert.equal(withZone(withZone("", "east", true), "east", false), "");
  assert.throws(() => withZone("no json", "east", true), RangeError);
});

test("planZone() evacuates what has nodes there, and says what has them nowhere else", () => {
  const routes = [
    row(1, "east"),
    row(1, "west"),
    row(2, "east"),
    row(3, "west"),
    row(4, "east", "off"),
    row(5, "east"),
    row(5, "west", "drain"),
    row(6, "east"),
    row(6, ""),
  ];
  const rows = [policyRow(6, '{"evacuatedZones":["east"]}'), policyRow(1, '{"errRate":0.2}')];
  const plan = planZone("east", true, routes, rows);
  assert.deepEqual(plan.changes.map(({ modId }) => modId), [1]);
  assert.deepEqual(JSON.parse(plan.changes[0].policy ?? ""), {
    errRate: 0.2,
    evacuatedZones: ["east"],
  });
  assert.deepEqual([plan.unchangedCount, plan.faults], [1, []]);
  assert.deepEqual(plan.onlyThere.map(({ modId }) => modId), [2, 5]);
});

test("planZone() leaves a module its last zone, also one that an older program took out", () => {
  const routes = [row(1, "east"), row(1, "west"), row(2, "east"), row(2, "west"), row(2, "")];
  // A node is an address: three of module 2 differ.
  const nodes = routes.map((one, port) => ({ ...one, port }));
  const east = '{"evacuatedZones":["east"]}';
  const both = '{"evacuatedZones":["east","west"]}';
  const rows = [{ ...policyRow(1, east), name: "shop" }, policyRow(2, east)];
  const plan = planZone("west", true, nodes, rows);
  assert.deepEqual(plan.onlyThere, [{ modId: 1, cmdId: 1, name: "shop" }]);
  assert.deepEqual(plan.changes.map(({ modId }) => modId), [2]);
  assert.deepEqual(plan.changed, [{ modId: 2, cmdId: 1, name: "" }]);
  const late = planZone("west", true, nodes, [policyRow(1, both), policyRow(2, both)]);
  assert.deepEqual(late.onlyThere.map(({ modId }) => modId), [1]);
  assert.deepEqual([late.changes, late.unchangedCount], [[], 1]);
});

test("planZone() restores every module that names the zone, with nodes or without", () => {
  const rows = [
    policyRow(1, '{"evacuatedZones":["east","west"]}'),
    policyRow(2, '{"evacuatedZones":["east"]}'),
    policyRow(3, '{"evacuatedZones":["west"]}'),
    policyRow(4, "{}"),
  ];
  const plan = planZone("east", false, [], rows);
  assert.deepEqual(plan.changes, [
    { modId: 1, cmdId: 1, policy: '{"evacuatedZones":["west"]}' },
    { modId: 2, cmdId: 1, policy: "" },
  ]);
  assert.deepEqual([plan.unchangedCount, plan.onlyThere], [1, []]);
});

test("planZone() names policies that it cannot change", () => {
  const { changes, faults } = planZone(
    "east",
    true,
    [row(1, "east"), row(2, "east"), row(2, "west")],
    [policyRow(1, "by hand")],
  );
  assert.deepEqual(changes.map(({ modId }) => modId), [2]);
  assert.match(faults[0].fault, /must be JSON/);
});
