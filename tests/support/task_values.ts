// Shell. Options of a task that is no command of `lars`: what is wrong ends it with 2, --help with 0.

import process from "node:process";
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { messageOf } from "../../reactor/errors.ts";

/** Says that a task takes --help, beside its own options. */
export const HELP_OPTION = { help: { type: "boolean", default: false } } as const;

/**
 * The options of this process; prints `help` and ends the process where they are wrong, or where help
 * is asked for by {@linkcode HELP_OPTION}.
 */
export function taskValues<Options extends ParseArgsOptionsConfig>(
  help: string,
  options: Options,
): ReturnType<typeof parseArgs<{ options: Options }>>["values"] {
  try {
    const { values } = parseArgs({ options });
    if ((values as { readonly help?: unknown }).help !== true) return values;
    console.log(help);
  } catch (error) {
    console.error(`${messageOf(error)}\n\n${help}`);
    process.exit(2);
  }
  process.exit(0);
}
