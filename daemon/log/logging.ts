// Shell. Writes the lines of the project's Logger to standard error, as text for people or as JSON
// for programs.
//
// Own code: a logging library was tried, did nothing here but compare two levels, and started
// Deno's Node.js side in every service.

import { messageOf } from "../../reactor/errors.ts";
import type { LogFields, Logger } from "../../reactor/log.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";

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

/** How important a line is, least first. */
export const LOG_LEVELS = ["debug", "info", "warning", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** What is said, and by whom. */
export interface LogEntry {
  /** Unix time in milliseconds. */
  readonly wallMs: number;
  readonly level: LogLevel;
  /** Part of the process, for example `dns`. */
  readonly part: string;
  readonly message: string;
  readonly fields: LogFields;
}

const WORDS: Readonly<Record<LogLevel, string>> = {
  debug: "DEBUG",
  info: "INFO ",
  warning: "WARN ",
  error: "ERROR",
};

/** One line with its end, whatever is in the entry. Never throws. */
export function logLine(entry: LogEntry, format: "text" | "json"): string {
  const { wallMs, level, part, fields } = entry;
  const time = new Date(wallMs).toISOString();
  const message = entry.message.replace(/[\r\n]+/g, " ");
  if (format === "json") return jsonOf({ time, level, part, message, ...fields }) + "\n";
  return `${time} ${WORDS[level]} ${part}: ${message}${fieldsText(fields)}\n`;
}

function fieldsText(fields: LogFields): string {
  return Object.entries(fields).map(([key, value]) => {
    const shown = typeof value === "string" ? value : jsonOf(value);
    return ` ${key}=${/[\s"=]/.test(shown) ? JSON.stringify(shown) : shown}`;
  }).join("");
}

function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch (error) {
    return JSON.stringify(`not shown: ${messageOf(error)}`);
  }
}
