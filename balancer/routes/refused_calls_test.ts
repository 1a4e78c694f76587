import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RouteNode } from "../../model/node.ts";
import { RetCode } from "../../proto/message_ids.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import { defaultBalanceSettings } from "../detection/balance_settings.ts";
import {
  REFUSED_NODELESS_MAX,
  refusedBetween,
  refusedSum,
  ROUTE_AWAITED_MS,
} from "./refused_calls.ts";
import { REPORT_INTERVAL_MS, RouteLb } from "./route_lb.ts";
import type { RouteLbOptions } from "./route_records.ts";

function newLb(options: Partial<RouteLbOptions> = {}): RouteLb {
  return new RouteLb({
    settings: defaultBalanceSettings,
    rng: seededRng(1),
    onPull: () => {},
    ...options,
  });
}

const NODE: RouteNode = { ip: 1, port: 80 };

/** A node of module (1,1) that is out. */
function fail(lb: RouteLb, nowMs: number): void {
  for (let i = 0; i < 20; i++) lb.report(1, 1, NODE.ip, NODE.port, -1, 1000, nowMs);
}

test("RouteLb counts callers that got no node, by cause", () => {
  const cases: [string, (lb: RouteLb) => void, string][] = [
    ["its route is not known", (lb) => lb.use(1, 1, -ROUTE_AWAITED_MS), "noRoute"],
    ["it has no nodes", (lb) => {
      lb.use(1, 1, 0);
      lb.update(1, 1, [], 0);
    }, "noNode"],
    ["it has lost its nodes", (lb) => {
      lb.use(1, 1, 0);
      lb.update(1, 1, [NODE], 0);
      lb.update(1, 1, [], 0);
    }, "noNode"],
    ["all are drained", (lb) => {
      lb.use(1, 1, 0);
      lb.update(1, 1, [{ ...NODE, state: "drain" }], 0);
    }, "unusable"],
    ["all are out", (lb) => {
      lb.use(1, 1, 0);
      lb.update(1, 1, [NODE], 0);
      lb.getHost(1, 1, 0);
      fail(lb, 0);
    }, "overload"],
  ];
  for (const [what, prepare, cause] of cases) {
    const lb = newLb();
    prepare(lb);
    lb.drainReports(0, true);
    assert.equal(typeof lb.getHost(1, 1, 1), "number", what);
    assert.equal(typeof lb.getHost(1, 1, 1), "number", what);
    const none = { overload: 0, unusable: 0, noNode: 0, noRoute: 0 };
    assert.deepEqual(lb.drainReports(1, true), [
      { modId: 1, cmdId: 1, results: [], refused: { ...none, [cause]: 2, fresh: true } },
    ], what);
    lb.getHost(1, 1, 2);
    assert.equal(lb.resting, false, "something is to be told");
    const [{ refused }] = lb.drainReports(1 + REPORT_INTERVAL_MS);
    assert.deepEqual(refused, { ...none, [cause]: 3, fresh: false }, what);
  }
});

test("RouteLb tells of refused calls of a module once a second", () => {
  const lb = newLb();
  lb.getHost(1, 1, 0);
  assert.equal(lb.drainReports(0, true).length, 0, "the route is on its way");
  lb.getHost(1, 1, 2000);
  assert.equal(lb.drainReports(2010).length, 1);
  lb.getHost(1, 1, 2020);
  assert.equal(lb.drainReports(2500).length, 0);
  assert.equal(lb.drainReports(2010 + REPORT_INTERVAL_MS).length, 1);
  assert.equal(lb.drainReports(5000).length, 0, "nothing new");
});

test("RouteLb tells of few modules that callers made up, and of each one that had a node", () => {
  const lb = newLb();
  for (let modId = 0; modId < 10 * REFUSED_NODELESS_MAX; modId++) {
    lb.use(modId, 9, -ROUTE_AWAITED_MS);
    lb.getHost(modId, 9, 0);
  }
  assert.equal(lb.drainReports(0, true).length, REFUSED_NODELESS_MAX);
  lb.use(1, 1, 0);
  lb.update(1, 1, [{ ...NODE, state: "drain" }], 0);
  lb.getHost(1, 1, 0);
  assert.deepEqual(lb.drainReports(0, true).map(({ modId, cmdId }) => [modId, cmdId]), [[1, 1]]);
  const counted = lb.stats().refusedNoExist;
  assert.equal(counted, 10 * REFUSED_NODELESS_MAX + 1, "in the total all of them count");
});

test("a place is free again when a made-up module is forgotten", () => {
  const lb = newLb({ modulesMax: 2 * REFUSED_NODELESS_MAX });
  for (let modId = 0; modId < 10 * REFUSED_NODELESS_MAX; modId++) {
    lb.use(modId, 9, modId - ROUTE_AWAITED_MS);
    lb.getHost(modId, 9, modId);
  }
  const told = lb.drainReports(0, true);
  assert.ok(told.length > REFUSED_NODELESS_MAX, "also of later ones");
});

test("RouteLb adds what callers were refused that pick for themselves", () => {
  const lb = newLb();
  const more = { overload: 1, unusable: 2, noNode: 3, noRoute: 4 };
  lb.reportRefused(1, 1, more, 0);
  assert.equal(lb.drainReports(0, true).length, 0, "of a module that nobody asked for");
  lb.use(1, 1, 0);
  lb.reportRefused(1, 1, more, 0);
  lb.reportRefused(1, 1, more, 0);
  const [{ refused }] = lb.drainReports(0, true);
  assert.deepEqual(refused, { overload: 2, unusable: 4, noNode: 6, noRoute: 8, fresh: true });
});

test("every pick is counted once: as a pick, or as refused with a cause", () => {
  const step = fc.constantFrom("get", "fail", "succeed", "drain", "on", "empty", "later");
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const lb = newLb();
      let nowMs = 0;
      let refused = 0;
      lb.use(1, 1, -ROUTE_AWAITED_MS);
      for (const one of steps) {
        if (one === "get" && typeof lb.getHost(1, 1, nowMs) === "number") refused++;
        if (one === "fail") fail(lb, nowMs);
        if (one === "succeed") lb.report(1, 1, NODE.ip, NODE.port, 0, 1, nowMs);
        if (one === "later") {
          lb.tick(nowMs += 7000);
          // A module without nodes that nobody asks for would be forgotten, with what it counted.
          lb.use(1, 1, nowMs);
        }
        if (one === "drain") lb.update(1, 1, [{ ...NODE, state: "drain" }], nowMs);
        if (one === "on") lb.update(1, 1, [NODE], nowMs);
        if (one === "empty") lb.update(1, 1, [], nowMs);
      }
      const told = lb.drainReports(nowMs, true).flatMap((report) => report.refused ?? []);
      assert.equal(told.reduce((sum, one) => sum + refusedSum(one), 0), refused);
      const { refusedNoExist, refusedOverload } = lb.stats();
      assert.equal(refusedNoExist + refusedOverload, refused);
      const overload = told.reduce((sum, one) => sum + one.overload, 0);
      assert.equal(overload, refusedOverload);
      assert.equal(RetCode.Overload, 1);
    }),
    { examples: [[["later", "later", "later", "later", "later", "get"]]] },
  );
});

test("refusedBetween() gives what is new, and all of a count that began anew", () => {
  const before = { overload: 5, unusable: 1, noNode: 0, noRoute: 0, fresh: false };
  assert.equal(refusedSum(refusedBetween(before, { ...before, overload: 7 })), 2);
  assert.equal(refusedSum(refusedBetween(before, { ...before, overload: 3 })), 4);
  assert.equal(refusedSum(refusedBetween(undefined, before)), 6);
});
