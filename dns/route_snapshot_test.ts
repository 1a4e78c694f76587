import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RouteRow } from "../sql/store.ts";
import { type ModuleId, moduleId, moduleOf } from "../model/module.ts";
import { pickableNodes } from "../model/pickable_nodes.ts";
import {
  buildSnapshot,
  NODES_PER_MODULE_MAX,
  type RouteSnapshot,
  RouteSnapshotBuilder,
  sameNodes,
} from "./route_snapshot.ts";

function row(modId: number, cmdId: number, ip: number, port: number): RouteRow {
  return { modId, cmdId, ip, port, weight: 100, zone: "", state: "on" };
}

/** Nodes of a module as text, in the order of the snapshot. */
function nodesOf(snapshot: RouteSnapshot, modId: number, cmdId: number): string[] {
  const index = snapshot.find(modId, cmdId);
  const { starts, ips, ports, weights, zones, drains, zoneNames } = snapshot.columns;
  const start = index < 0 ? 0 : starts[index];
  return Array.from({ length: snapshot.nodeCountOf(index) }, (_, n) => {
    const at = start + n;
    const drain = drains[at] === 1 ? " drain" : "";
    return `${ips[at]}:${ports[at]} ${weights[at]} ${zoneNames[zones[at]]}${drain}`;
  });
}

const rowArbitrary = fc.record({
  modId: fc.constantFrom(0, 1, 2, 2 ** 31, 2 ** 32 - 1),
  cmdId: fc.constantFrom(0, 1, 2 ** 32 - 1),
  ip: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.constantFrom(2 ** 31, 2 ** 32 - 1)),
  port: fc.oneof(fc.integer({ min: 1, max: 3 }), fc.constantFrom(0, 65_535, 65_536, 70_000)),
  weight: fc.constantFrom(0, 1, 100, 10_000),
  zone: fc.constantFrom("", "a", "b"),
  state: fc.constantFrom("on" as const, "on" as const, "drain" as const, "off" as const),
});

test("RouteSnapshotBuilder keeps what a plain map keeps, whatever the order and paging", () => {
  fc.assert(fc.property(
    fc.array(rowArbitrary, { maxLength: 400 }),
    fc.integer({ min: 1, max: 50 }),
    (rows, pageRows) => {
      const builder = new RouteSnapshotBuilder();
      for (let i = 0; i < rows.length; i += pageRows) builder.add(rows.slice(i, i + pageRows));
      const steps = builder.finish();
      let step = steps.next();
      while (!step.done) step = steps.next();
      const snapshot = step.value;
      const model = new Map<ModuleId, Map<number, string>>();
      let bad = 0;
      for (const one of rows) {
        const isOff = one.state === "off";
        if (one.port < 1 || one.port > 65_535) {
          if (!isOff) bad++;
          continue;
        }
        const key = moduleId(one.modId, one.cmdId);
        if (isOff) {
          model.get(key)?.delete(one.ip * 65_536 + one.port);
          continue;
        }
        const nodes = model.get(key) ?? new Map<number, string>();
        nodes.set(
          one.ip * 65_536 + one.port,
          `${one.ip}:${one.port} ${one.weight} ${one.zone}${one.state === "drain" ? " drain" : ""}`,
        );
        model.set(key, nodes);
      }
      assert.equal(snapshot.skipped.badPort, bad);
      const modules = [...model.values()].filter(({ size }) => size > 0);
      assert.equal(snapshot.moduleCount, modules.length);
      let count = 0;
      for (const [key, nodes] of model) {
        const { modId, cmdId } = moduleOf(key);
        const expected = [...nodes].sort(([a], [b]) => a - b).map(([, text]) => text);
        assert.deepEqual(nodesOf(snapshot, modId, cmdId), expected);
        const pickable = expected.filter((text) => !text.endsWith(" drain")).length;
        assert.equal(snapshot.pickableCountOf(snapshot.find(modId, cmdId)), pickable);
        count += expected.length;
      }
      assert.equal(snapshot.nodeCount, count);
    },
  ));
});

test("RouteSnapshotBuilder counts rows with bad ports by module", () => {
  const snapshot = buildSnapshot([row(1, 1, 9, 0), row(1, 1, 9, 70_000), row(1, 1, 9, 80)]);
  assert.equal(snapshot.skipped.badPort, 2);
  assert.deepEqual([...snapshot.skipped.byModule], [["1,1", 2]]);
  assert.deepEqual(nodesOf(snapshot, 1, 1), ["9:80 100 "]);
});

test("RouteSnapshotBuilder skips and counts rows beyond the limit of a module", () => {
  const rows = Array.from({ length: NODES_PER_MODULE_MAX + 5 }, (_, ip) => row(1, 1, ip, 80));
  const snapshot = buildSnapshot(rows);
  assert.equal(snapshot.nodeCount, NODES_PER_MODULE_MAX);
  assert.equal(snapshot.skipped.overLimit, 5);
});

test("RouteSnapshotBuilder sorts long routes that come in falling order", () => {
  const rows = Array.from({ length: 1000 }, (_, i) => row(7, 7, 1000 - i, 80));
  const nodes = nodesOf(buildSnapshot(rows), 7, 7);
  assert.equal(nodes[0], "1:80 100 ");
  assert.equal(nodes[999], "1000:80 100 ");
});

test("find() tells unknown modules from known ones among many", () => {
  const rows = Array.from({ length: 5000 }, (_, i) => row(i * 3, i % 7, i, 80));
  const snapshot = buildSnapshot(rows);
  for (let i = 0; i < 5000; i++) {
    assert.ok(snapshot.find(i * 3, i % 7) >= 0);
    assert.equal(snapshot.find(i * 3 + 1, i % 7), -1);
  }
});

test("sameNodes() sees a difference in ip, port, weight and zone, and none in zone numbering", () => {
  const base = { ...row(1, 1, 5, 80), zone: "a" };
  const left = buildSnapshot([base]);
  const other = { ...row(2, 2, 5, 80), zone: "b" };
  assert.ok(sameNodes(left, 0, buildSnapshot([other, base]), 1));
  for (const change of [{ ip: 6 }, { port: 81 }, { weight: 1 }, { zone: "b" }]) {
    assert.ok(!sameNodes(left, 0, buildSnapshot([{ ...base, ...change }]), 0));
  }
  assert.ok(sameNodes(left, -1, left, -1));
  assert.ok(!sameNodes(left, 0, left, -1));
});

test("a snapshot names the nodes that may be picked as whoever reads the rows does", () => {
  fc.assert(fc.property(fc.array(rowArbitrary, { maxLength: 60 }), (rows) => {
    const snapshot = buildSnapshot(rows);
    for (const { modId, cmdId } of rows) {
      const own = rows.filter((one) => one.modId === modId && one.cmdId === cmdId);
      const found = snapshot.pickableNodesOf(snapshot.find(modId, cmdId));
      assert.equal(found.name, pickableNodes(own).name);
      assert.equal(found.count, snapshot.pickableCountOf(snapshot.find(modId, cmdId)));
    }
    assert.equal(snapshot.pickableNodesOf(-1).name, pickableNodes([]).name);
  }));
});
