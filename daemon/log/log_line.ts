// Core. A line of the log, as text for people or as JSON for programs.
//
// Own code: a logging library was tried, did nothing here but compare two levels, and started
// Deno's Node.js side in every service.

import { messageOf } from "../../reactor/errors.ts";
import type { LogFields } from "../../reactor/log.ts";

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
