// Core. Draws simulated runs: share of each node, errors and latency that callers see, and marks.

import type { SimScript } from "./scripts.ts";
import type { SimulationOutcome } from "./simulation.ts";
import type { PolicySummary } from "./summary.ts";
import { svgDocument, text } from "./svg.ts";

/** One policy's run. */
export interface ChartedRun {
  readonly summary: PolicySummary;
  readonly outcome: SimulationOutcome;
}

/** Nodes that get a line of their own, of those a script strikes and of the others. */
export const NODE_LINES_MAX = 15;

const WIDTH = 1000;
const PLOT_X = 70;
const PLOT_WIDTH = 900;
const PLOT_HEIGHT = 150;
const MARKS_HEIGHT = 36;
/** Title and scale of a panel, and the space to the next. */
const PANEL_SPACE = 70;
const TOP = 84;
const STRUCK_COLOUR = "#c2412d";
const OTHER_COLOUR = "#5b7db1";
const OUT_COLOUR = "#d18400";
const BACK_COLOUR = "#2b8a57";
const POLICY_COLOURS = [
  ...["#3b5b92", "#d1670f", "#2b8a57", "#8a4fa3", "#7a6a00", "#555555"],
  ...["#c2185b", "#0097a7", "#8d5a3b", "#6fa02c", "#000000"],
];
/** Width of a letter of a name in bold, at most on average; and the space between two names. */
const LETTER_WIDTH = 7.2;
const NAME_SPACE = 14;
/** What the titles of panels leave to the names beside them, and the height of a row of names. */
const NAMES_WIDTH = 600;
const ROW_HEIGHT = 16;

interface Panel {
  readonly y: number;
  /** Value at the top. */
  readonly max: number;
  readonly endMs: number;
  /** Height of what stands between the plot and the scale of time. */
  readonly below: number;
}

function rect(x: number, y: number, width: number, height: number, more: string): string {
  const [left, wide] = [x.toFixed(1), width.toFixed(1)];
  return `<rect x="${left}" y="${y}" width="${wide}" height="${height}" ${more}/>`;
}

function xOf(ms: number, endMs: number): number {
  return PLOT_X + ms / endMs * PLOT_WIDTH;
}

function yOf(value: number, { y, max }: Panel): number {
  return y + PLOT_HEIGHT * (1 - Math.min(1, value / max));
}

/** The next round number: 1, 2 or 5 times a power of ten. */
function roundUp(value: number): number {
  let power = 1e-6;
  while (power * 10 < value) power *= 10;
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value) ?? value;
}

/** Up to three digits, without an exponent. */
function tick(value: number): string {
  return String(Number(value.toFixed(value >= 1 ? 1 : 4)));
}

/** Title, frame, the time in which the script is at work, and both scales. */
function frame(panel: Panel, title: string, unit: string, script: SimScript): string[] {
  const { y, max, endMs, below } = panel;
  const from = xOf(script.fromMs, endMs);
  const lines = [text(PLOT_X, y - 10, title, 'font-weight="600"')];
  if (script.changes.length > 0) {
    lines.push(rect(from, y, xOf(script.toMs, endMs) - from, PLOT_HEIGHT, 'fill="#f6ecd9"'));
  }
  for (const share of [0, 0.5, 1]) {
    const at = y + PLOT_HEIGHT * (1 - share);
    lines.push(
      `<line x1="${PLOT_X}" y1="${at}" x2="${PLOT_X + PLOT_WIDTH}" y2="${at}" stroke="#ddd"/>`,
      text(PLOT_X - 8, at + 4, tick(max * share) + unit, 'text-anchor="end" fill="#555"'),
    );
  }
  for (let share = 0; share <= 1; share += 0.1) {
    const label = `${tick(Number((endMs / 1000 * share).toFixed(1)))} s`;
    const x = PLOT_X + PLOT_WIDTH * share;
    lines.push(
      text(
        Number(x.toFixed(1)),
        y + PLOT_HEIGHT + below + 18,
        label,
        'text-anchor="middle" fill="#555"',
      ),
    );
  }
  return lines;
}

function polyline(values: readonly number[], panel: Panel, style: string): string {
  const points = values.map((value, index) => {
    const x = PLOT_X + (index + 0.5) / values.length * PLOT_WIDTH;
    return `${x.toFixed(1)},${yOf(value, panel).toFixed(1)}`;
  });
  return `<polyline points="${points.join(" ")}" fill="none" ${style}/>`;
}

/** What each bucket sent to a node, as a multiple of an even share among all nodes. */
function nodeShares({ meter }: SimulationOutcome, node: number): number[] {
  const nodes = meter.picks.length;
  return meter.buckets.map(({ calls, refused }, index) => {
    const sent = calls - refused;
    return sent === 0 ? 0 : meter.picksIn[index * nodes + node] / sent * nodes;
  });
}

/** A tick for each verdict; those that would lie on each other are drawn once. */
function marks(run: ChartedRun, panel: Panel): string[] {
  const y = panel.y + PLOT_HEIGHT + 8;
  const half = MARKS_HEIGHT / 2 - 5;
  const drawn = new Set<string>();
  for (const { atMs, overload } of run.outcome.marks) {
    const x = xOf(atMs, panel.endMs).toFixed(0);
    const top = overload ? y : y + half + 2;
    const colour = overload ? OUT_COLOUR : BACK_COLOUR;
    drawn.add(
      `<line x1="${x}" y1="${top}" x2="${x}" y2="${top + half}" stroke="${colour}" ` +
        `stroke-width="1.5"/>`,
    );
  }
  return [
    text(PLOT_X - 8, y + half - 2, "out", `text-anchor="end" fill="${OUT_COLOUR}"`),
    text(PLOT_X - 8, y + 2 * half + 2, "back", `text-anchor="end" fill="${BACK_COLOUR}"`),
    ...drawn,
  ];
}

function sharePanel(run: ChartedRun, script: SimScript, y: number, endMs: number): string[] {
  const nodes = run.outcome.meter.picks.length;
  const struck = new Set(script.struck);
  const all = Array.from({ length: nodes }, (_, node) => node);
  const lines = [
    ...all.filter((node) => !struck.has(node)).slice(0, NODE_LINES_MAX),
    ...script.struck.slice(0, NODE_LINES_MAX),
  ].map((node) => ({ node, values: nodeShares(run.outcome, node) }));
  const highest = lines.reduce((max, { values }) => Math.max(max, ...values), 1);
  const panel: Panel = { y, max: roundUp(highest), endMs, below: MARKS_HEIGHT };
  return [
    ...frame(panel, `${run.summary.policy}: calls of each node, 1 = an even share`, "", script),
    ...lines.map(({ node, values }) => {
      const colour = struck.has(node) ? STRUCK_COLOUR : OTHER_COLOUR;
      return polyline(values, panel, `stroke="${colour}" stroke-width="1.2" stroke-opacity="0.6"`);
    }),
    ...marks(run, panel),
  ];
}

function policyColour(index: number): string {
  return POLICY_COLOURS[index % POLICY_COLOURS.length];
}

/** The policies, by number, in rows that fit beside the title of a panel. */
function legendRows(runs: readonly ChartedRun[]): number[][] {
  const rows: number[][] = [];
  let left = 0;
  runs.forEach(({ summary }, index) => {
    const width = summary.policy.length * LETTER_WIDTH + NAME_SPACE;
    left -= width;
    if (left >= 0) {
      rows[rows.length - 1].push(index);
    } else {
      rows.push([index]);
      left = NAMES_WIDTH - width;
    }
  });
  return rows;
}

/** Names of the policies in the colours of their lines, at the right end of a panel's title. */
function policyLegend(runs: readonly ChartedRun[], y: number): string[] {
  const rows = legendRows(runs);
  return rows.map((row, number) => {
    const names = row.map((index, place) =>
      `<tspan fill="${policyColour(index)}"${place === 0 ? "" : ` dx="${NAME_SPACE}"`}>${
        escape(runs[index].summary.policy)
      }</tspan>`
    );
    const at = y - 10 - (rows.length - 1 - number) * ROW_HEIGHT;
    return `<text x="${PLOT_X + PLOT_WIDTH}" y="${at}" text-anchor="end" font-weight="600">${
      names.join("")
    }</text>`;
  });
}

/** One line for each policy in one panel. */
function comparisonPanel(
  runs: readonly ChartedRun[],
  script: SimScript,
  place: { readonly y: number; readonly endMs: number; readonly least: number },
  about: { readonly title: string; readonly unit: string },
  valuesOf: (summary: PolicySummary) => number[],
): string[] {
  const { y, endMs, least } = place;
  const lines = runs.map(({ summary }) => valuesOf(summary));
  const max = roundUp(lines.flat().reduce((most, value) => Math.max(most, value), least));
  const panel: Panel = { y, max, endMs, below: 0 };
  return [
    ...frame(panel, about.title, about.unit, script),
    ...policyLegend(runs, y),
    ...lines.map((values, index) =>
      polyline(values, panel, `stroke="${policyColour(index)}" stroke-width="1.6"`)
    ),
  ];
}

/**
 * The picture of one script under one or several policies.
 *
 * @param about Line under the title: sizes and seed.
 */
export function drawSimulation(
  runs: readonly ChartedRun[],
  script: SimScript,
  about: string,
  endMs: number,
): string {
  let y = TOP + 24;
  const lines: string[] = [];
  const namesHeight = (legendRows(runs).length - 1) * ROW_HEIGHT;
  const add = (panel: (y: number) => string[], below = 0, above = 0): void => {
    y += above;
    lines.push(...panel(y));
    y += PLOT_HEIGHT + below + PANEL_SPACE;
  };
  for (const run of runs) add((at) => sharePanel(run, script, at, endMs), MARKS_HEIGHT);
  const compare = (
    least: number,
    about: { readonly title: string; readonly unit: string },
    valuesOf: (summary: PolicySummary) => number[],
  ): void =>
    add((y) => comparisonPanel(runs, script, { y, endMs, least }, about, valuesOf), 0, namesHeight);
  compare(
    0.1,
    { title: "Calls that failed or were refused", unit: " %" },
    ({ buckets }) =>
      buckets.map(({ calls, failed, refused }) =>
        calls === 0 ? 0 : (failed + refused) / calls * 100
      ),
  );
  compare(
    1,
    { title: "Time within which 99 of 100 calls ended", unit: " ms" },
    ({ buckets }) => buckets.map(({ p99Ms }) => p99Ms),
  );
  const height = y - 20;
  const legend = "Red: nodes the script strikes. Blue: others. Shaded: the script at work. " +
    "Marks: an agent puts a node out (orange), takes it back (green).";
  return svgDocument(WIDTH, height, [
    text(20, 30, `Lars simulated: ${script.name}`, 'font-size="18"'),
    text(20, 50, about, 'fill="#555"'),
    text(20, 68, legend, 'fill="#555"'),
    ...lines,
  ]);
}
