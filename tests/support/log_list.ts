// Core. A logger that keeps what it is told, for tests to look through.

import type { LogFields, Logger } from "../../reactor/log.ts";

/** Everything logged, as `level message fields`; without debug. */
export class LogList implements Logger {
  readonly lines: string[] = [];
  debug(_message: string): void {}
  info(message: string, fields?: LogFields): void {
    this.lines.push(`info ${message} ${JSON.stringify(fields ?? {})}`);
  }
  warn(message: string, fields?: LogFields): void {
    this.lines.push(`warn ${message} ${JSON.stringify(fields ?? {})}`);
  }
  error(message: string, fields?: LogFields): void {
    this.lines.push(`error ${message} ${JSON.stringify(fields ?? {})}`);
  }
  /** How many lines have the text. */
  count(part: string): number {
    return this.lines.filter((line) => line.includes(part)).length;
  }
}
