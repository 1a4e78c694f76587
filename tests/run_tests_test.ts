// The test command: failures named, second runs, output not mixed, signals.
// Runs on Deno only: the test command does.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Ended, type Processes, withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";

/** A start of each runtime and of two runs; npm may have to bring Bun first. */
const TIMEOUT_MS = 120_000;

/** A folder with these test files, and a way to run the test command there. */
function project(
  processes: Processes,
  files: Readonly<Record<string, string>>,
): (...args: string[]) => Promise<Ended> {
  const folder = join(processes.directory, "project");
  mkdirSync(folder, { recursive: true });
  for (const [name, source] of Object.entries(files)) {
    const imports = 'import assert from "node:assert/strict";\n' +
      'import { existsSync, writeFileSync } from "node:fs";\nimport { test } from "node:test";\n';
    writeFileSync(join(folder, name), `${imports}${source}\n`);
  }
  return (...args) =>
    processes.spawn(
      "run_tests",
      "tests/run_tests.ts",
      ["--skip=mysql", "--skip=browser", ...args],
      {
        cwd: folder,
      },
    ).untilEnded(TIMEOUT_MS);
}

/** Lines that begin with one of these words. */
function linesWith(output: string, ...words: string[]): string[] {
  return output.split("\n").filter((line) => words.some((word) => line.startsWith(word)));
}

const PASSES = 'test("passes", () => assert.ok(true));';

test("every file runs on both runtimes, and each failure is named with both", async () => {
  await withProcesses(async (processes) => {
    const run = project(processes, {
      "good_test.ts": PASSES,
      "deno_test.ts": `// Runs on Deno only: an example.\n${PASSES}`,
      "bad_test.ts": `${PASSES} test("fails", () => assert.equal(1, 2));`,
    });
    const { code, stdout } = await run("--lanes=2");
    assert.equal(code, 1, stdout);
    assert.deepEqual(linesWith(stdout, "Failed", "Passed").sort(), [
      "Failed: Bun: bad_test.ts: fails",
      "Failed: Deno: bad_test.ts: fails",
    ]);
    assert.match(stdout, /^5 passed, 2 failed, 0 skipped, in 0 min \d+ s$/m);
    assert.match(stdout, /^== Deno bad_test\.ts: 1 passed, 1 failed, 0 skipped, [\d.]+ s/m);
    assert.match(stdout, /^ +[\d.]+ +- {2}deno_test\.ts$/m, "one of the slowest files");
  });
});

test("a test that passes the second time is named; with --strict it runs once", async () => {
  await withProcesses(async (processes) => {
    const run = project(processes, {
      "shaky_test.ts": `test("shaky", () => {
        if (existsSync("seen")) return;
        writeFileSync("seen", "");
        assert.fail("the first time");
      });`,
      "good_test.ts": PASSES,
    });
    const again = await run("--only=deno");
    assert.equal(again.code, 0, again.stdout);
    assert.deepEqual(linesWith(again.stdout, "Failed", "Passed"), [
      "Passed on the second run only: Deno: shaky_test.ts: shaky",
    ]);
    assert.match(again.stdout, /^2 passed, 0 failed, 0 skipped/m);
    project(processes, { "shaky_test.ts": 'test("shaky", () => assert.fail());' });
    const once = await run("--only=deno", "--strict", "shaky");
    assert.equal(once.code, 1, once.stdout);
    assert.doesNotMatch(once.stdout, /once more/);
    assert.match(once.stdout, /^0 passed, 1 failed, 0 skipped/m);
  });
});

test("a process that breaks off, or has no test, counts as failed", async () => {
  await withProcesses(async (processes) => {
    const run = project(processes, {
      "exit_test.ts": `${PASSES} process.exit(7);`,
      "none_test.ts": "assert.ok(true);",
      "good_test.ts": PASSES,
    });
    for (const runtime of ["deno", "bun"]) {
      const { code, stdout } = await run(`--only=${runtime}`);
      assert.equal(code, 1, stdout);
      const failed = linesWith(stdout, "Failed");
      assert.equal(failed.length, 2, stdout);
      for (const name of ["exit_test.ts", "none_test.ts"]) {
        assert.ok(failed.some((line) => line.includes(name)), `${name}: ${failed}`);
      }
      assert.match(stdout, /^1 passed, 2 failed/m);
    }
  });
});

test("output of files that run side by side is not mixed", async () => {
  await withProcesses(async (processes) => {
    const chatty = (name: string): string =>
      `test("talks", async () => {
        for (let i = 0; i < 20; i++) {
          console.log("${name}", i);
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
      });`;
    const files = { "a_test.ts": chatty("from a"), "b_test.ts": chatty("from b") };
    const { code, stdout } = await project(processes, files)("--only=bun", "--lanes=2");
    assert.equal(code, 0, stdout);
    const said = linesWith(stdout, "from").map((line) => line.slice(0, 6));
    assert.equal(said.length, 40);
    assert.equal(said.filter((one, index) => one !== said[index - 1]).length, 2, said.join());
  });
});

test("a signal ends every test process, and what they wrote is shown", async () => {
  await withProcesses(async (processes) => {
    const folder = join(processes.directory, "project");
    const hang = `test("hangs", async () => {
      console.log("process " + process.pid);
      writeFileSync("began", String(process.pid));
      await new Promise((resolve) => setTimeout(resolve, 600_000));
    });`;
    project(processes, { "hang_test.ts": hang, "later_test.ts": PASSES });
    const command = ["--skip=mysql", "--skip=browser", "--only=bun", "--lanes=1"];
    const runner = processes.spawn("run_tests", "tests/run_tests.ts", command, { cwd: folder });
    const { existsSync, readFileSync } = await import("node:fs");
    const began = join(folder, "began");
    await until(() => existsSync(began) && readFileSync(began, "utf8") !== "", {
      timeoutMs: TIMEOUT_MS,
      what: () => `the test to begin: ${runner.stdout}${runner.stderr}`,
    });
    runner.signal("SIGINT");
    const { code, stdout } = await runner.untilEnded(TIMEOUT_MS);
    assert.equal(code, 130, stdout);
    const pid = Number(readFileSync(began, "utf8"));
    assert.match(stdout, new RegExp(`^process ${pid}$`, "m"));
    assert.doesNotMatch(stdout, /later_test/);
    await until(() => !existsSync(`/proc/${pid}`), { what: "the end of the test process" });
  });
});

test("words that are not known end with exit code 2", async () => {
  await withProcesses(async (processes) => {
    const run = project(processes, { "good_test.ts": PASSES });
    const cases: [string[], RegExp][] = [
      [
        ["--skip=something"],
        /--skip knows mysql, browser, bun, clients: current value is something/,
      ],
      [["--only=node"], /--only knows deno, bun: current value is node/],
      [["--lanes=0"], /--lanes must be a whole number from 1 to 64: current value is 0/],
      [["--nonsense"], /unknown option/],
      [["nowhere"], /No test file matches nowhere/],
    ];
    for (const [args, words] of cases) {
      const { code, stdout, stderr } = await run(...args);
      assert.equal(code, 2, stderr);
      assert.match(stdout + stderr, words);
    }
  });
});
