// Shell. `deno task release`: programs, packages, bill of materials and checksums of a version, in one folder.

import { spawnSync } from "node:child_process";
import { createHash, createPrivateKey, type KeyObject, sign } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { Command } from "commander";
import { VERSION } from "../daemon/version.ts";
import { messageOf } from "../reactor/errors.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { CommandError, reportFailure } from "../tools/cli_errors.ts";
import { addExamples } from "../tools/command.ts";
import { noteLine, printLine } from "../tools/terminal.ts";
import { makeFolder } from "../tools/whole_file.ts";
import { sbomOf } from "./release/sbom.ts";
import { ROOT } from "./sources.ts";

/** Name of the file with the sums, and of its signature. */
const SUMS = "SHA256SUMS";

/** Compiling and packing everything takes minutes. */
const STEP_TIMEOUT_MS = 1_800_000;

/** The descriptor that steps are given for both of their outputs. */
const STDERR = 2;

function run(program: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd: ROOT,
    timeout: STEP_TIMEOUT_MS,
    encoding: "utf8",
  });
  if (status === 0) return stdout.trim();
  const said = error?.message ?? `${stdout}\n${stderr}`.trim();
  throw new CommandError(`${program} ${args.join(" ")} failed: ${said}`);
}

/** Runs a script of ours, which takes minutes: what it says goes to standard error as it comes. */
function step(what: string, script: string, ...args: string[]): void {
  noteLine(what);
  const startMs = systemClock.nowMs();
  const words = ["run", "-A", `scripts/${script}.ts`, ...args];
  const { status, error } = spawnSync(process.execPath, words, {
    cwd: ROOT,
    timeout: STEP_TIMEOUT_MS,
    stdio: ["ignore", STDERR, STDERR],
  });
  if (status !== 0) {
    throw new CommandError(`${what} failed: ${error?.message ?? "what it said is above"}`);
  }
  noteLine(`${what}: took ${Math.round((systemClock.nowMs() - startMs) / 1000)} s`);
}

/** What a package says of its licence. */
function licenceOf(name: string): string | undefined {
  const path = join(ROOT, "node_modules", name, "package.json");
  const inner = join(ROOT, "node_modules/.deno/node_modules", name, "package.json");
  const found = [path, inner].find(existsSync);
  if (found === undefined) return undefined;
  const { license } = JSON.parse(readFileSync(found, "utf8"));
  return typeof license === "string" ? license : undefined;
}

function writeBill(folder: string): void {
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const bill = sbomOf({
    name: "lars",
    version: VERSION,
    lock: JSON.parse(readFileSync(join(ROOT, "deno.lock"), "utf8")),
    dependencies,
    licenceOf,
    releasedAt: Number(run("git", ["log", "-1", "--format=%ct"])),
  });
  writeFileSync(join(folder, `lars-${VERSION}.cdx.json`), bill);
}

/** Before anything is compiled: a wrong key is found in a moment, not in minutes. */
function readKey(path: string): KeyObject {
  const wanted = "an unencrypted private key of Ed25519 in PEM: openssl genpkey -algorithm ed25519";
  let key: KeyObject;
  try {
    key = createPrivateKey(readFileSync(path, "utf8"));
  } catch (error) {
    throw new CommandError(`${path} must hold ${wanted} (${messageOf(error)})`, { cause: error });
  }
  if (key.asymmetricKeyType === "ed25519") return key;
  throw new CommandError(`${path} must hold ${wanted}: it is of ${key.asymmetricKeyType}`);
}

/** Sums of all files of a folder, as `sha256sum --check` reads them, and their signature. */
function writeSums(folder: string, key: KeyObject | undefined): void {
  const names = readdirSync(folder).filter((name) => !name.startsWith(SUMS)).sort();
  const lines = names.map((name) =>
    `${createHash("sha256").update(readFileSync(join(folder, name))).digest("hex")}  ${name}\n`
  );
  const text = lines.join("");
  writeFileSync(join(folder, SUMS), text);
  if (key === undefined) return;
  writeFileSync(join(folder, `${SUMS}.sig`), sign(null, new TextEncoder().encode(text), key));
}

interface ReleaseFlags {
  readonly out: string;
  readonly key?: string;
  readonly only?: "bill";
}

function main({ out, key: keyFile, only }: ReleaseFlags): void {
  const key = keyFile === undefined ? undefined : readKey(keyFile);
  const folder = resolve(out);
  makeFolder(folder);
  if (readdirSync(folder).length > 0) throw new CommandError(`${folder} must be empty`);
  const work = mkdtempSync(join(tmpdir(), "lars-release-"));
  try {
    if (only !== "bill") {
      step("compiling programs", "compile", "--out", folder);
      step("making Debian packages", "pack_debian", "--programs", folder, "--out", folder);
      // What it says is where the archive stays: the rest of the package is gone in the end.
      step("making the npm package", "pack_api", "--out", work, "--archive", folder);
    }
    noteLine("writing the bill of materials and the sums");
    writeBill(folder);
    writeSums(folder, key);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  printLine(join(folder, SUMS));
}

const command = new Command("deno task release")
  .description(
    "Compile programs, make packages, and write a bill of materials (CycloneDX) and the sums of all.",
  )
  .option("--out <DIR>", "empty folder to write into", `dist/release-${VERSION}`)
  .option("--key <FILE>", "private key of Ed25519 (PEM) that signs the sums")
  .option("--only <PART>", "bill: nothing but the bill of materials and its sum")
  .exitOverride();
addExamples(command, [
  ["deno task release --key release.pem", "signed"],
  ["sha256sum --check SHA256SUMS", "in the folder: is all as it was?"],
  [
    "openssl pkeyutl -verify -pubin -inkey release.pub -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig",
    "and is it ours?",
  ],
]);

try {
  command.parse(process.argv.slice(2), { from: "user" });
  main(command.opts<ReleaseFlags>());
} catch (error) {
  process.exitCode = reportFailure(error);
}
