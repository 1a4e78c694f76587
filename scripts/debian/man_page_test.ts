import assert from "node:assert/strict";
import { test } from "node:test";
import { manPage, manText } from "./man_page.ts";

test("manText() leaves nothing that the formatter would take as a request", () => {
  const cases: [string, string][] = [
    ["a-b", "a\\-b"],
    [".SH", "\\&.SH"],
    ["'x", "\\&'x"],
    ["C:\\x", "C:\\ex"],
    ["one\n.two", "one\n\\&.two"],
    ["1 µs …", "1 \\[u00B5]s \\[u2026]"],
  ];
  for (const [text, wanted] of cases) assert.equal(manText(text), wanted);
});

test("manPage() has its sections in order, and those that are empty not at all", () => {
  const page = {
    ...{ name: "lars-x", section: 8, version: "1.2.3", summary: "does x" } as const,
    flags: [{ term: "-c, --config FILE", doc: "where" }],
    ...{ commands: [], files: [], seeAlso: ["lars(1)", "lars-y(8)"] },
  };
  assert.deepEqual(manPage(page).split("\n"), [
    '.TH LARS\\-X 8 "" "Lars 1.2.3"',
    ".SH NAME",
    "lars\\-x \\- does x",
    ".SH SYNOPSIS",
    ".B lars\\-x",
    "[\\fIOPTIONS\\fR]",
    ".SH OPTIONS",
    ".TP",
    ".B \\-c, \\-\\-config FILE",
    "where",
    ".SH EXIT STATUS",
    "0 all went well, 1 it failed, 2 wrong usage or configuration.",
    ".SH SEE ALSO",
    "lars(1),",
    "lars\\-y(8)",
    "",
  ]);
});
