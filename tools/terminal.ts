// Shell. What the `lars` command prints, and how: text, tables, JSON, colours where they belong.

import picocolors from "picocolors";
import { runtime } from "../reactor/runtime/mod.ts";

/** Rows of a table that are laid out in columns; longer lists are printed with tabs instead. */
export const TABLE_ROWS_MAX = 5000;

/** Marks for text; each is the identity when colours are off. */
export interface Colours {
  good(text: string): string;
  bad(text: string): string;
  warn(text: string): string;
  strong(text: string): string;
  faint(text: string): string;
}

/** Colours of a stream: only on a terminal, never with NO_COLOR set or TERM=dumb. */
export function coloursOf(stream: "stdout" | "stderr"): Colours {
  const noColour = (runtime.env("NO_COLOR") ?? "") !== "" || runtime.env("TERM") === "dumb";
  const palette = picocolors.createColors(runtime.isTerminal(stream) && !noColour);
  return {
    good: palette.green,
    bad: palette.red,
    warn: palette.yellow,
    strong: palette.bold,
    faint: palette.dim,
  };
}

/** Writes one line of result. */
export function printLine(text: string): void {
  runtime.writeStdout(`${text}\n`);
}

/** Writes one JSON value on one line. */
export function printJson(value: unknown): void {
  printLine(JSON.stringify(value));
}

/** Writes a complaint that ends the command. */
export function errorLine(text: string): void {
  runtime.writeStderr(`lars: ${coloursOf("stderr").bad(text)}\n`);
}

/** Writes a complaint that does not end the command. */
export function warningLine(text: string): void {
  runtime.writeStderr(`lars: ${coloursOf("stderr").warn(`warning: ${text}`)}\n`);
}

/** Writes a remark that is not part of the result. */
export function noteLine(text: string): void {
  runtime.writeStderr(`lars: ${text}\n`);
}

/** Columns without borders, so that the output also goes through `grep` and `awk`. */
const NO_BORDERS = {
  "top": "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  "bottom": "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  "left": "",
  "left-mid": "",
  "mid": "",
  "mid-mid": "",
  "right": "",
  "right-mid": "",
  "middle": "  ",
} as const;

/** Prints rows under a head. Numbers are set to the right. */
export async function printTable(
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): Promise<void> {
  const { strong } = coloursOf("stdout");
  if (rows.length > TABLE_ROWS_MAX) {
    const lines = [head, ...rows].map((row) => row.join("\t"));
    runtime.writeStdout(lines.join("\n") + "\n");
    return;
  }
  // The head is coloured here: the library would colour head and borders even with NO_COLOR.
  const { default: Table } = await import("cli-table3");
  const table = new Table({
    head: head.map(strong),
    chars: NO_BORDERS,
    style: { "head": [], "border": [], "padding-left": 0, "padding-right": 0 },
    colAligns: head.map((_, index) => typeof rows[0]?.[index] === "number" ? "right" : "left"),
  });
  table.push(...rows.map((row) => [...row]));
  runtime.writeStdout(table.toString().replace(/[ \t]+$/gm, "") + "\n");
}
