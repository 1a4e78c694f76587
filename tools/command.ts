// Shell. What every command of `lars` is given and gives, and how its help is worded.

import { type Argument, type Command, Help, Option } from "commander";
import { formatAddress } from "../reactor/address.ts";
import { parseAgent } from "./cli_arguments.ts";
import { argument } from "./cli_errors.ts";
import { moduleWordsOf } from "./module_argument.ts";

/** What a command can say about its outcome, besides throwing, and ask of the whole. */
export interface CommandContext {
  /** Exit code when nothing is thrown. @default {0} */
  exitCode: number;
  /** Every command with all its arguments and options, for completion. */
  wholeTree(): Promise<Command>;
}

/** What every `cmd_*.ts` exports. */
export interface CommandModule {
  /** Adds the command, with its arguments, options and action, to `parent`. */
  addTo(parent: Command, context: CommandContext): void;
}

/** Width of help in characters. */
export const HELP_WIDTH = 80;

/** Examples below a command's help, each a line to type and what it does. */
export function addExamples(
  command: Command,
  examples: readonly (readonly [string, string])[],
): void {
  // What does not fit beside what is typed stands below it, and widens no other line.
  const fits = ([line, what]: readonly [string, string], width: number): boolean =>
    width + what.length + 8 <= HELP_WIDTH && line.length <= width;
  const widths = examples.map(([line]) => line.length);
  const width = Math.max(
    0,
    ...widths.filter((own) => examples.every((one) => one[0].length > own || fits(one, own))),
  );
  const lines = examples.map((example) =>
    fits(example, width)
      ? `  $ ${example[0].padEnd(width)}  # ${example[1]}`
      : `  $ ${example[0]}\n      # ${example[1]}`
  );
  command.addHelpText("after", `\nExamples:\n${lines.join("\n")}`);
}

/** What help says of an option: as the parser has it, but no default that is an empty list. */
export function describeOption(option: Option): string {
  const { defaultValue } = option;
  const isEmpty = Array.isArray(defaultValue) && defaultValue.length === 0;
  const shown = isEmpty ? Object.create(option, { defaultValue: {} }) as Option : option;
  return new Help().optionDescription(shown);
}

/** Arguments as help lists them: of a module what may be typed, not how it is parsed. */
export function visibleArguments(command: Command): Argument[] {
  const words = moduleWordsOf(command);
  if (words !== undefined) return [...words.shown];
  return new Help().visibleArguments(command);
}

/** How a list of commands names one. */
export function subcommandTerm(command: Command): string {
  const words = moduleWordsOf(command);
  if (words === undefined) return new Help().subcommandTerm(command);
  return `${command.name()} ${command.usage()}`;
}

/** `--agent`; `about` says what is asked of it. */
export function agentOption(about: string): Option {
  const agent = parseAgent("127.0.0.1");
  return new Option("--agent <HOST:PORT>", about)
    .argParser(argument(parseAgent))
    .default(agent, formatAddress(agent));
}
