// Shell. `lars sim`: the balancer's own rules under virtual time, against scripts of faults.

import { writeFile } from "node:fs/promises";
import { type Command, Option } from "commander";
import { messageOf } from "../reactor/errors.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { nextInt } from "../reactor/rng.ts";
import { systemRng } from "../reactor/system_rng.ts";
import {
  type ChartedRun,
  drawSimulation,
  makeScript,
  POLICIES,
  type Script,
  SCRIPT_NAMES,
  type ScriptName,
  simulate,
  summarize,
  summaryTable,
} from "../sim/mod.ts";
import { parseWhole } from "./cli_arguments.ts";
import { argument, CommandError, repeated, UsageError } from "./cli_errors.ts";
import { addExamples, type CommandContext } from "./command.ts";
import { noteLine, printJson, printLine, printTable } from "./terminal.ts";

/** Calls of one run, on average; more are refused. */
export const SIM_CALLS_MAX = 50_000_000;

/** Nodes times agents of one run: each agent keeps its own record of each node. */
export const SIM_RECORDS_MAX = 1_000_000;

/** Runs of at least so many calls show their progress on a terminal. */
const PROGRESS_CALLS_MIN = 1_000_000;

/** Largest seed: they are 32-bit. */
const SEED_MAX = 4_294_967_295;

interface SimFlags {
  readonly script: ScriptName;
  readonly policy: string[];
  readonly nodes: number;
  readonly callers: number;
  readonly agents: number;
  readonly rate: number;
  readonly seconds: number;
  readonly seed?: number;
  readonly svg?: string;
  readonly json?: true;
}

/** Adds `sim`. */
export function addTo(parent: Command, _context: CommandContext): void {
  const command = parent.command("sim")
    .description(
      "Simulate callers, agents and nodes under virtual time, with the rules the agent runs, " +
        "and say what a fault costs. The same seed gives the same output.",
    )
    .addOption(
      new Option("--script <NAME>", "what befalls the nodes").choices([...SCRIPT_NAMES])
        .default("crash"),
    )
    .addOption(policyOption());
  addSize(command, "nodes", "nodes of the module", 10_000, 20);
  addSize(command, "callers", "callers, dealt out to the agents in turn", 100_000, 100);
  addSize(command, "agents", "agents, each with its own view of the nodes", 1000, 10);
  addSize(command, "rate", "calls of one caller in a second, on average", 10_000, 10);
  addSize(command, "seconds", "length of the run in virtual time", 3600, 60);
  command
    .option(
      "--seed <N>",
      `start of all chance, 0 to ${SEED_MAX}; default: another one each time`,
      argument((text) => parseWhole("--seed", text, 0, SEED_MAX)),
    )
    .option("--svg <FILE>", "draw the run into an SVG file")
    .option("--json", "print one JSON value, with every bucket of time")
    .action(runSim);
  addExamples(command, [
    ["lars sim", "20 nodes of which 4 crash and come back"],
    ["lars sim --script errors --seed 7", "4 nodes fail 30 % of their calls; repeatable"],
    ["lars sim --script all-sick --svg run.svg", "with a picture"],
    ["lars sim --nodes 2000 --callers 5000 --agents 50", "a larger fleet"],
  ]);
}

function policyOption(): Option {
  const names = Object.keys(POLICIES);
  const parse = repeated((text: string) => {
    if (names.includes(text)) return text;
    throw new RangeError(`--policy must be one of ${names.join(", ")}: current value is "${text}"`);
  });
  // `choices` fills in the help and the completion; its parser would keep the last value only.
  return new Option("--policy <NAME>", "how a node is picked; may be given several times")
    .choices(names)
    .default([], "lars")
    .argParser(parse);
}

function addSize(
  command: Command,
  name: string,
  about: string,
  max: number,
  usual: number,
): void {
  command.option(
    `--${name} <N>`,
    `${about}, 1 to ${max}`,
    argument((text) => parseWhole(`--${name}`, text, 1, max)),
    usual,
  );
}

function checkSizes({ nodes, callers, agents, rate, seconds }: SimFlags): void {
  if (nodes * agents > SIM_RECORDS_MAX) {
    throw new UsageError(
      `--nodes times --agents must be at most ${SIM_RECORDS_MAX}: it is ${nodes * agents}`,
    );
  }
  const calls = callers * rate * seconds;
  if (calls > SIM_CALLS_MAX) {
    throw new UsageError(
      `--callers times --rate times --seconds must be at most ${SIM_CALLS_MAX}: it is ${calls}`,
    );
  }
}

async function runSim(flags: SimFlags): Promise<void> {
  checkSizes(flags);
  const { nodes, callers, agents, rate, seconds } = flags;
  const seed = flags.seed ?? nextInt(systemRng, SEED_MAX + 1);
  const script = makeScript(flags.script, { nodes, seconds, zones: flags.zones });
  const names = flags.policy.length === 0 ? ["lars"] : [...new Set(flags.policy)];
  const runs = names.map((policy) => runPolicy(policy, script, flags, seed));
  const sizes = `${nodes} nodes, ${callers} callers at ${rate} calls/s, ${agents} agents, ` +
    `${seconds} s, seed ${seed}`;
  if (flags.svg !== undefined) {
    await writePicture(flags.svg, drawSimulation(runs, script, sizes, seconds * 1000));
  }
  const summaries = runs.map(({ summary }) => summary);
  if (flags.json === true) {
    const { name, fromMs, toMs, struck } = script;
    const options = { seed, script: name, nodes, callers, agents, rate, seconds };
    return printJson({ ...options, fromMs, toMs, struck, policies: summaries });
  }
  printLine(sizes);
  printLine(describeScript(script));
  printLine("");
  const { head, rows } = summaryTable(summaries);
  await printTable(head, rows);
  if (flags.svg !== undefined) noteLine(`the picture is in ${flags.svg}`);
}

async function writePicture(path: string, picture: string): Promise<void> {
  try {
    await writeFile(path, picture);
  } catch (error) {
    throw new CommandError(`--svg ${path} cannot be written: ${messageOf(error)}`);
  }
}

function describeScript({ name, about, struck, fromMs, toMs }: Script): string {
  if (struck.length === 0) return `${name}: ${about}`;
  const nodes = struck.length === 1 ? "1 node" : `${struck.length} nodes`;
  return `${name}: ${nodes} ${about}; from ${fromMs / 1000} s to ${toMs / 1000} s`;
}

function runPolicy(policy: string, script: Script, flags: SimFlags, seed: number): ChartedRun {
  const { nodes, callers, agents, rate, seconds } = flags;
  const isLong = callers * rate * seconds >= PROGRESS_CALLS_MIN;
  const shows = isLong && runtime.isTerminal("stderr");
  const outcome = simulate({
    modulePolicy: POLICIES[policy],
    script,
    nodes,
    callers,
    agents,
    rate,
    seconds,
    seed,
    onProgress: (done) => {
      if (shows) runtime.writeStderr(`\rlars: policy ${policy}: ${Math.round(done * 100)} %`);
    },
  });
  // Wipes the line: what follows is the result.
  if (shows) runtime.writeStderr(`\r${" ".repeat(policy.length + 20)}\r`);
  return { summary: summarize(policy, script, outcome), outcome };
}
