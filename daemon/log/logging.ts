// Shell. Writes the lines of the project's Logger to standard error.

import type { LogFields, Logger } from "../../reactor/log.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { LOG_LEVELS, type LogLevel, logLine } from "./log_line.ts";

/** How and how much a process logs. */
export interface LoggingOptions {
  readonly level: LogLevel;
  readonly format: "text" | "json";
}

/** Nothing is written before the process has said how. */
let current: LoggingOptions | undefined;

/** Sets up logging of the process; a later call replaces the earlier set-up. */
export function configureLogging(options: LoggingOptions): void {
  current = options;
}

/** Logger of one part of the process, for example `dns`. */
export function createLogger(part: string): Logger {
  const line = (level: LogLevel) => (message: string, fields: LogFields = {}): void => {
    if (current === undefined) return;
    if (LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf(current.level)) return;
    const entry = { wallMs: systemClock.wallMs(), level, part, message, fields };
    runtime.writeStderr(logLine(entry, current.format));
  };
  return { debug: line("debug"), info: line("info"), warn: line("warning"), error: line("error") };
}
