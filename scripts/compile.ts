// Shell. `deno task compile`: programs that need neither a runtime nor these sources.

import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Command, Option } from "commander";
import { DENO_SERVICE_FLAGS } from "../reactor/runtime/engine_flags.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { argument, CommandError, repeated, reportFailure } from "../tools/cli_errors.ts";
import { parseWhole } from "../model/route_values.ts";
import { addExamples, describeOption } from "../tools/command.ts";
import { noteLine, printLine } from "../tools/terminal.ts";
import { makeFolder } from "../tools/whole_file.ts";
import { ROOM_ORDER } from "./check_house_rules.ts";

/** Programs and where they start. */
const PROGRAMS: Readonly<Record<string, string>> = {
  "lars": "tools/lars.ts",
  "lars-dns": "dns/main.ts",
  "lars-reporter": "reporter/main.ts",
  "lars-agent": "agent/main.ts",
  "lars-web": "web/main.ts",
  "lars-relay": "relay/main.ts",
  "lars-discovery": "discovery/main.ts",
  "lars-export": "export/main.ts",
};

/** Folders whose files may start Web Workers: the rooms below the command line. */
const ROOMS = ROOM_ORDER.slice(0, ROOM_ORDER.findIndex((rooms) => rooms.includes("tools"))).flat();

/** The Bun that compiles, when the machine has none of this version. */
const BUN_VERSION = "1.4.5";

/** Deno fetches its runtime base (about 40 MB) for the first program; a dead network may hang. */
const DENO_TIMEOUT_SECONDS = 120;

/** Bun compiles in about a second; the first time npm fetches it. */
const BUN_TIMEOUT_MS = 300_000;

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..");

interface CompileFlags {
  readonly with?: "deno" | "bun";
  readonly only: readonly string[];
  readonly out: string;
  readonly timeout: number;
}

interface Outcome {
  readonly ok: boolean;
  /** The last line that says something, for a failure. */
  readonly reason: string;
}

function run(argv: readonly string[], timeoutMs: number): Outcome {
  const [program, ...args] = argv;
  const { status, error, stdout, stderr } = spawnSync(program, args, {
    cwd: ROOT,
    timeout: timeoutMs,
    encoding: "utf8",
    killSignal: "SIGKILL",
  });
  if (status === 0) return { ok: true, reason: "" };
  if (status === null && error === undefined) return { ok: false, reason: "it was killed" };
  if (error !== undefined) {
    const timedOut = "code" in error && error.code === "ETIMEDOUT";
    return { ok: false, reason: timedOut ? `no end after ${timeoutMs / 1000} s` : error.message };
  }
  return { ok: false, reason: reasonOf(`${stdout}\n${stderr}`) };
}

/** The cause that says most of those a tool printed. */
function reasonOf(output: string): string {
  // deno-lint-ignore no-control-regex -- colour codes
  const plain = output.replace(/\x1b\[[0-9;]*m/g, "").split("Stack backtrace")[0];
  const lines = plain.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const causes = lines.filter((line) => /^(\d+: |error: )/.test(line));
  const longest = causes.sort((a, b) => b.length - a.length).at(0);
  return (longest ?? lines.at(-1) ?? "it says nothing").replace(/^(\d+: |error: )/, "");
}

/** Files that are started as Web Workers: every `new URL("./x.ts", import.meta.url)`. */
export function findWorkers(root: string): string[] {
  const workers: string[] = [];
  for (const room of ROOMS) {
    for (const name of readdirSync(join(root, room), { recursive: true, encoding: "utf8" })) {
      if (!name.endsWith(".ts") || name.endsWith("_test.ts")) continue;
      const path = join(root, room, name);
      const text = readFileSync(path, "utf8");
      for (const match of text.matchAll(/new URL\("(\.[^"]+\.ts)", import\.meta\.url\)/g)) {
        workers.push(relative(root, join(dirname(path), match[1])));
      }
    }
  }
  return [...new Set(workers)].sort();
}

function denoCommand(entry: string, workers: readonly string[], output: string): string[] {
  const deno = runtime.name === "deno" ? runtime.execPath : "deno";
  const included = workers.flatMap((worker) => ["--include", worker]);
  const flags = ["--no-check", "-A", ...DENO_SERVICE_FLAGS];
  return [deno, "compile", ...flags, ...included, "--output", output, entry];
}

/**
 * Every worker is an entry point of its own. All are put into one folder inside the program, where
 * the runtime looks for them by name, whichever folder the source stood in; see runtime/bun.ts.
 */
function bunCommand(entry: string, workers: readonly string[], output: string): string[] {
  return [
    ...bunProgram(),
    "build",
    "--compile",
    "--bytecode",
    // Not CommonJS, where `import.meta.url` is the place of the source at the time of the build.
    "--format=esm",
    "--entry-naming",
    "[name].[ext]",
    `./${entry}`,
    ...workers.map((worker) => `./${worker}`),
    "--outfile",
    output,
  ];
}

let bun: string[] | undefined;

/** The right Bun of this machine, else the one of npm. */
function bunProgram(): string[] {
  if (bun === undefined) {
    const { status, stdout } = spawnSync("bun", ["--version"], { encoding: "utf8" });
    const found = status === 0 && stdout.trim() === BUN_VERSION;
    bun = found ? ["bun"] : ["npx", "-y", `bun@${BUN_VERSION}`];
  }
  return bun;
}

function compileOne(
  name: string,
  tool: "deno" | "bun",
  workers: readonly string[],
  flags: CompileFlags,
): Outcome {
  const output = resolve(flags.out, name);
  const entry = PROGRAMS[name];
  return tool === "deno"
    ? run(denoCommand(entry, workers, output), flags.timeout * 1000)
    : run(bunCommand(entry, workers, output), BUN_TIMEOUT_MS);
}

/** A program that does not start is no program. */
function checkProgram(name: string, flags: CompileFlags): string {
  const path = resolve(flags.out, name);
  const { status, stdout, stderr } = spawnSync(path, ["--version"], { encoding: "utf8", cwd: "/" });
  if (status !== 0) throw new CommandError(`${name} was built and does not start: ${stderr}`);
  const megabytes = Math.round(statSync(path).size / 1_000_000);
  return `${relative(process.cwd(), path) || path}  ${megabytes} MB  version ${stdout.trim()}`;
}

function compile(flags: CompileFlags): void {
  const names = flags.only.length > 0 ? flags.only : Object.keys(PROGRAMS);
  const workers = findWorkers(ROOT);
  makeFolder(flags.out);
  let tool = flags.with ?? "deno";
  for (const name of names) {
    let outcome = compileOne(name, tool, workers, flags);
    if (!outcome.ok && tool === "deno" && flags.with === undefined) {
      noteLine(`deno compile cannot be used here (${outcome.reason}); using bun build --compile`);
      tool = "bun";
      outcome = compileOne(name, tool, workers, flags);
    }
    if (!outcome.ok) throw new CommandError(`${tool} could not build ${name}: ${outcome.reason}`);
    printLine(`${checkProgram(name, flags)}  (${tool})`);
  }
}

function parseName(text: string): string {
  if (text in PROGRAMS) return text;
  throw new RangeError(`Program must be one of ${Object.keys(PROGRAMS).join(", ")}: it is ${text}`);
}

async function main(): Promise<number> {
  const command = new Command("deno task compile")
    .description(
      "Make programs that run without a runtime: with deno compile, or, where its runtime base " +
        "cannot be fetched, with bun build --compile.",
    )
    .addOption(new Option("--with <TOOL>", "use only this tool").choices(["deno", "bun"]))
    .option(
      "--only <NAME>",
      `build only this program (may be given several times): ${Object.keys(PROGRAMS).join(", ")}`,
      repeated(parseName),
      [],
    )
    .option("--out <DIR>", "folder for the programs", join(ROOT, "dist"))
    .option(
      "--timeout <SECONDS>",
      "time that deno compile has for one program, 1 to 3600",
      argument((text) => parseWhole("Timeout", text, 1, 3600)),
      DENO_TIMEOUT_SECONDS,
    )
    .allowExcessArguments(false)
    .showHelpAfterError("(add --help for usage)")
    .configureHelp({ optionDescription: describeOption })
    .exitOverride();
  addExamples(command, [
    ["deno task compile", "all programs into dist/"],
    ["deno task compile --with bun --only lars-agent", "one program, with Bun"],
  ]);
  try {
    await command.parseAsync([...runtime.args], { from: "user" });
    compile(command.opts<CompileFlags>());
    return 0;
  } catch (error) {
    return reportFailure(error);
  }
}

if (import.meta.main) runtime.exit(await main());
