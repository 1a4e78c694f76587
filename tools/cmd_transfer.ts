// Shell. `lars export`, `lars import` and `lars diff`: everything an operator made as one file.

import type { Command } from "commander";
import type { SystemAccess } from "../control/system_access.ts";
import {
  formatStateFile,
  type HeldState,
  parseStateFile,
  type StateSilence,
  type WantedState,
} from "../control/transfer/state_file.ts";
import {
  describeState,
  planState,
  refusedOf,
  type StatePlan,
} from "../control/transfer/state_plan.ts";
import { editsOfPlan } from "../control/changes/route_plan.ts";
import { namesIn } from "./module_argument.ts";
import type { ModuleId } from "../model/module.ts";
import { quantity } from "../model/quantity.ts";
import { ConfigError } from "../reactor/errors.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { ROUTE_EDITS_MAX } from "../sql/store.ts";
import { CommandError, UsageError } from "./cli_errors.ts";
import { addExamples, type CommandContext } from "./command.ts";
import { EXPORT_WORDS } from "./export_words.ts";
import { nearWords } from "../model/near_words.ts";
import { addEditOptions, type EditFlags, made, versionText, warnOfLeft } from "./route_edit.ts";
import { leftByEdits } from "../control/changes/left_nodes.ts";
import type { ChangeEdits } from "../sql/console/console_store.ts";
import { writeOut } from "../daemon/output.ts";
import { printDifference, readAllRoutes, readFileText, refuseEmptying } from "./route_transfer.ts";
import { addStoreOptions } from "./store_access.ts";
import { addServerOption, type SystemFlags, withSystem } from "./system_access.ts";
import { noteLine, printJson, printLine } from "./terminal.ts";
import { writeWholeFile } from "./whole_file.ts";

interface FileFlags extends SystemFlags {
  readonly json?: boolean;
}

interface ImportFlags extends EditFlags, SystemFlags {
  readonly dryRun?: boolean;
  readonly prune?: boolean;
  readonly yes?: boolean;
}

/** Signs of the lines of a difference. */
const SIGNS = "\nLines of the difference: + added, ~ changed, - removed, ? held only (stays).";

/** The other things of this name, which are services. */
const EXPORT_WORDS_HELP = `
Services that keep programs without Lars in step; each has --help of its own:
  lars export haproxy  a running HAProxy, over its runtime socket
  lars export nginx    a file of upstreams, checked and reloaded
  lars export names    a name server: A, SRV and TXT
  lars export xds      gRPC programs (xds:///NAME) and Envoy
  lars export file     any file, by a template
  lars export run      all of them, by a configuration file
`;

/** Adds `export`. */
export function addTo(parent: Command): void {
  const command = parent.command("export")
    .description(
      "Write everything an operator made into one file that can live in version control: modules " +
        "with names, policies and nodes, rules of scaling, alert rules, silences, webhooks, and " +
        "users without secrets. The same state gives the same text.",
    )
    .argument("[FILE]", "file to write; - for standard output", "-")
    .action(async (file: string, flags: FileFlags) => {
      refuseMistypedWord(file);
      const text = formatStateFile(await withSystem(flags, heldState));
      if (file === "-") return writeOut(text);
      await writeWholeFile(file, text);
      noteLine(`written to ${file}`);
    });
  addServerOption(addStoreOptions(command));
  addExamples(command, [
    ["lars export state.json", "then git diff, git commit"],
    ["lars export | lars import - --store @new.url", "into another database"],
  ]);
  command.addHelpText("after", EXPORT_WORDS_HELP);
}

/**
 * A file is only written under a name that cannot be a mistyped word of the services.
 *
 * @throws {UsageError} with the word that was meant, and how to write the file all the same.
 */
function refuseMistypedWord(file: string): void {
  const near = /^[A-Za-z-]+$/.test(file) ? nearWords(file, Object.keys(EXPORT_WORDS)) : [];
  if (near.length === 0) return;
  throw new UsageError(
    `There is no service "${file}" of lars export: did you mean ${near.join(" or ")}? ` +
      `A file of this name is written as ./${file}`,
  );
}

/** Adds `import`. */
export function addImportTo(parent: Command): void {
  const command = parent.command("import")
    .description(
      "Make a system hold what a file of `lars export` says. Modules and nodes change in one " +
        "transaction, then the rest, thing by thing. What the file lacks stays, unless --prune; a " +
        "part that it lacks as a whole (rules, users) always stays. New webhooks get a new secret " +
        "and new users a one-time password; both are printed once.",
    )
    .argument("<FILE>", "file to read; - for standard input")
    .option("--dry-run", "only show the difference")
    .option("--prune", "remove what the file lacks")
    .option("--yes", "allow --prune to leave a module without any node")
    .action((file: string, flags: ImportFlags) => importState(file, flags));
  addServerOption(addEditOptions(command));
  addExamples(command, [
    ["lars import state.json --dry-run", "what would change?"],
    ["lars import state.json --prune --why 'back to main'", "exactly what the file says"],
  ]);
  command.addHelpText("after", SIGNS);
}

/** Adds `diff`. */
export function addDiffTo(parent: Command, context: CommandContext): void {
  const command = parent.command("diff")
    .description("Compare a file of `lars export` with a system; exit code 1 when they differ.")
    .argument("<FILE>", "file to read; - for standard input")
    .option("--json", "print one JSON value")
    .action(async (file: string, flags: FileFlags) => {
      const { plan, names } = await planned(file, flags);
      const lines = describeState(plan, { prune: true }, names);
      if (flags.json === true) printJson({ equal: lines.length === 0, lines });
      else printDifference(lines);
      context.exitCode = lines.length === 0 ? 0 : 1;
    });
  addServerOption(addStoreOptions(command));
  addExamples(command, [["lars diff state.json", "+ only in the file, - only in the system"]]);
  command.addHelpText("after", SIGNS);
}

async function heldState(system: SystemAccess): Promise<HeldState> {
  return {
    routes: await readAllRoutes(system),
    texts: await system.texts(),
    scaling: await system.scaling.modules(),
    rules: await system.alerts.rules(),
    silences: await system.alerts.silences(),
    webhooks: await system.alerts.webhooks(),
    users: await system.users.list(),
  };
}

async function readWanted(file: string): Promise<WantedState> {
  const text = await readFileText(file);
  const read = parseStateFile(text, file === "-" ? "standard input" : file);
  if ("problems" in read) throw new ConfigError([...read.problems]);
  return read.wanted;
}

async function planned(
  file: string,
  flags: FileFlags,
): Promise<{ plan: StatePlan; names: ReadonlyMap<ModuleId, string> }> {
  const wanted = await readWanted(file);
  const held = await withSystem(flags, heldState);
  return { plan: planState(held, wanted, systemClock.wallMs()), names: namesIn(held.texts) };
}

async function importState(file: string, flags: ImportFlags): Promise<void> {
  const wanted = await readWanted(file);
  const prune = flags.prune === true;
  await withSystem(flags, async (system) => {
    const held = await heldState(system);
    const plan = planState(held, wanted, systemClock.wallMs());
    const lines = describeState(plan, { prune }, namesIn(held.texts));
    if (flags.json !== true) printDifference(lines);
    if (prune && flags.dryRun !== true) refuseEmptying(plan.routes, namesIn(held.texts), flags);
    const refused = refusedOf(plan, wanted, held, { prune });
    if (refused.length > 0) throw new ConfigError(refused);
    const changes = lines.filter((line) => !line.startsWith("?")).length;
    if (flags.dryRun === true || changes === 0) {
      warnOfLeft(leftByEdits(held.routes, held.texts, editsOf(plan, prune)), "will");
      if (flags.json === true) return printJson({ applied: false, lines });
      return printLine(`${quantity(changes, "change")}; nothing written`);
    }
    const news = await carryOut(system, plan, flags);
    if (flags.json === true) return printJson({ applied: true, lines, ...news });
    for (const { title, secret } of news.webhooks) printLine(`webhook ${title}: secret ${secret}`);
    for (const { name, password } of news.users) {
      printLine(`user ${name}: one-time password ${password}`);
    }
    printLine(`${quantity(changes, "change")}${news.version}`);
  });
}

/** What an import made that nobody knows yet. */
interface News {
  readonly version: string;
  readonly webhooks: readonly { readonly title: string; readonly secret: string }[];
  readonly users: readonly { readonly name: string; readonly password: string }[];
}

/** What a plan does to routes, names and policies. */
function editsOf(plan: StatePlan, prune: boolean): Required<ChangeEdits> {
  const modules = [
    ...plan.texts.map(({ change }) => change),
    ...prune ? plan.textsMissing : [],
  ];
  return { routes: editsOfPlan(plan.routes, { prune }), modules };
}

async function carryOut(system: SystemAccess, plan: StatePlan, flags: ImportFlags): Promise<News> {
  const prune = flags.prune === true;
  const { routes, modules } = editsOf(plan, prune);
  if (routes.length > ROUTE_EDITS_MAX) {
    throw new CommandError(
      `One import changes at most ${ROUTE_EDITS_MAX} nodes: this file changes ${routes.length}; ` +
        "nothing was written; split it",
    );
  }
  let version = "";
  if (routes.length + modules.length > 0) {
    const meant = flags.yes === true;
    const result = await made(system.change({ routes, modules }, { why: flags.why, meant }));
    version = `; ${versionText(result)}`;
  }
  await changeRules(system, plan, prune);
  await changeSilences(system, plan, prune);
  const hooks = await changeWebhooks(system, plan, prune);
  // After the webhooks, which they name.
  await changeScaling(system, plan, flags);
  return {
    version,
    webhooks: hooks,
    users: await changeUsers(system, plan, prune),
  };
}

async function changeScaling(
  { scaling: access }: SystemAccess,
  { scaling }: StatePlan,
  { prune, why }: ImportFlags,
): Promise<void> {
  for (const wish of [...scaling.added, ...scaling.changed.map(({ after }) => after)]) {
    const { modid, cmdid, ...rule } = wish;
    await access.put({ modId: modid, cmdId: cmdid }, rule, why);
  }
  for (const { name } of prune === true ? scaling.missing : []) {
    const [modId, cmdId] = name.split(",").map(Number);
    await access.remove({ modId, cmdId }, why);
  }
}

async function changeRules(
  { alerts }: SystemAccess,
  { rules }: StatePlan,
  prune: boolean,
): Promise<void> {
  for (const rule of rules.added) await alerts.addRule(rule);
  for (const { id, after } of rules.changed) await alerts.putRule(id, after);
  for (const { id } of prune ? rules.missing : []) await alerts.removeRule(id);
}

async function changeSilences(
  { alerts }: SystemAccess,
  { silences }: StatePlan,
  prune: boolean,
): Promise<void> {
  // Rules that were added have their ids only now.
  const wanted = [...silences.added, ...silences.changed.map(({ after }) => after)];
  const rules = wanted.length === 0 ? [] : await alerts.rules();
  for (const { rule, endsAt, ...silence } of wanted) {
    const ruleId = rules.find(({ title }) => title === rule)?.id ?? null;
    await alerts.addSilence({ ...silence, ruleId, minutes: minutesUntil(endsAt) });
  }
  // One with another end takes the place of the old one, and only then.
  const gone = [...silences.changed, ...prune ? silences.missing : []];
  for (const { id } of gone) await alerts.removeSilence(id);
}

function minutesUntil(endsAt: StateSilence["endsAt"]): number {
  return Math.max(1, Math.ceil((Date.parse(endsAt) - systemClock.wallMs()) / 60_000));
}

async function changeWebhooks(
  { alerts }: SystemAccess,
  { webhooks }: StatePlan,
  prune: boolean,
): Promise<News["webhooks"]> {
  const secrets: News["webhooks"][number][] = [];
  for (const hook of webhooks.added) {
    const secret = await alerts.addWebhook(hook);
    if (hook.secret === undefined) secrets.push({ title: hook.title, secret });
  }
  for (const { id, after } of webhooks.changed) await alerts.patchWebhook(id, after);
  for (const { id } of prune ? webhooks.missing : []) await alerts.removeWebhook(id);
  return secrets;
}

async function changeUsers(
  { users: access }: SystemAccess,
  { users }: StatePlan,
  prune: boolean,
): Promise<News["users"]> {
  const passwords: News["users"][number][] = [];
  for (const { name, role, isDisabled } of users.added) {
    passwords.push({ name, password: await access.add(name, role) });
    if (isDisabled === true) await access.patch(name, { isDisabled });
  }
  for (const { after } of users.changed) {
    const { role, isDisabled } = after;
    await access.patch(after.name, { role, ...(isDisabled === undefined ? {} : { isDisabled }) });
  }
  for (const { name } of prune ? users.missing : []) await access.remove(name);
  return passwords;
}
