// Shell. What every command of `lars` is given and gives, and how its help is worded.

import { type Command, Help, type Option } from "commander";

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

/** Examples below a command's help, each a line to type and what it does. */
export function addExamples(
  command: Command,
  examples: readonly (readonly [string, string])[],
): void {
  const width = Math.max(...examples.map(([line]) => line.length));
  const lines = examples.map(([line, what]) => `  $ ${line.padEnd(width)}  # ${what}`);
  command.addHelpText("after", `\nExamples:\n${lines.join("\n")}`);
}

/**
 * What help says of an option: as the parser has it, without a default that the text names already or
 * that is no plain value.
 */
export function describeOption(option: Option): string {
  const { defaultValue, description } = option;
  const hidesDefault = typeof defaultValue === "object" || /\bdefault\b/.test(description);
  const shown = hidesDefault ? Object.create(option, { defaultValue: {} }) as Option : option;
  return new Help().optionDescription(shown);
}
