// Core. Reads what `deno test` and `bun test` print: how many tests did what, and which failed.

/** One test that failed, or a whole file that could not run. */
export interface Failure {
  /** Path of the test file, as it was given to the runner. */
  readonly file: string;
  readonly name: string;
}

/** What one run of a test runner came to. */
export interface TestRun {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** The failed tests by name; may be fewer than `failed` when the runner did not name all. */
  readonly failures: readonly Failure[];
}

/** Name of a failure that is that of a file, outside any test. */
export const OUTSIDE_TESTS = "(outside of tests)";

function withoutColours(output: string): string {
  // deno-lint-ignore no-control-regex -- colour codes
  return output.replace(/\x1b\[[0-9;]*m/g, "");
}

/**
 * Reads the output of `deno test`: the closing line `ok | 12 passed | 0 failed | 1 ignored (3s)`
 * and the lines of its section FAILURES.
 */
export function readDenoOutput(output: string): TestRun {
  const plain = withoutColours(output);
  const last = (plain.match(/^(ok|FAILED) \| .*$/gm) ?? []).at(-1) ?? "";
  const number = (word: string): number =>
    Number(new RegExp(`(\\d+) ${word}`).exec(last)?.[1] ?? 0);
  const failures: Failure[] = [];
  for (const line of (plain.split(/^ FAILURES $/m).at(1) ?? "").split("\n")) {
    const inTest = /^(.+) => (\S+?):\d+:\d+$/.exec(line);
    if (inTest !== null) failures.push({ name: inTest[1], file: inTest[2] });
    const outside = /^(\S+) \(uncaught error\)$/.exec(line);
    if (outside !== null) failures.push({ name: OUTSIDE_TESTS, file: outside[1] });
  }
  return {
    passed: number("passed"),
    failed: number("failed"),
    skipped: number("ignored"),
    failures,
  };
}

/**
 * Reads the output of `bun test`: a line `path_test.ts:` before the tests of each file, `(fail) name`
 * for each failure, and the closing lines ` 12 pass`, ` 1 skip`, ` 0 fail`.
 */
export function readBunOutput(output: string): TestRun {
  const plain = withoutColours(output);
  const number = (word: string): number =>
    Number([...plain.matchAll(new RegExp(`^\\s*(\\d+) ${word}`, "gm"))].at(-1)?.[1] ?? 0);
  const failures: Failure[] = [];
  let file = "";
  for (const line of plain.split("\n")) {
    if (/^\d+ tests (failed|skipped):$/.test(line)) break; // From here on all is said again.
    file = /^(\S+_test\.ts):$/.exec(line)?.[1] ?? file;
    const name = /^\(fail\) (.+?)( \[[\d.]+m?s\])?$/.exec(line)?.[1] ??
      (line === "# Unhandled error between tests" ? OUTSIDE_TESTS : undefined);
    if (name !== undefined && file !== "") failures.push({ name, file });
  }
  return {
    passed: number("pass"),
    failed: number("fail"),
    skipped: number("skip"),
    failures,
  };
}
