import assert from "node:assert/strict";
import { test } from "node:test";
import { codeBlocksOf, printedPattern, typedCommandsOf } from "./markdown_blocks.ts";

test("codeBlocksOf() gives fenced blocks with their section, whatever stands in them", () => {
  const page =
    "# A\n\n```sh\nx # y\n```\n\n## B `c`\ntext\n```ts\n# no title\n\n  z\n```\n```\nopen";
  assert.deepEqual(codeBlocksOf(page), [
    { language: "sh", text: "x # y\n", section: "A" },
    { language: "ts", text: "# no title\n\n  z\n", section: "B `c`" },
  ]);
});

test("typedCommandsOf() tells commands from what they print", () => {
  assert.deepEqual(typedCommandsOf("printed before\n$ a b\n  one\n\ntwo\n$ c\n"), [
    { command: "a b", printed: ["  one", "two"] },
    { command: "c", printed: [] },
  ]);
});

test("printedPattern() takes other numbers and other columns, and no other words", () => {
  const pattern = printedPattern("   1 s 17    127.0.0.1:9002 (x)…");
  assert.match("before\n  20 s   3  127.0.0.1:41231  (x) and more\n", pattern);
  for (
    const other of [
      "1 s 17 127.0.0.1:9002 [x]",
      "1 s 127.0.0.1:9002 (x)",
      "y 1 s 17 127.0.0.1:9002 (x)",
    ]
  ) {
    assert.doesNotMatch(other, pattern);
  }
});
