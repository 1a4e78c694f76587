// Shell. `deno task tour`: README's five minutes typed as printed, timed, and written down.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { networkInterfaces, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { untilStopSignal } from "../daemon/daemon.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { CommandError, reportFailure } from "../tools/cli_errors.ts";
import { addExamples } from "../tools/command.ts";
import { noteLine, printJson, printLine } from "../tools/terminal.ts";
import { writeWholeFile } from "../tools/whole_file.ts";
import {
  type CodeBlock,
  codeBlocksOf,
  printedPattern,
  type TypedCommand,
  typedCommandsOf,
} from "./markdown_blocks.ts";
import { ShellSession } from "./shell_session.ts";

const ROOT = resolve(fileURLToPath(new URL("..", import.meta.url)));

/** What is promised of the tour, from the clone to the node that is back. */
const TOUR_PROMISED_MS = 120_000;

/** A command, or a change that is waited for, may take this long on a loaded machine. */
const STEP_TIMEOUT_MS = 240_000;

/** Commands that go on until Ctrl-C. */
const LASTING = /(task up|sample call)$/;

/** A line that was typed, or what was seen. */
interface Entry {
  readonly atMs: number;
  readonly terminal: number;
  readonly text: string;
}

interface TourFlags {
  readonly out?: string;
  readonly folder?: string;
  readonly from: string;
  readonly all?: boolean;
  readonly json?: boolean;
}

/** One run through README. */
class Tour {
  readonly entries: Entry[] = [];
  readonly #sessions: ShellSession[] = [];
  readonly #folder: string;
  readonly #startMs = systemClock.nowMs();

  constructor(folder: string) {
    this.#folder = folder;
  }

  get tookMs(): number {
    return systemClock.nowMs() - this.#startMs;
  }

  /** Opens a terminal in the clone. */
  open(cwd = this.#folder): ShellSession {
    const kept = Object.entries(process.env).filter(([name]) => !name.startsWith("LARS_"));
    const session = new ShellSession(cwd, Object.fromEntries(kept));
    this.#sessions.push(session);
    return session;
  }

  note(session: ShellSession, text: string): void {
    const terminal = this.#sessions.indexOf(session) + 1;
    this.entries.push({ atMs: this.tookMs, terminal, text: text.trimEnd() });
  }

  /** Types the commands of a block, and checks what the page prints below them. */
  async typeBlock(session: ShellSession, block: CodeBlock): Promise<Map<string, string>> {
    const outputs = new Map<string, string>();
    for (const typed of typedCommandsOf(block.text)) {
      this.note(session, `$ ${typed.command}`);
      const output = LASTING.test(typed.command)
        ? await this.#begin(session, typed)
        : await this.#type(session, typed);
      if (output !== "") this.note(session, output);
      outputs.set(typed.command, output);
    }
    return outputs;
  }

  async #begin(session: ShellSession, { command, printed }: TypedCommand): Promise<string> {
    session.begin(command);
    const patterns = printed.length > 0
      ? printed.map(printedPattern)
      : [/Ctrl-C[^]*\n.*lars status/];
    const isPrinted = (): boolean => patterns.every((pattern) => pattern.test(session.output));
    await session.until(isPrinted, STEP_TIMEOUT_MS, command);
    return session.output;
  }

  async #type(session: ShellSession, { command, printed }: TypedCommand): Promise<string> {
    const { code, output } = await session.type(command, STEP_TIMEOUT_MS);
    if (code !== 0) throw new CommandError(`${command} ended with ${code}: ${output}`);
    for (const line of printed) {
      if (printedPattern(line).test(output)) continue;
      throw new CommandError(`${command} should print "${line}"; it printed: ${output}`);
    }
    return output;
  }

  async end(): Promise<void> {
    for (const session of this.#sessions.toReversed()) await session.end();
  }
}

/** Latest line of `lars sample call`. */
function latestLine(session: ShellSession): string {
  return session.output.trimEnd().split("\n").at(-1) ?? "";
}

function mustMatch(outputs: Map<string, string>, command: string, pattern: RegExp): void {
  const output = outputs.get(command);
  if (output !== undefined && pattern.test(output)) return;
  throw new CommandError(`${command} should print ${pattern}; it printed: ${output}`);
}

/** From the start to a bad node seen out and back. */
async function runTour(tour: Tour, blocks: readonly CodeBlock[]): Promise<ShellSession> {
  const [start, calls, fail, heal] = blocks.filter(({ language }) => language === "console");
  await tour.typeBlock(tour.open(), start);
  const caller = tour.open();
  await tour.typeBlock(caller, calls);
  const other = tour.open();
  const seen = async (what: string, is: (line: string) => boolean): Promise<void> => {
    const isSeen = (): boolean => is(latestLine(caller));
    await caller.until(isSeen, STEP_TIMEOUT_MS, what);
    tour.note(caller, latestLine(caller));
  };
  await tour.typeBlock(other, fail);
  await seen("the node kept out", (line) => line.includes("out"));
  const outputs = await tour.typeBlock(other, heal);
  mustMatch(outputs, "lars explain shop", /:9002 .*\b(overload|resting)\b/);
  await seen("the node back", (line) => / s( +\d+){3}$/.test(line) && !/ 0( |$)/.test(line));
  return other;
}

/** The rest of the five minutes. */
async function runRest(
  tour: Tour,
  session: ShellSession,
  blocks: readonly CodeBlock[],
  folder: string,
): Promise<void> {
  const sample = blocks.find(({ language }) => language === "ts");
  writeFileSync(join(folder, "caller.ts"), sample?.text ?? "");
  const consoles = blocks.filter(({ language }) => language === "console").slice(4);
  // What stands for another machine and its token cannot be typed here.
  for (const block of consoles.filter(({ text }) => !text.includes("--server"))) {
    const outputs = await tour.typeBlock(session, block);
    if (block.text.includes("lars undrain")) {
      mustMatch(outputs, "lars undrain 127.0.0.1:9005", /gets calls again, .*shop/);
    }
    if (!block.text.includes("lars drain")) continue;
    mustMatch(outputs, "lars test getroute shop", /127\.0\.0\.1, port = 9005/);
    const drain = "lars drain 127.0.0.1:9005 --wait";
    mustMatch(outputs, drain, /safe to stop/i);
    // The tour must leave no module without a node, and so raise no alert.
    mustMatch(outputs, drain, /^(?![^]*no node that takes calls)/);
  }
  // The alias works from any folder.
  const elsewhere = await session.type("cd / && lars route ls shop", STEP_TIMEOUT_MS);
  if (elsewhere.code !== 0) throw new CommandError(`Elsewhere: ${elsewhere.output}`);
}

/** What is of this machine alone, and how packages are fetched, is nothing to read. */
function plainLine(line: string, folder: string): string {
  const hosts = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
    .filter(({ internal, family }) => !internal && family === "IPv4").map(({ address }) => address);
  const plain = line.replaceAll(folder, "~/lars").replace(/once=\S+/, "once=…").trimEnd();
  return hosts.reduce((text, host) => text.replaceAll(host, "10.0.0.2"), plain);
}

function pageOf(tour: Tour, tookMs: number, folder: string): string {
  const lines = tour.entries.flatMap(({ atMs, terminal, text }) => {
    const [first, ...rest] = text.split("\n").filter((line) =>
      !/^(Initialize|Download) /.test(line)
    );
    const time = `${(atMs / 1000).toFixed(1).padStart(6)} s  ${terminal} `;
    return [`${time}${first}`, ...rest.map((line) => " ".repeat(time.length) + line)];
  });
  return [
    "# A tour",
    "",
    "<!-- Made by `deno task tour`, which types the five minutes of README.md and writes down what",
    "comes back; not by hand. -->",
    "",
    `From the clone to a bad node seen out and back: ${Math.round(tookMs / 1000)} s. The time and`,
    "the number of the terminal stand before what was typed and what it wrote.",
    "",
    "```text",
    ...lines.map((line) => plainLine(line, folder)),
    "```",
    "",
  ].join("\n");
}

async function record(flags: TourFlags): Promise<void> {
  const parent = mkdtempSync(join(tmpdir(), "lars-tour-"));
  const folder = flags.folder ?? join(parent, "lars");
  const tour = new Tour(folder);
  // What was started goes on otherwise: terminals hear no Ctrl-C but their own.
  void untilStopSignal().then(() => tour.end()).then(() => process.exit(130));
  try {
    if (flags.folder === undefined) {
      const clone = tour.open(parent);
      tour.note(clone, "$ git clone URL lars && cd lars");
      const { code, output } = await clone.type(
        `git clone --quiet '${flags.from}' lars`,
        STEP_TIMEOUT_MS,
      );
      if (code !== 0) throw new CommandError(`git clone failed: ${output}`);
    }
    const readme = readFileSync(join(folder, "README.md"), "utf8");
    const blocks = codeBlocksOf(readme).filter(({ section }) => section === "Five minutes");
    const session = await runTour(tour, blocks);
    const { tookMs } = tour;
    if (flags.all === true) await runRest(tour, session, blocks, folder);
    if (flags.out !== undefined) await writeWholeFile(flags.out, pageOf(tour, tookMs, folder));
    if (flags.json === true) {
      return printJson({ tookMs: Math.round(tookMs), entries: tour.entries });
    }
    printLine(`A bad node seen out and back in ${(tookMs / 1000).toFixed(1)} s`);
    if (tookMs > TOUR_PROMISED_MS) {
      throw new CommandError(`That is more than the ${TOUR_PROMISED_MS / 1000} s promised`);
    }
  } catch (error) {
    for (const { terminal, text } of tour.entries) noteLine(`${terminal} ${text}`);
    throw error;
  } finally {
    await tour.end();
    rmSync(parent, { recursive: true, force: true });
  }
}

const command = new Command("deno task tour")
  .description("Type the five minutes of README.md as printed, and time and record them.")
  .option("--out <FILE>", "write the record into this page")
  .option("--from <URL>", "repository that is cloned", ROOT)
  .option("--folder <DIR>", "a clone that is there already")
  .option("--all", "go on to the end of the five minutes")
  .option("--json", "print one JSON value")
  .exitOverride();
addExamples(command, [
  ["deno task tour --out docs/tour.md", "record the page again"],
  ["deno task tour --all", "only check that README is true"],
]);

try {
  command.parse(process.argv.slice(2), { from: "user" });
  await record(command.opts<TourFlags>());
} catch (error) {
  process.exitCode = reportFailure(error);
}
