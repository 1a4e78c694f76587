import assert from "node:assert/strict";
import { test } from "node:test";
import { kindText } from "./event_kind.ts";

test("kindText() makes words of a kind", () => {
  assert.equal(kindText("node.overload"), "node overload");
});
