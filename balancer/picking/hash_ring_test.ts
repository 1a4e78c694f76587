import assert from "node:assert/strict";
import { test } from "node:test";
import { HashRing } from "./hash_ring.ts";

const names = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => `10.0.0.${i}:80`);
const keys = Array.from({ length: 20_000 }, (_, i) => `key ${i}`);

test("HashRing.pick() spreads keys within a quarter of even", () => {
  const ring = new HashRing(names(10));
  const counts = new Array<number>(10).fill(0);
  for (const key of keys) counts[ring.pick(key)]++;
  for (const count of counts) assert.ok(Math.abs(count - 2000) < 500, String(counts));
});

test("HashRing.pick() moves only the keys of a node that left", () => {
  const before = names(10);
  const after = before.filter((_, i) => i !== 3);
  const [large, small] = [new HashRing(before), new HashRing(after)];
  for (const key of keys) {
    const owner = before[large.pick(key)];
    if (owner !== before[3]) assert.equal(after[small.pick(key)], owner);
  }
});

test("HashRing.pick() does not depend on the order of the nodes", () => {
  const forward = names(7);
  const backward = [...forward].reverse();
  const [one, other] = [new HashRing(forward), new HashRing(backward)];
  for (const key of keys) assert.equal(forward[one.pick(key)], backward[other.pick(key)]);
});

test("HashRing.pick() gives the same node on every machine", () => {
  const ring = new HashRing(["a", "b", "c"]);
  assert.deepEqual(["", "1", "x", "10.0.0.1:80"].map((key) => ring.pick(key)), [2, 0, 0, 2]);
});

test("HashRing takes one node, one point, and refuses none", () => {
  assert.equal(new HashRing(["only"], 1).pick("anything"), 0);
  assert.throws(() => new HashRing([]), /Ring must have at least one node/);
  for (const virtualNodes of [0, -1, 1.5, NaN, 4_000_001]) {
    assert.throws(() => new HashRing(["a"], virtualNodes), RangeError);
  }
});
