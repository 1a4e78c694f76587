import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { readDocuments, ROOT } from "../sources.ts";
import { anchorsOf, deadLinks, siteText, slugOf } from "./links.ts";

test("slugOf() names headings as GitHub does", () => {
  const cases: [string, string][] = [
    ["On real hosts", "on-real-hosts"],
    ["`lars` and C++", "lars-and-c"],
    ["A, b: c?", "a-b-c"],
    ["See [this](x.md) page", "see-this-page"],
    ["Grün über_all", "grün-über_all"],
  ];
  for (const [heading, slug] of cases) assert.equal(slugOf(heading), slug);
});

test("anchorsOf() tells equal headings apart, and passes over code", () => {
  const text = "# A\n## Use it\n```\n# no\n```\n    # neither\n## Use it\n";
  assert.deepEqual([...anchorsOf(text)], ["a", "use-it", "use-it-1"]);
});

const PAGES = [
  { path: "README.md", text: "# Top\n[a](agent/README.md#keys) [b](agent) [c](mod.ts)\n" },
  { path: "agent/README.md", text: "# Agent\n## Keys\n[up](../README.md) [own](#keys)\n" },
];
const FILES = new Set(["agent", "mod.ts", "README.md", "agent/README.md"]);

test("deadLinks() finds links without a file or a heading, and none in code", () => {
  const exists = (path: string): boolean => FILES.has(path);
  assert.deepEqual(deadLinks(PAGES, exists), []);
  const text = "[x](gone.md)\n`[y](gone.md)` [z](../../out.md) [w](README.md#none)\n" +
    "```\n[v](gone.md)\n```\n[h](https://example.org/gone) [f](mod.ts#L1)\n";
  assert.deepEqual(deadLinks([...PAGES, { path: "docs/x.md", text }], exists), [
    { path: "docs/x.md", line: 1, target: "gone.md" },
    { path: "docs/x.md", line: 2, target: "../../out.md" },
    { path: "docs/x.md", line: 2, target: "README.md#none" },
    { path: "docs/x.md", line: 6, target: "mod.ts#L1" },
  ]);
});

test("siteText() leads to pages, and leaves of other files their names", () => {
  const pages = new Set(PAGES.map(({ path }) => path));
  assert.equal(
    siteText(PAGES[0], (path) => pages.has(path)),
    "# Top\n[a](/agent/#keys) [b](/agent/) `c`\n",
  );
  assert.equal(
    siteText({ path: "a/b.md", text: "[`m`](../mod.ts) ![p](x.png) [q](https://q)" }, () => false),
    "`m` ![p](x.png) [q](https://q)",
  );
});

test("no page of this repository has a dead link", () => {
  assert.deepEqual(deadLinks(readDocuments(), (path) => existsSync(`${ROOT}/${path}`)), []);
});
