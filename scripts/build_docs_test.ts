// Runs on Deno only: it is the task's runtime.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { findProgram } from "../tests/support/mariadb.ts";
import { withProcesses } from "../tests/support/processes.ts";
import { plannedPages } from "./site/plan.ts";

/** The generator comes from npm at first. */
const BUILD_TIMEOUT_MS = 900_000;
const NEEDS_NPX = { skip: findProgram("npx") === undefined ? "npx is not on PATH" : false };

test("deno task docs makes a site of every planned page, with search", NEEDS_NPX, async () => {
  await withProcesses(async (processes) => {
    const site = `${processes.directory}/site`;
    const made = await processes.spawn("docs", "scripts/build_docs.ts", ["--out", site])
      .untilEnded(BUILD_TIMEOUT_MS);
    assert.equal(made.code, 0, made.stderr);
    assert.equal(made.stdout, `${site}/index.html\n`);
    for (const path of plannedPages()) {
      const html = path.replace(/README\.md$/, "index.md").replace(/\.md$/, ".html");
      assert.ok(existsSync(`${site}/${html}`), html);
    }
    assert.deepEqual(deadHrefs(site), []);
    const chunks = readdirSync(`${site}/assets/chunks`);
    const index = chunks.find((name) => name.startsWith("@localSearchIndex"));
    assert.ok(index, chunks.join(", "));
    assert.match(readFileSync(`${site}/assets/chunks/${index}`, "utf8"), /Every key/);
    const keys = readFileSync(`${site}/docs/keys.html`, "utf8");
    assert.match(keys, /\[agent\] shared_table/);
  });
});

/** Links of the pages as they were built that lead to no file, or to no heading of it. */
function deadHrefs(site: string): string[] {
  const names = readdirSync(site, { recursive: true, encoding: "utf8" });
  const pages = new Map(
    names.filter((name) => name.endsWith(".html"))
      .map((name) => [`/${name}`, readFileSync(`${site}/${name}`, "utf8")]),
  );
  assert.ok(pages.size > 30, "there are pages");
  return [...pages].flatMap(([from, html]) => {
    const hrefs = [...html.matchAll(/<a [^>]*href="([^"]+)"/g)].map(([, href]) => href);
    return hrefs.filter((href) => !/^[a-z]+:/.test(href)).filter((href) => {
      const { pathname, hash } = new URL(href, `http://site${from}`);
      const path = decodeURIComponent(pathname).replace(/\/$/, "/index.html");
      const anchor = decodeURIComponent(hash.slice(1));
      const target = pages.get(path);
      if (target === undefined) return !existsSync(`${site}${path}`);
      return anchor !== "" && !target.includes(`id="${anchor}"`);
    }).map((href) => `${from}: ${href}`);
  });
}
