import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { markNames, meantMark, pickableNodes, type StoredNode } from "./pickable_nodes.ts";

function node(ip: number, state: StoredNode["state"] = "on", port = 80): StoredNode {
  return { ip, port, state };
}

test("pickableNodes() names a set of nodes: any order, no copies, nothing that is not picked", () => {
  const nodes = [node(1), node(2), node(4_294_967_295)];
  const { name, count } = pickableNodes(nodes);
  assert.equal(count, 3);
  assert.match(name, /^3-[0-9a-f]{16}$/);
  const same: StoredNode[][] = [
    [nodes[2], nodes[0], nodes[1]],
    [...nodes, node(2)],
    [node(2, "drain"), ...nodes],
    [...nodes, node(7, "drain"), node(8, "off"), node(9, "on", 0)],
    [node(1, "off"), ...nodes],
    [node(-1), node(1), node(2)],
  ];
  for (const rows of same) assert.equal(pickableNodes(rows).name, name, JSON.stringify(rows));
  const other: StoredNode[][] = [
    [],
    nodes.slice(1),
    [...nodes, node(3)],
    [node(1), node(2), node(3)],
    [...nodes, node(2, "drain")],
    [...nodes, node(2, "off")],
    [node(1, "on", 81), ...nodes.slice(1)],
    [node(80, "on", 1), ...nodes.slice(1)],
  ];
  for (const rows of other) assert.notEqual(pickableNodes(rows).name, name, JSON.stringify(rows));
});

test("pickableNodes() gives different sets different names", () => {
  const set = fc.uniqueArray(fc.tuple(fc.integer({ min: 0, max: 6 }), fc.constantFrom(80, 81)), {
    selector: ([ip, port]) => ip * 100 + port,
  });
  fc.assert(fc.property(set, set, (left, right) => {
    const text = (pairs: [number, number][]): string => pairs.map(String).sort().join(" ");
    const name = (pairs: [number, number][]): string =>
      pickableNodes(pairs.map(([ip, port]) => node(ip, "on", port))).name;
    assert.equal(name(left) === name(right), text(left) === text(right));
  }));
});

test("markNames() is true of the nodes of the mark only", () => {
  const empty = pickableNodes([]).name;
  const mark = meantMark(7, empty);
  assert.ok(markNames(mark, empty));
  assert.ok(!markNames(mark, pickableNodes([node(1)]).name));
  assert.ok(!markNames("", empty));
  for (const odd of ["x", "7", "7:", ":", "0"]) assert.ok(!markNames(odd, empty), odd);
});
