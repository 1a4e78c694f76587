// Shell. `deno task api`: the client library as one JavaScript file with its types, for Node and for
// Bun from a URL, and the client of a relay for browsers as another.

import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { Command } from "commander";
import { reportFailure } from "../tools/cli_errors.ts";
import { addExamples } from "../tools/command.ts";
import { printLine } from "../tools/terminal.ts";
import { makeFolder } from "../tools/whole_file.ts";
import {
  bundleApiScript,
  bundleApiTypes,
  bundleWebScript,
  bundleWebTypes,
  endBundler,
} from "./api_bundle.ts";

/** Writes `lars_api` and, for browsers, `lars_relay_web` into a folder, each with its types. */
async function bundle(folder: string): Promise<void> {
  makeFolder(folder);
  const files: [string, string][] = [
    ["lars_api.js", await bundleApiScript()],
    ["lars_api.d.ts", await bundleApiTypes()],
    ["lars_relay_web.js", await bundleWebScript()],
    ["lars_relay_web.d.ts", await bundleWebTypes()],
  ];
  for (const [name, text] of files) {
    const target = join(resolve(folder), name);
    writeFileSync(target, text);
    printLine(target);
  }
}

const command = new Command("deno task api")
  .description(
    "Bundle the client library into one JavaScript file, with its types beside it, and the client " +
      "of a relay for browsers into another.",
  )
  .option("--out <DIR>", "folder to write into", "dist")
  .exitOverride();
addExamples(command, [
  ["deno task api", "dist/lars_api.js, dist/lars_relay_web.js, and their types"],
  ["deno task api --out vendor", "into another folder"],
]);

try {
  command.parse(process.argv.slice(2), { from: "user" });
  await bundle(command.opts<{ out: string }>().out);
} catch (error) {
  process.exitCode = reportFailure(error);
} finally {
  await endBundler();
}
