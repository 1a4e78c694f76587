import assert from "node:assert/strict";
import { test } from "node:test";
import { LAST_GOOD_HOSTS_MAX, LAST_GOOD_MODULES_MAX, LastGood } from "./last_good.ts";

const host = (port: number): { ip: string; port: number } => ({ ip: "10.0.0.1", port });

test("next() gives the remembered nodes in turn", () => {
  const memory = new LastGood(1000);
  for (const port of [1, 2, 3]) memory.remember(1, 1, host(port), 0);
  const ports = [1, 2, 3, 4, 5].map(() => memory.next(1, 1, 500)?.port);
  assert.deepEqual(ports, [1, 2, 3, 1, 2]);
  assert.equal(memory.next(1, 2, 500), undefined);
});

test("next() gives nothing older than allowed", () => {
  const memory = new LastGood(1000);
  memory.remember(1, 1, host(1), 0);
  memory.remember(1, 1, host(2), 600);
  assert.equal(memory.next(1, 1, 1000)?.port, 1);
  assert.equal(memory.next(1, 1, 1001)?.port, 2);
  assert.equal(memory.next(1, 1, 1001)?.port, 2);
  assert.equal(memory.next(1, 1, 1601), undefined);
});

test("next() gives no node whose call failed, and none of a module that is gone", () => {
  const memory = new LastGood(1000);
  memory.remember(1, 1, host(1), 0);
  memory.remember(1, 1, host(2), 0);
  memory.forget(1, 1, "10.0.0.1", 1);
  memory.forget(7, 7, "10.0.0.1", 1);
  assert.deepEqual([1, 2].map(() => memory.next(1, 1, 0)?.port), [2, 2]);
  memory.forgetModule(1, 1);
  assert.equal(memory.next(1, 1, 0), undefined);
});

test("remember() keeps a bounded number of nodes and modules, the youngest", () => {
  const memory = new LastGood(1000);
  for (let port = 1; port <= LAST_GOOD_HOSTS_MAX + 2; port++) memory.remember(1, 1, host(port), 0);
  assert.equal(memory.next(1, 1, 0)?.port, 3);
  for (let modId = 2; modId <= LAST_GOOD_MODULES_MAX + 1; modId++) {
    memory.remember(modId, 1, host(1), 0);
  }
  assert.equal(memory.moduleCount, LAST_GOOD_MODULES_MAX);
  assert.equal(memory.next(1, 1, 0), undefined);
  assert.equal(memory.next(2, 1, 0)?.port, 1);
});

test("remember() does nothing when told to keep for 0 ms", () => {
  const memory = new LastGood(0);
  memory.remember(1, 1, host(1), 0);
  assert.equal(memory.next(1, 1, 0), undefined);
});
