// Shell. `deno task faults`: runs the rows of promises under faults, and says what came of each; with
// --soak, all services under load with a fault every 20 s.

import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { Command, CommanderError } from "commander";
import { describeMachine } from "../../bench/machine.ts";
import { messageOf } from "../../reactor/errors.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { reportFailure } from "../../tools/cli_errors.ts";
import { describeOption } from "../../tools/command.ts";
import { printLine } from "../../tools/terminal.ts";
import { bringMariaDb } from "../support/bring_programs.ts";
import { HOSTILE_VARIABLE, SECONDS_VARIABLE } from "../support/figure.ts";
import { JUDGE_TIMES_VARIABLE } from "../support/in_time.ts";
import { type MariaDb, startMariaDb, TEMPLATE_VARIABLE } from "../support/mariadb.ts";
import { areProgramsStopped, runProgram, stopPrograms } from "../support/test_job.ts";
import { readDenoOutput } from "../support/test_output.ts";
import { bringFaketime, FAKETIME_VARIABLE } from "../support/wall_clock.ts";
import {
  type CheckOutcome,
  exitCodeOf,
  failureLines,
  faultTable,
  figuresOf,
  isLate,
  rowLines,
  type RowOutcome,
  verdictOf,
  withResults,
} from "./fault_report.ts";
import { chooseRows, type FaultCheck, type FaultRow, shortRow } from "./matrix.ts";
import { reasonAgainst } from "./needs.ts";
import { runSoak, type SoakWish } from "./soak.ts";

const README = new URL("./README.md", import.meta.url);

/** A test that takes longer than this, and than its long fault and its hostile peers, hangs. */
const CHECK_MS_MIN = 600_000;
const HOSTILE_PER_MS_MIN = 2;

interface Options {
  readonly only: readonly string[];
  readonly list?: boolean;
  readonly json?: boolean;
  readonly short?: boolean;
  readonly write?: boolean;
  readonly seconds: number;
  readonly hostile?: number;
  readonly soak?: number;
  readonly rate: number;
  readonly seed: number;
  readonly svg?: string;
}

function positive(text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new CommanderError(2, "usage", `Must be a number above 0: current value is ${text}`);
}

function parseOptions(argv: readonly string[]): Options {
  const command = new Command("deno task faults")
    .description("Runs the promises under faults, on real processes, and prints what came of each.")
    .option("--only <rows>", "such as G5,G7", (text) => text.split(","), [])
    .option("--list", "names rows, faults and tests, and runs none")
    .option("--short", "leaves out tests that take more than half a minute")
    .option("--seconds <N>", "how long faults last that are outlived for an hour", positive, 60)
    .option("--hostile <N>", "hostile frames, and as many datagrams, in G16", positive)
    .option("--json", "one object a row")
    .option("--write", "puts the results into tests/faults/README.md")
    .option("--soak <minutes>", "no rows: all services under load, a fault every 20 s", positive)
    .option("--rate <N>", "requests a second of the soak", positive, 20_000)
    .option("--seed <N>", "of the faults of the soak", positive, 1)
    .option("--svg <file>", "draws the soak")
    .configureHelp({ optionDescription: describeOption })
    .configureOutput({ writeErr: () => {} })
    .exitOverride();
  command.parse([...argv], { from: "user" });
  return command.opts<Options>();
}

async function runCheck(
  check: FaultCheck,
  env: Readonly<Record<string, string>>,
): Promise<CheckOutcome> {
  const { title, file, figures: patterns = [], needs = [] } = check;
  const reason = reasonAgainst(needs);
  if (reason !== undefined) return { title, verdict: "not run", figures: [reason], seconds: 0 };
  const startMs = systemClock.nowMs();
  const words = ["test", "-A", "--no-check", "--filter", title, file];
  const timeoutMs = CHECK_MS_MIN + 4000 * Number(env[SECONDS_VARIABLE]) +
    Number(env[HOSTILE_VARIABLE] ?? 0) / HOSTILE_PER_MS_MIN;
  const { output, isLate: isHung } = await runProgram([process.execPath, ...words], {
    env,
    timeoutMs,
  });
  const seconds = (systemClock.nowMs() - startMs) / 1000;
  const { passed, failed, skipped } = readDenoOutput(output);
  const figures = figuresOf(output, patterns);
  if (failed > 0 || isHung || passed === 0) {
    if (passed === 0 && failed === 0 && skipped > 0) {
      return { title, verdict: "not run", figures: ["the test leaves itself out"], seconds };
    }
    const why = isHung ? ["it did not end"] : failureLines(output);
    return { title, verdict: "BROKEN", figures: [...figures, ...why], seconds };
  }
  return { title, verdict: isLate(output) ? "late" : "kept", figures, seconds };
}

function list(rows: readonly FaultRow[]): void {
  for (const { id, promise, faults, checks } of rows) {
    printLine(`${id.padEnd(4)} ${promise}`);
    if (faults.length > 0) printLine(`     faults: ${faults.join(", ")}`);
    for (const { file, title, needs = [] } of checks) {
      const needed = needs.length === 0 ? "" : ` (needs ${needs.join(", ")})`;
      printLine(`     ${file}: ${title}${needed}`);
    }
  }
}

/** Brings what the tests need; what it puts into `env` is for their processes. */
async function bringAll(env: Record<string, string>): Promise<MariaDb | undefined> {
  const faketime = bringFaketime();
  if (faketime !== undefined) env[FAKETIME_VARIABLE] = faketime;
  try {
    await bringMariaDb();
  } catch (error) {
    // The rows that need it say so.
    return void printLine(messageOf(error));
  }
  const database = await startMariaDb();
  env.LARS_TEST_MYSQL_URL = database.url;
  env[TEMPLATE_VARIABLE] = database.template;
  return database;
}

async function runRows(
  rows: readonly FaultRow[],
  options: Options,
  env: Readonly<Record<string, string>>,
): Promise<RowOutcome[]> {
  const outcomes: RowOutcome[] = [];
  for (const [index, { id, promise, checks }] of rows.entries()) {
    if (options.json !== true) printLine(`-- ${id} (${index + 1} of ${rows.length})`);
    const done: CheckOutcome[] = [];
    for (const check of checks) {
      if (areProgramsStopped()) return outcomes;
      done.push(await runCheck(check, env));
    }
    const row = { id, promise, checks: done };
    outcomes.push(row);
    if (options.json === true) printLine(JSON.stringify({ ...row, verdict: verdictOf(row) }));
    else for (const line of rowLines(row)) printLine(line);
  }
  return outcomes;
}

function write(outcomes: readonly RowOutcome[], options: Options): void {
  const day = new Date(systemClock.wallMs()).toISOString().slice(0, 10);
  const hostile = options.hostile === undefined ? "" : ` --hostile ${options.hostile}`;
  const how = `${day}, \`--seconds ${options.seconds}${hostile}\``;
  const text = readFileSync(README, "utf8");
  writeFileSync(
    README,
    withResults(
      text,
      (before) => `Machine: ${describeMachine()}.\n\n${faultTable(outcomes, how, before)}`,
    ),
  );
}

async function main(options: Options): Promise<number> {
  if (options.soak !== undefined) {
    const { soak: minutes, rate, seed, svg, json = false } = options;
    return await runSoak({ minutes, rate, seed, svg, json } satisfies SoakWish);
  }
  const chosen = chooseRows(options.only);
  const rows = options.short === true
    ? chosen.map(shortRow).filter((row) => row !== undefined)
    : chosen;
  if (options.list === true) {
    list(rows);
    return 0;
  }
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, stopPrograms);
  const env: Record<string, string> = {
    [SECONDS_VARIABLE]: String(options.seconds),
    [JUDGE_TIMES_VARIABLE]: "1",
  };
  if (options.hostile !== undefined) env[HOSTILE_VARIABLE] = String(options.hostile);
  const database = await bringAll(env);
  try {
    const outcomes = await runRows(rows, options, env);
    if (options.write === true) write(outcomes, options);
    if (options.json !== true) {
      const count = (verdict: string): number =>
        outcomes.filter((row) => verdictOf(row) === verdict).length;
      const counts = ["kept", "late", "BROKEN", "not run"].map((one) => `${count(one)} ${one}`);
      printLine(`${outcomes.length} rows: ${counts.join(", ")}`);
    }
    return outcomes.length < rows.length ? 1 : exitCodeOf(outcomes);
  } finally {
    await database?.stop();
  }
}

try {
  process.exitCode = await main(parseOptions(process.argv.slice(2)));
} catch (error) {
  if (error instanceof CommanderError) {
    process.stderr.write(error.exitCode === 0 ? "" : `${error.message}\n`);
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else if (error instanceof RangeError) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 2;
  } else process.exitCode = reportFailure(error);
}
