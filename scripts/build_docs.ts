// Shell. `deno task docs`: the Markdown of this repository as a site with search, made by VitePress.

import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { Command } from "commander";
import { fullTable } from "../daemon/daemon.ts";
import { VERSION } from "../daemon/version.ts";
import { CommandError, reportFailure } from "../tools/cli_errors.ts";
import { addExamples } from "../tools/command.ts";
import { noteLine, printLine } from "../tools/terminal.ts";
import { daemonDefinitions } from "./daemon_definitions.ts";
import { keysPage } from "./site/keys_page.ts";
import { deadLinks, siteFileOf, type SitePage, siteText } from "./site/links.ts";
import { siteConfig } from "./site/plan.ts";
import { readDocuments, readFiles, ROOT } from "./sources.ts";

/** The generator, in this version; npm fetches it for this task alone. */
const GENERATOR = "vitepress@1.6.4";

/** Measurements, which are no document that people write. */
const RESULTS = "bench/results/results.md";

/** The first use fetches some 100 MB. */
const BUILD_TIMEOUT_MS = 600_000;

/** Pages that the site has besides those of the repository. */
async function madePages(): Promise<SitePage[]> {
  const services = Object.entries(await daemonDefinitions()).map(([name, definition]) => ({
    name,
    summary: definition.summary,
    settings: fullTable(definition),
  }));
  return [
    { path: "docs/keys.md", text: keysPage(services) },
    { path: RESULTS, text: readFileSync(join(ROOT, RESULTS), "utf8") },
  ];
}

/** Lays the pages and pictures out for the generator. */
function stage(folder: string, pages: readonly SitePage[]): void {
  const paths = new Set(pages.map(({ path }) => path));
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  for (const page of pages) {
    write(siteFileOf(page.path), siteText(page, (path) => paths.has(path)));
  }
  for (const { path } of readFiles((name) => /\.(svg|png)$/.test(name))) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    copyFileSync(join(ROOT, path), join(folder, path));
  }
  write("public/favicon.svg", readFileSync(join(ROOT, "web/pages/favicon.svg"), "utf8"));
  write(".vitepress/config.mjs", siteConfig(paths, VERSION));
  write("package.json", '{ "private": true, "type": "module" }\n');
}

async function main(out: string): Promise<void> {
  const documents = readDocuments();
  const dead = deadLinks(documents, (path) => existsSync(join(ROOT, path)));
  if (dead.length > 0) {
    const lines = dead.map(({ path, line, target }) => `${path}:${line}: ${target}`);
    throw new CommandError(`Links that lead nowhere:\n${lines.join("\n")}`);
  }
  const work = mkdtempSync(join(tmpdir(), "lars-docs-"));
  try {
    stage(work, [...documents, ...await madePages()]);
    noteLine(`building with ${GENERATOR}`);
    const args = ["-y", GENERATOR, "build", work, "--outDir", out];
    const { status, stdout, stderr, error } = spawnSync("npx", args, {
      cwd: work,
      timeout: BUILD_TIMEOUT_MS,
      encoding: "utf8",
    });
    if (status !== 0) {
      throw new CommandError(`${GENERATOR}: ${error?.message ?? `${stdout}\n${stderr}`.trim()}`);
    }
    printLine(join(out, "index.html"));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const command = new Command("deno task docs")
  .description("Make a site of all Markdown of this repository, with search; refuses dead links.")
  .option("--out <DIR>", "folder to write into", "dist/docs")
  .exitOverride();
addExamples(command, [["deno task docs", "dist/docs/index.html"], [
  "npx -y serve dist/docs",
  "look at it",
]]);

try {
  command.parse(process.argv.slice(2), { from: "user" });
  await main(resolve(command.opts<{ out: string }>().out));
} catch (error) {
  process.exitCode = reportFailure(error);
}
