import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRng } from "../reactor/time/rng.ts";
import { defaultBalanceSettings } from "./detection/balance_settings.ts";
import type { StateChange } from "./balance_records.ts";
import { RouteLb } from "./routes/route_lb.ts";

function setUp(): { lb: RouteLb; changes: StateChange[] } {
  const changes: StateChange[] = [];
  const lb = new RouteLb({
    settings: defaultBalanceSettings,
    rng: seededRng(1),
    onPull: () => {},
    onStateChange: (change) => void changes.push(change),
  });
  lb.use(1, 1, 0);
  lb.update(1, 1, [{ ip: 1, port: 80 }, { ip: 2, port: 80 }], 0);
  return { lb, changes };
}

function overload(lb: RouteLb, nowMs: number): number[] {
  lb.tick(nowMs);
  return [...lb.snapshot(nowMs)][0].hosts.filter((host) => host.overload).map(({ ip }) => ip);
}

test("setHealth() puts a node out and takes it back, with the reason", () => {
  const { lb, changes } = setUp();
  assert.ok(lb.setHealth(1, 1, 1, 80, false, "check: refused", 1000));
  assert.deepEqual(overload(lb, 1000), [1]);
  assert.ok(lb.setHealth(1, 1, 1, 80, true, "check: good", 2000));
  assert.deepEqual(overload(lb, 2000), []);
  lb.setHealth(1, 1, 1, 80, true, "check: good", 3000);
  assert.deepEqual(changes.map(({ overload, reason, atMs }) => [overload, reason, atMs]), [
    [true, "check: refused", 1000],
    [false, "check: good", 2000],
  ]);
});

test("setHealth() said again keeps a node out beyond its time", () => {
  const { lb } = setUp();
  const { overloadTimeoutMs } = defaultBalanceSettings;
  lb.setHealth(1, 1, 1, 80, false, "check", 0);
  lb.setHealth(1, 1, 1, 80, false, "check", overloadTimeoutMs - 1);
  assert.deepEqual(overload(lb, overloadTimeoutMs + 1), [1]);
  assert.deepEqual(overload(lb, 2 * overloadTimeoutMs), []);
  // A node that came back by time goes out again.
  lb.setHealth(1, 1, 1, 80, false, "check", 2 * overloadTimeoutMs);
  assert.deepEqual(overload(lb, 2 * overloadTimeoutMs), [1]);
});

test("setHealth() of what is not known does nothing", () => {
  const { lb, changes } = setUp();
  assert.equal(lb.setHealth(1, 1, 9, 80, false, "check", 0), false);
  assert.equal(lb.setHealth(9, 9, 1, 80, false, "check", 0), false);
  assert.deepEqual(changes, []);
  assert.equal(lb.stateOf(9, 9), undefined);
});
