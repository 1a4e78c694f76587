// Core. Routes as files: CSV with a header row, or a JSON array with one object for each node.

import { formatIpv4 } from "../../reactor/address.ts";
import type { NodeSpec, RouteRow } from "../../sql/store.ts";
import {
  parseCmdId,
  parseModId,
  parseNodeIp,
  parsePort,
  parseState,
  parseWeight,
  parseZone,
} from "../../model/route_values.ts";
import { addressText, nodeId, type NodeKey } from "../../model/node.ts";
import { modulePair } from "../../model/module.ts";
import { quantity } from "../../model/quantity.ts";

/** Formats of a route file. */
export const ROUTE_FORMATS = ["csv", "json"] as const;

/** One of {@linkcode ROUTE_FORMATS}. */
export type RouteFormat = (typeof ROUTE_FORMATS)[number];

/** Columns in the order they are written. */
export const ROUTE_COLUMNS = ["modid", "cmdid", "ip", "port", "weight", "zone", "state"] as const;

type RouteColumn = (typeof ROUTE_COLUMNS)[number];

/** Columns a file must have; the others may be absent and then change nothing. */
const REQUIRED_COLUMNS: readonly RouteColumn[] = ["modid", "cmdid", "ip", "port"];

/** Faults named in one error message; the rest is only counted. */
export const ROUTE_FILE_PROBLEMS_MAX = 20;

/** A node as a file asks for it: what the file does not say stays as it is. */
export interface WantedNode extends NodeSpec {
  /** Line of the file it came from, from 1. */
  readonly line: number;
}

/** What came out of a file: nodes, or everything that is wrong with it. */
export interface RouteFileContent {
  readonly nodes: WantedNode[];
  /** One line for each fault, each starting with `file:line`. */
  readonly problems: string[];
}

/** A record of a file before its values are checked. */
interface RawRecord {
  readonly line: number;
  readonly fields: Readonly<Record<string, string>>;
}

/** Reads a route file; every fault is collected, none is thrown. */
export function parseRouteFile(
  text: string,
  format: RouteFormat,
  fileName: string,
): RouteFileContent {
  const problems = new ProblemList(fileName);
  const content = text.startsWith("\ufeff") ? text.slice(1) : text;
  if (content.includes("\0")) {
    problems.add(
      1,
      "file is no text in UTF-8: UTF-16, as some programs save it, begins with a mark",
    );
    return { nodes: [], problems: problems.lines() };
  }
  const records = format === "csv" ? csvRecords(content, problems) : jsonRecords(content, problems);
  const nodes: WantedNode[] = [];
  const lineOf = new Map<string, number>();
  for (const record of records) {
    const node = nodeOf(record, problems);
    if (node === undefined) continue;
    const key = nodeId(node);
    const firstLine = lineOf.get(key);
    if (firstLine !== undefined) {
      problems.add(record.line, `${describeNode(node)} is listed already in line ${firstLine}`);
      continue;
    }
    lineOf.set(key, record.line);
    nodes.push(node);
  }
  return { nodes, problems: problems.lines() };
}

/** Text of a route file; the last line ends with a line feed. */
export function formatRouteFile(rows: readonly RouteRow[], format: RouteFormat): string {
  if (format === "csv") {
    const lines = rows.map((row) => {
      const shown = jsonNode(row);
      return ROUTE_COLUMNS.map((column) => String(shown[column])).join(",");
    });
    return [ROUTE_COLUMNS.join(","), ...lines].join("\n") + "\n";
  }
  if (rows.length === 0) return "[]\n";
  return "[\n" + rows.map((row) => "  " + JSON.stringify(jsonNode(row))).join(",\n") + "\n]\n";
}

/** A node as every JSON output of the command shows it. */
export function jsonNode(row: RouteRow): Record<RouteColumn, string | number> {
  return {
    modid: row.modId,
    cmdid: row.cmdId,
    ip: formatIpv4(row.ip),
    port: row.port,
    weight: row.weight,
    zone: row.zone,
    state: row.state,
  };
}

/** `(1,2) 10.0.0.1:7777` */
export function describeNode(node: NodeKey): string {
  return `(${modulePair(node)}) ${addressText(node)}`;
}

class ProblemList {
  readonly #fileName: string;
  readonly #found: { line: number; text: string }[] = [];
  #count = 0;

  constructor(fileName: string) {
    this.#fileName = fileName;
  }

  add(line: number, text: string): void {
    if (++this.#count <= ROUTE_FILE_PROBLEMS_MAX) {
      this.#found.push({ line, text });
    }
  }

  lines(): string[] {
    const named = this.#found.toSorted((a, b) => a.line - b.line)
      .map(({ line, text }) => `${this.#fileName}:${line}: ${text}`);
    const more = this.#count - named.length;
    return more === 0 ? named : [...named, `and ${quantity(more, "more fault")}`];
  }
}

function isColumn(name: string): name is RouteColumn {
  return ROUTE_COLUMNS.some((column) => column === name);
}

/** Checks the values of one record; undefined when one of them is wrong. */
function nodeOf(record: RawRecord, problems: ProblemList): WantedNode | undefined {
  let sound = true;
  const read = <T>(column: RouteColumn, parse: (text: string) => T): T | undefined => {
    const text = record.fields[column];
    if (text === undefined || (text === "" && column !== "zone")) {
      if (REQUIRED_COLUMNS.includes(column)) {
        problems.add(record.line, `${column} is missing`);
        sound = false;
      }
      return undefined;
    }
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      // Most messages begin with what they are about.
      const isNamed = error.message.toLowerCase().startsWith(`${column} `);
      problems.add(record.line, isNamed ? error.message : `${column}: ${error.message}`);
      sound = false;
      return undefined;
    }
  };
  const modId = read("modid", parseModId);
  const cmdId = read("cmdid", parseCmdId);
  const ip = read("ip", parseNodeIp);
  const port = read("port", parsePort);
  const weight = read("weight", parseWeight);
  const zone = read("zone", parseZone);
  const state = read("state", parseState);
  if (!sound || modId === undefined || cmdId === undefined) return undefined;
  if (ip === undefined || port === undefined) return undefined;
  return {
    modId,
    cmdId,
    ip,
    port,
    line: record.line,
    ...(weight === undefined ? {} : { weight }),
    ...(zone === undefined ? {} : { zone }),
    ...(state === undefined ? {} : { state }),
  };
}

/** What spreadsheets put between cells, by their country and format. */
const SEPARATORS = [",", ";", "\t"] as const;

/** First line by which some spreadsheets say what is between cells: `sep=;` */
const SEPARATOR_LINE = /^\s*"?sep=(.)"?[,;\t]*\s*$/i;

/**
 * Records of a CSV file (RFC 4180; `#` comment lines and empty rows are passed over), also as
 * spreadsheets write it: with semicolons or tabs, a line that says so, empty columns at the end.
 */
function csvRecords(text: string, problems: ProblemList): RawRecord[] {
  const { lines, separator } = csvLines(text, problems);
  const header = lines.shift();
  if (header === undefined) {
    problems.add(1, `header row is missing: it must name ${REQUIRED_COLUMNS.join(", ")}`);
    return [];
  }
  const columns = withoutEmptyEnd(header.cells).map((cell) => cell.trim().toLowerCase());
  if (!isHeaderSound({ ...header, cells: columns }, separator, problems)) return [];
  const records: RawRecord[] = [];
  for (const { line, cells } of lines) {
    const extra = withoutEmptyEnd(cells).length > columns.length;
    if (cells.length < columns.length || extra) {
      problems.add(line, `row must have ${columns.length} cells: it has ${cells.length}`);
      continue;
    }
    records.push({
      line,
      fields: Object.fromEntries(columns.map((column, index) => [column, cells[index].trim()])),
    });
  }
  return records;
}

function isHeaderSound(
  { line, cells: columns }: CsvLine,
  separator: string,
  problems: ProblemList,
): boolean {
  const missing = REQUIRED_COLUMNS.filter((column) => !columns.includes(column));
  const unknown = columns.filter((column) => !isColumn(column));
  const repeated = columns.filter((column, index) => columns.indexOf(column) !== index);
  if (missing.length === REQUIRED_COLUMNS.length) {
    problems.add(
      line,
      `header names no column of a route file: it must name ${REQUIRED_COLUMNS.join(", ")}, with ` +
        "a comma, a semicolon or a tab between them",
    );
    return false;
  }
  if (missing.length > 0) problems.add(line, `header lacks ${missing.join(", ")}`);
  if (repeated.length > 0) problems.add(line, `header repeats ${repeated.join(", ")}`);
  if (unknown.length > 0) {
    const names = unknown.map((name) => `"${name}"`).join(", ");
    const shown = separator === "\t" ? "a tab" : separator;
    const between = separator === "," ? "" : ` (read with ${shown} between cells)`;
    problems.add(
      line,
      `header has unknown columns ${names}${between}; known: ${ROUTE_COLUMNS.join(", ")}`,
    );
  }
  return missing.length + unknown.length + repeated.length === 0;
}

function withoutEmptyEnd(cells: readonly string[]): string[] {
  const last = cells.findLastIndex((cell) => cell.trim() !== "");
  return cells.slice(0, last + 1);
}

interface CsvLine {
  readonly line: number;
  readonly cells: string[];
}

function csvLines(
  text: string,
  problems: ProblemList,
): { lines: CsvLine[]; separator: string } {
  const lines: CsvLine[] = [];
  let separator: string | undefined;
  for (const [index, lineText] of text.split(/\r\n|\n|\r/).entries()) {
    if (lineText.trim() === "" || lineText.startsWith("#")) continue;
    const said = lines.length === 0 && separator === undefined && SEPARATOR_LINE.exec(lineText);
    if (said) {
      separator = said[1];
      continue;
    }
    // Else the header says by the columns that it names.
    separator ??= separatorOf(lineText);
    const cells = csvCells(lineText, separator);
    if (cells === undefined) problems.add(index + 1, "quotation mark is not closed");
    else if (cells.some((cell) => cell.trim() !== "")) lines.push({ line: index + 1, cells });
  }
  return { lines, separator: separator ?? "," };
}

/** The separator by which a header names the most columns. */
function separatorOf(header: string): string {
  const known = (separator: string): number =>
    (csvCells(header, separator) ?? []).filter((cell) => isColumn(cell.trim().toLowerCase()))
      .length;
  return SEPARATORS.reduce<string>(
    (best, one) => known(one) > known(best) ? one : best,
    SEPARATORS[0],
  );
}

/** Cells of one line, or undefined when a quoted cell does not end on it. */
function csvCells(line: string, separator: string): string[] | undefined {
  const cells: string[] = [];
  const mark = separator.replace(/[\\^$.*+?()[\]{}|]/, "\\$&");
  // A tab is white space, and must not be passed over as such.
  const space = separator === "\t" ? " *" : "\\s*";
  const cell = new RegExp(`${space}(?:"((?:[^"]|"")*)"${space}|([^${mark}]*))(${mark}|$)`, "y");
  for (;;) {
    const match = cell.exec(line);
    if (match === null) return undefined;
    const quoted = match[1];
    if (quoted === undefined && match[2].trimStart().startsWith('"')) return undefined;
    cells.push(quoted === undefined ? match[2] : quoted.replaceAll('""', '"'));
    if (match[3] === "") return cells;
  }
}

/** Records of a JSON file: one array of objects. */
function jsonRecords(text: string, problems: ProblemList): RawRecord[] {
  const records: RawRecord[] = [];
  for (const { line, source } of jsonElements(text, problems)) {
    let value: unknown;
    try {
      value = JSON.parse(source);
    } catch {
      problems.add(line, `not valid JSON: ${source.trim().slice(0, 60)}`);
      continue;
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      problems.add(line, "each element must be an object");
      continue;
    }
    const fields: Record<string, string> = {};
    let isSound = true;
    for (const [name, field] of Object.entries(value)) {
      if (!isColumn(name)) {
        problems.add(line, `unknown key "${name}"; known: ${ROUTE_COLUMNS.join(", ")}`);
      } else if (typeof field === "string" || typeof field === "number") {
        fields[name] = String(field);
      } else {
        problems.add(line, `${name} must be a number or a text`);
        isSound = false;
      }
    }
    // What is said of a value already is not said again as one that is missing.
    if (isSound) records.push({ line, fields });
  }
  return records;
}

interface JsonElement {
  readonly line: number;
  readonly source: string;
}

/** Splits the outer array into its elements, so that each fault can be named by its line. */
function jsonElements(text: string, problems: ProblemList): JsonElement[] {
  const start = text.search(/\S/);
  const end = text.trimEnd().length - 1;
  if (start < 0 || text[start] !== "[" || text[end] !== "]" || end === start) {
    problems.add(1, 'file must hold a JSON array, like [{"modid":1,"cmdid":1,...}]');
    return [];
  }
  const elements: JsonElement[] = [];
  let elementStart = start + 1;
  let line = 1;
  let elementLine = 0;
  let depth = 0;
  let inText = false;
  const take = (upTo: number): void => {
    const source = text.slice(elementStart, upTo);
    if (source.trim() !== "") elements.push({ line: elementLine, source });
    else if (upTo < end || elements.length > 0) problems.add(line, "element is missing");
    elementStart = upTo + 1;
    elementLine = 0;
  };
  for (let index = 0; index < end; index++) {
    const char = text[index];
    if (char === "\n") line++;
    if (index <= start) continue;
    if (elementLine === 0 && !/\s/.test(char)) elementLine = line;
    if (inText) {
      if (char === "\\") index++;
      else if (char === '"') inText = false;
    } else if (char === '"') inText = true;
    else if (char === "{" || char === "[") depth++;
    else if (char === "}" || char === "]") depth--;
    else if (char === "," && depth === 0) take(index);
  }
  take(end);
  return elements;
}

/**
 * The text of a file, by the mark at its beginning: UTF-16 as some spreadsheets save it, else UTF-8.
 */
export function decodeRouteFile(bytes: Uint8Array): string {
  const [first, second] = bytes;
  const encoding = first === 0xff && second === 0xfe
    ? "utf-16le"
    : first === 0xfe && second === 0xff
    ? "utf-16be"
    : "utf-8";
  return new TextDecoder(encoding).decode(bytes);
}
