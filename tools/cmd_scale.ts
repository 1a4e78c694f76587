// Shell. `lars scale`: how many nodes a module should have for its load, and why it has so many.

import { type Command, Option } from "commander";
import { floorText, parseFloor } from "../control/scaling/scale_floor.ts";
import {
  SCALE_DRIVERS,
  SCALE_METRICS,
  type ScaledModule,
  type ScaleFloor,
  type ScaleRule,
  ScaleRuleShape,
} from "../control/schemas.ts";
import { shapeWords } from "../control/shape_words.ts";
import type { SystemAccess } from "../control/system_access.ts";
import { moduleId, type ModuleKey } from "../model/module.ts";
import { moduleLabel } from "../model/module_name.ts";
import { messageOf } from "../reactor/errors.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { CommandError, repeated, UsageError } from "./cli_errors.ts";
import { addExamples } from "./command.ts";
import { ageText } from "./explain_text.ts";
import { namesIn, requireModule, withModuleWords } from "./module_argument.ts";
import { lookUpModule } from "./module_lookup.ts";
import { addStoreOptions } from "./store_access.ts";
import { addServerOption, type SystemFlags, withSystem } from "./system_access.ts";
import { printJson, printLine, printTable } from "./terminal.ts";

interface ScaleFlags extends SystemFlags {
  readonly json?: boolean;
  readonly why?: string;
}

interface SetFlags extends ScaleFlags {
  readonly metric?: string;
  readonly driver?: string;
  readonly webhook?: string;
  readonly floor: readonly ScaleFloor[];
  readonly clearFloors?: boolean;
  readonly pause?: boolean;
  readonly resume?: boolean;
}

/** Values of a rule that are numbers, as options, in the order of the help. */
const NUMBERS = [
  ["target", "target", "N", "calls/s, calls at a time, or ms a call, of one node"],
  ["min", "min", "N", "fewest nodes (default 1)"],
  ["max", "max", "N", "most nodes"],
  ["step-up", "stepUp", "N", "most nodes one step adds (default 10)"],
  ["step-down", "stepDown", "N", "most nodes one step takes (default 1)"],
  ["cool-down-up", "coolDownUpS", "S", "seconds between two steps up (default 15)"],
  ["cool-down-down", "coolDownDownS", "S", "seconds from any step to one down (default 60)"],
  ["window", "windowS", "S", "seconds over which load is the mean (default 30)"],
  ["stabilisation", "stabilisationS", "S", "shrinks to the most needed in it (default 300)"],
  ["tolerance", "tolerance", "SHARE", "as near to the target is near enough (default 0.1)"],
  ["error-share-max", "errorShareMax", "SHARE", "shrinks only below it (default 0.05)"],
  ["start", "startS", "S", "seconds in which nodes come, and stop (default 120)"],
  ["warm-up", "warmUpS", "S", "seconds for which a node is cold (default 30)"],
  ["drain", "drainS", "S", "seconds to be safe to stop, else it stays (default 600)"],
  ["quiet", "quietS", "S", "seconds without use until it is safe (default 30)"],
] as const satisfies readonly (readonly [string, keyof ScaleRule, string, string])[];

/** Events that an explanation shows. */
const EVENTS_SHOWN = 10;

/** Adds `scale` and its subcommands. */
export function addTo(parent: Command): void {
  const scale = parent.command("scale")
    .description("How many nodes modules should have for their load, and what was decided.");
  const list = scale.command("ls").description("List the rules, with what was decided last.")
    .option("--json", "print one JSON array")
    .action((flags: ScaleFlags) => withSystem(flags, (system) => printRules(system, flags)));
  addServerOption(addStoreOptions(list));
  addExamples(list, [["lars scale ls", "modules that have a rule"]]);
  addSet(scale);
  addWord(scale, "show", "Show the rule of a module.", showRule);
  addWord(scale, "explain", "Say what was decided last, from which numbers, and why.", explain);
  addWord(scale, "off", "Remove the rule: nodes that drain by it get calls again.", switchOff);
  addExamples(scale, [
    ["lars scale set shop 1 --target 100 --max 20", "dry: only says what it would do"],
    ["lars scale explain shop 1", "why has it so many nodes?"],
  ]);
}

function addSet(scale: Command): void {
  const command = scale.command("set").description(
    "Set the rule of a module, or some values of it. Nodes are started and stopped by a webhook " +
      "or a command of the console's configuration; the default, dry, only says what it would do.",
  )
    .addOption(
      new Option("--metric <NAME>", "what the target is of (default calls)")
        .choices([...SCALE_METRICS]),
    );
  for (const [word, , unit, about] of NUMBERS) command.option(`--${word} <${unit}>`, about);
  command
    .option(
      "--floor <TEXT>",
      "'DAYS HH:MM-HH:MM ZONE N': at least N nodes then; may be given several times",
      repeated(floorOption),
      [],
    )
    .option("--clear-floors", "no scheduled floors but those given")
    .addOption(
      new Option("--driver <NAME>", "who starts and stops nodes (default dry)")
        .choices([...SCALE_DRIVERS]),
    )
    .option("--webhook <TITLE>", "of format scaling, for --driver webhook")
    .option("--pause", "decide nothing until --resume")
    .addOption(new Option("--resume", "decide again").conflicts("pause"))
    .option("--why <TEXT>", "kept in the audit");
  withModuleWords(
    command,
    [],
    async (word, _values, flags: SetFlags & Record<string, unknown>) => {
      const key = await lookUpModule(word, flags);
      await withSystem(flags, (system) => setRule(system, key, flags));
    },
  );
  addServerOption(addStoreOptions(command));
  addExamples(command, [
    ["lars scale set 7 1 --target 100 --max 20", "100 calls/s a node"],
    ["lars scale set 7 1 --driver webhook --webhook fleet", "now for real"],
    [
      "lars scale set 7 1 --floor 'mon-fri 08:00-20:00 Europe/Berlin 6'",
      "6 nodes in office hours",
    ],
  ]);
}

function floorOption(text: string): ScaleFloor {
  try {
    return parseFloor(text);
  } catch (error) {
    throw new RangeError(`--floor: ${messageOf(error)}`);
  }
}

function addWord(
  scale: Command,
  word: string,
  about: string,
  run: (system: SystemAccess, key: ModuleKey, flags: ScaleFlags) => Promise<void>,
): void {
  const command = scale.command(word).description(about);
  if (word === "off") command.option("--why <TEXT>", "kept in the audit");
  else command.option("--json", "print one JSON value");
  withModuleWords(command, [], async (module, _values, flags: ScaleFlags) => {
    const key = await lookUpModule(module, flags);
    await withSystem(flags, (system) => run(system, key, flags));
  });
  addServerOption(addStoreOptions(command));
  addExamples(command, [[`lars scale ${word} 7 1`, "of this module"]]);
}

function labelOf(key: ModuleKey): string {
  return moduleLabel({ ...key, name: "" });
}

async function ruleOf(
  system: SystemAccess,
  key: ModuleKey,
): Promise<ScaledModule | undefined> {
  return (await system.scaling.modules()).find(({ modId, cmdId }) =>
    modId === key.modId && cmdId === key.cmdId
  );
}

async function requireRule(system: SystemAccess, key: ModuleKey): Promise<ScaledModule> {
  const found = await ruleOf(system, key);
  if (found !== undefined) return found;
  throw new CommandError(
    `Module ${labelOf(key)} has no rule of scaling: set one with lars scale set`,
  );
}

async function printRules(system: SystemAccess, flags: ScaleFlags): Promise<void> {
  const modules = await system.scaling.modules();
  if (flags.json === true) return printJson(modules);
  if (modules.length === 0) return printLine("No module has a rule of scaling.");
  const names = namesIn(await system.texts());
  await printTable(
    ["MODULE", "TARGET", "NODES", "OF", "DRIVER", "LAST"],
    modules.map(({ modId, cmdId, rule, status }) => [
      moduleLabel({ modId, cmdId, name: names.get(moduleId(modId, cmdId)) ?? "" }),
      `${rule.target} ${rule.metric}`,
      status === null ? "-" : `${status.from}`,
      `${rule.min}-${rule.max}`,
      rule.isEnabled ? rule.driver : `${rule.driver}, paused`,
      status === null ? "nothing decided yet" : `${status.kind}: ${status.reason}`,
    ]),
  );
}

async function setRule(
  system: SystemAccess,
  key: ModuleKey,
  flags: SetFlags & Record<string, unknown>,
): Promise<void> {
  const known = (await ruleOf(system, key))?.rule;
  if (known === undefined) await requireModule(system, key);
  const values: Record<string, unknown> = { metric: "calls", ...known };
  for (const [word, name] of NUMBERS) {
    const text = flags[word.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())];
    if (text !== undefined) values[name] = numberOfOption(word, String(text));
  }
  for (const name of ["metric", "driver", "webhook"] as const) {
    if (flags[name] !== undefined) values[name] = flags[name];
  }
  const floors = flags.clearFloors === true ? [] : known?.floors ?? [];
  values.floors = [...floors, ...flags.floor];
  if (flags.pause === true || flags.resume === true) values.isEnabled = flags.resume === true;
  const { data, error } = ScaleRuleShape.safeParse(values, { error: shapeWords });
  if (error !== undefined) {
    throw new UsageError(error.issues.map((fault) => ruleFaultText(fault, values)).join("; "));
  }
  await system.scaling.put(key, data, flags.why);
  const { target, metric, min, max, driver } = data;
  const dry = driver === "dry" ? "; dry: it only says what it would do" : "";
  printLine(`${labelOf(key)}: ${min} to ${max} nodes, ${target} ${metric} each${dry}`);
}

/** A fault of a rule under the option that sets the value. */
function ruleFaultText(
  { path: [name], message }: { readonly path: readonly PropertyKey[]; readonly message: string },
  values: Readonly<Record<string, unknown>>,
): string {
  const number = NUMBERS.find(([, one]) => one === name);
  const option = number?.[0] ?? (name === "floors" ? "floor" : String(name));
  const value = values[String(name)];
  if (value === undefined) return `--${option} ${message}: ${number?.[3] ?? "it has no default"}`;
  return `--${option} ${message}: current value is ${JSON.stringify(value)}`;
}

function numberOfOption(word: string, text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value)) return value;
  throw new UsageError(`--${word} must be a number: current value is "${text}"`);
}

async function showRule(system: SystemAccess, key: ModuleKey, flags: ScaleFlags): Promise<void> {
  const module = await requireRule(system, key);
  if (flags.json === true) return printJson(module);
  const { floors, ...rule } = module.rule;
  await printTable(["VALUE", "IS"], [
    ...Object.entries(rule).map(([name, value]) => [name, String(value === "" ? "-" : value)]),
    ...floors.map((floor) => ["floor", floorText(floor)]),
  ]);
}

async function explain(system: SystemAccess, key: ModuleKey, flags: ScaleFlags): Promise<void> {
  const module = await requireRule(system, key);
  const events = await system.readEvents({ kinds: ["scale."], module: key, limit: EVENTS_SHOWN });
  if (flags.json === true) {
    return printJson({
      ...module,
      events: events.map(({ atMs, kind, text }) => ({ atMs, kind, text })),
    });
  }
  const { status, rule } = module;
  if (!rule.isEnabled) printLine("Paused: nothing is decided until lars scale set --resume.");
  if (status === null) printLine("Nothing was decided yet: a console must run on this database.");
  else {
    const age = ageText(Math.max(0, systemClock.wallMs() - status.atMs));
    printLine(`${status.kind} ${status.from} -> ${status.to} nodes (${age} ago)`);
    printLine(`  ${status.reason}`);
    if (status.pendingCount > 0) printLine(`  ${status.pendingCount} nodes are still to come`);
    if (status.draining.length > 0) printLine(`  drain: ${status.draining.join(", ")}`);
    if (status.stopping.length > 0) printLine(`  stop: ${status.stopping.join(", ")}`);
    if (status.order !== null) {
      printLine(`  last order ${status.order.text}: ${status.order.outcome}`);
    }
  }
  for (const { atMs, kind, text } of events) {
    printLine(`${new Date(atMs).toISOString()} ${kind} ${text}`);
  }
}

async function switchOff(system: SystemAccess, key: ModuleKey, flags: ScaleFlags): Promise<void> {
  await requireRule(system, key);
  await system.scaling.remove(key, flags.why);
  printLine(`${labelOf(key)}: no rule of scaling any more`);
}
