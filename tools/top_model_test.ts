import assert from "node:assert/strict";
import { test } from "node:test";
import type { CallStatusRow, RouteRow } from "../sql/store.ts";
import { FRESH_S, RATE_WINDOW_MS, TopModel } from "./top_model.ts";

const WALL_MS = 1_700_000_000_000;

function status(succTotal: number, more: Partial<CallStatusRow> = {}): CallStatusRow {
  return {
    modId: 1,
    cmdId: 1,
    ip: 10,
    port: 80,
    caller: 7,
    succCount: 0,
    errCount: 0,
    ts: WALL_MS / 1000,
    overload: false,
    succTotal,
    errTotal: 0,
    ...more,
  };
}

function route(port: number, more: Partial<RouteRow> = {}): RouteRow {
  return { modId: 1, cmdId: 1, ip: 10, port, weight: 100, zone: "", state: "on", ...more };
}

test("TopModel makes rates of successive looks, over the last ten seconds", () => {
  const model = new TopModel();
  model.setRoutes([route(80)]);
  assert.equal(model.look([status(100)], 0, WALL_MS).callsPerSecond, 0);
  const second = model.look([status(120, { errTotal: 20 })], 2_000, WALL_MS);
  assert.deepEqual([second.callsPerSecond, second.errorShare], [20, 0.5]);
  assert.equal(second.nodes[0].callsPerSecond, 20);
  assert.equal(second.modules[0].errorShare, 0.5);
  let last = second;
  for (let ms = 4_000; ms <= 2_000 + RATE_WINDOW_MS; ms += 2_000) {
    last = model.look([status(120, { errTotal: 20 })], ms, WALL_MS);
  }
  assert.equal(last.callsPerSecond, 0, "what was earlier is out of the window");
  const again = model.look([status(5)], 14_000, WALL_MS);
  assert.ok(Math.abs(again.callsPerSecond - 0.5) < 0.001, "an agent that started again");
});

test("TopModel counts a row that is new only when all its calls are new", () => {
  const model = new TopModel();
  model.look([], 0, WALL_MS);
  const rows = [status(5, { succCount: 5 }), status(1000, { port: 81, succCount: 5 })];
  const { nodes } = model.look(rows, 1_000, WALL_MS);
  assert.deepEqual(nodes.map((node) => node.callsPerSecond), [5, 0]);
});

test("TopModel shows the history until it has looked twice", () => {
  const model = new TopModel();
  const point = {
    atSeconds: 0,
    module: { modId: 1, cmdId: 1 },
    node: { ip: 10, port: 80 },
    succCount: 30,
    errCount: 30,
    overloadShare: 0,
    timedCount: 0,
    timeMsSum: 0,
  };
  model.setHistory([point, point], 60);
  const first = model.look([status(100)], 0, WALL_MS);
  assert.deepEqual([first.callsPerSecond, first.errorShare], [2, 0.5]);
  assert.equal(model.look([status(100)], 1_000, WALL_MS).callsPerSecond, 0);
});

test("TopModel tells who is out, who is gone, and what is too old to say", () => {
  const model = new TopModel();
  model.setRoutes([route(80), route(81, { state: "drain", zone: "east", weight: 5 }), route(82)]);
  const old = WALL_MS / 1000 - FRESH_S - 1;
  const snapshot = model.look(
    [
      status(1, { overload: true }),
      status(1, { caller: 8 }),
      status(1, { port: 81, overload: true, ts: old }),
      status(1, { port: 90 }),
      status(1, { port: 91, ts: old }),
    ],
    0,
    WALL_MS,
  );
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
      [81, "drain", 0, 0, FRESH_S + 1],
      [82, "on", 0, 0, undefined],
      [90, "gone", 0, 1, 0],
    ],
  );
  assert.equal(snapshot.out, 1);
  assert.deepEqual(snapshot.modules, [{
    modId: 1,
    cmdId: 1,
    nodes: 3,
    out: 1,
    callers: 2,
    callsPerSecond: 0,
    errorShare: 0,
    ageSeconds: 0,
  }]);
});
