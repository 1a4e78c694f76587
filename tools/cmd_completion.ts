// Shell. `lars completion`: a script that completes words, options and values in a shell.

import { Argument, type Command } from "commander";
import { describeSettings, type SettingsTable } from "../daemon/settings/settings.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { NODE_STATES } from "../model/node.ts";
import {
  type CompletionNode,
  type CompletionOption,
  completionScript,
  type Shell,
  SHELLS,
} from "./completion_script.ts";
import { addExamples, type CommandContext } from "./command.ts";

/** Adds `completion`. */
export function addTo(parent: Command, context: CommandContext): void {
  const command = parent.command("completion")
    .description("Print a script that completes words, options and values in your shell.")
    .addArgument(new Argument("<SHELL>", "the shell").choices([...SHELLS]))
    .action(async (shell: Shell) => {
      const root = describeCommand(await context.wholeTree());
      runtime.writeStdout(completionScript(shell, await withServiceOptions(root)));
    });
  addExamples(command, [
    ["source <(lars completion bash)", "in this shell; in ~/.bashrc for all"],
    ["source <(lars completion zsh)", "the same for zsh, after compinit"],
    ["lars completion fish | source", "the same for fish"],
  ]);
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
    options: [...command.options.map(describeOption), help],
    argumentValues: command.registeredArguments[0]?.argChoices ?? [],
  };
}

function describeOption(option: Command["options"][number]): CompletionOption {
  const states = option.long === "--state" ? NODE_STATES : [];
  return {
    names: [option.short, option.long].filter((name) => name !== undefined),
    summary: option.description,
    takesValue: option.required || option.optional,
    values: option.argChoices ?? states,
  };
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
