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

test("problemOf() tells a database that is newer from one that is away", () => {
  const { status, type, detail } = problemBody(problemOf(new NewerSchemaError("Nothing was …")));
  assert.deepEqual([status, type, detail], [503, "urn:lars:store-newer", "Nothing was …"]);
});
