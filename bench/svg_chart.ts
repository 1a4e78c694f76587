// Core. Draws the table: for each row a bar of its ratio against its target.

import { formatNumber, formatTarget, judged, type Row, verdict } from "./rows.ts";

const WIDTH = 1000;
const ROW_HEIGHT = 18;
const HEADING_HEIGHT = 30;
const TOP = 92;
const LABEL_X = 20;
const BAR_X = 250;
const BAR_WIDTH = 400;
/** Where a bar ends that just reaches its target; longer bars are cut at the right edge. */
const TARGET_SHARE = 0.625;
const COLORS = { met: "#2b8a57", missed: "#c2412d", "": "#5b7db1" } as const;

function escape(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function text(x: number, y: number, content: string, more = ""): string {
  return `<text x="${x}" y="${y}"${more === "" ? "" : ` ${more}`}>${escape(content)}</text>`;
}

/** Length of a bar as a share of the room: the target, or a ratio of 1, is at a fixed place. */
function share(row: Row, value: number): number {
  const mark = row.target?.atMost ?? row.target?.atLeast ??
    (row.reference === undefined ? value : 1);
  return mark <= 0 ? 1 : Math.min(1, value / mark * TARGET_SHARE);
}

function bar(row: Row, y: number): string[] {
  const value = judged(row);
  const lines = [text(LABEL_X + 12, y + 13, row.subject)];
  if (value === undefined) {
    return [...lines, text(BAR_X, y + 13, row.note ?? "not measured", 'fill="#777"')];
  }
  const length = Math.max(1, share(row, value) * BAR_WIDTH);
  const cut = share(row, value) >= 1 ? " »" : "";
  lines.push(
    `<rect x="${BAR_X}" y="${y + 2}" width="${length.toFixed(1)}" height="${
      ROW_HEIGHT - 5
    }" rx="2" ` +
      `fill="${COLORS[verdict(row)]}"/>`,
  );
  if (row.target !== undefined) {
    const x = BAR_X + TARGET_SHARE * BAR_WIDTH;
    lines.push(
      `<line x1="${x}" y1="${y - 1}" x2="${x}" y2="${y + ROW_HEIGHT - 1}" stroke="#222" ` +
        `stroke-width="1.5" stroke-dasharray="3 2"/>`,
    );
  }
  const shown = row.reference === undefined
    ? `${formatNumber(value)} ${row.unit}`
    : `x ${formatNumber(value)}   (${formatNumber(row.value)} : ${
      formatNumber(row.referenceValue)
    } ${row.unit})`;
  const target = formatTarget(row.target);
  lines.push(text(BAR_X + BAR_WIDTH + 10, y + 13, `${shown}${cut}`));
  if (target !== "") lines.push(text(WIDTH - 20, y + 13, target, 'text-anchor="end" fill="#555"'));
  return lines;
}

function group(name: string, rows: readonly Row[], y: number): string[] {
  const references = [...new Set(rows.flatMap((row) => row.reference ?? []))];
  const against = references.length === 0 ? "" : `   against ${references.join(", ")}`;
  return [
    `<text x="${LABEL_X}" y="${y + 20}"><tspan font-weight="600">${escape(name)}</tspan>` +
    `<tspan fill="#777">${escape(against)}</tspan></text>`,
    ...rows.flatMap((row, index) => bar(row, y + HEADING_HEIGHT + index * ROW_HEIGHT)),
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
  const legend = "Bar: ratio to the reference, or the value where there is none. Dashed: target. " +
    "Green: met, red: missed, blue: no target. »: longer than shown.";
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" ` +
    `viewBox="0 0 ${WIDTH} ${height}" font-family="Helvetica, Arial, sans-serif" font-size="12" ` +
    `fill="#222">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    text(LABEL_X, 32, "Lars: measured next to references in the same run", 'font-size="18"'),
    text(LABEL_X, 54, about, 'fill="#555"'),
    text(LABEL_X, 72, legend, 'fill="#555"'),
    ...lines,
    "</svg>",
    "",
  ].join("\n");
}
