// Shell. Connects the project's Logger to the logging library and writes lines to standard error.

import { configureSync, getLogger, type LogLevel, type LogRecord } from "@logtape/logtape";
import type { LogFields, Logger } from "../reactor/log.ts";
import { runtime } from "../reactor/runtime/mod.ts";

/** How and how much a process logs. */
export interface LoggingOptions {
  readonly level: "debug" | "info" | "warning" | "error";
  readonly format: "text" | "json";
}

/** Sets up logging of the process; a later call replaces the earlier set-up. */
export function configureLogging(options: LoggingOptions): void {
  const format = options.format === "json" ? jsonLine : textLine;
  configureSync({
    reset: true,
    sinks: { standardError: (record) => runtime.writeStderr(format(record)) },
    loggers: [
      { category: "lars", lowestLevel: options.level, sinks: ["standardError"] },
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["standardError"] },
    ],
  });
}

/** Logger of one part of the process, for example `dns`. */
export function createLogger(part: string): Logger {
  const logger = getLogger(["lars", part]);
  return {
    debug: (message, fields) => logger.debug(escape(message), fields ?? {}),
    info: (message, fields) => logger.info(escape(message), fields ?? {}),
    warn: (message, fields) => logger.warn(escape(message), fields ?? {}),
    error: (message, fields) => logger.error(escape(message), fields ?? {}),
  };
}

/** The library reads `{name}` in a message as a placeholder; ours are plain text. */
function escape(message: string): string {
  return message.replaceAll("{", "{{").replaceAll("}", "}}");
}

function jsonLine(record: LogRecord): string {
  return JSON.stringify({
    time: new Date(record.timestamp).toISOString(),
    level: record.level,
    part: record.category.slice(1).join("."),
    message: textOf(record),
    ...record.properties,
  }) + "\n";
}

const LEVEL_WORD: Readonly<Record<LogLevel, string>> = {
  trace: "TRACE",
  debug: "DEBUG",
  info: "INFO ",
  warning: "WARN ",
  error: "ERROR",
  fatal: "FATAL",
};

function textLine(record: LogRecord): string {
  const time = new Date(record.timestamp).toISOString();
  const part = record.category.slice(1).join(".");
  return `${time} ${LEVEL_WORD[record.level]} ${part}: ${textOf(record)}${
    fieldsText(record.properties)
  }\n`;
}

function textOf(record: LogRecord): string {
  return record.message.join("").replace(/[\r\n]+/g, " ");
}

function fieldsText(fields: LogFields): string {
  return Object.entries(fields).map(([key, value]) => {
    const shown = typeof value === "string" ? value : JSON.stringify(value) ?? String(value);
    return ` ${key}=${/[\s"=]/.test(shown) ? JSON.stringify(shown) : shown}`;
  }).join("");
}
