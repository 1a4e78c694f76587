// Shell. What the `lars` command prints, and how: text, tables, JSON, colours where they belong.

import { writeOut } from "../daemon/output.ts";
import process from "node:process";
import picocolors from "picocolors";
import { runtime } from "../reactor/runtime/mod.ts";
import { visibleLines, visibleText } from "../reactor/visible_text.ts";

/** Rows of a table that are laid out in columns; longer lists are printed with tabs instead. */
export const TABLE_ROWS_MAX = 5000;

/** A terminal that does not say how wide it is. */
const DEFAULT_COLUMNS = 80;
/** Narrowest column that is made by cutting, in characters. */
const COLUMN_WIDTH_MIN = 6;

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

/** The codes of {@linkcode Colours}, as pieces between which a text can be split. */
// deno-lint-ignore no-control-regex -- colour codes
const OWN_CODES = /(\x1b\[(?:1|2|22|31|32|33|39)m)/;

/**
 * A result as a terminal may be sent it: colours stay where there are some, ends of lines and tabs
 * too; what else would steer it, as in a name that another program stored, is shown.
 */
function shownResult(text: string): string {
  const shown = (piece: string): string => piece.replace(/[^\n\t]+/g, (line) => visibleText(line));
  if (shown(text) === text) return text;
  const hasColours = coloursOf("stdout").bad("x") !== "x";
  // Every second piece is a code.
  return text.split(OWN_CODES)
    .map((piece, index) => hasColours && index % 2 === 1 ? piece : shown(piece)).join("");
}

/** A cell of a table, which is on one line. */
function shownCell(cell: string | number): string | number {
  return typeof cell === "number" ? cell : shownResult(cell).replace(/[\n\t]/g, visibleText);
}

/** Writes one line of result. */
export function printLine(text: string): void {
  writeOut(`${shownResult(text)}\n`);
}

/** Writes one JSON value on one line. */
export function printJson(value: unknown): void {
  writeOut(`${JSON.stringify(value)}\n`);
}

/** Writes a complaint that ends the command. */
export function errorLine(text: string): void {
  runtime.writeStderr(`lars: ${coloursOf("stderr").bad(visibleLines(text))}\n`);
}

/** Writes a complaint that does not end the command. */
export function warningLine(text: string): void {
  runtime.writeStderr(`lars: ${coloursOf("stderr").warn(`warning: ${visibleLines(text)}`)}\n`);
}

/** Writes a remark that is not part of the result. */
export function noteLine(text: string): void {
  runtime.writeStderr(`lars: ${visibleLines(text)}\n`);
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
  const shown = rows.map((row) => row.map(shownCell));
  if (rows.length > TABLE_ROWS_MAX) {
    const lines = [head, ...shown].map((row) => row.join("\t"));
    writeOut(lines.join("\n") + "\n");
    return;
  }
  const { widths, isCut } = fitColumns([head, ...shown], terminalWidth());
  // The head is coloured here: the library would colour head and borders even with NO_COLOR.
  const { default: Table } = await import("cli-table3");
  const table = new Table({
    head: head.map(strong),
    chars: NO_BORDERS,
    style: { "head": [], "border": [], "padding-left": 0, "padding-right": 0 },
    ...(isCut ? { colWidths: widths } : {}),
    colAligns: head.map((_, index) => typeof rows[0]?.[index] === "number" ? "right" : "left"),
  });
  table.push(...shown);
  writeOut(table.toString().replace(/[ \t]+$/gm, "") + "\n");
  if (isCut) noteLine(`columns are cut to the width of the terminal; --json, or a pipe, has all`);
}

/** Characters of a line of the terminal; undefined where nobody reads columns: in a pipe. */
function terminalWidth(): number | undefined {
  if (!runtime.isTerminal("stdout")) return undefined;
  return process.stdout.columns || DEFAULT_COLUMNS;
}

/** Width of a cell as it is seen: without the codes of its colour. */
function cellWidth(cell: string | number): number {
  // deno-lint-ignore no-control-regex -- colour codes
  return String(cell).replace(/\x1b\[[0-9;]*m/g, "").length;
}

/**
 * Widths of columns that fit a line: the widest give way first, none below what a name needs.
 *
 * @param width Characters of a line; undefined: any number.
 */
export function fitColumns(
  rows: readonly (readonly (string | number)[])[],
  width: number | undefined,
): { widths: number[]; isCut: boolean } {
  const widths = rows[0].map((_, index) =>
    rows.reduce((most, row) => Math.max(most, cellWidth(row[index])), 1)
  );
  const total = (): number =>
    widths.reduce((sum, one) => sum + one, 0) + 2 * Math.max(0, widths.length - 1);
  let isCut = false;
  while (width !== undefined && total() > width) {
    const widest = Math.max(...widths);
    if (widest <= COLUMN_WIDTH_MIN) break;
    // The widest gives what is too much, but does not become narrower than the next one.
    const next = Math.max(COLUMN_WIDTH_MIN, ...widths.filter((one) => one < widest));
    const index = widths.lastIndexOf(widest);
    widths[index] = Math.max(next - 1, COLUMN_WIDTH_MIN, widest - (total() - width));
    isCut = true;
  }
  return { widths, isCut };
}
