import assert from "node:assert/strict";
import { test } from "node:test";
import { failureCodeOf } from "./failure_code.ts";
import { checkStatus, isNodeFailure, StatusError } from "./status.ts";

test("checkStatus() blames the node for 408, 429 and 500 and above alone", () => {
  for (let status = 100; status < 600; status++) {
    const isFailure = status === 408 || status === 429 || status >= 500;
    assert.equal(isNodeFailure(status), isFailure, `${status}`);
    const answer = { status };
    if (!isFailure) {
      assert.equal(checkStatus(answer), answer);
      continue;
    }
    assert.throws(() => checkStatus(answer), (error) => {
      assert.ok(error instanceof StatusError && error.status === status);
      assert.equal(failureCodeOf(error), status, "the status is what is reported");
      assert.equal(failureCodeOf(new Error("wrapped", { cause: error })), status);
      return true;
    });
  }
});

test("checkStatus() takes what fetch answers, and cancels a body that nobody will read", async () => {
  let cancelled = 0;
  const body = { cancel: () => Promise.reject(new Error(`no ${++cancelled}`)) };
  assert.throws(() => checkStatus({ status: 503, body }), StatusError);
  assert.equal(cancelled, 1);
  assert.equal(await checkStatus(new Response("well")).text(), "well");
  assert.equal(checkStatus({ status: 200, body }).body, body);
  assert.equal(cancelled, 1);
});
