import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Host } from "../host.ts";
import { HostHeap } from "./host_heap.ts";

const owner = { settle(): void {}, stillOut(): void {} };

test("a heap keeps the order of a sorted list through any steps", () => {
  const step = fc.record({
    what: fc.constantFrom("add", "remove", "change", "later"),
    node: fc.nat(9),
    key: fc.nat(4),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const heap = new HostHeap();
    const hosts = Array.from({ length: 10 }, (_, ip) => new Host(ip, 80, owner, 0));
    const model = new Map<Host, { key: number; turn: number }>();
    let turn = 0;
    for (const { what, node, key } of steps) {
      const host = hosts[node];
      const known = model.get(host);
      if (what === "add" && known === undefined) {
        heap.add(host, key);
        model.set(host, { key, turn: turn++ });
      } else if (what === "remove" && known !== undefined) {
        heap.remove(host);
        model.delete(host);
      } else if (known !== undefined) {
        heap.change(host, key, what === "later");
        model.set(host, { key, turn: what === "later" ? turn++ : known.turn });
      }
      const [first] = [...model].sort(([, a], [, b]) => a.key - b.key || a.turn - b.turn);
      assert.equal(heap.least, first?.[0]);
      assert.equal(heap.count, model.size);
      for (const [kept, { key: keptKey }] of model) assert.equal(heap.keyOf(kept), keptKey);
    }
  }));
});
