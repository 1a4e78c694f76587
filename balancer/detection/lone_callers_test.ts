// Goal: what one caller says alone puts at most one node of a recommended module out, and calls that
// really fail do so at once. Method: reports through RouteLb as the agent's worker gives them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRng } from "../../reactor/time/rng.ts";
import { RECOMMENDED_TEXT } from "../module_presets.ts";
import { RouteLb } from "../routes/route_lb.ts";
import { defaultBalanceSettings } from "./balance_settings.ts";
import { CALL_REMEMBERED_MS, CallerTally } from "./caller_tally.ts";

const NODES = 10;
const WINDOW_MS = defaultBalanceSettings.idleTimeoutMs;

function module(policy = RECOMMENDED_TEXT): { lb: RouteLb; out(nowMs: number): number[] } {
  const lb = new RouteLb({
    settings: defaultBalanceSettings,
    rng: seededRng(3),
    onPull: () => {},
  });
  lb.use(1, 1, 0);
  lb.setModulePolicy(1, 1, policy);
  lb.update(1, 1, Array.from({ length: NODES }, (_, ip) => ({ ip, port: 80 })), 0);
  const out = (nowMs: number): number[] => {
    lb.tick(nowMs);
    const nodes = lb.explain(1, 1, nowMs)?.module?.nodes ?? [];
    return nodes.flatMap(({ condition }, ip) => condition === "idle" ? [] : [ip]);
  };
  return { lb, out };
}

/** A call from its question to its report. */
function call(lb: RouteLb, caller: number, nowMs: number, fails: (ip: number) => boolean): number {
  const host = lb.getHost(1, 1, nowMs);
  assert.ok(typeof host !== "number");
  lb.given(caller, 1, 1, host.ip, host.port);
  const code = fails(host.ip) ? 111 : 0;
  lb.report(1, 1, host.ip, host.port, code, 3, nowMs, caller);
  return host.ip;
}

test("160 reports of calls that were never made put one node out, in a burst or in a window", () => {
  for (const everyMs of [0, 10, 90]) {
    for (const code of [1, 110, 111, 500]) {
      const { lb, out } = module();
      for (let index = 0; index < 160; index++) {
        lb.report(1, 1, index % NODES, 80, code, 1000, 1 + index * everyMs, 5000);
      }
      assert.ok(out(1 + 160 * everyMs).length <= 1, `${out(2)} out by ${code} every ${everyMs} ms`);
      assert.ok(out(WINDOW_MS + 1).length <= 1, `${out(WINDOW_MS + 1)} at the end of the window`);
    }
  }
});

test("no matter how many sockets they come from, nor which routes were asked for before", () => {
  const { lb, out } = module();
  lb.getRoute(1, 1, 1);
  for (let index = 0; index < 160; index++) {
    lb.report(1, 1, index % NODES, 80, 111, 0, 1, 5000 + index);
  }
  assert.ok(out(2).length <= 1);
  const original = module("");
  for (let index = 0; index < 160; index++) {
    original.lb.report(1, 1, index % NODES, 80, 111, 0, 1, 5000 + index);
  }
  assert.equal(original.out(2).length, NODES, "the original's rules believe them all");
});

test("a caller that lies about its own calls puts one node out while others' calls go well", () => {
  const { lb, out } = module();
  for (let nowMs = 1; nowMs < 10_000; nowMs += 10) {
    call(lb, 5000, nowMs, () => true);
    for (let other = 1; other <= 3; other++) call(lb, 6000 + other, nowMs, () => false);
  }
  // It lies in each window anew.
  assert.ok(out(10_000).length <= 1, `${out(10_000)}`);
});

test("nodes that really fail go out at once where two callers see it, in 1 s where one does", () => {
  const fails = (ip: number): boolean => ip < 3;
  const { lb, out } = module();
  for (let nowMs = 1; nowMs < 100; nowMs += 1) {
    call(lb, 5000 + nowMs % 2, nowMs, fails);
  }
  assert.deepEqual(out(100), [0, 1, 2]);
  const alone = module();
  for (let nowMs = 1; nowMs < 500; nowMs += 1) call(alone.lb, 5000, nowMs, fails);
  assert.equal(alone.out(500).length, 1);
  for (let nowMs = 500; nowMs < 1500; nowMs += 1) call(alone.lb, 5000, nowMs, fails);
  assert.deepEqual(alone.out(1500), [0, 1, 2]);
});

test("CallerTally knows each call once, and forgets those that nobody reports", () => {
  const tally = new CallerTally();
  tally.tick(0);
  tally.picked(5000, 1, 1, -1, 80);
  tally.picked(5000, 1, 1, 0xffffffff, 80);
  for (const [caller, ip, port] of [[5001, -1, 80], [5000, 2, 80], [5000, -1, 81]]) {
    assert.equal(tally.reported(caller, 1, 1, ip, port), false);
  }
  assert.equal(tally.reported(5000, 1, 2, -1, 80), false);
  assert.equal(tally.reported(5000, 1, 1, -1, 80), true);
  tally.tick(CALL_REMEMBERED_MS);
  assert.equal(tally.reported(5000, 1, 1, 0xffffffff, 80), true);
  assert.equal(tally.reported(5000, 1, 1, -1, 80), false);
  tally.picked(5000, 1, 1, 7, 80);
  tally.tick(2 * CALL_REMEMBERED_MS);
  tally.tick(3 * CALL_REMEMBERED_MS);
  assert.equal(tally.reported(5000, 1, 1, 7, 80), false);
});
