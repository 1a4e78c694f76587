// Core. What comes of the rows of faults: figures out of the output of tests, verdicts, the table.

/** Begins a line of a test's output that is a figure. */
export const FIGURE_MARK = "figure: ";

/** What came of a row or of one of its tests. */
export type FaultVerdict = "kept" | "late" | "BROKEN" | "not run";

/** What one test of a row came to. */
export interface CheckOutcome {
  readonly title: string;
  readonly verdict: FaultVerdict;
  /** What it measured, or why it was not run or failed; may be empty. */
  readonly figures: readonly string[];
  readonly seconds: number;
}

/** What a row came to. */
export interface RowOutcome {
  readonly id: string;
  readonly promise: string;
  readonly checks: readonly CheckOutcome[];
}

/** Figures of one test kept at most; a test that prints more says too much. */
const FIGURES_MAX = 20;
const FIGURE_CHARS_MAX = 220;

/** Lines of a failed test that are shown with its row. */
const FAILURE_LINES = 4;

/** A line of a program as it would be on paper. */
function plainLine(raw: string): string {
  // deno-lint-ignore no-control-regex -- colours
  return raw.replace(/\x1b\[[0-9;]*m/g, "").trim();
}

/** What failed, from the output of `deno test`. */
export function failureLines(output: string): string[] {
  const at = output.indexOf("ERRORS");
  return output.slice(Math.max(at, 0)).split("\n").map(plainLine)
    .filter((line) => /error|Error|Waited|expected|must/.test(line) && !line.startsWith("at "))
    .slice(0, FAILURE_LINES);
}

/**
 * The lines of a test's output that are figures: those that say so, and those that `patterns` name.
 */
export function figuresOf(output: string, patterns: readonly RegExp[]): string[] {
  const found: string[] = [];
  for (const raw of output.split("\n")) {
    const line = plainLine(raw).replace(/^(DIAGNOSTIC:|[#ℹ])\s*/, "");
    if (line.startsWith(FIGURE_MARK)) found.push(line.slice(FIGURE_MARK.length));
    else if (patterns.some((pattern) => pattern.test(line))) found.push(line);
  }
  return [...new Set(found)].slice(0, FIGURES_MAX)
    .map((line) => line.length > FIGURE_CHARS_MAX ? `${line.slice(0, FIGURE_CHARS_MAX)} …` : line);
}

/** True when a test was slower than what is promised, and so little that it may be the machine. */
export function isLate(output: string): boolean {
  return /^.*Slow machine\? /m.test(output) ||
    output.split("\n").some((line) => line.includes(FIGURE_MARK) && /, late\)/.test(line));
}

const WORST_FIRST: readonly FaultVerdict[] = ["BROKEN", "not run", "late", "kept"];

/** The verdict of a row: the worst of its tests. */
export function verdictOf({ checks }: RowOutcome): FaultVerdict {
  return WORST_FIRST.find((verdict) => checks.some((check) => check.verdict === verdict)) ??
    "not run";
}

/** 0 when every row that ran was kept or late, 1 else. */
export function exitCodeOf(rows: readonly RowOutcome[]): number {
  return rows.some((row) => verdictOf(row) === "BROKEN") ? 1 : 0;
}

/** Lines for a terminal. */
export function rowLines(row: RowOutcome): string[] {
  const lines = [`${row.id.padEnd(4)} ${verdictOf(row).padEnd(7)} ${row.promise}`];
  for (const { title, verdict, figures, seconds } of row.checks) {
    lines.push(`       ${verdict}, ${Math.round(seconds)} s: ${title}`);
    for (const figure of figures) lines.push(`         ${figure}`);
  }
  return lines;
}

function cell(text: string): string {
  return text.replace(/\|/g, "\\|").replace(/</g, "&lt;").replace(/\s+/g, " ");
}

/** Rows of a table that was written before, by their ids. */
function rowsOf(table: string): Map<string, string> {
  return new Map(
    [...table.matchAll(/^\| (G\d+) +\|.*$/gm)].map(([line, id]) => [id, line] as const),
  );
}

/**
 * The table of a README: promise, figures, verdict, and how each row was run.
 *
 * @param how Day and options of this run.
 * @param before The table so far: rows that did not run now stay as they are.
 */
export function faultTable(rows: readonly RowOutcome[], how: string, before: string): string {
  const lines = rowsOf(before);
  for (const row of rows) {
    const figures = row.checks.map(({ title, verdict, figures }) => {
      const said = figures.length > 0 ? figures.join("; ") : `nothing lost or failed: ${title}`;
      return verdict === "kept" ? said : `**${verdict}**: ${said}`;
    });
    const cells = [row.id, cell(row.promise), figures.map(cell).join("<br>"), verdictOf(row), how];
    lines.set(row.id, `| ${cells.join(" | ")} |`);
  }
  const number = ([id]: readonly [string, string]): number => Number(id.slice(1));
  return [
    "| row | promise | measured | kept | run |",
    "| --- | --- | --- | --- | --- |",
    ...[...lines].sort((a, b) => number(a) - number(b)).map(([, line]) => line),
  ].join("\n");
}

/** Between these two lines of a README stands what `deno task faults --write` has measured. */
export const RESULTS_BEGIN = "<!-- results -->";
export const RESULTS_END = "<!-- /results -->";

/**
 * A README with other results in it.
 *
 * @param change Is given the results so far.
 * @throws {RangeError} when it has no place for them.
 */
export function withResults(readme: string, change: (before: string) => string): string {
  const [begin, end] = [readme.indexOf(RESULTS_BEGIN), readme.indexOf(RESULTS_END)];
  if (begin < 0 || end < begin) {
    throw new RangeError(`README must have the lines ${RESULTS_BEGIN} and ${RESULTS_END}`);
  }
  const from = begin + RESULTS_BEGIN.length;
  return `${readme.slice(0, from)}\n\n${change(readme.slice(from, end))}\n\n${readme.slice(end)}`;
}
