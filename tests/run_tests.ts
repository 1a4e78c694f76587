// Shell. `deno task test`: brings a database, runs every test on Deno and on Bun, counts them once.

import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import process from "node:process";
import { Command, CommanderError } from "commander";
import { systemClock } from "../reactor/time/system_clock.ts";
import { describeOption } from "../tools/command.ts";
import { readDrivers } from "../scripts/run_conformance.ts";
import {
  bringChromium,
  bringMariaDb,
  bringNeighbours,
  bringShells,
  bringToolchains,
} from "./support/bring_programs.ts";
import { PORTS_VARIABLE, portsOfLane } from "./support/free_port.ts";
import { type LaneJob, runInLanes } from "./support/lanes.ts";
import { type MariaDb, startMariaDb, TEMPLATE_VARIABLE } from "./support/mariadb.ts";
import { bringPromtool, PROMTOOL_VARIABLE } from "./support/promtool.ts";
import {
  areProgramsStopped,
  bunRunner,
  denoRunner,
  type Runner,
  runTestFile,
  stopPrograms,
} from "./support/test_job.ts";
import {
  countsText,
  failureLines,
  type FileOutcome,
  slowestLines,
  totalOf,
  unsteadyTests,
  worthAnotherRun,
} from "./support/test_summary.ts";
import { bringFaketime, FAKETIME_VARIABLE } from "./support/wall_clock.ts";

/** A test file whose first lines say this needs Deno itself and is left out on Bun. */
const DENO_ONLY_MARK = "// Runs on Deno only";

/** A test file whose first lines say this needs the machine for itself: nothing runs beside it. */
const ALONE_MARK = "// Runs alone";

/** Folders of the tests that need a browser. */
const BROWSER_TESTS = "tests/browser/";

/**
 * Files that take longest are started first, so that the lanes end together; the rest of them
 * follows in `tests/`. The end of each run says which those are.
 */
const LONGEST_FIRST = [
  "tests/e2e_agents_test.ts",
  "tests/browser/pages_test.ts",
  "agent/service_test.ts",
  "tests/",
  "sql/",
];

/** Files that need the compilers and interpreters of the clients in other languages. */
const CLIENT_TESTS = /^(api\/(c|cpp|go|java|python|conformance)\/|tests\/(clients_|e2e_clients_))/;

/** Lanes unless told otherwise: one more than processors, since most tests mostly wait. */
const LANES_MIN = 2;
const LANES_MAX = 6;

/** Files named at the end as the slowest. */
const SLOWEST_COUNT = 10;

/** What Ctrl-C ends with, as shells count it. */
const INTERRUPTED_CODE = 130;

const SKIPPABLE = ["mysql", "browser", "bun", "clients"];

interface Options {
  skip: string[];
  only?: string;
  strict?: boolean;
  lanes: number;
}

/** One test file on one runtime. */
interface Job extends LaneJob {
  readonly runner: Runner;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Every test file, by its path from the working directory. */
async function testFiles(): Promise<string[]> {
  const found: string[] = [];
  const walk = async (folder: string): Promise<void> => {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      if (entry.name.startsWith(".") || ["node_modules", "dist", "data"].includes(entry.name)) {
        continue;
      }
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) await walk(path);
      else if (entry.name.endsWith("_test.ts")) found.push(path);
    }
  };
  await walk(".");
  return found.map((path) => path.slice("./".length)).sort();
}

/** The jobs of these files, those that take longest first. */
function jobsOf(files: readonly string[], runners: readonly Runner[]): Job[] {
  const rank = (file: string): number => {
    const index = LONGEST_FIRST.findIndex((start) => file.startsWith(start));
    return index < 0 ? LONGEST_FIRST.length : index;
  };
  return [...files].sort((a, b) => rank(a) - rank(b)).flatMap((file) => {
    const head = readFileSync(file, "utf8").slice(0, 400);
    return runners
      .filter(({ name }) => name === "Deno" || !head.includes(DENO_ONLY_MARK))
      .map((runner): Job => ({ file, runner, isAlone: head.includes(ALONE_MARK) }));
  });
}

/** Runs one job, prints what it printed, and says what came of it. */
async function runJob(
  { file, runner }: Job,
  env: Readonly<Record<string, string>>,
  place: string,
): Promise<FileOutcome | undefined> {
  const run = await runTestFile(runner, file, env);
  const { output, tookMs, fault, ...counts } = run;
  const outcome = { runtime: runner.name, file, run: counts, tookMs, fault };
  const said = fault === undefined ? "" : `, ${fault}`;
  const result = areProgramsStopped() ? "stopped" : `${countsText(counts)}${said}`;
  const seconds = `${(tookMs / 1000).toFixed(1)} s`;
  say(`\n== ${runner.name} ${file}: ${result}, ${seconds} ${place} ==\n${output.trim()}`);
  return areProgramsStopped() ? undefined : outcome;
}

/** Runs every job in the lanes. */
async function runJobs(
  jobs: readonly Job[],
  laneCount: number,
  env: Readonly<Record<string, string>>,
): Promise<FileOutcome[]> {
  const outcomes: FileOutcome[] = [];
  let ended = 0;
  await runInLanes(jobs, { laneCount, isStopped: areProgramsStopped }, async (job, lane) => {
    const ports = { [PORTS_VARIABLE]: portsOfLane(lane, laneCount) };
    const outcome = await runJob(job, { ...env, ...ports }, `[${++ended}/${jobs.length}]`);
    if (outcome !== undefined) outcomes.push(outcome);
  });
  return outcomes;
}

/**
 * Runs the files of failed tests once more, alone: on a machine that other programs load, a
 * time-out may say nothing about the code. What passes then is named as such in the last lines.
 *
 * @returns the outcomes with those of the second run in their place, and what to say of them.
 */
async function runAgain(
  outcomes: readonly FileOutcome[],
  jobs: readonly Job[],
  env: Readonly<Record<string, string>>,
): Promise<{ outcomes: readonly FileOutcome[]; lines: string[] }> {
  const worth = worthAnotherRun(outcomes);
  if (worth.length === 0) return { outcomes, lines: [] };
  const isWorth = (file: string, runtime: string): boolean =>
    worth.some((one) => one.file === file && one.runtime === runtime);
  const again = jobs.filter(({ file, runner }) => isWorth(file, runner.name));
  say(`\n== Files of failed tests once more, nothing beside them ==`);
  const seconds = await runJobs(again, 1, env);
  const lines: string[] = [];
  const merged = outcomes.map((first) => {
    const second = seconds.find(({ file, runtime }) =>
      file === first.file && runtime === first.runtime
    );
    if (second === undefined) return first;
    lines.push(
      ...unsteadyTests(first.run, second.run)
        .map((name) => `Passed on the second run only: ${first.runtime}: ${first.file}: ${name}`),
    );
    return second;
  });
  return { outcomes: merged, lines };
}

function choice(name: string, known: readonly string[], value: string): string {
  if (known.includes(value)) return value;
  const text = `${name} knows ${known.join(", ")}: current value is ${value}`;
  throw new CommanderError(2, "usage", text);
}

function laneCount(value: string): number {
  const count = Number(value);
  if (Number.isInteger(count) && count >= 1 && count <= 64) return count;
  const text = `--lanes must be a whole number from 1 to 64: current value is ${value}`;
  throw new CommanderError(2, "usage", text);
}

function parseOptions(argv: string[]): { options: Options; paths: string[] } {
  const command = new Command("deno task test")
    .description("Run all tests on Deno and on Bun, with a real MariaDB.")
    .argument("[paths...]", "only test files whose path contains one of these texts")
    .option(
      "--skip <what>",
      "mysql: no database tests; browser: no tests of pages; bun: Deno only; " +
        "clients: none of those in other languages",
      (value, all: string[]) => [...all, choice("--skip", SKIPPABLE, value)],
      [],
    )
    .option("--only <runtime>", "deno or bun", (value) => choice("--only", ["deno", "bun"], value))
    .option("--strict", "a failed test counts as failed, it is not run once more")
    .option(
      "--lanes <number>",
      "test files that run side by side",
      laneCount,
      Math.min(LANES_MAX, Math.max(LANES_MIN, availableParallelism() + 1)),
    )
    .configureHelp({ optionDescription: describeOption })
    .exitOverride();
  command.parse(argv, { from: "user" });
  return { options: command.opts<Options>(), paths: command.args };
}

/** Runs the files under every runtime asked for, and says what came of it. */
async function runAll(
  files: readonly string[],
  options: Options,
  env: Readonly<Record<string, string>>,
): Promise<number> {
  const startMs = systemClock.nowMs();
  const isWanted = (name: string): boolean =>
    !options.skip.includes(name) && (options.only ?? name) === name;
  const runners: Runner[] = [];
  if (isWanted("deno")) runners.push(denoRunner());
  if (isWanted("bun")) runners.push(await bunRunner());
  const jobs = jobsOf(files, runners);
  say(`${jobs.length} runs of ${files.length} test files in ${options.lanes} lanes`);
  const first = await runJobs(jobs, options.lanes, env);
  if (areProgramsStopped()) return INTERRUPTED_CODE;
  const { outcomes, lines } = options.strict === true
    ? { outcomes: first, lines: [] }
    : await runAgain(first, jobs, env);
  if (areProgramsStopped()) return INTERRUPTED_CODE;
  const total = totalOf(outcomes);
  say(`\n${slowestLines(outcomes, SLOWEST_COUNT).join("\n")}\n`);
  for (const what of options.skip) say(`${what} was skipped on request`);
  for (const line of lines) say(line);
  for (const line of failureLines(outcomes)) say(line);
  const seconds = Math.round((systemClock.nowMs() - startMs) / 1000);
  say(`${countsText(total)}, in ${Math.floor(seconds / 60)} min ${seconds % 60} s`);
  return total.failed === 0 && total.passed > 0 ? 0 : 1;
}

/** Brings what the files need; what it put into `env` is for their processes. */
async function bringAll(
  files: readonly string[],
  options: Options,
  env: Record<string, string>,
): Promise<MariaDb | undefined> {
  if (options.skip.includes("browser")) env.LARS_TEST_SKIP_BROWSER = "1";
  else if (files.some((file) => file.includes(BROWSER_TESTS))) {
    const reason = await bringChromium();
    if (reason !== undefined) throw new Error(reason);
  }
  if (files.some((file) => file.endsWith("tests/metrics_test.ts"))) {
    const promtool = bringPromtool();
    if (promtool !== undefined) env[PROMTOOL_VARIABLE] = promtool;
  }
  if (files.some((file) => /tests\/(clock_steps|console_clock)_test\.ts$/.test(file))) {
    const faketime = bringFaketime();
    if (faketime !== undefined) env[FAKETIME_VARIABLE] = faketime;
  }
  if (files.some((file) => file.endsWith("tools/completion_script_test.ts"))) await bringShells();
  if (files.some((file) => CLIENT_TESTS.test(file))) {
    const programs = [...readDrivers().values()].map((driver) => driver.programs);
    await bringToolchains(Object.assign({}, ...programs));
  }
  if (files.some((file) => /export/.test(file))) {
    const reason = await bringNeighbours();
    if (reason !== undefined) say(reason);
  }
  if (options.skip.includes("mysql")) env.LARS_TEST_SKIP_MYSQL = "1";
  else if (process.env.LARS_TEST_MYSQL_URL === undefined) {
    await bringMariaDb();
    const database = await startMariaDb();
    env.LARS_TEST_MYSQL_URL = database.url;
    env[TEMPLATE_VARIABLE] = database.template;
    return database;
  }
  return undefined;
}

async function main(argv: string[]): Promise<number> {
  const { options, paths } = parseOptions(argv);
  const files = (await testFiles())
    .filter((file) => paths.length === 0 || paths.some((path) => `./${file}`.includes(path)))
    .filter((file) => !options.skip.includes("clients") || !CLIENT_TESTS.test(file));
  if (files.length === 0) {
    say(`No test file matches ${paths.join(" ")}`);
    return 2;
  }
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    // The second time it ends at once.
    process.once(signal, stopPrograms);
  }
  const env: Record<string, string> = {};
  const database = await bringAll(files, options, env);
  try {
    return await runAll(files, options, env);
  } finally {
    await database?.stop();
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof CommanderError) {
    if (error.code === "usage") process.stderr.write(`${error.message}\n`);
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
