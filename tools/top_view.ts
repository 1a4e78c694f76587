// Core. The screen of `lars top`: state and size become lines, keys become the next state.

import { errorSeverity, worseOf } from "../control/system/severity.ts";
import { quantity } from "../model/quantity.ts";
import type { TopModule, TopNode, TopSnapshot } from "./top_model.ts";
import { moduleText } from "../model/module.ts";
import { addressText } from "../model/node.ts";
import { visibleText } from "../reactor/visible_text.ts";

/** What a row of the screen is about. */
export type TopMode = "modules" | "nodes";

/** What the user has chosen. */
export interface TopState {
  readonly mode: TopMode;
  /** Name of the column that rows are sorted by. */
  readonly sort: string;
  /** True: smallest first. */
  readonly reverse: boolean;
  /** Rows that contain this text, by the words that they show. */
  readonly filter: string;
  /** The filter is being typed. */
  readonly typing: boolean;
  /** Nodes of this module only, `modid/cmdid`. */
  readonly module: string | undefined;
  /** Index of the chosen row. */
  readonly selected: number;
  /** Nothing is read anew. */
  readonly paused: boolean;
  readonly help: boolean;
}

/** Size of the screen in characters. */
export interface TopSize {
  readonly columns: number;
  readonly rows: number;
}

/** What stands around the rows. */
export interface TopFrame {
  /** The database, without its password. */
  readonly label: string;
  /** Services in few words: `dns 1  reporter 1`. */
  readonly services: string;
  /** What went wrong at the last look. */
  readonly fault?: string;
}

/** Marks for text; each is the identity when colours are off. */
export interface TopMarks {
  bad(text: string): string;
  warn(text: string): string;
  strong(text: string): string;
  faint(text: string): string;
  chosen(text: string): string;
}

/** Longest filter. */
export const FILTER_LENGTH_MAX = 64;

/** The state at the start. */
export const TOP_START: TopState = {
  mode: "modules",
  sort: "calls/s",
  reverse: false,
  filter: "",
  typing: false,
  module: undefined,
  selected: 0,
  paused: false,
  help: false,
};

interface Column<Row> {
  readonly name: string;
  /** Numbers are set to the right. */
  readonly right: boolean;
  text(row: Row): string;
  /** The largest comes first; when left out, rows are compared otherwise. */
  order?(row: Row): number;
  /** @default by the text, the smallest first */
  compare?(a: Row, b: Row): number;
}

function compareModules(a: TopModule | TopNode, b: TopModule | TopNode): number {
  return a.modId - b.modId || a.cmdId - b.cmdId;
}

/** Longest name of a module that a row shows, in characters. */
const NAME_SHOWN_MAX = 24;

/** `1/2`, with its name `1/2 login`. */
function moduleCell(row: TopModule | TopNode): string {
  const { name } = row;
  if (name === "") return moduleText(row);
  const short = name.length > NAME_SHOWN_MAX ? `${name.slice(0, NAME_SHOWN_MAX - 1)}…` : name;
  return `${moduleText(row)} ${short}`;
}

function rateText(rate: number): string {
  return rate >= 100 || rate === 0 ? rate.toFixed(0) : rate.toFixed(1);
}

function shareText(share: number, rate: number): string {
  return rate === 0 ? "-" : (share * 100).toFixed(1);
}

function ageText(seconds: number | undefined): string {
  if (seconds === undefined) return "never";
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800
    ? `${Math.floor(seconds / 3600)} h`
    : `${Math.floor(seconds / 86_400)} d`;
}

type Common = TopModule & TopNode;

const RATE_COLUMNS: readonly Column<Pick<Common, "callsPerSecond" | "errorShare">>[] = [
  {
    name: "calls/s",
    right: true,
    text: (row) => rateText(row.callsPerSecond),
    order: (row) => row.callsPerSecond,
  },
  {
    name: "err%",
    right: true,
    text: (row) => shareText(row.errorShare, row.callsPerSecond),
    order: (row) => row.errorShare,
  },
];

const TIME_COLUMN: Column<Pick<Common, "meanMs">> = {
  name: "ms",
  right: true,
  text: ({ meanMs }) => meanMs === undefined ? "-" : rateText(meanMs),
  order: ({ meanMs }) => meanMs ?? -1,
};

const AGE_COLUMN: Column<Pick<Common, "ageSeconds">> = {
  name: "seen",
  right: true,
  text: (row) => ageText(row.ageSeconds),
  order: (row) => -(row.ageSeconds ?? Infinity),
};

function numberColumn<Name extends string>(name: Name): Column<Readonly<Record<Name, number>>> {
  return { name, right: true, text: (row) => String(row[name]), order: (row) => row[name] };
}

const MODULE_COLUMNS: readonly Column<TopModule>[] = [
  { name: "module", right: false, text: moduleCell, compare: compareModules },
  numberColumn("nodes"),
  numberColumn("out"),
  ...RATE_COLUMNS,
  {
    name: "refused",
    right: true,
    text: ({ refusedPerSecond }) => refusedPerSecond === 0 ? "-" : rateText(refusedPerSecond),
    order: ({ refusedPerSecond }) => refusedPerSecond,
  },
  TIME_COLUMN,
  numberColumn("callers"),
  AGE_COLUMN,
];

const NODE_COLUMNS: readonly Column<TopNode>[] = [
  { name: "module", right: false, text: moduleCell, compare: compareModules },
  { name: "node", right: false, text: ({ ip, port }) => addressText({ ip, port }) },
  { name: "state", right: false, text: ({ state }) => state },
  { name: "zone", right: false, text: ({ zone }) => zone },
  numberColumn("weight"),
  ...RATE_COLUMNS,
  TIME_COLUMN,
  {
    name: "out",
    right: true,
    text: ({ out, callers }) => out === 0 ? "-" : `${out} of ${callers}`,
    order: ({ out }) => out,
  },
  AGE_COLUMN,
];

/** Names of the columns of a mode, in their order. */
export function columnNames(mode: TopMode): string[] {
  return (mode === "modules" ? MODULE_COLUMNS : NODE_COLUMNS).map(({ name }) => name);
}

function pickRows<Row extends TopModule | TopNode>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  state: TopState,
): Row[] {
  const words = state.filter.toLowerCase();
  const found = rows.filter((row) =>
    (state.module === undefined || moduleText(row) === state.module) &&
    (words === "" || columns.some((column) => column.text(row).toLowerCase().includes(words)))
  );
  const column = columns.find(({ name }) => name === state.sort) ?? columns[0];
  const compare = (a: Row, b: Row): number => {
    if (column.order !== undefined) return column.order(b) - column.order(a);
    if (column.compare !== undefined) return column.compare(a, b);
    return column.text(a) < column.text(b) ? -1 : column.text(a) > column.text(b) ? 1 : 0;
  };
  // NaN is Infinity less Infinity: both were never seen, and are equal.
  found.sort((a, b) => compare(a, b) || compareModules(a, b));
  return state.reverse ? found.reverse() : found;
}

/** The rows to show, in order. */
export function modulesOf(snapshot: TopSnapshot, state: TopState): TopModule[] {
  return pickRows(snapshot.modules, MODULE_COLUMNS, state);
}

/** The rows to show, in order. */
export function nodesOf(snapshot: TopSnapshot, state: TopState): TopNode[] {
  return pickRows(snapshot.nodes, NODE_COLUMNS, state);
}

/** A text of exactly `width` characters. */
function fit(text: string, width: number, right: boolean): string {
  if (text.length > width) {
    return width <= 1 ? text.slice(0, width) : `${text.slice(0, width - 1)}…`;
  }
  return right ? text.padStart(width) : text.padEnd(width);
}

/** Head and rows as lines of at most `width` characters. */
function tableLines<Row extends TopModule | TopNode>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  state: TopState,
): { head: string; lines: string[] } {
  const texts = rows.map((row) => columns.map((column) => visibleText(column.text(row))));
  const widths = columns.map(({ name }, index) =>
    texts.reduce((most, cells) => Math.max(most, cells[index].length), name.length + 1)
  );
  const lineOf = (cells: readonly string[]): string =>
    cells.map((cell, index) => fit(cell, widths[index], columns[index].right)).join("  ").trimEnd();
  const mark = state.reverse ? "^" : "v";
  return {
    head: lineOf(
      columns.map(({ name }) => `${name.toUpperCase()}${name === state.sort ? mark : ""}`),
    ),
    lines: texts.map(lineOf),
  };
}

const KEY_LINE = "q quit  h help  enter nodes  esc back  tab mode  s sort  / filter  p pause";

const HELP_LINES = [
  "up, down, page up, page down, home, end   choose a row",
  "enter        nodes of the chosen module",
  "esc          back: filter, module, modules",
  "tab          modules or nodes",
  "s, S         sort by the next, the previous column",
  "1 to 9       sort by that column",
  "r            turn the order round",
  "/            filter: rows that contain a text; enter keeps it, esc drops it",
  "p            pause; space looks at once",
  "q, Ctrl-C    quit",
  "",
  "CALLS/S, ERR% and REFUSED (callers a second that got no node) are those of the",
  "last 10 seconds. MS: mean time of the calls of the last minute, where callers",
  "tell it. OUT: nodes that at least one host keeps out. SEEN: time since the last",
  "result of any caller.",
];

function titleLines(snapshot: TopSnapshot, frame: TopFrame, state: TopState): string[] {
  const time = new Date(snapshot.atMs).toISOString().slice(11, 19);
  const { modules, nodes, out, callsPerSecond, errorShare, refusedPerSecond } = snapshot;
  const errors = callsPerSecond === 0 ? "" : `, ${(errorShare * 100).toFixed(2)} % errors`;
  const refused = refusedPerSecond === 0 ? "" : `, ${rateText(refusedPerSecond)} refused/s`;
  return [
    `lars top  ${time} UTC  ${frame.label}${state.paused ? "  PAUSED" : ""}`,
    `${quantity(modules.length, "module")}, ${quantity(nodes.length, "node")}, ${out} out, ` +
    `${rateText(callsPerSecond)} calls/s${errors}${refused}  ${frame.services}`,
  ];
}

function bottomLine(state: TopState, count: number): string {
  if (state.typing) return `filter: ${state.filter}_`;
  const where = [
    ...(state.module === undefined ? [] : [`module ${state.module}`]),
    ...(state.filter === "" ? [] : [`filter "${state.filter}"`]),
  ];
  return `${
    where.length === 0 ? "" : `${where.join(", ")}: ${quantity(count, "row")}  `
  }${KEY_LINE}`;
}

/**
 * The whole screen: exactly `size.rows` lines, none longer than `size.columns` before it is marked.
 * In a window too small for anything it shows what fits.
 */
export function renderTop(
  snapshot: TopSnapshot,
  state: TopState,
  frame: TopFrame,
  size: TopSize,
  marks: TopMarks,
): string[] {
  const width = Math.max(1, size.columns);
  const cut = (text: string): string => text.length > width ? fit(text, width, false) : text;
  const titles = titleLines(snapshot, frame, state).map(cut);
  const rows = state.mode === "modules" ? modulesOf(snapshot, state) : nodesOf(snapshot, state);
  const bottom = frame.fault === undefined
    ? marks.faint(cut(bottomLine(state, rows.length)))
    : marks.bad(cut(frame.fault));
  const bodyRows = Math.max(0, size.rows - titles.length - 2);
  const body = state.help ? HELP_LINES.map(cut) : bodyLines(rows, state, bodyRows, cut, marks);
  const [head, ...lines] = state.help ? ["", ...body] : body;
  const filled = [...lines.slice(0, bodyRows)];
  while (filled.length < bodyRows) filled.push("");
  const screen = [marks.strong(titles[0]), titles[1], marks.strong(head), ...filled, bottom];
  return screen.slice(0, Math.max(1, size.rows));
}

function bodyLines(
  rows: readonly (TopModule | TopNode)[],
  state: TopState,
  bodyRows: number,
  cut: (text: string) => string,
  marks: TopMarks,
): string[] {
  const selected = Math.min(state.selected, rows.length - 1);
  // The chosen row is always on the screen: pages, so that rows do not slide under the eye.
  const start = bodyRows === 0 ? 0 : Math.floor(Math.max(0, selected) / bodyRows) * bodyRows;
  const shown = rows.slice(start, start + bodyRows);
  const { head, lines } = state.mode === "modules"
    ? tableLines(shown as TopModule[], MODULE_COLUMNS, state)
    : tableLines(shown as TopNode[], NODE_COLUMNS, state);
  if (rows.length === 0) lines.push(state.filter === "" ? "no routes and no results" : "no row");
  return [
    cut(head),
    ...lines.map((line, index) => {
      const text = markRow(cut(line), shown[index], marks);
      return start + index === selected ? marks.chosen(text) : text;
    }),
  ];
}

function markRow(text: string, row: TopModule | TopNode | undefined, marks: TopMarks): string {
  if (row === undefined) return marks.faint(text);
  // As the pages: what is kept out is a warning, and what fails or is refused is as bad as its share.
  const refused = "refusedPerSecond" in row ? row.refusedPerSecond : 0;
  const asked = row.callsPerSecond + refused;
  const severity = worseOf(
    errorSeverity(row.errorShare, row.callsPerSecond),
    asked === 0 ? null : errorSeverity(refused / asked, asked),
  );
  if (severity === "critical") return marks.bad(text);
  return severity !== null || row.out > 0 ? marks.warn(text) : text;
}

/** One look as plain lines for a pipe: all rows, no marks, no keys. */
export function plainTop(snapshot: TopSnapshot, state: TopState, frame: TopFrame): string[] {
  const { head, lines } = state.mode === "modules"
    ? tableLines(modulesOf(snapshot, state), MODULE_COLUMNS, { ...state, sort: "" })
    : tableLines(nodesOf(snapshot, state), NODE_COLUMNS, { ...state, sort: "" });
  return [...titleLines(snapshot, frame, state), head, ...lines];
}

const KEYS: Readonly<Record<string, string>> = {
  "\x1b[A": "up",
  "\x1b[B": "down",
  "\x1bOA": "up",
  "\x1bOB": "down",
  "\x1b[5~": "pageup",
  "\x1b[6~": "pagedown",
  "\x1b[H": "home",
  "\x1b[F": "end",
  "\x1b[1~": "home",
  "\x1b[4~": "end",
  "\x1b": "esc",
  "\r": "enter",
  "\n": "enter",
  "\t": "tab",
  "\x03": "ctrl-c",
  "\x7f": "backspace",
  "\b": "backspace",
};

/** Cuts what a terminal sends into keys; unknown sequences are passed over. */
export function parseKeys(text: string): string[] {
  // deno-lint-ignore no-control-regex -- keys are control characters
  const pieces = text.match(/\x1b(?:\[[0-9;]*[A-Za-z~]|O[A-Z])|[^]/gu) ?? [];
  return pieces.flatMap((piece) => {
    const name = KEYS[piece];
    if (name !== undefined) return [name];
    return piece.length <= 2 && piece >= " " ? [piece] : [];
  });
}

function typeKey(state: TopState, key: string): TopState {
  if (key === "enter") return { ...state, typing: false };
  if (key === "esc") return { ...state, typing: false, filter: "" };
  const filter = key === "backspace"
    ? state.filter.slice(0, -1)
    : [...key].length === 1
    ? `${state.filter}${key}`.slice(0, FILTER_LENGTH_MAX)
    : state.filter;
  return { ...state, filter, selected: 0 };
}

function back(state: TopState): TopState {
  if (state.help) return { ...state, help: false };
  if (state.filter !== "") return { ...state, filter: "", selected: 0 };
  if (state.mode === "modules") return state;
  return { ...state, mode: "modules", module: undefined, selected: 0, sort: TOP_START.sort };
}

function sortBy(state: TopState, index: number): TopState {
  const names = columnNames(state.mode);
  const sort = names.at(index % names.length);
  return sort === undefined ? state : { ...state, sort };
}

/**
 * What a key makes of the state.
 *
 * @param rowCount Rows that could be chosen.
 * @param pageRows Rows of one page.
 * @param chosen Module of the chosen row.
 */
export function pressKey(
  state: TopState,
  key: string,
  { rowCount, pageRows, chosen }: { rowCount: number; pageRows: number; chosen?: string },
): TopState | "quit" {
  if (key === "ctrl-c") return "quit";
  if (state.typing) return typeKey(state, key);
  const move = (by: number): TopState => ({
    ...state,
    selected: Math.max(0, Math.min(rowCount - 1, Math.min(state.selected, rowCount - 1) + by)),
  });
  const column = columnNames(state.mode).indexOf(state.sort);
  const actions: Readonly<Record<string, () => TopState | "quit">> = {
    q: () => "quit",
    up: () => move(-1),
    k: () => move(-1),
    down: () => move(1),
    j: () => move(1),
    pageup: () => move(-pageRows),
    pagedown: () => move(pageRows),
    home: () => move(-Infinity),
    end: () => move(Infinity),
    enter: () =>
      state.mode === "modules" && chosen !== undefined
        ? { ...state, mode: "nodes", module: chosen, selected: 0, filter: "" }
        : state,
    esc: () => back(state),
    backspace: () => back(state),
    tab: () => ({
      ...state,
      mode: state.mode === "modules" ? "nodes" : "modules",
      module: undefined,
      selected: 0,
    }),
    s: () => sortBy(state, column + 1),
    S: () => sortBy(state, column - 1),
    r: () => ({ ...state, reverse: !state.reverse }),
    "/": () => ({ ...state, typing: true }),
    p: () => ({ ...state, paused: !state.paused }),
    h: () => ({ ...state, help: !state.help }),
    "?": () => ({ ...state, help: !state.help }),
  };
  if (/^[1-9]$/.test(key) && Number(key) <= columnNames(state.mode).length) {
    return sortBy(state, Number(key) - 1);
  }
  return Object.hasOwn(actions, key) ? actions[key]() : state;
}
