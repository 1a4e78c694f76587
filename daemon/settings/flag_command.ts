// Shell. The command line of a service for people: help, version, and what is wrong with a flag.
//
// Loaded only when `readPlainFlags` gives up: most starts of a service need none of this.

import { Command, CommanderError } from "commander";
import { runtime } from "../../reactor/runtime/mod.ts";
import { visibleLines } from "../../reactor/visible_text.ts";
import { type DaemonFlag, ExitCode, type GivenFlags } from "./flags.ts";
import { exitCodeOfOutput, writeOut } from "../output.ts";
import { VERSION } from "../version.ts";

/**
 * Reads the arguments of a service.
 *
 * @returns the flags, or the exit code when help was printed (0), could not be printed (1), or a
 * mistake was explained (2).
 */
export function readFlags(
  summary: string,
  known: readonly DaemonFlag[],
  argv: readonly string[],
  programName: string,
): GivenFlags | number {
  const command = flagCommand(summary, known, programName);
  try {
    command.parse([...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? exitCodeOfOutput(ExitCode.Ok, programName) : ExitCode.Usage;
  }
  const given = new Map<string, string>();
  for (const option of command.options) {
    const value: unknown = command.getOptionValue(option.attributeName());
    if (option.long === undefined || option.long === "--version" || value === undefined) continue;
    given.set(option.long, typeof value === "string" ? value : "");
  }
  return given;
}

/** The flags of a service as the parser has them. */
export function flagCommand(
  summary: string,
  known: readonly DaemonFlag[],
  programName: string,
): Command {
  const command = new Command(programName)
    .description(summary)
    .version(VERSION, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .allowExcessArguments(false)
    .showHelpAfterError("(add --help for all flags)")
    .exitOverride()
    // One long flag would else have the whole help not wrapped.
    .configureHelp({ minWidthToWrap: 20 })
    .configureOutput({
      writeOut,
      writeErr: (text) => runtime.writeStderr(text),
      outputError: (text, write) => write(visibleLines(text)),
    });
  for (const { long, short, value, doc } of known) {
    const names = short === undefined ? long : `${short}, ${long}`;
    command.option(value === undefined ? names : `${names} <${value}>`, doc);
  }
  return command;
}
