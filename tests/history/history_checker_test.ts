import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  checkHistory,
  type EditRecord,
  type HistoryRecord,
  type LookRecord,
} from "./history_checker.ts";

function edit(
  writer: number,
  number: number,
  startMs: number,
  more: Partial<EditRecord> = {},
): EditRecord {
  return { module: 0, writer, number, startMs, endMs: startMs + 5, outcome: "done", ...more };
}

function look(observer: string, atMs: number, ...row: number[]): LookRecord {
  const nodes = row.map((number, writer) => ({ writer, number }));
  return { observer, module: 0, askedMs: atMs, answeredMs: atMs + 1, nodes };
}

function record(more: Partial<HistoryRecord>): HistoryRecord {
  return {
    ...{ modules: 1, writers: 2, edits: [], looks: [], calmMs: 1000, lastObservers: [] },
    ...more,
  };
}

const EDITS = [edit(0, 1, 10), edit(1, 1, 20), edit(0, 2, 30)];

test("what agrees with the edits is right, also when it is seen late", () => {
  const looks = [
    look("a", 5, 0, 0),
    look("a", 16, 1, 0),
    look("b", 27, 0, 0),
    look("a", 40, 2, 1),
    look("b", 50, 1, 1),
    look("b", 1001, 2, 1),
  ];
  assert.deepEqual(checkHistory(record({ edits: EDITS, looks, lastObservers: ["b"] })), []);
});

test("an edit of which nobody knows what became may be seen, or not", () => {
  const edits = [edit(0, 1, 10, { outcome: "unknown" }), edit(0, 2, 30, { outcome: "unknown" })];
  for (const last of [0, 1, 2]) {
    assert.deepEqual(checkHistory(record({ edits, looks: [look("a", 1001, last, 0)] })), []);
  }
});

const PLANTED: readonly (readonly [what: string, found: RegExp, more: Partial<HistoryRecord>])[] = [
  ["a node that nobody made", /never true: nobody/, { looks: [look("a", 40, 3, 0)] }],
  ["a node before it is made", /before it was made/, { looks: [look("a", 5, 1, 0)] }],
  ["half of an edit", /two nodes of writer 0/, {
    looks: [{
      ...look("a", 40, 1, 0),
      nodes: [{ writer: 0, number: 1 }, { writer: 0, number: 0 }],
    }],
  }],
  ["a route without nodes", /no node of writer 0/, { looks: [{ ...look("a", 40), nodes: [] }] }],
  ["an edit that failed", /never true: nobody/, {
    edits: [edit(0, 1, 10, { outcome: "failed" })],
    looks: [look("a", 40, 1, 0)],
  }],
  ["an observer who goes back", /went back/, {
    looks: [look("a", 40, 2, 1), look("a", 50, 1, 1)],
  }],
  ["two orders", /cannot both have been/, {
    edits: [edit(0, 1, 10, { endMs: 100 }), edit(1, 1, 10, { endMs: 100 })],
    looks: [look("a", 40, 1, 0), look("b", 41, 0, 1)],
  }],
  ["a done edit that a later one does not have", /lost: it has edit 2 of writer 0/, {
    looks: [look("a", 50, 2, 0)],
  }],
  ["a done edit that is never seen", /missing in the end/, { looks: [look("a", 1001, 1, 1)] }],
  ["an observer who sees nothing in the end", /saw nothing/, { lastObservers: ["a"] }],
];

for (const [what, found, more] of PLANTED) {
  test(`found: ${what}`, () => {
    const violations = checkHistory(record({ edits: EDITS, ...more }));
    assert.match(violations.join("\n"), found);
  });
}

test("whatever a database with one order does is right, and a row put back is found", () => {
  const steps = fc.array(fc.record({ writer: fc.nat(1), looks: fc.nat(2) }), { minLength: 2 });
  fc.assert(fc.property(steps, fc.nat(), (all, chance) => {
    const row = [0, 0];
    const edits: EditRecord[] = [];
    const looks: LookRecord[] = [];
    all.forEach(({ writer, looks: count }, step) => {
      edits.push(edit(writer, ++row[writer], step * 10));
      for (let i = 0; i < count; i++) looks.push(look(`${i}`, step * 10 + 6 + i, ...row));
    });
    const calmMs = all.length * 10;
    looks.push(look("0", calmMs + 1, ...row));
    const good = record({ edits, looks, calmMs, lastObservers: ["0"] });
    assert.deepEqual(checkHistory(good), []);
    const back = [...row];
    const writer = chance % 2;
    if (back[writer] === 0) return;
    back[writer]--;
    const bad = [...looks, look("0", calmMs + 3, ...back)];
    assert.notDeepEqual(checkHistory({ ...good, looks: bad }), []);
  }));
});

test("what no version tells may go back for who changes the server, and for nobody else", () => {
  const looks = [look("a", 40, 2, 1), look("a", 50, 2, 0), look("a", 60, 2, 1)];
  const given = { edits: EDITS, unversioned: [1] };
  assert.match(checkHistory(record({ ...given, looks })).join("\n"), /went back/);
  const moving = looks.map((one) => ({ ...one, mayMove: true }));
  const lost = /lost: it has edit 2 of writer 0, and not edit 1 of writer 1/;
  assert.match(checkHistory(record({ ...given, looks: moving })).join("\n"), lost);
  const edits = [edit(0, 2, 10), edit(1, 1, 20)];
  assert.deepEqual(checkHistory(record({ ...given, edits, looks: moving })), []);
  assert.match(checkHistory(record({ edits, looks: moving })).join("\n"), /went back/);
});
