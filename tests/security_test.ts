// SECURITY.md: every threat names a test, and the test is there.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { PROJECT_ROOT } from "./support/processes.ts";

/** Rows of its table: the file of a test, and the beginning or a part of its title. */
function namedTests(): { file: string; title: string }[] {
  const text = readFileSync(`${PROJECT_ROOT}/SECURITY.md`, "utf8");
  return [...text.matchAll(/\| \[([^\]]+_test\.ts)\]\(\1\): (.*?) *\|$/gm)]
    .map(([, file, title]) => ({ file, title }));
}

test("each threat of SECURITY.md names a test that exists", () => {
  const rows = namedTests();
  assert.ok(rows.length >= 30, `${rows.length} rows`);
  for (const { file, title } of rows) {
    // A long title may be broken over lines, and be a template.
    const source = readFileSync(`${PROJECT_ROOT}/${file}`, "utf8").replace(/\s+/g, " ");
    assert.ok(source.includes(title), `${file} has no test "${title}"`);
  }
});
