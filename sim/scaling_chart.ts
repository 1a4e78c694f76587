// Core. Draws a fleet that grows and shrinks: load, nodes, failed calls, and each step.

import { svgDocument, text } from "./svg.ts";

/** A fleet at one instant. */
export interface ChartedFleet {
  readonly second: number;
  /** Calls/s. */
  readonly load: number;
  readonly nodes: number;
  /** Calls/s that failed. */
  readonly failed: number;
  readonly step?: "up" | "down" | undefined;
}

/** One fleet over time. */
export interface ChartedScaling {
  readonly title: string;
  readonly points: readonly ChartedFleet[];
  /** Calls/s that a node should have. */
  readonly target: number;
}

const WIDTH = 1000;
const PLOT_X = 70;
const PLOT_WIDTH = 900;
const PLOT_HEIGHT = 130;
const PANEL_HEIGHT = PLOT_HEIGHT + 66;
const TOP = 92;
const LOAD_COLOUR = "#5b7db1";
const NODES_COLOUR = "#2b8a57";
const FAILED_COLOUR = "#c2412d";
const DOWN_COLOUR = "#d18400";

/** Instants drawn of one fleet; of more the mean of some neighbours. */
const POINTS_MAX = 450;

/** Fewer instants, with all their steps. */
function thinned(points: readonly ChartedFleet[]): ChartedFleet[] {
  const size = Math.ceil(points.length / POINTS_MAX);
  return Array.from({ length: Math.ceil(points.length / size) }, (_, index) => {
    const some = points.slice(index * size, (index + 1) * size);
    const mean = (valueOf: (point: ChartedFleet) => number): number =>
      some.reduce((sum, point) => sum + valueOf(point), 0) / some.length;
    return {
      ...some[some.length - 1],
      load: mean(({ load }) => load),
      failed: mean(({ failed }) => failed),
      step: some.find(({ step }) => step !== undefined)?.step,
    };
  });
}

function panel({ title, points: all, target }: ChartedScaling, y: number): string[] {
  const points = thinned(all);
  const endS = (points.at(-1)?.second ?? 0) + 1;
  const most = points.reduce(
    (max, { load, nodes }) => Math.max(max, nodes, load / target),
    1,
  );
  const xOf = (second: number): string => (PLOT_X + second / endS * PLOT_WIDTH).toFixed(1);
  const yOf = (nodes: number): string => (y + PLOT_HEIGHT * (1 - nodes / most)).toFixed(1);
  const line = (colour: string, valueOf: (point: ChartedFleet) => number): string => {
    const path = points.map((point) => `${xOf(point.second)},${yOf(valueOf(point))}`).join(" ");
    return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="1.5"/>`;
  };
  const grid = [0, 0.5, 1].flatMap((share) => {
    const at = y + PLOT_HEIGHT * (1 - share);
    return [
      `<line x1="${PLOT_X}" y1="${at}" x2="${PLOT_X + PLOT_WIDTH}" y2="${at}" stroke="#ddd"/>`,
      text(PLOT_X - 8, at + 4, (most * share).toFixed(1), 'text-anchor="end" fill="#555"'),
    ];
  });
  const times = Array.from({ length: 7 }, (_, index) => {
    const second = endS * index / 6;
    const more = 'text-anchor="middle" fill="#555"';
    return text(Number(xOf(second)), y + PLOT_HEIGHT + 34, `${second.toFixed(0)} s`, more);
  });
  const marks = points.flatMap(({ second, step }) => {
    if (step === undefined) return [];
    const [x, base] = [Number(xOf(second)), y + PLOT_HEIGHT + 6];
    const [tip, foot] = step === "up" ? [base, base + 9] : [base + 9, base];
    const colour = step === "up" ? NODES_COLOUR : DOWN_COLOUR;
    return [`<path d="M${x - 4},${foot} L${x + 4},${foot} L${x},${tip} Z" fill="${colour}"/>`];
  });
  return [
    text(PLOT_X, y - 10, title, 'font-weight="600"'),
    ...[...grid, ...times],
    line(LOAD_COLOUR, ({ load }) => load / target),
    line(FAILED_COLOUR, ({ failed }) => failed / target),
    line(NODES_COLOUR, ({ nodes }) => nodes),
    ...marks,
  ];
}

/** The picture of some fleets, one below the other. */
export function drawScaling(fleets: readonly ChartedScaling[], about: string): string {
  const legend = "Green: nodes. Blue: load, as the nodes that the target asks for. " +
    "Red: failed calls, by the same measure. Triangles: steps up (green) and down (orange).";
  return svgDocument(WIDTH, TOP + fleets.length * PANEL_HEIGHT, [
    text(20, 30, "Lars: fleets that follow their load", 'font-size="18"'),
    text(20, 50, about, 'fill="#555"'),
    text(20, 68, legend, 'fill="#555"'),
    ...fleets.flatMap((fleet, index) => panel(fleet, TOP + 20 + index * PANEL_HEIGHT)),
  ]);
}
