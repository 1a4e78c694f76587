// Shell. Figures that tests print for the table of faults, and how long their faults last.

import assert from "node:assert/strict";
import process from "node:process";
import { FIGURE_MARK } from "../faults/fault_report.ts";
import { BUSY_MACHINE_FACTOR, toleratedMs } from "./in_time.ts";

/** Says how long a fault lasts that is promised to be outlived for an hour; seconds. */
export const SECONDS_VARIABLE = "LARS_FAULTS_SECONDS";

/** How many hostile frames, and as many datagrams, are sent. */
export const HOSTILE_VARIABLE = "LARS_FAULTS_HOSTILE";

/** Without it, as in `deno task test`. */
const SECONDS_USUAL = 3;

/** Seconds that a long fault lasts in this run. */
export function faultSeconds(): number {
  return Number(process.env[SECONDS_VARIABLE] ?? SECONDS_USUAL);
}

/** Prints one figure of a row. */
export function figure(text: string): void {
  console.log(`${FIGURE_MARK}${text}`);
}

/** A measured number, and the largest that is promised. */
export interface Promised {
  readonly what: string;
  readonly value: number;
  readonly atMost: number;
  readonly unit: string;
}

/**
 * Prints a measured time, or memory, beside what is promised; the test fails when it is far beyond it, as a
 * machine that is merely busy never is. The table says which were beyond it at all.
 */
export function timeFigure({ what, value, atMost, unit }: Promised): void {
  const late = value > atMost ? `, ${LATE_WORD}` : "";
  const shown = value < 10 ? value.toFixed(1) : Math.round(value);
  const text = `${what} ${shown} ${unit} (promised ${atMost} ${unit}${late})`;
  figure(text);
  const limit = unit === "ms"
    ? toleratedMs(atMost)
    : unit === "s"
    ? toleratedMs(atMost * 1000) / 1000
    : atMost * BUSY_MACHINE_FACTOR;
  assert.ok(value <= limit, text);
}

/** Prints a count beside what is promised, which holds on any machine. */
export function countFigure({ what, value, atMost, unit }: Promised): void {
  const text = `${what} ${value} ${unit} (promised ${atMost})`;
  figure(text);
  assert.ok(value <= atMost, text);
}

/** Stands in a figure that is beyond what is promised. */
const LATE_WORD = "late";
