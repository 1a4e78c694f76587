// Core. Rows of the table: what was measured, next to its reference and its target.

/** What a row has to reach: its ratio where it has a reference, else its value. */
export interface Target {
  readonly atMost?: number;
  readonly atLeast?: number;
}

/** One line of the table. */
export interface Row {
  /** What is measured: "agent get_host, 64 in flight: server CPU". */
  readonly name: string;
  /** Who does it: "Deno fast", "peer". */
  readonly subject: string;
  /** Median over the rounds; undefined when it could not be measured, which `note` explains. */
  readonly value?: number;
  /** What each round gave, where rows of two checkouts are compared round by round. */
  readonly values?: readonly number[];
  /** Unit of both values: "us", "k/s", "ns", "MB". */
  readonly unit: string;
  /** What it is compared with, measured in the same run, in turn. */
  readonly reference?: string;
  readonly referenceValue?: number;
  /** Median over the rounds of value by value of the reference. */
  readonly ratio?: number;
  readonly target?: Target;
  /** What the reader must know: why it is missing, what went wrong. */
  readonly note?: string;
}

/** Middle value; the mean of the two middle ones for an even number; NaN of nothing. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** What a row is made of: a value for each round, and the reference's of the same rounds. */
export interface RowSamples extends Pick<Row, "name" | "subject" | "unit" | "target" | "note"> {
  readonly values: readonly number[];
  readonly reference?: string;
  readonly referenceValues?: readonly number[];
}

/** Makes a row: medians, and the median of the ratios of the rounds. */
export function rowOf(samples: RowSamples): Row {
  const { values, reference, referenceValues, ...row } = samples;
  const value = known(median(values));
  if (reference === undefined || referenceValues === undefined) return { ...row, value, values };
  return {
    ...row,
    value,
    values,
    reference,
    referenceValue: known(median(referenceValues)),
    ratio: known(median(values.map((own, round) => own / referenceValues[round]))),
  };
}

function known(value: number): number | undefined {
  return Number.isFinite(value) ? value : undefined;
}

/** Rows of the same name and subject, one for each time they were measured, as one each. */
export function mergeRounds(rows: readonly Row[]): Row[] {
  const groups = Map.groupBy(rows, (row) => `${row.name}\n${row.subject}`);
  return [...groups.values()].map((group) => {
    if (group.length === 1) return group[0];
    const values = group.map((row) => row.value ?? NaN);
    return {
      ...group[0],
      value: known(median(values)),
      values,
      referenceValue: known(median(group.map((row) => row.referenceValue ?? NaN))),
      ratio: known(median(group.map((row) => row.ratio ?? NaN))),
    };
  });
}

/**
 * What has changed since another checkout: for each row that was measured on both, the median over
 * the rounds of value by value before.
 *
 * @param ending Ends the subject of the rows from before.
 */
export function changesOf(rows: readonly Row[], ending: string): Row[] {
  return rows.flatMap((row) => {
    const isBefore = (other: Row): boolean =>
      other.name === row.name && other.subject !== row.subject &&
      other.subject.replace(ending, "") === row.subject;
    const before = rows.find(isBefore);
    if (before?.value === undefined || row.value === undefined) return [];
    const { name, subject, unit, value, values = [value] } = row;
    return [rowOf({
      name: `changed: ${name}`,
      subject,
      unit,
      values,
      reference: before.subject,
      referenceValues: before.values ?? values.map(() => before.value ?? NaN),
    })];
  });
}

/** A row that could not be measured. */
export function missingRow(name: string, subject: string, note: string): Row {
  return { name, subject, unit: "", note };
}

/** What a target is held against. */
export function judged(row: Row): number | undefined {
  return row.reference === undefined ? row.value : row.ratio;
}

/** "met", "missed", or "" where there is nothing to say. */
export function verdict(row: Row): "met" | "missed" | "" {
  const value = judged(row);
  if (row.target === undefined || value === undefined) return "";
  const { atMost = Infinity, atLeast = -Infinity } = row.target;
  return value <= atMost && value >= atLeast ? "met" : "missed";
}

/** A number with three digits that mean something. */
export function formatMeasure(value: number | undefined): string {
  if (value === undefined) return "-";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, ",");
  return size >= 10 ? value.toFixed(1) : size >= 0.01 ? value.toFixed(2) : value.toPrecision(2);
}

/** "<= 1.08", ">= 0.93", or nothing. */
export function formatTarget(target: Target | undefined): string {
  if (target?.atMost !== undefined) return `<= ${target.atMost}`;
  return target?.atLeast !== undefined ? `>= ${target.atLeast}` : "";
}

const HEADINGS = ["what", "by", "value", "unit", "reference", "value", "ratio", "target", ""];
const NUMBERS = [false, false, true, false, false, true, true, true, false];

/** The cells of the table, headings first. */
export function tableCells(rows: readonly Row[]): string[][] {
  return [
    HEADINGS,
    ...rows.map((row) => [
      row.name,
      row.subject,
      formatMeasure(row.value),
      row.unit,
      row.reference ?? "",
      row.reference === undefined ? "" : formatMeasure(row.referenceValue),
      row.reference === undefined ? "" : formatMeasure(row.ratio),
      formatTarget(row.target),
      [verdict(row), row.note ?? ""].filter((text) => text !== "").join("; "),
    ]),
  ];
}

/** The table as text, columns lined up. */
export function formatTable(rows: readonly Row[]): string {
  const cells = tableCells(rows);
  const widths = HEADINGS.map((_, column) => Math.max(...cells.map((row) => row[column].length)));
  const lines = cells.map((row) =>
    row.map((cell, column) =>
      NUMBERS[column] ? cell.padStart(widths[column]) : cell.padEnd(widths[column])
    ).join("  ").trimEnd()
  );
  return lines.join("\n") + "\n";
}

/** The table as Markdown, with machine and notes above it. */
export function formatMarkdown(rows: readonly Row[], about: readonly string[]): string {
  const [headings, ...cells] = tableCells(rows);
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell) => cell.replace(/\|/g, "\\|")).join(" | ")} |`;
  const rule = NUMBERS.map((isNumber) => isNumber ? "--:" : "---");
  return [...about, "", line(headings), line(rule), ...cells.map(line), ""].join("\n");
}
