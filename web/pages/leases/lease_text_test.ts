import assert from "node:assert/strict";
import { test } from "node:test";
import { LEASE_PHASES } from "../../../model/lease.ts";
import { noteFacts, operatorText, outByText, PHASE_LOOKS } from "./lease_text.ts";

test("every phase has a look, and who keeps a node out has words", () => {
  assert.deepEqual(Object.keys(PHASE_LOOKS).sort(), [...LEASE_PHASES].sort());
  assert.equal(outByText({ outBy: null }), "");
  assert.equal(outByText({ outBy: "lease" }), "its connection was lost");
});

test("operatorText() says what is wanted, and nothing of what is not", () => {
  assert.equal(operatorText({ operator: {} }), "");
  assert.equal(operatorText({ operator: { state: "off", weight: 0 } }), "off, weight 0");
  assert.equal(operatorText({ operator: { zone: "" } }), "no zone");
});

test("noteFacts() shows whatever a program says of itself", () => {
  assert.deepEqual(noteFacts({ note: null }), []);
  assert.deepEqual(noteFacts({ note: { version: "1.2", tags: ["a"], n: 3 } }), [
    { name: "version", text: "1.2" },
    { name: "tags", text: '["a"]' },
    { name: "n", text: "3" },
  ]);
});
