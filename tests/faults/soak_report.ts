// Core. What a soak has recorded, what is judged of it, and its picture.

import { escape, svgDocument, text } from "../../sim/svg.ts";

/** A second of the callers. */
export interface CallerSecond {
  readonly asked: number;
  readonly ok: number;
  /** No answer within a second. */
  readonly lost: number;
  /** Answers to questions that were lost by that. */
  readonly late: number;
  /** Answered without a node. */
  readonly refused: number;
  /** Answered with what was not asked for, or a node of another module. */
  readonly wrong: number;
  readonly p50us: number;
  readonly p99us: number;
  readonly maxUs: number;
}

/** One look at a process. */
export interface ProcessSample {
  readonly atMs: number;
  readonly bytes: number;
  readonly handles: number;
}

/** All looks at one service; those that faults end are not judged. */
export interface ServiceRecord {
  readonly name: string;
  readonly isSteady: boolean;
  readonly samples: readonly ProcessSample[];
}

/** A fault that was brought about. */
export interface FaultMark {
  readonly atMs: number;
  readonly what: string;
}

/** All that was recorded; times in milliseconds since the start. */
export interface SoakRecord {
  readonly seconds: readonly CallerSecond[];
  readonly services: readonly ServiceRecord[];
  readonly faults: readonly FaultMark[];
  readonly rate: number;
}

const HOUR_MS = 3_600_000;
const MB = 2 ** 20;

function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}

/** Parts of the time of which only the lowest size counts, as garbage is collected in each. */
const PART_MS = 60_000;

/** The look of each part at which a process was smallest. */
function lowest(samples: readonly ProcessSample[], fromMs: number): ProcessSample[] {
  const parts = new Map<number, ProcessSample>();
  for (const sample of samples) {
    const part = Math.floor((sample.atMs - fromMs) / PART_MS);
    if (part >= 0 && sample.bytes < (parts.get(part)?.bytes ?? Infinity)) parts.set(part, sample);
  }
  return [...parts.values()];
}

/**
 * How much what a process holds grows, in megabytes an hour, as the middle of the slopes between all
 * pairs of its lowest sizes (Theil and Sen): what has not yet been collected does not count, and a
 * jump that stays hardly does.
 */
export function slopeMbPerHour(samples: readonly ProcessSample[], fromMs: number): number {
  const points = lowest(samples, fromMs);
  const slopes: number[] = [];
  for (let first = 0; first < points.length; first++) {
    for (let second = first + 1; second < points.length; second++) {
      const [a, b] = [points[first], points[second]];
      if (b.atMs > a.atMs) slopes.push((b.bytes - a.bytes) / MB / (b.atMs - a.atMs) * HOUR_MS);
    }
  }
  return middle(slopes);
}

/** Handles more at the end than at the beginning, by the middles of two thirds. */
export function handleGrowth(samples: readonly ProcessSample[], fromMs: number): number {
  const after = samples.filter(({ atMs }) => atMs >= fromMs);
  const third = Math.floor(after.length / 3);
  const handles = (part: readonly ProcessSample[]): number =>
    middle(part.map((one) => one.handles));
  return third === 0 ? 0 : handles(after.slice(-third)) - handles(after.slice(0, third));
}

/** Sums of all seconds. */
export function callerTotals(seconds: readonly CallerSecond[]): CallerSecond {
  const sum = (name: keyof CallerSecond): number =>
    seconds.reduce((total, one) => total + one[name], 0);
  const most = (name: keyof CallerSecond): number =>
    Math.max(0, ...seconds.map((one) => one[name]));
  return {
    ...{ asked: sum("asked"), ok: sum("ok"), lost: sum("lost"), late: sum("late") },
    ...{
      refused: sum("refused"),
      wrong: sum("wrong"),
      p50us: middle(seconds.map(({ p50us }) => p50us)),
    },
    ...{ p99us: middle(seconds.map(({ p99us }) => p99us)), maxUs: most("maxUs") },
  };
}

const WIDTH = 1100;
const PANEL = 130;
const GAP = 46;
const LEFT = 70;
const RIGHT = 230;
const COLORS = [
  ...["#2b8a57", "#5b7db1", "#c2412d", "#d18400", "#7a4fa3", "#1c8c9c", "#8a6d3b", "#d0498b"],
  ...["#555555", "#9aa7b5"],
];

interface Line {
  readonly name: string;
  readonly points: readonly (readonly [atMs: number, value: number])[];
}

function panel(title: string, lines: readonly Line[], y: number, endMs: number): string[] {
  const most = Math.max(1e-9, ...lines.flatMap(({ points }) => points.map(([, value]) => value)));
  const x = (atMs: number): string => (LEFT + atMs / endMs * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const at = (value: number): string => (y + PANEL - value / most * (PANEL - 8)).toFixed(1);
  const elements = [
    text(LEFT, y - 6, title, 'font-weight="600"'),
    `<rect x="${LEFT}" y="${y}" width="${WIDTH - LEFT - RIGHT}" height="${PANEL}" ` +
    `fill="none" stroke="#bbb"/>`,
    text(LEFT - 6, y + 12, most >= 100 ? String(Math.round(most)) : most.toFixed(1), END),
    text(LEFT - 6, y + PANEL, "0", END),
  ];
  lines.forEach(({ name, points }, index) => {
    const color = COLORS[index % COLORS.length];
    const path = points.map(([atMs, value]) => `${x(atMs)},${at(value)}`).join(" ");
    elements.push(
      `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="1.2"/>`,
      `<rect x="${WIDTH - RIGHT + 12}" y="${y + 4 + index * 13}" width="9" height="9" ` +
        `fill="${color}"/>`,
      text(WIDTH - RIGHT + 26, y + 12 + index * 13, name, 'font-size="11"'),
    );
  });
  return elements;
}

const END = 'text-anchor="end" fill="#555" font-size="11"';

/** The picture: calls, their times, memory and handles of each service, and the faults. */
export function drawSoak(record: SoakRecord, about: string): string {
  const { seconds, services, faults } = record;
  const endMs = Math.max(
    seconds.length * 1000,
    ...services.flatMap(({ samples }) => samples.slice(-1).map(({ atMs }) => atMs)),
    1,
  );
  const each = (value: (second: CallerSecond) => number): Line["points"] =>
    seconds.map((second, index) => [(index + 1) * 1000, value(second)]);
  const of = (value: (sample: ProcessSample) => number): Line[] =>
    services.map(({ name, samples }) => ({
      name,
      points: samples.map((sample) => [sample.atMs, value(sample)] as const),
    }));
  const panels: readonly [string, Line[]][] = [
    ["answers a second", [
      { name: "right", points: each(({ ok }) => ok) },
      { name: "lost", points: each(({ lost }) => lost) },
      { name: "wrong or none", points: each(({ wrong, refused }) => wrong + refused) },
    ]],
    ["time to an answer, ms", [
      { name: "p99", points: each(({ p99us }) => p99us / 1000) },
      { name: "middle", points: each(({ p50us }) => p50us / 1000) },
    ]],
    ["memory, MB", of(({ bytes }) => bytes / MB)],
    ["handles", of(({ handles }) => handles)],
  ];
  const top = 84;
  const bottom = top + panels.length * (PANEL + GAP) - GAP;
  const scale = (WIDTH - LEFT - RIGHT) / endMs;
  const marks = faults.map(({ atMs, what }) => {
    const x = (LEFT + atMs * scale).toFixed(1);
    return `<line x1="${x}" y1="${top}" x2="${x}" y2="${bottom}" stroke="#c9b582" ` +
      `stroke-width="1"><title>${escape(what)}</title></line>`;
  });
  return svgDocument(WIDTH, bottom + 30, [
    text(LEFT, 28, "All services under load, with faults", 'font-size="17"'),
    text(LEFT, 48, about, 'fill="#555"'),
    ...marks,
    ...panels.flatMap(([title, lines], index) =>
      panel(title, lines, top + index * (PANEL + GAP), endMs)
    ),
    text(LEFT, bottom + 18, `0 to ${(endMs / 60_000).toFixed(1)} min; each line across: a fault`),
  ]);
}
