// Marks keep a program as it is, and what they tell leads to a fault that chance alone does not find.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { nextInt, seededRng } from "../../reactor/time/rng.ts";
import { CoverageMap, type MarkedProgram } from "./coverage_map.ts";
import { MARK_NAME, markProgram } from "./instrument.ts";
import { mutate, textOfUnits, textUnits, type Units } from "./mutate.ts";
import { TargetFuzzer } from "./target_fuzzer.ts";

/** Every kind of branch, and what stands close to another one. */
const PROGRAM = `
function each(n) {
  const told = [];
  if (n > 1) told.push("a"); else if (n > 0) told.push("b")
  if (n > 2) { told.push("c") }
  for (let i = 0; i < n; i++) told.push(i);
  for (const one of [1, 2].map((x) => x * n)) if (one > 3) if (one > 5) told.push(one); else told.push(-one);
  while (told.length < 2) told.push("w")
  do told.push("d"); while (told.length < 3)
  switch (n) {
    case 0:
    case 1: told.push("one"); break;
    case 2: { told.push("two") }
    default: told.push("other");
  }
  try { if (n === 3) throw new Error("three"); } catch (error) { told.push(error.message) }
  const pick = n > 1 ? n > 2 ? { x: 3 } : { x: 2 } : undefined;
  told.push(pick?.x ?? (n && "no" || "nought"));
  const lazy = async () => ({ n });
  class Base { constructor(x) { this.x = x } get half() { return this.x / 2 } }
  class More extends Base { constructor(x) { super(x + 1) } }
  told.push(new More(n).half, typeof lazy());
  label: for (const a of [1, 2]) { for (const b of [1, 2]) { if (a === b) continue label; told.push(a + b) } }
  return told;
}
return [0, 1, 2, 3, 4].map(each);
`;

/** What a program of statements returns. */
function runProgram(body: string): unknown {
  return new Function(body)();
}

function withMarks<T>(coverage: CoverageMap, body: () => T): T {
  const scope = globalThis as Record<string, unknown>;
  scope[MARK_NAME] = coverage.mark;
  try {
    return body();
  } finally {
    delete scope[MARK_NAME];
  }
}

test("a program with marks does what it did, and tells which ways it takes", () => {
  const marked = markProgram(PROGRAM);
  const coverage = new CoverageMap(marked.markCount);
  const same = withMarks(coverage, () => runProgram(marked.code));
  assert.deepEqual(same, runProgram(PROGRAM));
  assert.ok(marked.markCount > 30, `${marked.markCount} marks`);
  // What no number got to: nothing.
  assert.equal(coverage.reached.length, marked.markCount);
  assert.ok(marked.words[0].includes("nought") && marked.words[0].includes("message"));
});

/** A parser that fails at one text in some billions. */
const PLANTED = `
return (text) => {
  if (text.charCodeAt(0) !== 123) throw new RangeError("no brace");
  const [key, value] = text.slice(1).split(":");
  if (key !== "retries") return 1;
  if (!(value > 0)) return 2;
  if (value.length < 4) return 3;
  if (value[0] === "7") if (value[1] === "1") if (value[2] === "9") null.x;
  return 4;
};
`;

const TRIES = 40_000;

function plantedTarget(): {
  coverage: CoverageMap;
  program: MarkedProgram;
  parse: (t: string) => unknown;
} {
  const program = markProgram(PLANTED);
  const coverage = new CoverageMap(program.markCount);
  const parse = withMarks(coverage, () => runProgram(program.code)) as (t: string) => unknown;
  return { coverage, program, parse };
}

test("coverage leads to a fault that chance alone does not find", { timeout: 60_000 }, () => {
  const { coverage, program, parse } = plantedTarget();
  const fuzzer = new TargetFuzzer({
    target: { kind: "text", seeds: [], run: (units) => parse(textOfUnits(units)) },
    ...{ coverage, program, rng: seededRng(3), clock: new ManualClock(0) },
    isOurs: (error) => error instanceof RangeError,
  });
  for (let i = 0; i < TRIES && fuzzer.found.size === 0; i++) fuzzer.step();
  const [found] = fuzzer.found.values();
  assert.ok(found !== undefined, `${fuzzer.inputCount} inputs, ${fuzzer.wayCount} ways`);
  assert.match(textOfUnits(found.units), /^\{retries:719.$/);
  assert.match(found.fault, /TypeError/);
  // Those that are kept take every way that any took.
  assert.ok(fuzzer.fewest().length <= fuzzer.inputCount);

  const rng = seededRng(3);
  const words = program.words[0].map(textUnits);
  const source = { rng, unitMax: 0xffff, words, other: (): Units => [] };
  for (let i = 0; i < TRIES; i++) {
    const text = textOfUnits(mutate(Array.from({ length: nextInt(rng, 4) }, () => 123), source));
    assert.doesNotMatch(text, /^\{retries:719/);
  }
});
