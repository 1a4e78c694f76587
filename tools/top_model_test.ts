import assert from "node:assert/strict";
import { test } from "node:test";
import type { RouteRow } from "../sql/store.ts";
import { RATE_WINDOW_MS, TopModel } from "./top_model.ts";
import type { Counters } from "../control/schemas.ts";

const WALL_MS = 1_700_000_000_000;

const NONE_REFUSED = { overload: 0, unusable: 0, noNode: 0, noRoute: 0 };

type Node = Counters["modules"][number]["nodes"][number];
type Recent = Counters["modules"][number]["recent"];

function node(succTotal: number, more: Partial<Node> = {}): Node {
  return {
    ip: "0.0.0.10",
    port: 80,
    succTotal,
    errTotal: 0,
    succCount: 0,
    errCount: 0,
    callerCount: 1,
    overloadCount: 0,
    reportedAtS: WALL_MS / 1000,
    recent: null,
    ...more,
  };
}

/** Counters of the nodes of module (1,1) some time after the start. */
function counters(afterMs: number, nodes: readonly Node[], recent: Recent = null): Counters {
  return {
    atMs: WALL_MS + afterMs,
    storeLabel: "",
    routeMark: "",
    services: [],
    recentSeconds: 60,
    modules: [{ modId: 1, cmdId: 1, recent, refused: NONE_REFUSED, nodes: [...nodes] }],
  };
}

function route(port: number, more: Partial<RouteRow> = {}): RouteRow {
  return { modId: 1, cmdId: 1, ip: 10, port, weight: 100, zone: "", state: "on", ...more };
}

test("TopModel makes rates of successive looks, over the last ten seconds", () => {
  const model = new TopModel();
  model.setRoutes([route(80)]);
  assert.equal(model.look(counters(0, [node(100)])).callsPerSecond, 0);
  const busy = node(120, { errTotal: 20 });
  const second = model.look(counters(2_000, [busy]));
  assert.deepEqual([second.callsPerSecond, second.errorShare], [20, 0.5]);
  assert.equal(second.nodes[0].callsPerSecond, 20);
  assert.equal(second.modules[0].errorShare, 0.5);
  let last = second;
  for (let ms = 4_000; ms <= 2_000 + RATE_WINDOW_MS; ms += 2_000) {
    last = model.look(counters(ms, [busy]));
  }
  assert.equal(last.callsPerSecond, 0, "what was earlier is out of the window");
});

test("TopModel lets sums that fall tell nothing, and windows that begin anew their calls", () => {
  const model = new TopModel();
  const window = (succCount: number): Node => node(0, { port: 81, succCount });
  model.look(counters(0, [node(1000), window(50)]));
  const anew = model.look(counters(1_000, [node(600), window(5)]));
  assert.deepEqual(anew.nodes.map(({ callsPerSecond }) => callsPerSecond), [0, 5]);
  const after = model.look(counters(2_000, [node(610), window(6)]));
  assert.deepEqual(after.nodes.map(({ callsPerSecond }) => callsPerSecond), [5, 3]);
  const told = model.look(counters(3_000, [node(610), node(500, { port: 81, succCount: 6 })]));
  assert.ok(told.nodes[1].callsPerSecond < 3, "a total is not compared with a window");
});

test("TopModel leaves out the time in which a clock was set back", () => {
  const model = new TopModel();
  model.look(counters(0, [node(100)]));
  model.look(counters(-60_000, [node(200)]));
  assert.equal(model.look(counters(-59_000, [node(230)])).callsPerSecond, 30);
});

test("TopModel counts a node that is new only when all its calls are new", () => {
  const model = new TopModel();
  model.look(counters(0, []));
  const rows = [node(5, { succCount: 5 }), node(1000, { port: 81, succCount: 5 })];
  const { nodes } = model.look(counters(1_000, rows));
  assert.deepEqual(nodes.map(({ callsPerSecond }) => callsPerSecond), [5, 0]);
});

test("TopModel shows the history until it has looked twice", () => {
  const recent = { calls: 120, errors: 60, meanMs: 7.5, refused: 0 };
  const model = new TopModel();
  const first = model.look(counters(0, [node(100, { recent })], { ...recent, meanMs: 8 }));
  assert.deepEqual([first.callsPerSecond, first.errorShare], [2, 0.5]);
  assert.deepEqual([first.nodes[0].callsPerSecond, first.nodes[0].meanMs], [2, 7.5]);
  assert.equal(first.modules[0].meanMs, 8);
  const second = model.look(counters(1_000, [node(100, { recent })], recent));
  assert.deepEqual([second.callsPerSecond, second.nodes[0].meanMs], [0, 7.5]);
  const ofModules = new TopModel().look(counters(0, [node(100)], recent));
  assert.deepEqual(
    [ofModules.callsPerSecond, ofModules.modules[0].callsPerSecond],
    [2, 2],
    "also where the history is not asked about nodes",
  );
});

test("TopModel tells who is out, who is gone, and what is too old to say", () => {
  const model = new TopModel();
  model.setRoutes([route(80), route(81, { state: "drain", zone: "east", weight: 5 }), route(82)]);
  const old = { callerCount: 0, overloadCount: 0, reportedAtS: WALL_MS / 1000 - 61 };
  const snapshot = model.look(counters(0, [
    node(1, { callerCount: 2, overloadCount: 1 }),
    node(1, { port: 81, ...old }),
    node(1, { port: 90 }),
    node(1, { port: 91, ...old }),
  ]));
  assert.deepEqual(
    snapshot.nodes.map(({ port, state, out, callers, ageSeconds }) => [
      port,
      state,
      out,
      callers,
      ageSeconds,
    ]),
    [
      [80, "on", 1, 2, 0],
      [81, "drain", 0, 0, 61],
      [82, "on", 0, 0, undefined],
      [90, "gone", 0, 1, 0],
    ],
  );
  assert.equal(snapshot.out, 1);
  assert.deepEqual(snapshot.modules, [{
    name: "",
    modId: 1,
    cmdId: 1,
    nodes: 3,
    out: 1,
    callers: 2,
    callsPerSecond: 0,
    errorShare: 0,
    refusedPerSecond: 0,
    meanMs: undefined,
    ageSeconds: 0,
  }]);
});

test("TopModel makes rates of refused calls, of modules without a node too", () => {
  const model = new TopModel();
  const look = (afterMs: number, overload: number, noNode: number) =>
    model.look({
      ...counters(afterMs, []),
      modules: [
        { modId: 1, cmdId: 1, recent: null, refused: { ...NONE_REFUSED, overload }, nodes: [] },
        { modId: 2, cmdId: 1, recent: null, refused: { ...NONE_REFUSED, noNode }, nodes: [] },
      ],
    });
  assert.equal(look(0, 100, 0).refusedPerSecond, 0, "what was before is no rate");
  const { modules, refusedPerSecond } = look(2_000, 120, 10);
  assert.deepEqual(
    modules.map((module) => [module.modId, module.nodes, module.refusedPerSecond]),
    [[1, 0, 10], [2, 0, 5]],
  );
  assert.equal(refusedPerSecond, 15);
  assert.equal(look(4_000, 3, 10).refusedPerSecond, 7.5, "a total that fell tells nothing");
});

test("TopModel shows modules that have a name or a policy and no node", () => {
  const model = new TopModel();
  model.setRoutes([route(80)]);
  model.setTexts([
    { modId: 1, cmdId: 1, name: "login" },
    { modId: 2, cmdId: 1, name: "empty" },
  ]);
  const { modules } = model.look(counters(0, []));
  assert.deepEqual(modules.map(({ modId, name, nodes }) => [modId, name, nodes]), [
    [1, "login", 1],
    [2, "empty", 0],
  ]);
});
