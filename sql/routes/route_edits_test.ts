import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ConflictError } from "../../reactor/errors.ts";
import { planEdits, type StoredRoute, validateEdits } from "./route_edits.ts";
import type { RouteEdit, RouteRow } from "../store.ts";
import { uniqueModules } from "../../model/module.ts";
import { nodeText } from "../../model/node.ts";

function stored(id: number, port: number, values: Partial<StoredRoute> = {}): StoredRoute {
  return { id, modId: 1, cmdId: 1, ip: 9, port, weight: 100, zone: "", state: "on", ...values };
}

const node = (port: number): { modId: number; cmdId: number; ip: number; port: number } => ({
  modId: 1,
  cmdId: 1,
  ip: 9,
  port,
});

test("planEdits() writes only what differs in the end", () => {
  const cases: [string, StoredRoute[], RouteEdit[], Partial<ReturnType<typeof planEdits>>][] = [
    ["nothing", [stored(1, 1)], [], {}],
    ["remove and add as it was", [stored(1, 1)], [
      { op: "remove", ...node(1) },
      { op: "add", ...node(1) },
    ], {}],
    ["remove and add otherwise", [stored(1, 1, { weight: 5 })], [
      { op: "remove", ...node(1) },
      { op: "add", ...node(1) },
    ], { updates: [{ ids: [1], weight: 100, zone: "", state: "on" }] }],
    ["add and remove", [], [{ op: "add", ...node(1) }, { op: "remove", ...node(1) }], {}],
    ["remove every copy", [stored(1, 1), stored(2, 1, { weight: 3 })], [
      { op: "remove", ...node(1) },
    ], { deleteIds: [1, 2] }],
    ["set every copy", [stored(1, 1), stored(2, 1, { weight: 3 })], [
      { op: "set", ...node(1), weight: 3 },
    ], { updates: [{ ids: [1], weight: 3, zone: "", state: "on" }] }],
    ["add, then set", [], [
      { op: "add", ...node(1) },
      { op: "set", ...node(1), zone: "a", state: "drain" },
    ], { inserts: [{ ...node(1), weight: 100, zone: "a", state: "drain" }] }],
    ["same values together", [stored(1, 1), stored(2, 2)], [
      { op: "set", ...node(1), state: "off" },
      { op: "set", ...node(2), state: "off" },
    ], { updates: [{ ids: [1, 2], weight: 100, zone: "", state: "off" }] }],
  ];
  for (const [what, rows, edits, expected] of cases) {
    const plan = planEdits(rows, edits);
    const changed = Object.keys(expected).length === 0 ? [] : [{ modId: 1, cmdId: 1 }];
    const empty = { deleteIds: [], inserts: [], updates: [] };
    assert.deepEqual(plan, { ...empty, changed, ...expected }, what);
  }
});

/** What the plan is meant to do, said as plainly as possible. */
function applyPlainly(
  rows: readonly RouteRow[],
  edits: readonly RouteEdit[],
): RouteRow[] | undefined {
  const map = new Map(rows.map((row) => [nodeText(row), row]));
  for (const { op, ...spec } of edits) {
    const name = nodeText(spec);
    const found = map.get(name);
    if ((op === "add") === (found !== undefined)) return undefined;
    if (op === "remove") map.delete(name);
    else map.set(name, { weight: 100, zone: "", state: "on", ...found, ...spec } as RouteRow);
  }
  return [...map.values()];
}

function applyPlan(rows: readonly StoredRoute[], edits: readonly RouteEdit[]): RouteRow[] {
  const plan = planEdits(rows, edits);
  const kept = rows.filter((row) => !plan.deleteIds.includes(row.id)).map((row) => {
    const update = plan.updates.find(({ ids }) => ids.includes(row.id));
    const { id: _, ...route } = row;
    if (update === undefined) return route;
    const { weight, zone, state } = update;
    return { ...route, weight, zone, state };
  });
  return [...kept, ...plan.inserts];
}

test("planEdits() does what the edits say, whatever they are", () => {
  const spec = fc.record({
    modId: fc.integer({ min: 1, max: 2 }),
    cmdId: fc.constant(1),
    ip: fc.integer({ min: 1, max: 2 }),
    port: fc.integer({ min: 1, max: 2 }),
    weight: fc.integer({ min: 0, max: 2 }),
  });
  const edits = fc.array(fc.record({ op: fc.constantFrom("add", "remove", "set"), spec }));
  const rows = fc.uniqueArray(spec, { selector: nodeText });
  fc.assert(fc.property(rows, edits, (specs, wishes) => {
    const before = specs.map((row, id) => stored(id, row.port, row));
    const list = wishes.map(({ op, spec: { weight, ...key } }) =>
      (op === "remove" ? { op, ...key } : { op, ...key, weight }) as RouteEdit
    );
    const expected = applyPlainly(before, list);
    if (expected === undefined) {
      assert.throws(() => planEdits(before, list), ConflictError);
      return;
    }
    const text = (routes: RouteRow[]): string[] =>
      routes.map((row) => `${nodeText(row)} ${row.weight} ${row.zone} ${row.state}`).sort();
    const after = applyPlan(before, list);
    assert.deepEqual(text(after), text(expected));
    const differing = uniqueModules([...before, ...after]).filter(({ modId }) =>
      text(before.filter((row) => row.modId === modId)).join() !==
        text(after.filter((row) => row.modId === modId)).join()
    );
    const sortKeys = (keys: { modId: number }[]): number[] => keys.map((key) => key.modId).sort();
    assert.deepEqual(sortKeys(planEdits(before, list).changed), sortKeys(differing));
  }));
});

test("validateEdits() takes any port for remove, real ones for the rest", () => {
  for (const port of [0, 1, 65_535, 65_536, 4_294_967_295]) {
    validateEdits([{ op: "remove", ...node(port) }]);
    const isReal = port >= 1 && port <= 65_535;
    for (const op of ["add", "set"] as const) {
      if (isReal) validateEdits([{ op, ...node(port) }]);
      else assert.throws(() => validateEdits([{ op, ...node(port) }]), RangeError);
    }
  }
  assert.throws(() => validateEdits([{ op: "remove", ...node(-1) }]), RangeError);
  assert.throws(
    () => validateEdits([{ op: "add", ...node(1) }, { op: "add", ...node(0) }]),
    /^RangeError: Edit 2: /,
  );
});

test("nodeName() tells every node from every other", () => {
  assert.equal(
    nodeText({ modId: 4294967295, cmdId: 0, ip: 3232235953, port: 70000 }),
    "4294967295/0 192.168.1.177:70000",
  );
});
