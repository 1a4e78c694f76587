// Shell. `deno task api`: the client library as one JavaScript file with its types, for Node and for
// Bun from a URL.

import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { CommandError, reportFailure } from "../tools/cli_errors.ts";
import { addExamples } from "../tools/command.ts";
import { printLine } from "../tools/terminal.ts";

const ROOT = resolve(fileURLToPath(new URL("..", import.meta.url)));

/** The first use fetches the bundler from npm. */
const BUNDLE_TIMEOUT_MS = 120_000;

/** What a program needs beside its own settings: names that older targets do not know. */
const TYPES_HEAD = '/// <reference lib="esnext.disposable" />\n\n';

/** Writes `lars_api.js` and `lars_api.d.ts` into a folder. */
async function bundle(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const target = join(resolve(folder), "lars_api.js");
  const args = [
    "bundle",
    "--quiet",
    "--no-config",
    "--platform",
    "browser",
    "api/mod.ts",
  ];
  const { status, stderr, error } = spawnSync(process.execPath, [...args, "-o", target], {
    cwd: ROOT,
    timeout: BUNDLE_TIMEOUT_MS,
    encoding: "utf8",
  });
  if (status !== 0) throw new CommandError(`Bundling failed: ${error?.message ?? stderr.trim()}`);
  // The bundler notes where each part came from; paths of this machine help nobody.
  const lines = readFileSync(target, "utf8").split("\n");
  writeFileSync(target, lines.filter((line) => !/^\/\/ .*\.ts$/.test(line)).join("\n"));
  // The bundler's own declarations name files that are not beside them.
  writeFileSync(target.replace(/\.js$/, ".d.ts"), TYPES_HEAD + await bundleTypes());
  printLine(target);
  printLine(target.replace(/\.js$/, ".d.ts"));
}

/** The types of everything that `api/mod.ts` exports, as one file that imports nothing. */
async function bundleTypes(): Promise<string> {
  const { generateDtsBundle } = await import("dts-bundle-generator");
  const [types] = generateDtsBundle([{
    filePath: join(ROOT, "api/mod.ts"),
    output: { noBanner: true, exportReferencedTypes: false },
  }], { preferredConfigPath: join(ROOT, "scripts/api_types.json") });
  return types;
}

const command = new Command("deno task api")
  .description("Bundle the client library into one JavaScript file, with its types beside it.")
  .option("--out <DIR>", "folder to write into", "dist")
  .exitOverride();
addExamples(command, [
  ["deno task api", "dist/lars_api.js and dist/lars_api.d.ts"],
  ["deno task api --out vendor", "into another folder"],
]);

try {
  command.parse(process.argv.slice(2), { from: "user" });
  await bundle(command.opts<{ out: string }>().out);
} catch (error) {
  process.exitCode = reportFailure(error);
}
