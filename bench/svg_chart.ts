// Core. Draws the table: for each row a bar of its ratio against its target.

import { escape, svgDocument, text } from "../sim/svg.ts";
import { formatMeasure, formatTarget, judged, type Row, verdict } from "./rows.ts";

const WIDTH = 1000;
const ROW_HEIGHT = 18;
const HEADING_HEIGHT = 30;
const TOP = 92;
const LABEL_X = 20;
const BAR_X = 250;
const BAR_WIDTH = 400;
const COLORS = { met: "#2b8a57", missed: "#c2412d", "": "#5b7db1" } as const;

/** What the row's target, and where there is none its reference, is at. */
function marks(row: Row): number[] {
  const target = row.target?.atMost ?? row.target?.atLeast;
  return [target, row.reference === undefined ? undefined : 1].filter((mark) => mark !== undefined);
}

/** The value at the right edge of a group: all bars and marks of the group fit. */
function scaleOf(rows: readonly Row[]): number {
  return Math.max(...rows.flatMap((row) => [judged(row) ?? 0, ...marks(row)])) * 1.05;
}

function line(x: number, y: number, style: string): string {
  const at = (BAR_X + x * BAR_WIDTH).toFixed(1);
  return `<line x1="${at}" y1="${y - 2}" x2="${at}" y2="${y + ROW_HEIGHT - 2}" ${style}/>`;
}

function shownValue(row: Row, value: number): string {
  if (row.reference === undefined) return `${formatMeasure(value)} ${row.unit}`;
  const [own, other] = [formatMeasure(row.value), formatMeasure(row.referenceValue)];
  return `x ${formatMeasure(value)}   (${own} : ${other} ${row.unit})`;
}

function bar(row: Row, scale: number, y: number): string[] {
  const value = judged(row);
  const lines = [text(LABEL_X + 12, y + 13, row.subject)];
  if (value === undefined) {
    return [...lines, text(BAR_X, y + 13, row.note ?? "not measured", 'fill="#777"')];
  }
  const length = Math.max(1, value / scale * BAR_WIDTH).toFixed(1);
  lines.push(
    `<rect x="${BAR_X}" y="${y + 2}" width="${length}" height="${ROW_HEIGHT - 5}" rx="2" ` +
      `fill="${COLORS[verdict(row)]}"/>`,
  );
  if (row.reference !== undefined) {
    lines.push(line(1 / scale, y, 'stroke="#222" stroke-width="1"'));
  }
  const mark = row.target?.atMost ?? row.target?.atLeast;
  if (mark !== undefined) {
    lines.push(line(mark / scale, y, 'stroke="#d18400" stroke-width="2" stroke-dasharray="3 2"'));
  }
  lines.push(text(BAR_X + BAR_WIDTH + 12, y + 13, shownValue(row, value)));
  const target = formatTarget(row.target);
  if (target !== "") lines.push(text(WIDTH - 20, y + 13, target, 'text-anchor="end" fill="#555"'));
  return lines;
}

function group(name: string, rows: readonly Row[], y: number): string[] {
  const references = [...new Set(rows.flatMap((row) => row.reference ?? []))];
  const against = references.length === 0 ? "" : `against ${references.join(", ")}`;
  const scale = scaleOf(rows);
  return [
    `<text x="${LABEL_X}" y="${y + 20}"><tspan font-weight="600">${escape(name)}</tspan>` +
    `<tspan dx="12" fill="#777">${escape(against)}</tspan></text>`,
    ...rows.flatMap((row, index) => bar(row, scale, y + HEADING_HEIGHT + index * ROW_HEIGHT)),
  ];
}

/**
 * The picture of a table.
 *
 * @param about Line under the title: machine and date.
 */
export function drawChart(rows: readonly Row[], about: string): string {
  const names = [...new Set(rows.map((row) => row.name))];
  const lines: string[] = [];
  let y = TOP;
  for (const name of names) {
    const own = rows.filter((row) => row.name === name);
    lines.push(...group(name, own, y));
    y += HEADING_HEIGHT + own.length * ROW_HEIGHT + 6;
  }
  const height = y + 16;
  const legend = "Bar: ratio to the reference, or the value where there is none. Black line: the " +
    "reference. Dashed: target. Green: met, red: missed, blue: no target.";
  return svgDocument(WIDTH, height, [
    text(LABEL_X, 32, "Lars: measured next to references in the same run", 'font-size="18"'),
    text(LABEL_X, 54, about, 'fill="#555"'),
    text(LABEL_X, 72, legend, 'fill="#555"'),
    ...lines,
  ]);
}
