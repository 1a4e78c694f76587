import assert from "node:assert/strict";
import { test } from "node:test";
import type { RouteRow } from "../../sql/store.ts";
import { moduleId } from "../../model/module.ts";
import { describePlan, editsOfPlan, planJson, planRoutes } from "./route_plan.ts";

function row(modId: number, host: number, values: Partial<RouteRow> = {}): RouteRow {
  return {
    modId,
    cmdId: 1,
    ip: 0x0a000000 + host,
    port: 7777,
    weight: 100,
    zone: "",
    state: "on",
    ...values,
  };
}

const current = [row(1, 1), row(1, 2, { weight: 50, zone: "a" }), row(2, 3), row(3, 4)];
const { zone: _zone, ...heavier } = row(1, 2, { weight: 0 });
const wanted = [
  { ...row(1, 1), line: 2 },
  { ...heavier, line: 3 },
  { modId: 1, cmdId: 1, ip: 0x0a000009, port: 1, line: 4 },
  { ...row(3, 4), line: 5 },
];

test("planRoutes() finds what is new, changed, missing and equal", () => {
  const plan = planRoutes(current, wanted);
  assert.deepEqual(plan.added, [
    { modId: 1, cmdId: 1, ip: 0x0a000009, port: 1, weight: 100, zone: "", state: "on" },
  ]);
  assert.deepEqual(plan.changed, [
    { before: current[1], after: { ...current[1], weight: 0 } },
  ]);
  assert.deepEqual(plan.missing, [current[2]]);
  assert.equal(plan.unchangedCount, 2);
  assert.deepEqual(plan.emptied, [{ modId: 2, cmdId: 1 }], "module (2,1) would have no node left");
});

test("describePlan() marks each line", () => {
  const plan = planRoutes(current, wanted);
  assert.deepEqual(describePlan(plan, { prune: false }), [
    "+ (1,1) 10.0.0.9:1 weight 100 state on",
    "~ (1,1) 10.0.0.2:7777 weight 50 -> 0",
    "? (2,1) 10.0.0.3:7777 weight 100 state on",
  ]);
  assert.match(describePlan(plan, { prune: true })[2], /^- \(2,1\)/);
  const names = new Map([[moduleId(1, 1), "shop"]]);
  assert.equal(
    describePlan(plan, { prune: false }, names)[1],
    "~ (1,1) shop 10.0.0.2:7777 weight 50 -> 0",
  );
});

test("planEdits() removes only with prune", () => {
  const plan = planRoutes(current, wanted);
  assert.deepEqual(editsOfPlan(plan, { prune: false }).map(({ op }) => op), ["add", "set"]);
  assert.deepEqual(editsOfPlan(plan, { prune: true }).at(-1), {
    op: "remove",
    modId: 2,
    cmdId: 1,
    ip: 0x0a000003,
    port: 7777,
  });
});

test("planRoutes() of a table with itself changes nothing", () => {
  const plan = planRoutes(current, current.map((one, index) => ({ ...one, line: index })));
  assert.deepEqual(editsOfPlan(plan, { prune: true }), []);
  assert.deepEqual(planJson(plan), { added: [], changed: [], missing: [], unchanged: 4 });
});
