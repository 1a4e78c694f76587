// Shell. `deno task npm`: the client library as an npm package for Node, Bun and Deno, checked as users get it.

import { spawnSync } from "node:child_process";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { VERSION } from "../daemon/version.ts";
import { CommandError, reportFailure } from "../tools/cli_errors.ts";
import { addExamples } from "../tools/command.ts";
import { noteLine, printLine } from "../tools/terminal.ts";
import { makeFolder } from "../tools/whole_file.ts";
import { bundleApiScript, bundleApiTypes, endBundler } from "./api_bundle.ts";
import { codeBlocksOf } from "./markdown_blocks.ts";

const ROOT = resolve(fileURLToPath(new URL("..", import.meta.url)));

/** Name under which it is published. */
const PACKAGE_NAME = "lars-api";

/** Who looks at the package before it is published: programs of npm, in these versions. */
const CHECKS: readonly (readonly string[])[] = [
  ["publint@0.3.25", "--strict"],
  // It has no CommonJS form: `require` of a module works in the Node versions named in `engines`.
  ["@arethetypeswrong/cli@0.18.5", "--profile", "esm-only"],
];

/** The first use fetches the programs. */
const CHECK_TIMEOUT_MS = 180_000;

/** What npm reads of the package. */
function manifest(): string {
  const { description, license } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  return JSON.stringify(
    {
      name: PACKAGE_NAME,
      version: VERSION,
      description,
      license,
      type: "module",
      sideEffects: false,
      exports: { ".": { types: "./lars_api.d.ts", default: "./lars_api.js" } },
      files: ["lars_api.js", "lars_api.d.ts"],
      engines: { node: ">=20.19" },
      keywords: ["load-balancing", "service-discovery", "client"],
    },
    null,
    2,
  ) + "\n";
}

/** The README of the package: the project's own sample, with the name of the package in it. */
function readme(): string {
  const text = readFileSync(join(ROOT, "README.md"), "utf8");
  const sample = codeBlocksOf(text).find(({ language }) => language === "ts")?.text;
  if (sample === undefined) throw new CommandError("README.md has no sample in TypeScript");
  return [
    `# ${PACKAGE_NAME}`,
    "",
    "Asks the Lars agent of this host which node to call next, and tells it how the call went. For",
    "Node, Bun and Deno, without a dependency.",
    "",
    "```ts",
    sample.replace("./api/mod.ts", PACKAGE_NAME).trimEnd(),
    "```",
    "",
    "An agent has to run on the host; the README of the project says how.",
    "",
  ].join("\n");
}

/** Writes the package into a folder, and packs it into `archives`. @returns the path of the archive. */
async function makePackage(folder: string, archives: string): Promise<string> {
  makeFolder(folder);
  makeFolder(archives);
  writeFileSync(join(folder, "package.json"), manifest());
  writeFileSync(join(folder, "README.md"), readme());
  copyFileSync(join(ROOT, "LICENSE"), join(folder, "LICENSE"));
  writeFileSync(join(folder, "lars_api.js"), await bundleApiScript());
  writeFileSync(join(folder, "lars_api.d.ts"), await bundleApiTypes());
  run("npm", ["pack", "--silent", "--pack-destination", archives, folder]);
  return join(archives, `${PACKAGE_NAME}-${VERSION}.tgz`);
}

/** @throws {CommandError} with what the program said. */
function run(program: string, args: readonly string[]): void {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd: ROOT,
    timeout: CHECK_TIMEOUT_MS,
    encoding: "utf8",
  });
  if (status === 0) return;
  const said = error?.message ?? `${stdout}\n${stderr}`.trim();
  throw new CommandError(`${program} ${args.join(" ")} failed: ${said}`);
}

interface PackFlags {
  readonly out: string;
  readonly archive?: string;
  readonly check: boolean;
}

const command = new Command("deno task npm")
  .description("Make the npm package of the client library, for `npm publish`.")
  .option("--out <DIR>", "folder to write into", "dist/npm")
  .option(
    "--archive <DIR>",
    "folder to write the archive into; that of --out unless told otherwise",
  )
  .option("--no-check", "do not look at it with publint and arethetypeswrong")
  .exitOverride();
addExamples(command, [
  ["deno task npm", "dist/npm/, checked, and packed"],
  ["npm install ./dist/npm/lars-api-*.tgz", "try it"],
]);

try {
  command.parse(process.argv.slice(2), { from: "user" });
  const { out, archive: archives = out, check } = command.opts<PackFlags>();
  const archive = await makePackage(resolve(out), resolve(archives));
  for (const [program, ...args] of check ? CHECKS : []) {
    noteLine(`checking with ${program}`);
    run("npx", ["-y", program, ...args, archive]);
  }
  printLine(archive);
} catch (error) {
  process.exitCode = reportFailure(error);
} finally {
  await endBundler();
}
