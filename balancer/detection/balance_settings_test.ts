import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BALANCE_SETTINGS_CHARS_MAX,
  defaultBalanceSettings,
  parseBalanceSettings,
} from "./balance_settings.ts";

test("parseBalanceSettings() takes what is named, and defaults for the rest", () => {
  assert.deepEqual(parseBalanceSettings("{}"), defaultBalanceSettings);
  assert.deepEqual(parseBalanceSettings('{"errRate":0.2,"ofLaterVersions":true}'), {
    ...defaultBalanceSettings,
    errRate: 0.2,
  });
  const all = { ...defaultBalanceSettings, probeNum: 3, idleTimeoutMs: 250.5 };
  assert.deepEqual(parseBalanceSettings(JSON.stringify(all)), all);
});

for (
  const text of [
    "",
    "{",
    "[]",
    "null",
    "7",
    '{"errRate":2}',
    '{"errRate":"0.1"}',
    '{"probeNum":0}',
    '{"idleTimeoutMs":true}',
    '{"__proto__":{"errRate":2},"probeNum":[]}',
    `{"x":"${"x".repeat(BALANCE_SETTINGS_CHARS_MAX)}"}`,
  ]
) {
  test(`parseBalanceSettings() refuses ${text.slice(0, 40)}`, () => {
    assert.throws(() => parseBalanceSettings(text), RangeError);
  });
}
