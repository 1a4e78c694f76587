// Shell. `lars sim`: the balancer's own rules under virtual time, against scripts of faults.

import { writeWholeFile } from "./whole_file.ts";
import { didYouMean } from "../model/near_words.ts";
import { quantity } from "../model/quantity.ts";
import { readFile } from "node:fs/promises";
import { type Command, Option } from "commander";
import { checkModulePolicy, type ModulePolicy } from "../balancer/mod.ts";
import { messageOf } from "../reactor/errors.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { nextInt } from "../reactor/time/rng.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import {
  type ChartedRun,
  drawSimulation,
  makeScript,
  measurePromise,
  parseRecording,
  POLICIES,
  type PolicySummary,
  PROMISES,
  replay,
  type ReplayOutcome,
  SCRIPT_NAMES,
  type ScriptName,
  seedsTable,
  type SimScript,
  simulate,
  summarize,
  summaryTable,
} from "../sim/mod.ts";
import { parseWhole } from "../model/route_values.ts";
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

/** Verdicts of a replay that the table shows of each policy. */
const VERDICTS_SHOWN_MAX = 50;

interface NamedPolicy {
  readonly name: string;
  readonly policy: ModulePolicy;
}

interface SimFlags {
  readonly script: ScriptName;
  readonly policy: string[];
  readonly nodes: number;
  readonly callers: number;
  readonly agents: number;
  readonly rate: number;
  readonly seconds: number;
  readonly seed?: number;
  readonly seeds: number;
  readonly zones?: number;
  readonly struck?: number;
  readonly servers: number;
  readonly queue: number;
  readonly set: [name: string, value: unknown][];
  readonly replay?: string;
  readonly promises?: true;
  readonly scaling?: true;
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
  addModel(command);
  command
    .option("--replay <FILE>", "judge recorded reports instead: one JSON object in each line")
    .option("--scaling", "run waves of load against the rules of `lars scale` instead")
    .option("--promises", "measure what the improved rules promise, beside the original ones")
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
    ["lars sim --policy lars --policy recommended --script zone-loss", "two policies"],
    ["lars sim --policy p2c_ewma --set failurePenaltyMs=200 --seeds 20", "a setting, 20 seeds"],
    ["lars sim --replay reports.jsonl --policy recommended", "what these rules had done"],
    ["lars sim --scaling --svg waves.svg", "fleets that grow and shrink with their load"],
    ["lars sim --promises --seeds 100", "every promise with 100 seeds; takes minutes"],
    ["lars sim --nodes 2000 --callers 5000 --agents 50", "a larger fleet"],
  ]);
}

function addModel(command: Command): void {
  command
    .option(
      "--zones <N>",
      "zones of nodes and agents, 1 to 64; default: 1, or 3 for zone-loss",
      argument((text) => parseWhole("--zones", text, 1, 64)),
    )
    .option(
      "--struck <N>",
      "nodes that the script strikes; default: a fifth of them",
      argument((text) => parseWhole("--struck", text, 1, 10_000)),
    )
    .option(
      "--servers <N>",
      "calls a node serves at a time, 0 to 1000; 0: any number",
      argument((text) => parseWhole("--servers", text, 0, 1000)),
      0,
    )
    .option(
      "--queue <N>",
      "calls that wait at a node for one of its servers, 0 to 100000",
      argument((text) => parseWhole("--queue", text, 0, 100_000)),
      100,
    )
    .option(
      "--set <NAME=VALUE>",
      "a setting of the policies, as in overloadShareMax=0.5; may be given several times",
      repeated(parseSetting),
      [],
    )
    .option(
      "--seeds <N>",
      "runs, each with the next seed, 1 to 1000; more than 1: median and worst of all",
      argument((text) => parseWhole("--seeds", text, 1, 1000)),
      1,
    );
}

function policyOption(): Option {
  const names = Object.keys(POLICIES);
  const parse = repeated((text: string) => {
    if (names.includes(text)) return text;
    throw new RangeError(
      `--policy must be one of ${names.join(", ")}: current value is "${text}"` +
        didYouMean(text, names),
    );
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

function checkSizes({ nodes, callers, agents, rate, seconds, struck = 1 }: SimFlags): void {
  if (struck > nodes) {
    throw new UsageError(`--struck must be at most --nodes (${nodes}): it is ${struck}`);
  }
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
  if (flags.scaling === true) {
    const { runScalingWaves } = await import("./scaling_waves_view.ts");
    return await runScalingWaves(flags);
  }
  const isRun = flags.promises !== true && flags.replay === undefined;
  if (flags.svg !== undefined && !isRun) {
    throw new UsageError("--svg draws a run: leave out --promises and --replay");
  }
  if (flags.promises === true) return await runPromises(flags);
  const names = flags.policy.length === 0 ? ["lars"] : [...new Set(flags.policy)];
  const policies = names.map((name): NamedPolicy => ({ name, policy: policyOf(name, flags.set) }));
  if (flags.replay !== undefined) return await runReplay(flags.replay, policies, flags);
  checkSizes(flags);
  const { nodes, callers, agents, rate, seconds, zones, struck } = flags;
  const seed = seedOf(flags);
  const script = makeScript(flags.script, { nodes, seconds, zones, struck });
  const sizes = `${quantity(nodes, "node")}, ${quantity(callers, "caller")} at ${rate} calls/s, ` +
    `${quantity(agents, "agent")}, ` +
    `${seconds} s, seed ${seed}`;
  if (flags.seeds > 1) return await runSeeds(policies, script, flags, seed, sizes);
  const runs = policies.map((policy) => runPolicy(policy, script, flags, seed));
  if (flags.svg !== undefined) {
    await writePicture(flags.svg, drawSimulation(runs, script, sizes, seconds * 1000));
  }
  const summaries = runs.map(({ summary }) => summary);
  if (flags.json === true) {
    const { name, fromMs, toMs } = script;
    const options = { seed, script: name, nodes, callers, agents, rate, seconds };
    const known = { ...options, fromMs, toMs, struck: script.struck, zones: script.zones };
    return printJson({ ...known, policies: summaries });
  }
  printLine(sizes);
  printLine(describeScript(script));
  printLine("");
  const { head, rows } = summaryTable(summaries);
  await printTable(head, rows);
  if (flags.svg !== undefined) noteLine(`the picture is in ${flags.svg}`);
}

function seedOf({ seed }: SimFlags): number {
  return seed ?? nextInt(systemRng, SEED_MAX + 1);
}

/** "name=value", the value as JSON, or as a word where it is none. */
function parseSetting(text: string): [name: string, value: unknown] {
  const at = text.indexOf("=");
  if (at < 1) throw new RangeError(`--set must look like NAME=VALUE: current value is "${text}"`);
  const word = text.slice(at + 1);
  let value: unknown = word;
  try {
    value = JSON.parse(word);
  } catch {
    // A word: the check of the setting says whether it may be one.
  }
  const setting: [name: string, value: unknown] = [text.slice(0, at), value];
  // Named here, so that a mistake is one of usage.
  checkModulePolicy(Object.fromEntries([setting]));
  return setting;
}

function policyOf(name: string, settings: readonly [string, unknown][]): ModulePolicy {
  const base = POLICIES[name];
  if (settings.length === 0) return base;
  const own = Object.entries(base.settings).filter(([, value]) => value !== null);
  try {
    return checkModulePolicy({
      policy: base.policy,
      ...Object.fromEntries(own),
      ...Object.fromEntries(settings),
    });
  } catch (error) {
    throw new UsageError(`--set: ${messageOf(error)}`);
  }
}

async function runSeeds(
  policies: readonly NamedPolicy[],
  script: SimScript,
  flags: SimFlags,
  seed: number,
  sizes: string,
): Promise<void> {
  if (flags.svg !== undefined) throw new UsageError("--svg draws one run: leave out --seeds");
  const seeds = Array.from({ length: flags.seeds }, (_, index) => (seed + index) % (SEED_MAX + 1));
  const runs = policies.map((policy) =>
    seeds.map((each): PolicySummary => runPolicy(policy, script, flags, each).summary)
  );
  if (flags.json === true) {
    const { nodes, callers, agents, rate, seconds } = flags;
    const options = { seed, seeds: flags.seeds, script: script.name, nodes, callers, agents };
    return printJson({
      ...options,
      rate,
      seconds,
      policies: runs.map((summaries) => ({
        policy: summaries[0].policy,
        runs: summaries.map(({ buckets: _, ...numbers }) => numbers),
      })),
    });
  }
  printLine(`${sizes} and the next ${flags.seeds - 1}`);
  printLine(describeScript(script));
  printLine("");
  const { head, rows } = seedsTable(runs);
  await printTable(head, rows);
}

async function runReplay(
  path: string,
  policies: readonly NamedPolicy[],
  flags: SimFlags,
): Promise<void> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw new UsageError(`--replay ${path} cannot be read: ${messageOf(error)}`);
  }
  const outcomes = judgeRecording(path, text, policies);
  if (flags.json === true) return printJson({ replay: path, policies: outcomes });
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  for (const { policy, nodes, verdicts } of outcomes) {
    printLine(`${policy}:`);
    await printTable(
      ["node", "calls", "failed", "times out", "first out after", "time out"],
      nodes.map(({ node, calls, failed, outs, firstOutMs, outMs }) => [
        node,
        String(calls),
        String(failed),
        String(outs),
        firstOutMs === null ? "-" : seconds(firstOutMs),
        seconds(outMs),
      ]),
    );
    for (const { atMs, text: verdict } of verdicts.slice(0, VERDICTS_SHOWN_MAX)) {
      printLine(`${seconds(atMs)}: ${verdict}`);
    }
    const more = verdicts.length - VERDICTS_SHOWN_MAX;
    if (more > 0) printLine(`and ${more} verdicts more; --json has all`);
    printLine("");
  }
}

function judgeRecording(
  path: string,
  text: string,
  policies: readonly NamedPolicy[],
): (ReplayOutcome & { readonly policy: string })[] {
  try {
    const reports = parseRecording(text);
    return policies.map(({ name, policy }) => ({ policy: name, ...replay(reports, policy) }));
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(`--replay ${path}: ${error.message}`);
    throw error;
  }
}

/** Beginning with seed 1 unless told otherwise, so that everybody sees the same table. */
async function runPromises(flags: SimFlags): Promise<void> {
  const seed = flags.seed ?? 1;
  const shows = runtime.isTerminal("stderr");
  const rows = PROMISES.map((promise, index) => {
    if (shows) runtime.writeStderr(`\rlars: promise ${index + 1} of ${PROMISES.length}`);
    return measurePromise(promise, seed, flags.seeds);
  });
  if (shows) runtime.writeStderr(`\r${" ".repeat(40)}\r`);
  if (flags.json === true) {
    return printJson(rows.map(({ promise, ours, original, seeds, isKept }) => {
      const { what, unit, bound, policy } = promise;
      return { what, unit, bound, policy, seeds, ours, original, isKept };
    }));
  }
  const number = (value: number): string => value === Infinity ? "never" : value.toFixed(2);
  printLine(`${flags.seeds} seeds from ${seed} on; each value: median, worst`);
  printLine("");
  await printTable(
    ["what", "unit", "promised", "policy", "its values", "original rules", "kept"],
    rows.map(({ promise: { what, unit, bound, policy }, ours, original, isKept }) => [
      what,
      unit,
      `<= ${bound}`,
      policy,
      `${number(ours.median)}, ${number(ours.worst)}`,
      `${number(original.median)}, ${number(original.worst)}`,
      isKept ? "yes" : "NO",
    ]),
  );
  const broken = rows.filter(({ isKept }) => !isKept).length;
  if (broken > 0) throw new CommandError(`${broken} of ${rows.length} promises are not kept`);
}

async function writePicture(path: string, picture: string): Promise<void> {
  try {
    await writeWholeFile(path, picture);
  } catch (error) {
    throw new CommandError(`--svg ${messageOf(error)}`);
  }
}

function describeScript({ name, about, struck, fromMs, toMs }: SimScript): string {
  if (struck.length === 0) return `${name}: ${about}`;
  const nodes = struck.length === 1 ? "1 node" : `${struck.length} nodes`;
  return `${name}, ${nodes}: ${about}; from ${fromMs / 1000} s to ${toMs / 1000} s`;
}

function runPolicy(
  { name, policy }: NamedPolicy,
  script: SimScript,
  flags: SimFlags,
  seed: number,
): ChartedRun {
  const { nodes, callers, agents, rate, seconds, servers, queue } = flags;
  const isLong = callers * rate * seconds >= PROGRESS_CALLS_MIN;
  const shows = isLong && runtime.isTerminal("stderr");
  const outcome = simulate({
    modulePolicy: policy,
    capacity: { servers, queueMax: queue },
    script,
    nodes,
    callers,
    agents,
    rate,
    seconds,
    seed,
    onProgress: (done) => {
      if (shows) runtime.writeStderr(`\rlars: policy ${name}: ${Math.round(done * 100)} %`);
    },
  });
  // Wipes the line: what follows is the result.
  if (shows) runtime.writeStderr(`\r${" ".repeat(name.length + 20)}\r`);
  return { summary: summarize(name, script, outcome), outcome };
}
