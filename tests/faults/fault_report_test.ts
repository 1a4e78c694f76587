// The matrix is whole, its tests are there, and what comes of them is read and written as it is.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { PROJECT_ROOT } from "../support/processes.ts";
import {
  exitCodeOf,
  failureLines,
  faultTable,
  figuresOf,
  isLate,
  rowLines,
  type RowOutcome,
  verdictOf,
  withResults,
} from "./fault_report.ts";
import { chooseRows, FAULT_KINDS, FAULT_ROWS, shortRow } from "./matrix.ts";

test("rows are G1 to G33, bring about every fault, and name tests that exist", () => {
  assert.deepEqual(
    FAULT_ROWS.map(({ id }) => id),
    Array.from({ length: 33 }, (_, index) => `G${index + 1}`),
  );
  const brought = new Set(FAULT_ROWS.flatMap(({ faults }) => faults));
  assert.deepEqual(FAULT_KINDS.filter((kind) => !brought.has(kind)), []);
  for (const { file, title } of FAULT_ROWS.flatMap(({ checks }) => checks)) {
    // A long title may be broken over lines, and end in what differs.
    const source = readFileSync(`${PROJECT_ROOT}/${file}`, "utf8").replace(/\s+/g, " ");
    const fixed = title.replace(/: (one loop|two loops|no history)$/, "")
      .replace(/, (as they are|over mutual TLS)$/, "");
    assert.ok(source.includes(fixed), `${file} has no test "${title}"`);
  }
});

test("rows are chosen by their ids, and short runs leave out what takes long", () => {
  assert.deepEqual(chooseRows(["g7", "G5"]).map(({ id }) => id), ["G5", "G7"]);
  assert.equal(chooseRows([]).length, 33);
  assert.throws(() => chooseRows(["G34"]), /Rows are G1 to G33: current value is "G34"/);
  const short = FAULT_ROWS.map(shortRow).filter((row) => row !== undefined);
  assert.ok(short.length > 20 && short.length < 33);
  assert.ok(short.flatMap(({ checks }) => checks).every(({ isLong }) => isLong !== true));
});

test("figures are the lines that say so, and those that are asked for, each once", () => {
  const output = "noise\nfigure: 3 ms\n\x1b[1mfigure: 3 ms\x1b[0m\nDIAGNOSTIC: push 4 ms\nother\n";
  assert.deepEqual(figuresOf(output, [/^push/]), ["3 ms", "push 4 ms"]);
  assert.ok(!isLate(output));
  assert.ok(isLate("figure: 9 ms (promised 5 ms, late)"));
  assert.ok(isLate("Slow machine? a push: 900.0 ms (promised: 200 ms)"));
});

const ROWS: readonly RowOutcome[] = [
  {
    id: "G1",
    promise: "a | b",
    checks: [
      { title: "one", verdict: "kept", figures: ["1 ms"], seconds: 2 },
      { title: "two", verdict: "late", figures: [], seconds: 3 },
    ],
  },
  {
    id: "G2",
    promise: "c",
    checks: [{ title: "three", verdict: "not run", figures: ["it needs root"], seconds: 0 }],
  },
];

test("a row is as its worst test, and only a broken one fails the run", () => {
  assert.deepEqual(ROWS.map(verdictOf), ["late", "not run"]);
  assert.equal(exitCodeOf(ROWS), 0);
  const [{ checks: [check] }] = ROWS;
  const broken = { ...ROWS[0], checks: [{ ...check, verdict: "BROKEN" as const }] };
  assert.equal(exitCodeOf([broken]), 1);
  assert.deepEqual(rowLines(ROWS[1]), [
    "G2   not run c",
    "       not run, 0 s: three",
    "         it needs root",
  ]);
});

test("the table has every row that ran, and keeps those that ran before", () => {
  const before = "| row | promise |\n| --- | --- |\n| G10 | old | x |\n| G2  | older | y |";
  const table = faultTable(ROWS, "today", before).split("\n");
  assert.match(
    table[2],
    /^\| G1 \| a \\\| b \| 1 ms<br>\*\*late\*\*: nothing lost.*two \| late \| today \|$/,
  );
  assert.match(table[3], /^\| G2 \| c \| \*\*not run\*\*: it needs root \| not run \| today \|$/);
  assert.deepEqual(table.slice(4), ["| G10 | old | x |"]);
  const readme = "a\n<!-- results -->\nold\n<!-- /results -->\nb";
  assert.equal(
    withResults(readme, (old) => `${old.trim()} new`),
    "a\n<!-- results -->\n\nold new\n\n<!-- /results -->\nb",
  );
  assert.throws(() => withResults("a", () => "new"), /README must have the lines/);
});

test("what failed is a few lines of the test's own words, without colours", () => {
  const output = "figure: 3\n ERRORS \n\x1b[0m\x1b[1m\x1b[31merror\x1b[0m: Error: it must be 1\n" +
    "    at of (file:///error.ts)\nnothing\nCaused by: AssertionError: 2\n";
  assert.deepEqual(failureLines(output), [
    "error: Error: it must be 1",
    "Caused by: AssertionError: 2",
  ]);
});
