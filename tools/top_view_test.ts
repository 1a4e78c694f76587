import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { TopModule, TopNode, TopSnapshot } from "./top_model.ts";
import {
  columnNames,
  FILTER_LENGTH_MAX,
  modulesOf,
  nodesOf,
  parseKeys,
  plainTop,
  pressKey,
  renderTop,
  TOP_START,
  type TopMarks,
  type TopState,
} from "./top_view.ts";

const PLAIN: TopMarks = {
  bad: (text) => text,
  warn: (text) => text,
  strong: (text) => text,
  faint: (text) => text,
  chosen: (text) => text,
};

const FRAME = { label: "sqlite:data/lars.db", services: "dns 1" };

function module(modId: number, more: Partial<TopModule> = {}): TopModule {
  return {
    modId,
    cmdId: 1,
    name: "",
    nodes: 3,
    out: 0,
    callers: 1,
    callsPerSecond: modId,
    errorShare: 0,
    refusedPerSecond: 0,
    meanMs: undefined,
    ageSeconds: 1,
    ...more,
  };
}

function node(modId: number, port: number, more: Partial<TopNode> = {}): TopNode {
  return {
    ...module(modId),
    ip: 0x0a000001,
    port,
    state: "on",
    zone: "",
    weight: 100,
    ...more,
  };
}

const SNAPSHOT: TopSnapshot = {
  atMs: 1_700_000_000_000,
  modules: [
    module(1, { errorShare: 0.25, out: 1, meanMs: 12.34 }),
    module(3, { refusedPerSecond: 2 }),
    module(2, { callsPerSecond: 1234.5, meanMs: 150.6 }),
    module(9, { callsPerSecond: 0, ageSeconds: undefined }),
  ],
  nodes: [node(1, 80, { out: 1 }), node(1, 81, { zone: "east" }), node(2, 80, { state: "drain" })],
  callsPerSecond: 1240,
  errorShare: 0.001,
  refusedPerSecond: 0,
  out: 1,
};

function order(state: Partial<TopState>): number[] {
  return modulesOf(SNAPSHOT, { ...TOP_START, ...state }).map(({ modId }) => modId);
}

test("modulesOf() sorts by any column, and filters by what is shown", () => {
  assert.deepEqual(order({}), [2, 3, 1, 9], "the busiest first");
  assert.deepEqual(order({ reverse: true }), [9, 1, 3, 2]);
  assert.deepEqual(order({ sort: "module" }), [1, 2, 3, 9]);
  assert.deepEqual(order({ sort: "err%" }), [1, 2, 3, 9]);
  assert.deepEqual(order({ sort: "out" }), [1, 2, 3, 9]);
  assert.deepEqual(order({ sort: "seen" }), [1, 2, 3, 9]);
  assert.deepEqual(order({ sort: "ms" }), [2, 1, 3, 9], "the slowest first, unknown last");
  assert.deepEqual(order({ filter: "NEVER" }), [9]);
  assert.deepEqual(order({ filter: "nothing" }), []);
  const ports = (state: Partial<TopState>): number[] =>
    nodesOf(SNAPSHOT, { ...TOP_START, mode: "nodes", ...state }).map(({ port }) => port);
  assert.deepEqual(ports({ module: "1/1", sort: "node" }), [80, 81]);
  assert.deepEqual(ports({ filter: "east" }), [81]);
  assert.deepEqual(ports({ filter: "10.0.0.1:80" }).length, 2);
});

test("renderTop() fills the screen exactly, at any size and in any state", () => {
  const state = fc.record({
    mode: fc.constantFrom("modules" as const, "nodes" as const),
    sort: fc.constantFrom(...columnNames("nodes"), "nodes"),
    filter: fc.constantFrom("", "1", "nothing"),
    typing: fc.boolean(),
    selected: fc.integer({ min: 0, max: 10 }),
    help: fc.boolean(),
    paused: fc.boolean(),
  });
  const size = fc.record({
    columns: fc.integer({ min: 1, max: 150 }),
    rows: fc.integer({ min: 1, max: 40 }),
  });
  fc.assert(fc.property(state, size, fc.boolean(), (chosen, { columns, rows }, fault) => {
    const frame = fault ? { ...FRAME, fault: "x".repeat(300) } : FRAME;
    const lines = renderTop(SNAPSHOT, { ...TOP_START, ...chosen }, frame, { columns, rows }, PLAIN);
    assert.ok(
      rows < 4 ? lines.length <= rows : lines.length === rows,
      `${lines.length} of ${rows}`,
    );
    assert.ok(lines.every((line) => line.length <= columns));
  }));
});

test("renderTop() shows titles, sorted column, rows, marks and what went wrong", () => {
  const marks = {
    ...PLAIN,
    bad: (text: string) => `<bad ${text}>`,
    chosen: (text: string) => `<chosen ${text}>`,
  };
  const size = { columns: 76, rows: 8 };
  assert.deepEqual(renderTop(SNAPSHOT, TOP_START, { ...FRAME, fault: "away" }, size, marks), [
    "lars top  22:13:20 UTC  sqlite:data/lars.db",
    "4 modules, 3 nodes, 1 out, 1240 calls/s, 0.10 % errors  dns 1",
    "MODULE    NODES   OUT  CALLS/Sv   ERR%   REFUSED    MS   CALLERS   SEEN",
    "<chosen 2/1           3     0      1235    0.0         -   151         1    1 s>",
    "<bad 3/1           3     0       3.0    0.0       2.0     -         1    1 s>",
    "<bad 1/1           3     1       1.0   25.0         -  12.3         1    1 s>",
    "9/1           3     0         0      -         -     -         1  never",
    "<bad away>",
  ]);
});

test("renderTop() keeps the chosen row on the screen", () => {
  const modules = Array.from({ length: 500 }, (_, index) => module(1000 + index));
  const snapshot = { ...SNAPSHOT, modules };
  const marks = { ...PLAIN, chosen: (text: string) => `>${text}` };
  for (const selected of [0, 5, 6, 250, 499, 5000]) {
    const state = { ...TOP_START, sort: "module", selected };
    const lines = renderTop(snapshot, state, FRAME, { columns: 80, rows: 10 }, marks);
    const expected = `>${1000 + Math.min(selected, 499)}/1`;
    assert.equal(lines.filter((line) => line.startsWith(expected)).length, 1, `${selected}`);
  }
});

test("plainTop() prints every row without marks", () => {
  const lines = plainTop(SNAPSHOT, { ...TOP_START, mode: "nodes", sort: "node" }, FRAME);
  assert.equal(lines.length, 3 + 3);
  assert.match(lines[2], /^MODULE {3}NODE {9}STATE {3}ZONE {4}WEIGHT {3}CALLS\/S/);
  assert.match(lines[3], /^1\/1 {6}10\.0\.0\.1:80 {2}on .* 1 of 1 {4}1 s$/);
});

test("parseKeys() knows arrows, words and what is typed, and passes over the rest", () => {
  assert.deepEqual(parseKeys("\x1b[A\x1b[Bq"), ["up", "down", "q"]);
  assert.deepEqual(parseKeys("\x1bOA\x1b[5~\x1b[6~\r\t\x7f\x03"), [
    "up",
    "pageup",
    "pagedown",
    "enter",
    "tab",
    "backspace",
    "ctrl-c",
  ]);
  assert.deepEqual(parseKeys("\x1b"), ["esc"]);
  assert.deepEqual(parseKeys("\x1b[15~\x1b[1;5C\x00é"), ["é"]);
  fc.assert(fc.property(fc.string(), (text) => assert.ok(Array.isArray(parseKeys(text)))));
});

const ROWS = { rowCount: 4, pageRows: 2, chosen: "2/1" };

function press(keys: readonly string[], from: TopState = TOP_START): TopState {
  return keys.reduce<TopState>((state, key) => {
    const next = pressKey(state, key, ROWS);
    assert.ok(next !== "quit", key);
    return next;
  }, from);
}

test("pressKey() moves, opens, sorts, filters, and goes back", () => {
  assert.equal(press(["down", "j", "down", "down", "down"]).selected, 3);
  assert.equal(press(["pagedown", "up"]).selected, 1);
  assert.equal(press(["end"]).selected, 3);
  assert.equal(press(["end", "home"]).selected, 0);
  const opened = press(["down", "enter"]);
  assert.deepEqual([opened.mode, opened.module, opened.selected], ["nodes", "2/1", 0]);
  assert.deepEqual(press(["esc"], opened), TOP_START);
  assert.equal(press(["tab"]).mode, "nodes");
  assert.equal(press(["s"]).sort, "err%");
  assert.equal(press(["S"]).sort, "out");
  assert.equal(press(["1"]).sort, "module");
  assert.equal(press(["9"]).sort, "seen");
  assert.equal(press(["r"]).reverse, true);
  assert.equal(press(["p"]).paused, true);
  assert.equal(press(["h"]).help, true);
  assert.equal(press(["h", "esc"]).help, false);
  const typing = press(["/", "q", "1", "x", "backspace"]);
  assert.deepEqual([typing.typing, typing.filter], [true, "q1"]);
  assert.deepEqual(press(["enter"], typing), { ...TOP_START, filter: "q1" });
  assert.deepEqual(press(["esc"], typing), TOP_START);
  assert.deepEqual(press(["enter", "esc"], typing), TOP_START);
  assert.equal(press(["/", ..."x".repeat(100)]).filter.length, FILTER_LENGTH_MAX);
  assert.deepEqual(press(["x", "constructor"]), TOP_START);
});

test("pressKey() quits with q, and with Ctrl-C even while a filter is typed", () => {
  assert.equal(pressKey(TOP_START, "q", ROWS), "quit");
  assert.equal(pressKey({ ...TOP_START, typing: true }, "ctrl-c", ROWS), "quit");
  assert.notEqual(pressKey({ ...TOP_START, typing: true }, "q", ROWS), "quit");
});
