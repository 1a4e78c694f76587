import assert from "node:assert/strict";
import { test } from "node:test";
import {
  changesOf,
  formatMarkdown,
  formatMeasure,
  formatTable,
  median,
  mergeRounds,
  missingRow,
  type Row,
  rowOf,
  verdict,
} from "./rows.ts";

test("median() takes the middle, or the mean of the two in the middle", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.ok(Number.isNaN(median([])));
});

test("rowOf() takes the median of the ratios of rounds, not the ratio of medians", () => {
  const row = rowOf({
    name: "n",
    subject: "s",
    unit: "us",
    values: [10, 2, 30],
    reference: "r",
    referenceValues: [5, 2, 10],
  });
  assert.deepEqual(
    [row.value, row.referenceValue, row.ratio],
    [10, 5, 2],
  );
});

test("rowOf() leaves out what could not be measured", () => {
  const row = rowOf({ name: "n", subject: "s", unit: "us", values: [NaN, NaN] });
  assert.equal(row.value, undefined);
  assert.equal(verdict({ ...row, target: { atMost: 1 } }), "");
});

test("verdict() holds the ratio against the target, and the value where there is no ratio", () => {
  const row = (more: Partial<Row>): Row => ({ name: "n", subject: "s", unit: "us", ...more });
  const cases: [Partial<Row>, string][] = [
    [{ value: 9, reference: "r", ratio: 1.05, target: { atMost: 1.08 } }, "met"],
    [{ value: 9, reference: "r", ratio: 1.09, target: { atMost: 1.08 } }, "missed"],
    [{ value: 9, reference: "r", ratio: 0.92, target: { atLeast: 0.93 } }, "missed"],
    [{ value: 9, target: { atLeast: 9 } }, "met"],
    [{ value: 9 }, ""],
  ];
  for (const [more, expected] of cases) assert.equal(verdict(row(more)), expected);
});

test("formatMeasure() keeps three digits that mean something", () => {
  const cases: [number | undefined, string][] = [
    [undefined, "-"],
    [0, "0"],
    [0.0012, "0.0012"],
    [1.234, "1.23"],
    [45.67, "45.7"],
    [1234567.8, "1,234,568"],
  ];
  for (const [value, expected] of cases) assert.equal(formatMeasure(value), expected);
});

test("formatTable() says why a row is missing", () => {
  const table = formatTable([missingRow("agent", "peer", "does not answer")]);
  assert.match(table, /agent +peer +- .*does not answer\n$/);
});

test("formatMarkdown() gives every row as many cells as there are headings", () => {
  const text = formatMarkdown([missingRow("a | b", "peer", "why")], ["about"]);
  const [about, , ...lines] = text.trimEnd().split("\n");
  assert.equal(about, "about");
  const bars = lines.map((line) => line.replace(/\\\|/g, "").split("|").length);
  assert.deepEqual(new Set(bars), new Set([11]));
});

test("changesOf() compares with the checkout before, round by round", () => {
  const before = rowOf({ name: "pick", subject: "Deno, before", unit: "ns", values: [10, 20, 40] });
  const now = rowOf({ name: "pick", subject: "Deno", unit: "ns", values: [20, 20, 20] });
  const alone = rowOf({ name: "pick", subject: "Bun", unit: "ns", values: [1] });
  const [change, ...others] = changesOf([before, now, alone], ", before");
  assert.deepEqual(others, []);
  assert.deepEqual(
    [change.name, change.subject, change.value, change.referenceValue, change.ratio],
    ["changed: pick", "Deno", 20, 20, 1],
  );
});

test("mergeRounds() makes one row of what was measured several times", () => {
  const rows = [3, 1, 2].map((value) =>
    rowOf({ name: "pick", subject: "Bun", unit: "ns", values: [value] })
  );
  const other = missingRow("pick", "Deno", "not there");
  const [merged, kept] = mergeRounds([...rows, other]);
  assert.deepEqual([merged.value, merged.values], [2, [3, 1, 2]]);
  assert.equal(kept, other);
});
