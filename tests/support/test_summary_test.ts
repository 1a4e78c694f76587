import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestRun } from "./test_output.ts";
import {
  countsText,
  failureLines,
  type FileOutcome,
  slowestLines,
  totalOf,
  unsteadyTests,
  worthAnotherRun,
} from "./test_summary.ts";

/** A run of 10 tests of which those with these names failed. */
function runOf(file: string, ...names: string[]): TestRun {
  return {
    passed: 10 - names.length,
    failed: names.length,
    skipped: 1,
    failures: names.map((name) => ({ file, name })),
  };
}

function outcome(runtime: string, file: string, ...names: string[]): FileOutcome {
  return { runtime, file, run: runOf(file, ...names), tookMs: 1000 };
}

test("worthAnotherRun() names the files with failed tests", () => {
  const failed = outcome("Deno", "a", "x");
  assert.deepEqual(worthAnotherRun([failed, outcome("Bun", "a"), outcome("Deno", "b")]), [failed]);
  assert.deepEqual(worthAnotherRun([]), []);
});

test("worthAnotherRun() leaves processes that failed as a whole alone", () => {
  const crashed = { ...outcome("Deno", "a", "x"), fault: "ended with exit code 139" };
  const unnamed = outcome("Deno", "b", "x");
  const { run } = unnamed;
  assert.deepEqual(worthAnotherRun([crashed, { ...unnamed, run: { ...run, failures: [] } }]), []);
});

test("worthAnotherRun() gives up on a runtime where more than five files failed", () => {
  const many = ["a", "b", "c", "d", "e", "f"].map((file) => outcome("Deno", file, "x"));
  const one = outcome("Bun", "a", "x");
  assert.deepEqual(worthAnotherRun([...many, one]), [one]);
  assert.equal(worthAnotherRun(many.slice(1)).length, 5);
});

test("unsteadyTests() names what failed in the first run only", () => {
  const first = runOf("a", "x", "y");
  assert.deepEqual(unsteadyTests(first, runOf("a")), ["x", "y"]);
  assert.deepEqual(unsteadyTests(first, runOf("a", "y", "z")), ["x"]);
  const unnamed = { ...runOf("a"), failed: 1 };
  assert.deepEqual(unsteadyTests(first, unnamed), [], "it may be any of them that failed again");
});

test("totalOf() adds up what countsText() says", () => {
  const total = totalOf([outcome("Deno", "a", "x"), outcome("Bun", "b", "y", "z")]);
  assert.equal(countsText(total), "17 passed, 3 failed, 2 skipped");
  assert.equal(countsText(totalOf([])), "0 passed, 0 failed, 0 skipped");
});

test("failureLines() names every failure, also one without a test", () => {
  const unnamed = outcome("Bun", "b");
  const crashed = outcome("Bun", "c");
  assert.deepEqual(
    failureLines([
      outcome("Deno", "a", "x", "y"),
      { ...unnamed, run: { ...unnamed.run, failed: 2 } },
      { ...crashed, run: { ...crashed.run, failed: 1 }, fault: "ended with exit code 139" },
    ]),
    [
      "Failed: Deno: a: x",
      "Failed: Deno: a: y",
      "Failed: Bun: b: 2 failed without a name",
      "Failed: Bun: c: ended with exit code 139",
    ],
  );
});

test("slowestLines() adds the runtimes up and shows them side by side", () => {
  const took = (runtime: string, file: string, tookMs: number): FileOutcome => ({
    ...outcome(runtime, file),
    tookMs,
  });
  const outcomes = [
    took("Bun", "a", 100),
    took("Bun", "b", 9000),
    took("Deno", "a", 8000),
    took("Deno", "c", 8500),
    took("Deno", "b", 40),
  ];
  assert.deepEqual(slowestLines(outcomes, 2), [
    "     Bun    Deno  seconds of the slowest files",
    "     9.0     0.0  b",
    "       -     8.5  c",
  ]);
});
