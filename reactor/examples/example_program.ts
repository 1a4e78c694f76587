// Shell. What every example program does at its edges: print, and run until its time is over.

import { type Logger, messageOf, runtime, silentLogger, systemClock } from "../mod.ts";

/** Prints one line. */
export function print(line: string): void {
  runtime.writeStdout(`${line}\n`);
}

/** Shows warnings and errors; an example has no use for less. */
export const exampleLog: Logger = {
  ...silentLogger,
  warn: (message, fields) => runtime.writeStderr(`${message} ${JSON.stringify(fields ?? {})}\n`),
  error: (message, fields) => runtime.writeStderr(`${message} ${JSON.stringify(fields ?? {})}\n`),
};

/** Resolves after `seconds` (0 = never), or on Ctrl-C, or on SIGTERM. */
export function untilOver(seconds: number): Promise<void> {
  return new Promise((resolve) => {
    if (seconds > 0) systemClock.setTimer(seconds * 1000, resolve);
    runtime.onSignal("SIGINT", resolve);
    runtime.onSignal("SIGTERM", resolve);
  });
}

/** Runs a program and leaves with code 0, or with code 1 and one line that says why. */
export async function runExample(main: () => Promise<void>): Promise<never> {
  try {
    await main();
  } catch (error) {
    runtime.writeStderr(`${messageOf(error)}\n`);
    runtime.exit(1);
  }
  return runtime.exit(0);
}
