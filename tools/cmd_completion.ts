// Shell. `lars completion`: a script that completes words, options and values in a shell.

import { writeOut } from "../daemon/output.ts";
import { Argument, type Command } from "commander";
import { describeSettings, type SettingsTable } from "../daemon/settings/settings.ts";
import { isPrintable } from "../model/module.ts";
import { addressText, NODE_STATES } from "../model/node.ts";
import { moduleWordsOf } from "./module_argument.ts";
import { settingKeys, settingWords } from "./policy_text.ts";
import { addStoreOptions } from "./store_access.ts";
import { addServerOption, type SystemFlags, withSystem } from "./system_access.ts";
import { printLine } from "./terminal.ts";
import {
  type CompletionNode,
  type CompletionOption,
  completionScript,
  type Lookup,
  LOOKUPS,
  type Shell,
  SHELLS,
} from "./completion_script.ts";
import { addExamples, type CommandContext } from "./command.ts";

/** Words that are offered from a database. */
const WORDS_MAX = 1000;

/** Adds `completion`. */
export function addTo(parent: Command, context: CommandContext): void {
  const command = parent.command("completion")
    .description("Print a script that completes words, options and values in your shell.")
    .addArgument(
      new Argument("<SHELL>", "the shell; `words`, which scripts use: names that a database holds")
        .choices([...SHELLS, "words"]),
    )
    .addArgument(new Argument("[KIND]", "with words: which").choices([...LOOKUPS]))
    .action(async (shell: Shell | "words", kind: Lookup | undefined, flags: SystemFlags) => {
      if (shell === "words") return await printWords(kind ?? "modules", flags);
      const root = describeCommand(await context.wholeTree());
      writeOut(completionScript(shell, await withServiceOptions(root)));
    });
  addServerOption(addStoreOptions(command));
  addExamples(command, [
    ["source <(lars completion bash)", "in this shell; in ~/.bashrc for all"],
    ["source <(lars completion zsh)", "the same for zsh, after compinit"],
    ["lars completion fish | source", "the same for fish"],
  ]);
}

/** Prints what a database holds, a word a line; more than fit a screen help nobody. */
async function printWords(kind: Lookup, flags: SystemFlags): Promise<void> {
  const words = await withSystem(flags, async (system) => {
    if (kind === "modules") return (await system.texts()).map(({ name }) => name);
    const rows = await system.read();
    return kind === "nodes" ? rows.map(addressText) : rows.map(({ zone }) => zone);
  });
  const shown = [...new Set(words)].filter((word) => word !== "" && isPrintable(word)).sort();
  for (const word of shown.slice(0, WORDS_MAX)) printLine(word);
}

/** The tree below a command, as the scripts need it. */
function describeCommand(command: Command): CompletionNode {
  const help: CompletionOption = {
    names: ["-h", "--help"],
    summary: "print help",
    takesValue: false,
    values: [],
  };
  return {
    names: [command.name(), ...command.aliases()],
    summary: (command.summary() || command.description()).split(/\. |\n/, 1)[0],
    children: command.commands.map(describeCommand),
    options: [...command.options.map((option) => describeOption(command, option)), help],
    argumentValues: command.registeredArguments[0]?.argChoices ?? [],
    argumentLookups: lookupsOf(command),
  };
}

const ARGUMENT_LOOKUPS: Readonly<Record<string, Lookup>> = { "ZONE": "zones", "IP:PORT": "nodes" };

/** What the first arguments of a command are, as far as a database holds them. */
function lookupsOf(command: Command): Lookup[] {
  const module = moduleWordsOf(command);
  const [, ...rest] = module?.shown ?? [undefined, ...command.registeredArguments];
  const first = ARGUMENT_LOOKUPS[rest[0]?.name() ?? ""];
  return [
    ...module === undefined ? [] : ["modules" as const],
    ...first === undefined ? [] : [first],
  ];
}

const OPTION_LOOKUPS: Readonly<Record<string, Lookup>> = {
  "--module": "modules",
  "--zone": "zones",
};

function describeOption(command: Command, option: Command["options"][number]): CompletionOption {
  return {
    names: [option.short, option.long].filter((name) => name !== undefined),
    summary: option.description,
    takesValue: option.required || option.optional,
    values: option.argChoices ?? optionValues(command.name(), option.long ?? ""),
    lookup: OPTION_LOOKUPS[option.long ?? ""],
  };
}

/** Values of options that are checked elsewhere than in the parser. */
function optionValues(command: string, option: string): readonly string[] {
  if (option === "--state") return NODE_STATES;
  if (option === "--set" && command === "set") return settingWords();
  return option === "--unset" ? settingKeys() : [];
}

/** Options every service has besides its configuration keys. */
const SERVICE_OPTIONS: readonly CompletionOption[] = [
  { names: ["-c", "--config"], summary: "configuration file", takesValue: true, values: [] },
  { names: ["--json"], summary: "ready line as JSON", takesValue: false, values: [] },
  { names: ["--store"], summary: "database URL", takesValue: true, values: [] },
  { names: ["--data"], summary: "folder of the database", takesValue: true, values: [] },
];

/** The services parse their own flags, one for each configuration key: added here. */
async function withServiceOptions(root: CompletionNode): Promise<CompletionNode> {
  const tables: Record<string, SettingsTable> = {
    dns: (await import("../dns/service.ts")).dnsDaemon.settings,
    reporter: (await import("../reporter/service.ts")).reporterDaemon.settings,
    agent: (await import("../agent/service.ts")).agentDaemon.settings,
  };
  const children = root.children.map((child) => {
    const table = tables[child.names[0]];
    if (table === undefined) return child;
    const keys = describeSettings(table).map(({ flag, doc }): CompletionOption => ({
      names: [flag],
      summary: doc,
      takesValue: true,
      values: [],
    }));
    return { ...child, options: [...child.options, ...SERVICE_OPTIONS, ...keys] };
  });
  return { ...root, children };
}
