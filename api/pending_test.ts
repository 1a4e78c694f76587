import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LimitError } from "../reactor/errors.ts";
import { PendingTable } from "./pending.ts";

test("takeHost() gives the waiter of the seq, once", () => {
  const table = new PendingTable<string>();
  const first = table.addHost(1, 1, "a");
  const second = table.addHost(1, 1, "b");
  assert.deepEqual([first, second], [0, 1]);
  assert.equal(table.takeHost(second, 1, 1), "b");
  assert.equal(table.takeHost(second, 1, 1), undefined);
  assert.equal(table.takeHost(first, 1, 1), "a");
  assert.equal(table.size, 0);
});

test("takeHost() leaves the waiter when the module is another one", () => {
  const table = new PendingTable<string>();
  const seq = table.addHost(1, 2, "a");
  assert.equal(table.takeHost(seq, 2, 1), undefined);
  assert.equal(table.takeHost(seq, 1, 3), undefined);
  assert.equal(table.takeHost(seq, 1, 2), "a");
});

test("takeHost() knows nobody who gave up", () => {
  const table = new PendingTable<string>();
  const seq = table.addHost(1, 1, "a");
  table.dropHost(seq);
  assert.equal(table.takeHost(seq, 1, 1), undefined);
  assert.equal(table.size, 0);
});

test("addHost() wraps at 2^32 and passes over numbers in use", () => {
  const table = new PendingTable<string>(10, 4294967295);
  assert.equal(table.addHost(1, 1, "last"), 4294967295);
  assert.equal(table.addHost(1, 1, "first"), 0);
  const wrapped = new PendingTable<string>(10, 4294967294);
  const seqs = [1, 2, 3].map(() => wrapped.addHost(1, 1, "x"));
  assert.deepEqual(seqs, [4294967294, 4294967295, 0]);
  wrapped.takeHost(4294967295, 1, 1);
  assert.equal(wrapped.addHost(1, 1, "y"), 1);
});

test("addHost() and addRoute() share one limit", () => {
  const table = new PendingTable<string>(2);
  const seq = table.addHost(1, 1, "a");
  table.addRoute(1, 1, "b");
  assert.throws(() => table.addHost(1, 1, "c"), LimitError);
  assert.throws(() => table.addRoute(1, 1, "c"), LimitError);
  assert.deepEqual(table.waiters().toSorted(), ["a", "b"]);
  table.dropHost(seq);
  table.addRoute(2, 2, "c");
  assert.equal(table.size, 2);
});

test("takeRoute() goes by module and by order", () => {
  const table = new PendingTable<string>();
  table.addRoute(1, 23, "a");
  table.addRoute(12, 3, "b");
  table.addRoute(1, 23, "c");
  table.addRoute(1, 23, "d");
  table.dropRoute(1, 23, "c");
  table.dropRoute(9, 9, "nobody");
  assert.equal(table.takeRoute(1, 23), "a");
  assert.equal(table.takeRoute(1, 23), "d");
  assert.equal(table.takeRoute(1, 23), undefined);
  assert.equal(table.takeRoute(12, 3), "b");
  assert.equal(table.size, 0);
});

test("a table under any sequence of steps never mixes modules nor loses count", () => {
  const step = fc.tuple(fc.constantFrom("add", "take", "route", "takeRoute"), fc.nat(3), fc.nat(5));
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const table = new PendingTable<{ modId: number }>();
    let count = 0;
    for (const [what, modId, seq] of steps) {
      if (what === "add") table.addHost(modId, 0, { modId });
      if (what === "route") table.addRoute(modId, 0, { modId });
      if (what === "add" || what === "route") count++;
      const taken = what === "take"
        ? table.takeHost(seq, modId, 0)
        : what === "takeRoute"
        ? table.takeRoute(modId, 0)
        : undefined;
      if (taken !== undefined) {
        count--;
        assert.equal(taken.modId, modId);
      }
      assert.equal(table.size, count);
      assert.equal(table.waiters().length, count);
    }
  }));
});
