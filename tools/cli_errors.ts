// Shell. Failures of a command as words for the person at the terminal, and exit codes.

import { CommanderError, InvalidArgumentError } from "commander";
import { ExitCode, explainFailure } from "../daemon/daemon.ts";
import { ConfigError, LarsError, messageOf, StoreError } from "../reactor/errors.ts";
import { errorLine } from "./terminal.ts";

/** Variable with the path of the shared secret; the services read it too. */
export const TOKEN_FILE_VARIABLE = "LARS_AUTH_TOKEN_FILE";

/** The command line asks for something that makes no sense. Exit code 2. */
export class UsageError extends LarsError {
  override name = "UsageError";
}

/** The command was understood and could not be done. Exit code 1. */
export class CommandError extends LarsError {
  override name = "CommandError";
}

/** Turns a pure parser into one whose complaints the command line parser shows. */
export function argument<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      throw new InvalidArgumentError(messageOf(error));
    }
  };
}

/** As {@linkcode argument}, for an option that may be given several times. */
export function repeated<T>(parse: (text: string) => T): (text: string, before: T[]) => T[] {
  const parseOne = argument(parse);
  return (text, before) => [...before, parseOne(text)];
}

/** Code of a system error such as `ENOENT`, or undefined for any other fault. */
function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" && /^E[A-Z0-9]+$/.test(error.code) ? error.code : undefined;
}

/**
 * Says what went wrong on standard error, without a stack unless the fault is one of this program.
 *
 * @returns the exit code that fits.
 */
export function reportFailure(error: unknown): number {
  // The parser has said what it had to say before it threw.
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.Ok : ExitCode.Usage;
  if (error instanceof UsageError) {
    errorLine(error.message);
    return ExitCode.Usage;
  }
  const isOurs = error instanceof LarsError && !(error instanceof ConfigError) &&
    !(error instanceof StoreError);
  if (isOurs || systemCode(error) !== undefined) {
    errorLine(messageOf(error));
    return ExitCode.Failed;
  }
  const { lines, exitCode } = explainFailure(error);
  if (error instanceof StoreError && error.inDoubt) {
    lines.push("Whether the change was made is not known: look before you repeat it");
  }
  for (const line of lines) errorLine(line);
  return exitCode;
}
