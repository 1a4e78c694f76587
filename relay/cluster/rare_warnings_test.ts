import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "../../reactor/log.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { RareWarnings, WARNING_AGAIN_MS } from "./rare_warnings.ts";

test("rare warnings: each kind once, then once a minute with how often it was held back", () => {
  const clock = new ManualClock();
  const said: unknown[] = [];
  const warn = (text: string, fields?: object): void => void said.push([text, { ...fields }]);
  const warnings = new RareWarnings(clock, { ...silentLogger, warn });
  for (let i = 0; i < 5; i++) warnings.warn("away", new Error("no answer"));
  warnings.warn("other", "why");
  clock.advance(WARNING_AGAIN_MS);
  warnings.warn("away", "still");
  warnings.clear();
  warnings.warn("away", "again");
  assert.deepEqual(said, [
    ["away", { error: "no answer" }],
    ["other", { error: "why" }],
    ["away", { error: "still", heldBack: 4 }],
    ["away", { error: "again" }],
  ]);
});
