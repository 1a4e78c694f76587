// Shell. `deno task bench`: runs every benchmark on this machine, prints one table and draws it.

import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, CommanderError, InvalidArgumentError } from "commander";
import { type Address, parseAddress } from "../reactor/address.ts";
import { messageOf } from "../reactor/errors.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { BEFORE, Bench, type Suite } from "./harness.ts";
import { describeMachine } from "./machine.ts";
import { changesOf, formatMarkdown, formatTable, missingRow, type Row } from "./rows.ts";
import { suites } from "./suites.ts";
import { drawChart } from "./svg_chart.ts";

interface Options {
  smoke?: boolean;
  json?: boolean;
  only?: string[];
  out?: string;
  against?: string;
  peerAgent?: Address;
  peerDns?: Address;
  peerReporter?: Address;
  peerEcho?: Address;
}

const RESULTS = fileURLToPath(new URL("./results", import.meta.url));

function address(text: string): Address {
  try {
    return parseAddress(text);
  } catch (error) {
    throw new InvalidArgumentError(messageOf(error));
  }
}

/** Folder of `--against`, whole. */
function checkout(text: string): string {
  const folder = resolve(text);
  if (existsSync(join(folder, "agent/main.ts"))) return folder;
  throw new InvalidArgumentError(`It must be a checkout of this project: ${folder} is none`);
}

function parseOptions(argv: readonly string[]): Options {
  const command = new Command("deno task bench")
    .description(
      "Measures what is fast here, each row next to a reference in the same run, in turn.",
    )
    .option("--smoke", "shortest run: proves that every row works, its times mean nothing")
    .option("--json", "print one JSON object instead of the table")
    .option(
      "--only <TEXT>",
      "only suites and rows whose name contains it (may be given several times)",
      (text: string, all: string[] = []) => [...all, text],
    )
    .option(
      "--out <DIR>",
      "folder for results.json, .md and .svg (bench/results; none otherwise)",
    )
    .option(
      "--against <DIR>",
      "another checkout of this project: measured in turn, with a row of the change for each row",
      checkout,
    )
    .option("--peer-agent <HOST:PORT>", "an agent that knows modules (1, 1) to (1000, 1)", address)
    .option("--peer-dns <HOST:PORT>", "a dns", address)
    .option("--peer-reporter <HOST:PORT>", "a reporter", address)
    .option("--peer-echo <HOST:PORT>", "a TCP server that sends frames back", address)
    .allowExcessArguments(false)
    .exitOverride();
  command.parse([...argv], { from: "user" });
  return command.opts<Options>();
}

/** Runs one suite; rows of a suite that fails say why, and the others go on. */
async function runSuite(bench: Bench, suite: Suite): Promise<{ rows: Row[]; failed: boolean }> {
  const startMs = systemClock.nowMs();
  try {
    const rows = await suite.run(bench);
    bench.say(`${suite.name}: ${((systemClock.nowMs() - startMs) / 1000).toFixed(1)} s`);
    return { rows, failed: false };
  } catch (error) {
    bench.say(`${suite.name} failed: ${messageOf(error)}`);
    const why = `failed: ${messageOf(error).split("\n")[0].slice(0, 100)}`;
    return { rows: [missingRow(suite.name, "", why)], failed: true };
  } finally {
    await bench.stopServers();
  }
}

/** Suites of a smoke run that run side by side: their times mean nothing. */
const SMOKE_LANES = 2;

/** Runs what was asked for, one suite after the other; gives the results in the order of suites. */
async function runSuites(bench: Bench): Promise<{ rows: Row[]; failed: boolean }[]> {
  const chosen = suites.filter(({ name, rows }) => rows.some((row) => bench.wants(name, row)));
  const results: { rows: Row[]; failed: boolean }[] = [];
  const waiting = chosen.entries();
  const lane = async (): Promise<void> => {
    for (const [index, suite] of waiting) {
      const { rows, failed } = await runSuite(bench.fork(), suite);
      const wanted = rows.filter((row) => failed || bench.wants(suite.name, row.name));
      results[index] = { rows: wanted, failed };
    }
  };
  await Promise.all(Array.from({ length: bench.smoke ? SMOKE_LANES : 1 }, lane));
  return results;
}

function write(
  directory: string,
  results: { date: string; machine: string; notes: readonly string[]; rows: readonly Row[] },
  chart: string,
): void {
  const about = [`${results.date}, ${results.machine}.`, ...results.notes];
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "results.md"), formatMarkdown(results.rows, about));
  writeFileSync(join(directory, "results.json"), JSON.stringify(results, null, 1) + "\n");
  writeFileSync(join(directory, "results.svg"), chart);
}

async function main(argv: readonly string[]): Promise<number> {
  const { smoke = false, json, only = [], out, against, ...flags } = parseOptions(argv);
  const { peerAgent, peerDns, peerReporter, peerEcho } = flags;
  const bench = new Bench({
    smoke,
    only,
    against,
    peers: { agent: peerAgent, dns: peerDns, reporter: peerReporter, echo: peerEcho },
    say: (text) => runtime.writeStderr(`${text}\n`),
  });
  let rows: Row[] = [];
  let failed = false;
  try {
    const results = await runSuites(bench);
    failed = results.some((result) => result.failed);
    rows = results.flatMap((result) => result.rows);
  } finally {
    await bench.close();
  }
  if (rows.length === 0) {
    runtime.writeStderr(`No suite or row contains ${only.join(" or ")}\n`);
    return 1;
  }
  rows = groupByName(rows);
  rows.push(...changesOf(rows, BEFORE));
  const machine = describeMachine();
  const date = new Date(systemClock.wallMs()).toISOString().slice(0, 10);
  const chart = drawChart(rows, `${machine}. ${date}`);
  const results = { date, machine, notes: bench.notes, rows };
  const directory = out ??
    (smoke || only.length > 0 || against !== undefined ? undefined : RESULTS);
  if (directory !== undefined) write(directory, results, chart);
  runtime.writeStdout(
    json === true
      ? JSON.stringify(results) + "\n"
      : `${machine}\n${bench.notes.join("\n")}\n\n${formatTable(rows)}`,
  );
  return failed ? 1 : 0;
}

/** Rows of one name stand together, in the order of the first of each. */
function groupByName(rows: readonly Row[]): Row[] {
  const names = [...new Set(rows.map((row) => row.name))];
  return names.flatMap((name) => rows.filter((row) => row.name === name));
}

try {
  runtime.exit(await main(runtime.args));
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  runtime.exit(error.exitCode === 0 ? 0 : 2);
}
