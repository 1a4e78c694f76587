// Shell. `deno task image`: a container image of the compiled command and the C library it wants.

import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { Command } from "commander";
import { VERSION } from "../daemon/version.ts";
import { CommandError, reportFailure } from "../tools/cli_errors.ts";
import { addExamples, describeOption } from "../tools/command.ts";
import { noteLine, printLine } from "../tools/terminal.ts";
import { ROOT } from "./sources.ts";

const BUILD_TIMEOUT_MS = 600_000;

function run(argv: readonly string[], cwd = ROOT): string {
  const { status, stdout, stderr, error } = spawnSync(argv[0], argv.slice(1), {
    cwd,
    timeout: BUILD_TIMEOUT_MS,
    encoding: "utf8",
  });
  if (status === 0) return stdout;
  if (error !== undefined && "code" in error && error.code === "ENOENT") {
    throw new CommandError(`There is no program ${argv[0]} here: install it, or name another`);
  }
  throw new CommandError(`${argv.join(" ")} failed: ${error?.message ?? `${stdout}\n${stderr}`}`);
}

/** Puts the program, the libraries that it names, and empty folders into place. */
function layOut(folder: string, program: string): void {
  const root = join(folder, "rootfs");
  const copy = (from: string, to: string): void => {
    mkdirSync(dirname(join(root, to)), { recursive: true });
    copyFileSync(from, join(root, to));
  };
  copy(program, "usr/bin/lars");
  chmodSync(join(root, "usr/bin/lars"), 0o755);
  for (const [library] of run(["ldd", program]).matchAll(/\/\S+/g)) copy(library, library);
  for (const name of ["tmp", "etc/lars"]) mkdirSync(join(root, name), { recursive: true });
  mkdirSync(join(folder, "state/lars"), { recursive: true });
  copyFileSync(join(ROOT, "deploy/container/Containerfile"), join(folder, "Containerfile"));
}

interface ImageFlags {
  readonly program: string;
  readonly builder: string;
  readonly builderOption: readonly string[];
  readonly tag: string;
}

function main({ program, builder, builderOption, tag }: ImageFlags): void {
  if (statSync(program, { throwIfNoEntry: false })?.isFile() !== true) {
    throw new CommandError(
      `There is no program ${program}: run deno task compile --only lars first`,
    );
  }
  const work = mkdtempSync(join(tmpdir(), "lars-image-"));
  try {
    layOut(work, resolve(program));
    noteLine(`building with ${builder}`);
    const name = ["-t", `${tag}:latest`, "-t", `${tag}:${VERSION}`];
    run([
      builder,
      ...builderOption,
      "build",
      "--network",
      "none",
      ...name,
      "-f",
      "Containerfile",
      ".",
    ], work);
    printLine(`${tag}:${VERSION}`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const command = new Command("deno task image")
  .description("Build a container image of the compiled command, which runs every service.")
  .option("--program <FILE>", "the command, from `deno task compile`", "dist/lars")
  .option("--builder <PROGRAM>", "podman or docker", "podman")
  .option(
    "--builder-option <OPTION>",
    "passed to it before its word; can be given several times",
    (option: string, options: readonly string[]) => [...options, option],
    [] as readonly string[],
  )
  .option("--tag <NAME>", "name of the image", "lars")
  .configureHelp({ optionDescription: describeOption })
  .exitOverride();
addExamples(command, [
  ["deno task compile --only lars && deno task image", "lars:latest"],
  ["podman run --rm lars --version", "try it"],
]);

try {
  command.parse(process.argv.slice(2), { from: "user" });
  main(command.opts<ImageFlags>());
} catch (error) {
  process.exitCode = reportFailure(error);
}
