import assert from "node:assert/strict";
import { test } from "node:test";
import { errorSeverity, eventSeverity, nodeSeverity } from "./severity.ts";

test("errorSeverity() is the same for a share wherever it is shown", () => {
  const cases: [number, number, string | null][] = [
    [0, 100, null],
    [0.049, 100, null],
    [0.078, 100, "warning"],
    [0.24, 100, "warning"],
    [0.25, 100, "critical"],
    [0.81, 5, "critical"],
    [1, 0.2, "critical"],
    [1, 0.1, null], // One call failed.
  ];
  for (const [share, callsPerSecond, expected] of cases) {
    assert.equal(errorSeverity(share, callsPerSecond), expected, `${share} of ${callsPerSecond}/s`);
  }
});

test("nodeSeverity(): a node that is kept out is a warning, one that fails as its share says", () => {
  const node = { errorShare: 0.81, callsPerSecond: 10 };
  assert.equal(nodeSeverity({ ...node, health: "overload" }), "warning");
  assert.equal(nodeSeverity({ ...node, health: "partial" }), "warning");
  assert.equal(nodeSeverity({ ...node, health: "failing" }), "critical");
  assert.equal(nodeSeverity({ ...node, health: "idle" }), null);
});

test("eventSeverity(): an alert is as bad as its rule, everything else as its kind", () => {
  assert.equal(eventSeverity("alert.firing", { severity: "warning" }), "warning");
  assert.equal(eventSeverity("alert.firing", { severity: "critical" }), "critical");
  assert.equal(eventSeverity("alert.ended", { severity: "critical" }), "info");
  assert.equal(eventSeverity("node.overload"), "warning");
  assert.equal(eventSeverity("node.idle"), "info");
  assert.equal(eventSeverity("route.failed"), "warning");
});
