// Shell. `deno task api`: the client library as one JavaScript file with its types, for Node and for
// Bun from a URL, and the client of a relay for browsers.

import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { Command } from "commander";
import { reportFailure } from "../tools/cli_errors.ts";
import { addExamples } from "../tools/command.ts";
import { printLine } from "../tools/terminal.ts";
import { bundleApiScript, bundleApiTypes, bundleWebScript, endBundler } from "./api_bundle.ts";

/** Writes `lars_api.js`, `lars_api.d.ts` and, for browsers, `lars_relay_web.js` into a folder. */
async function bundle(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const target = join(resolve(folder), "lars_api");
  writeFileSync(`${target}.js`, await bundleApiScript());
  writeFileSync(`${target}.d.ts`, await bundleApiTypes());
  const webTarget = join(resolve(folder), "lars_relay_web.js");
  writeFileSync(webTarget, await bundleWebScript());
  printLine(`${target}.js`);
  printLine(`${target}.d.ts`);
  printLine(webTarget);
}

const command = new Command("deno task api")
  .description(
    "Bundle the client library into one JavaScript file, with its types beside it, and the client " +
      "of a relay for browsers into another.",
  )
  .option("--out <DIR>", "folder to write into", "dist")
  .exitOverride();
addExamples(command, [
  ["deno task api", "dist/lars_api.js, its types, dist/lars_relay_web.js"],
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
