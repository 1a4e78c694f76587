import assert from "node:assert/strict";
import { test } from "node:test";
import { kindText, severityOf } from "./event_kind.ts";

test("severityOf() tells trouble from news", () => {
  const cases = {
    "alert.firing": "critical",
    "alert.resolved": "info",
    "node.overload": "warning",
    "node.idle": "info",
    "agent.silent": "warning",
    "route.change": "info",
  };
  for (const [kind, severity] of Object.entries(cases)) assert.equal(severityOf(kind), severity);
  assert.equal(kindText("node.overload"), "node overload");
});
