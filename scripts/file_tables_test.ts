import assert from "node:assert/strict";
import { test } from "node:test";
import type { SourceFile } from "./import_graph.ts";
import { hasFileTable, headerOf, withFileTables } from "./file_tables.ts";

test("the header of a source is the first sentence of its first comment", () => {
  assert.deepEqual(headerOf("// Core. Keys, as text. No I/O.\n\nimport"), {
    kind: "core",
    text: "Keys, as text",
  });
  assert.deepEqual(headerOf("// Shell. `a NAME... b` goes on\n// in a second line.\n/** x */"), {
    kind: "shell",
    text: "`a NAME... b` goes on in a second line",
  });
  assert.deepEqual(headerOf("// Whatever happens: it goes on."), {
    kind: "test",
    text: "Whatever happens: it goes on",
  });
  assert.equal(headerOf("import x;\n// Core. Not a header."), undefined);
});

test("a README lists the files beside and below it, each under the marker of its folder", () => {
  const file = (path: string, text: string): SourceFile => ({ path, text });
  const readme = file(
    "dns/README.md",
    "# dns\n\n<!-- files -->\nold\n<!-- /files -->\n\n<!-- files b/ -->\n<!-- /files -->\n",
  );
  const sources = [
    file("dns/b/y.ts", "// Shell. Y."),
    file("dns/c/z.ts", "// Core. Z | z."),
    file("dns/own/w.ts", "// Core. W."),
    file("dns/x.ts", "// Core. X."),
    file("dns/x_test.ts", "import x;"),
    file("dnsx/x.ts", "// Core. Other."),
  ];
  const other = file("dns/own/README.md", "<!-- files -->\n<!-- /files -->\n");
  const text = withFileTables(readme, sources, [readme, other]);
  assert.equal(
    text,
    [
      "# dns",
      "",
      "<!-- files -->",
      "",
      "| file     | kind | what   |",
      "| -------- | ---- | ------ |",
      "| `x.ts`   | core | X      |",
      "| `c/z.ts` | core | Z \\| z |",
      "",
      "<!-- /files -->",
      "",
      "<!-- files b/ -->",
      "",
      "| file   | kind  | what |",
      "| ------ | ----- | ---- |",
      "| `y.ts` | shell | Y    |",
      "",
      "<!-- /files -->",
      "",
    ].join("\n"),
  );
  assert.equal(withFileTables({ ...readme, text }, sources, [readme, other]), text);
  assert.throws(
    () => withFileTables(readme, [file("dns/x.ts", "import x;")], [readme]),
    /dns\/x.ts: the first line/,
  );
  assert.ok(hasFileTable(text) && !hasFileTable("| file |\n"));
});
