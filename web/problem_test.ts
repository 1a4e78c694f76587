import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreError } from "../reactor/errors.ts";
import { NewerSchemaError } from "../sql/schema/newer_schema.ts";
import { problemBody, problemOf } from "./problem.ts";

test("problemOf() denies no change that may have been made", () => {
  const away = problemBody(problemOf(new StoreError("away", true)));
  assert.deepEqual([away.status, away.type], [503, "urn:lars:store-away"]);
  assert.match(away.detail, /does not answer; nothing was changed/);
  const doubt = problemBody(problemOf(new StoreError("away", true, { inDoubt: true })));
  assert.equal(doubt.status, 503);
  assert.match(doubt.detail, /whether the change was made is not known: look before you repeat/);
  assert.doesNotMatch(doubt.detail, /nothing was changed/);
});

test("problemOf() tells those who are known what the database refuses, others that it does", () => {
  const denied = "SELECT command denied to user 'lars_web'@'10.0.0.5' for table `lars`.`Event`";
  for (const refusal of ["rights", "schema", "unusable"] as const) {
    const error = new StoreError(denied, false, { refusal });
    const known = problemBody(problemOf(error, true));
    assert.deepEqual(
      [known.status, known.type, known.detail],
      [503, `urn:lars:store-${refusal}`, denied],
    );
    const others = problemBody(problemOf(error));
    assert.equal(others.type, known.type);
    assert.match(others.detail, /^The (database|console) .*: its log says what is refused$/);
  }
  const away = new StoreError("lars@10.0.0.9: connection refused", true);
  assert.match(
    problemBody(problemOf(away, true)).detail,
    /does not answer \(lars@.*refused\); noth/,
  );
  assert.doesNotMatch(problemBody(problemOf(away)).detail, /lars@/);
  assert.equal(problemOf(new StoreError("x", false)).reason, "internal");
});

test("problemOf() tells a database that is newer from one that is away", () => {
  const { status, type, detail } = problemBody(problemOf(new NewerSchemaError("Nothing was …")));
  assert.deepEqual([status, type, detail], [503, "urn:lars:store-newer", "Nothing was …"]);
});
