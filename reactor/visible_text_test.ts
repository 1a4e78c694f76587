import assert from "node:assert/strict";
import { test } from "node:test";
import { visibleLines, visibleText } from "./visible_text.ts";

test("visibleText(): what steers a terminal is shown, all else stays", () => {
  const cases: readonly (readonly [text: string, shown: string])[] = [
    ["plain, Grüße, 日本, 👍", "plain, Grüße, 日本, 👍"],
    ["\u001b[31m", "\\u001b[31m"],
    ["a\r\n\tb\u007f\u0000\u009b", "a\\u000d\\u000a\\u0009b\\u007f\\u0000\\u009b"],
    ["👩\u200d🚒 می\u200cخواهم", "👩\u200d🚒 می\u200cخواهم"],
    ["user\u202egpj", "user\\u202egpj"],
    ["a\u2028b\u2029", "a\\u2028b\\u2029"],
    ["\ud800", "\\ud800"],
    ["\u{e0041}", "\\u{e0041}"],
  ];
  for (const [text, shown] of cases) assert.equal(visibleText(text), shown);
});

test("visibleLines(): keeps the ends of lines", () => {
  assert.equal(visibleLines("a\u0007\nb\r\n"), "a\\u0007\nb\\u000d\n");
});
