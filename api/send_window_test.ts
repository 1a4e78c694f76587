import assert from "node:assert/strict";
import { test } from "node:test";
import { SendWindow } from "./send_window.ts";

test("SendWindow lets the first ones through and the rest in turn", () => {
  const window = new SendWindow<string>(2);
  assert.deepEqual(["a", "b", "c", "d"].map((question) => window.add(question)), [
    true,
    true,
    false,
    false,
  ]);
  assert.equal(window.remove("b"), "c");
  assert.deepEqual([...window.active], ["a", "c"]);
  assert.equal(window.remove("a"), "d");
  assert.equal(window.remove("c"), undefined);
  assert.equal(window.remove("d"), undefined);
  assert.equal(window.active.size, 0);
});

test("SendWindow forgets those who give up in the queue, without giving away a place", () => {
  const window = new SendWindow<string>(1);
  for (const question of ["a", "b", "c"]) window.add(question);
  assert.equal(window.remove("b"), undefined);
  assert.equal(window.queuedCount, 1);
  assert.equal(window.remove("a"), "c");
  assert.equal(window.remove("a"), undefined);
});
