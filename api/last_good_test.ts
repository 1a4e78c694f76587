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

test("next() passes a node over whose call failed, and gives it again after a rest that grows", () => {
  const memory = new LastGood(Infinity);
  for (const port of [1, 2]) memory.remember(1, 1, host(port), 0);
  const fail = (port: number, atMs: number): void =>
    memory.judge(1, 1, "10.0.0.1", port, false, atMs);
  fail(1, 0);
  memory.judge(7, 7, "10.0.0.1", 1, false, 0);
  assert.deepEqual([1, 2].map(() => memory.next(1, 1, 999)?.port), [2, 2]);
  assert.deepEqual([1, 2].map(() => memory.next(1, 1, 1000)?.port), [1, 2]);
  let nowMs = 1000;
  for (const restMs of [2000, 4000, 8000, 16_000, 30_000, 30_000]) {
    fail(1, nowMs);
    assert.equal(memory.next(1, 1, nowMs + restMs - 1)?.port, 2, `${restMs}`);
    nowMs += restMs;
    assert.ok([1, 2].some(() => memory.next(1, 1, nowMs)?.port === 1), `${restMs}`);
  }
  fail(1, nowMs);
  memory.judge(1, 1, "10.0.0.1", 1, true, nowMs);
  fail(1, nowMs);
  assert.ok([1, 2].some(() => memory.next(1, 1, nowMs + 1000)?.port === 1), "the rest starts over");
});

test("fill() adds nodes that are not known, and displaces none", () => {
  const memory = new LastGood(Infinity);
  memory.remember(1, 1, host(100), 0);
  memory.judge(1, 1, host(100).ip, 100, false, 0);
  const ports = Array.from({ length: LAST_GOOD_HOSTS_MAX }, (_, index) => index + 1);
  memory.fill(1, 1, [100, ...ports].map(host), 0);
  const given = ports.map(() => memory.nextOfAll(1, 1, 0)?.port);
  assert.deepEqual(given, [100, ...ports.slice(0, -1)]);
  assert.notEqual(memory.next(1, 1, 0)?.port, 100, "it rests as before");
});

test("nextOfAll() tries failed nodes in turn: failures never empty the list", () => {
  const memory = new LastGood(Infinity);
  for (const port of [1, 2, 3]) memory.remember(1, 1, host(port), 0);
  const seen: (number | undefined)[] = [];
  for (let call = 0; call < 6; call++) {
    const given = memory.next(1, 1, call) ?? memory.nextOfAll(1, 1, call);
    seen.push(given?.port);
    memory.judge(1, 1, "10.0.0.1", given?.port ?? 0, false, call);
  }
  assert.deepEqual(seen, [1, 2, 3, 1, 2, 3]);
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
