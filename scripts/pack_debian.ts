// Shell. `deno task deb`: Debian packages of agent, services, command and C clients, from compiled programs.

import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync } from "node:fs";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { type DaemonDefinition, fullTable } from "../daemon/daemon.ts";
import { daemonFlags } from "../daemon/settings/flags.ts";
import { VERSION } from "../daemon/version.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { filesFor } from "../tools/cmd_config.ts";
import { CommandError, reportFailure } from "../tools/cli_errors.ts";
import { addExamples, describeOption, subcommandTerm } from "../tools/command.ts";
import { buildProgram } from "../tools/program.ts";
import { noteLine, printLine } from "../tools/terminal.ts";
import { makeFolder } from "../tools/whole_file.ts";
import { daemonDefinitions } from "./daemon_definitions.ts";
import { type ManCommand, type ManFlag, manPage } from "./debian/man_page.ts";
import {
  type DebianPackage,
  debianPackages,
  type DebianSource,
  SERVER_SERVICES,
} from "./debian/packages.ts";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..");

const MAINTAINER = "The Lars authors <lars@example.org>";
/** Libraries without what only a debugger reads. */
const STRIPPED = ["CFLAGS=-O2", "CXXFLAGS=-O2"];
/** Debian's names of processors. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };
/** A package of some 100 MB takes a while to be packed. */
const STEP_TIMEOUT_MS = 600_000;
/** Where the embedded database of the services lies, and that of one host's agent. */
const SERVER_STORE = "sqlite:/var/lib/lars/lars.db";

function run(program: string, args: readonly string[], cwd = ROOT): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd,
    timeout: STEP_TIMEOUT_MS,
    encoding: "utf8",
  });
  if (status === 0) return stdout;
  const said = error?.message ?? `${stdout}\n${stderr}`.trim();
  throw new CommandError(`${program} ${args.join(" ")} failed: ${said}`);
}

function daemonPage(name: string, definition: DaemonDefinition): string {
  const flags = daemonFlags(fullTable(definition)).map(({ long, short, value, doc }): ManFlag => ({
    term: `${short === undefined ? "" : `${short}, `}${long}${
      value === undefined ? "" : ` ${value}`
    }`,
    doc,
  }));
  const config = name === "agent"
    ? "agent.conf"
    : ["dns", "reporter", "web"].includes(name)
    ? "lars.conf"
    : `${name}.conf`;
  return manPage({
    name: `lars-${name}`,
    section: 8,
    version: VERSION,
    summary: definition.summary.replace(/\.$/, ""),
    flags,
    commands: [],
    files: [{ term: `/etc/lars/${config}`, doc: "its configuration; every flag is a key of it" }],
    seeAlso: ["lars(1)", ...name === "agent" ? [] : ["lars-agent(8)"]],
  });
}

function commandsOf(command: Command, words: string): ManCommand[] {
  return command.commands.filter((one) => one.name() !== "help").flatMap((one): ManCommand[] => [
    {
      usage: `${words} ${subcommandTerm(one)}`,
      doc: one.description(),
      flags: one.options.map((option) => ({ term: option.flags, doc: describeOption(option) })),
    },
    ...commandsOf(one, `${words} ${one.name()}`),
  ]);
}

async function manuals(): Promise<Record<string, string>> {
  const { program } = await buildProgram("all");
  const pages: Record<string, string> = {
    "lars.1": manPage({
      name: "lars",
      section: 1,
      version: VERSION,
      summary: program.description().replace(/\.$/, ""),
      flags: program.options.map((option) => ({ term: option.flags, doc: describeOption(option) })),
      commands: commandsOf(program, "lars"),
      files: [{ term: "./data/lars.db", doc: "the embedded database, unless --store or --data" }],
      seeAlso: ["lars-agent(8)", "lars-dns(8)"],
    }),
  };
  for (const [name, definition] of Object.entries(await daemonDefinitions())) {
    pages[`lars-${name}.8`] = daemonPage(name, definition);
  }
  return pages;
}

/** Example configurations as packages have them: everything on one host, embedded database. */
async function configs(): Promise<Record<string, string>> {
  const files = Object.fromEntries((await filesFor(1)).map(({ name, text }) => [name, text]));
  const stored = files["lars.conf"].replace(/^url = .*$/m, `url = ${SERVER_STORE}`);
  const grouped = files["agent.conf"].replace(
    /^;shared_table_group =.*$/m,
    "shared_table_group = lars-callers",
  ).replace(/^cache_dir = .*$/m, ";cache_dir =");
  if (!grouped.includes("lars-callers")) throw new CommandError("agent.conf has no table group");
  return { "lars.conf": stored, "agent.conf": grouped };
}

/** Builds the C and C++ clients, for the packages' libraries. */
function library(work: string): Record<string, DebianSource> {
  for (const folder of ["api/c", "api/cpp"]) {
    run("make", [
      "-C",
      join(ROOT, folder),
      `OUT=${work}/${basename(folder)}`,
      ...STRIPPED,
      "library",
    ]);
  }
  const from = (path: string): DebianSource => ({ from: path });
  return {
    "include/lars.h": from(join(ROOT, "api/c/lars.h")),
    "include/lars.hpp": from(join(ROOT, "api/cpp/lars.hpp")),
    "include/lars_api.h": from(join(ROOT, "api/cpp/lars_api.h")),
    "lib/liblars.a": from(`${work}/c/liblars.a`),
    "lib/liblarsclient.a": from(`${work}/cpp/liblarsclient.a`),
  };
}

/** Lays a package out and packs it. @returns the path of the archive. */
function build(one: DebianPackage, work: string, out: string, architecture: string): string {
  const root = join(work, one.name);
  for (const { path, mode, source } of one.files) {
    const target = join(root, path);
    mkdirSync(dirname(target), { recursive: true });
    if ("text" in source) writeFileSync(target, source.text);
    else copyFileSync(source.from, target);
    chmodSync(target, mode);
  }
  // Policy wants manual pages and changelogs packed, the same bytes each time.
  for (const path of one.files.map((file) => file.path)) {
    if (/^usr\/share\/(man|doc\/[^/]+\/changelog$)/.test(path)) {
      run("gzip", ["-9n", join(root, path)]);
    }
  }
  mkdirSync(join(root, "DEBIAN"), { recursive: true });
  for (const [name, text] of Object.entries(one.control)) {
    const path = join(root, "DEBIAN", name);
    writeFileSync(path, text);
    chmodSync(path, ["control", "conffiles"].includes(name) ? 0o644 : 0o755);
  }
  const archive = join(out, `${one.name}_${VERSION}_${architecture}.deb`);
  run("dpkg-deb", ["--root-owner-group", "-Zgzip", "-z1", "--build", root, archive]);
  return archive;
}

/** Unix seconds: those of the last commit, so that the same sources give the same packages. */
function releaseTime(): number {
  const given = Number(runtime.env("SOURCE_DATE_EPOCH") ?? "");
  return given > 0 ? given : Number(run("git", ["log", "-1", "--format=%ct"]));
}

async function main(programs: string, out: string): Promise<void> {
  const architecture = ARCHITECTURES[process.arch];
  if (architecture === undefined) {
    throw new CommandError(`Debian packages are made on ${Object.keys(ARCHITECTURES).join(", ")}`);
  }
  for (const name of ["lars", "lars-agent"]) {
    if (existsSync(join(programs, name))) continue;
    throw new CommandError(`There is no ${join(programs, name)}: run deno task compile first`);
  }
  const work = mkdtempSync(join(tmpdir(), "lars-deb-"));
  makeFolder(out);
  try {
    const units = join(ROOT, "deploy/systemd");
    const packages = debianPackages({
      version: VERSION,
      architecture,
      maintainer: MAINTAINER,
      licence: readFileSync(join(ROOT, "LICENSE"), "utf8"),
      programs: { "lars": join(programs, "lars"), "lars-agent": join(programs, "lars-agent") },
      units: Object.fromEntries(
        readdirSync(units).map((name) => [name, readFileSync(join(units, name), "utf8")]),
      ),
      manuals: await manuals(),
      configs: await configs(),
      library: library(work),
      releasedAt: releaseTime(),
      changelog: readFileSync(join(ROOT, "CHANGELOG.md"), "utf8"),
    });
    for (const one of packages) {
      noteLine(`packing ${one.name}`);
      printLine(build(one, work, out, architecture));
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const command = new Command("deno task deb")
  .description(
    "Make Debian packages of compiled programs: lars-agent, lars-server " +
      `(${
        SERVER_SERVICES.join(", ")
      }), lars and liblarsclient-dev. Needs dpkg-deb, make and a C compiler.`,
  )
  .option("--programs <DIR>", "folder of `deno task compile`", "dist")
  .option("--out <DIR>", "folder to write into", "dist/deb")
  .exitOverride();
addExamples(command, [
  ["deno task compile --only lars --only lars-agent && deno task deb", "dist/deb/*.deb"],
  ["apt install ./dist/deb/lars-agent_*.deb", "try it"],
]);

try {
  command.parse(process.argv.slice(2), { from: "user" });
  const { programs, out } = command.opts<{ programs: string; out: string }>();
  await main(resolve(programs), resolve(out));
} catch (error) {
  process.exitCode = reportFailure(error);
}
