// Core. What the runs of test files come to together: counts, second runs, and the slowest files.

import type { TestRun } from "./test_output.ts";

/** One test file on one runtime, and what came of it. */
export interface FileOutcome {
  readonly runtime: string;
  readonly file: string;
  readonly run: TestRun;
  readonly tookMs: number;
  /** What is wrong with the process itself, when the tests do not say it. */
  readonly fault?: string;
}

/** How many tests did what. */
export type Counts = Pick<TestRun, "passed" | "failed" | "skipped">;

/** With failures in more files of one runtime than this something is broken: none runs again. */
export const RERUN_FILES_MAX = 5;

/**
 * The outcomes whose files should run once more: those with failed tests, unless a process failed
 * as a whole or there are too many of them on their runtime.
 */
export function worthAnotherRun(outcomes: readonly FileOutcome[]): FileOutcome[] {
  const failed = outcomes.filter(({ run }) => run.failed > 0);
  return failed.filter(({ runtime, fault, run }) =>
    fault === undefined && run.failures.length === run.failed &&
    failed.filter((one) => one.runtime === runtime).length <= RERUN_FILES_MAX
  );
}

/** Names of the tests that failed in the first run of a file and not in the second. */
export function unsteadyTests(first: TestRun, second: TestRun): string[] {
  const isSure = second.failures.length === second.failed;
  return first.failures.map(({ name }) => name)
    .filter((name) => isSure && !second.failures.some((one) => one.name === name));
}

/** All counts together. */
export function totalOf(outcomes: readonly FileOutcome[]): Counts {
  const sum = (of: (run: TestRun) => number): number =>
    outcomes.reduce((total, { run }) => total + of(run), 0);
  return {
    passed: sum(({ passed }) => passed),
    failed: sum(({ failed }) => failed),
    skipped: sum(({ skipped }) => skipped),
  };
}

/** `12 passed, 1 failed, 0 skipped`. */
export function countsText({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

/** A line for each test that failed. */
export function failureLines(outcomes: readonly FileOutcome[]): string[] {
  return outcomes.flatMap(({ runtime, file, run, fault }) => {
    const names = run.failures.map(({ name }) => name);
    if (fault !== undefined) names.push(fault);
    const left = run.failed - names.length;
    if (left > 0) names.push(`${left} failed without a name`);
    return names.map((name) => `Failed: ${runtime}: ${file}: ${name}`);
  });
}

/**
 * The lines of a table of the files that took longest, all runtimes together, worst first, with
 * the seconds of each runtime.
 */
export function slowestLines(outcomes: readonly FileOutcome[], count: number): string[] {
  const runtimes = [...new Set(outcomes.map(({ runtime }) => runtime))];
  const files = new Map<string, Map<string, number>>();
  for (const { runtime, file, tookMs } of outcomes) {
    const times = files.get(file) ?? new Map<string, number>();
    times.set(runtime, tookMs);
    files.set(file, times);
  }
  const total = (times: Map<string, number>): number =>
    [...times.values()].reduce((sum, tookMs) => sum + tookMs, 0);
  const slowest = [...files].sort(([, a], [, b]) => total(b) - total(a)).slice(0, count);
  const cell = (text: string): string => text.padStart(8);
  const seconds = (tookMs: number | undefined): string =>
    cell(tookMs === undefined ? "-" : (tookMs / 1000).toFixed(1));
  return [
    `${runtimes.map(cell).join("")}  seconds of the slowest files`,
    ...slowest.map(([file, times]) =>
      `${runtimes.map((runtime) => seconds(times.get(runtime))).join("")}  ${file}`
    ),
  ];
}
