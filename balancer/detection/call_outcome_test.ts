import assert from "node:assert/strict";
import { test } from "node:test";
import { CallOutcome, callOutcomeOf, ReportCode } from "./call_outcome.ts";

test("callOutcomeOf() knows the codes of its table and takes every other for a plain failure", () => {
  const { Success, Pushback, Refused, Timeout, Other } = CallOutcome;
  const cases: [CallOutcome, number[]][] = [
    [Success, [0]],
    [Pushback, [1, 429, 503]],
    [Refused, [101, 103, 104, 111, 113]],
    [Timeout, [110, 408, 504]],
    [Other, [-1, 2, 3, 100, 102, 112, 500, 2147483647, -2147483648, NaN]],
  ];
  for (const [outcome, codes] of cases) {
    for (const code of codes) assert.equal(callOutcomeOf(code), outcome, String(code));
  }
});

test("each code of ReportCode is of the kind it is named after", () => {
  for (const name of ["Success", "Pushback", "Refused", "Timeout", "Other"] as const) {
    assert.equal(callOutcomeOf(ReportCode[name]), CallOutcome[name]);
  }
});
