// Shell. `deno task files`: tables of files in READMEs, example configurations, a page of docs; `--check` only compares.

import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { troubleshootingPage } from "../tools/doctor/advice.ts";
import { filesFor } from "../tools/cmd_config.ts";
import { GRANTED_SERVICES, grantFile } from "../sql/grants/grants.ts";
import { EXAMPLE_FOLDERS, EXAMPLE_HOSTS } from "../tools/config_example.ts";
import { hasFileTable, withFileTables } from "./file_tables.ts";
import { readDocuments, readSources, ROOT } from "./sources.ts";

/** Page of what goes wrong, as `lars doctor` has it. */
const TROUBLESHOOTING = "docs/troubleshooting.md";

/** A file that is made from the sources: where it is, what it has and what it should have. */
interface MadeFile {
  readonly path: string;
  readonly text: string;
  readonly wanted: string;
}

async function madeFiles(): Promise<MadeFile[]> {
  const sources = readSources();
  const documents = readDocuments();
  const made: MadeFile[] = documents.filter(({ text }) => hasFileTable(text)).map((readme) => ({
    ...readme,
    wanted: withFileTables(readme, sources, documents),
  }));
  made.push({
    path: TROUBLESHOOTING,
    text: readFileSync(`${ROOT}/${TROUBLESHOOTING}`, "utf8"),
    wanted: troubleshootingPage(),
  });
  for (const service of GRANTED_SERVICES) {
    const path = `sql/grants/${service}.sql`;
    made.push({ path, text: readFileSync(`${ROOT}/${path}`, "utf8"), wanted: grantFile(service) });
  }
  for (const hosts of EXAMPLE_HOSTS) {
    for (const { name, text: wanted } of await filesFor(hosts)) {
      const path = `${EXAMPLE_FOLDERS[hosts]}/${name}`;
      made.push({ path, text: readFileSync(`${ROOT}/${path}`, "utf8"), wanted });
    }
  }
  return made;
}

/** Exit code: 0 when the files are (now) right, 1 when `--check` found one stale, 2 for wrong usage. */
async function main(args: readonly string[]): Promise<number> {
  const unknown = args.find((arg) => arg !== "--check");
  if (unknown !== undefined) {
    process.stderr.write(`Unknown argument ${unknown}\nUsage: deno task files [--check]\n`);
    return 2;
  }
  let stale = 0;
  for (const { path, text, wanted } of await madeFiles()) {
    if (text === wanted) continue;
    if (args.includes("--check")) {
      process.stderr.write(`${path} is stale: run deno task files\n`);
      stale++;
    } else {
      writeFileSync(`${ROOT}/${path}`, wanted);
      process.stdout.write(`${path} written\n`);
    }
  }
  return stale === 0 ? 0 : 1;
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
