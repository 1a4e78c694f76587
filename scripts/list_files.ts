// Shell. `deno task files`: the tables of files in READMEs; `--check` only compares.
import { writeFileSync } from "node:fs";
import process from "node:process";
import { hasFileTable, withFileTables } from "./file_tables.ts";
import { readDocuments, readSources, ROOT } from "./sources.ts";

/** Exit code: 0 when the tables are (now) right, 1 when `--check` found one stale, 2 for wrong usage. */
function main(args: readonly string[]): number {
  const unknown = args.find((arg) => arg !== "--check");
  if (unknown !== undefined) {
    process.stderr.write(`Unknown argument ${unknown}\nUsage: deno task files [--check]\n`);
    return 2;
  }
  const sources = readSources();
  const documents = readDocuments();
  let stale = 0;
  for (const readme of documents.filter(({ text }) => hasFileTable(text))) {
    const text = withFileTables(readme, sources, documents);
    if (text === readme.text) continue;
    if (args.includes("--check")) {
      process.stderr.write(`${readme.path}: table of files is stale: run deno task files\n`);
      stale++;
    } else {
      writeFileSync(`${ROOT}/${readme.path}`, text);
      process.stdout.write(`${readme.path} written\n`);
    }
  }
  return stale === 0 ? 0 : 1;
}

if (import.meta.main) {
  try {
    process.exitCode = main(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
