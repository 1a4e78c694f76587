// Shell. `deno task test`: brings a database, runs every test on Deno and on Bun, counts them once.

import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import process from "node:process";
import { Command, CommanderError } from "commander";
import { findChromium } from "./browser/chromium.ts";
import { findProgram, type MariaDb, startMariaDb } from "./support/mariadb.ts";
import { bringPromtool, PROMTOOL_VARIABLE } from "./support/promtool.ts";
import { readBunOutput, readDenoOutput, type TestRun } from "./support/test_output.ts";

/** The Bun that tests run on, taken from npm. */
const BUN_PACKAGE = "bun@1.4.5";

/** Debian packages that hold the database server and its client. */
const MARIADB_PACKAGES = ["mariadb-server", "mariadb-client"];

/** A test file whose first lines say this needs Deno itself and is left out on Bun. */
const DENO_ONLY_MARK = "// Runs on Deno only";

/** With failures in more files than this something is broken: they are not run again. */
const RERUN_FILES_MAX = 5;

interface Options {
  skip: string[];
  only?: string;
  strict?: boolean;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Runs a program with its output shown and kept; resolves with exit code and output. */
function run(
  argv: readonly string[],
  env: Record<string, string | undefined>,
): Promise<{ code: number; output: string }> {
  const [program, ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: "pipe" });
    let output = "";
    const keep = (chunk: Uint8Array): void => {
      process.stdout.write(chunk);
      output += new TextDecoder().decode(chunk);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.stdin.end();
    child.on("error", reject);
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

/** Finds a `mariadbd`, or installs the Debian package where that is possible. */
async function bringMariaDb(): Promise<void> {
  if (findProgram("mariadbd") !== undefined) return;
  const isDebian = existsSync("/usr/bin/apt-get");
  const isRoot = process.getuid?.() === 0;
  const hint = `install it with: apt-get install ${MARIADB_PACKAGES.join(" ")} ` +
    "(or set LARS_TEST_MYSQL_URL=mysql://user:password@host:port, or pass --skip mysql)";
  if (!isDebian || !isRoot) throw new Error(`No mariadbd on this machine; ${hint}`);
  say("Installing MariaDB (Debian package, once) ...");
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  const quiet = ["-qq", "-o", "Dpkg::Use-Pty=0"];
  await run(["apt-get", "update", ...quiet], env);
  const { code } = await run(
    ["apt-get", "install", "-y", "--no-install-recommends", ...quiet, ...MARIADB_PACKAGES],
    env,
  );
  if (code !== 0 || findProgram("mariadbd") === undefined) {
    throw new Error(`MariaDB did not install; ${hint}`);
  }
}

/** Folders of the tests that need a browser. */
const BROWSER_TESTS = "tests/browser/";

/** Finds a Chromium, or installs the Debian package; says in a line why not when it cannot. */
async function bringChromium(): Promise<string | undefined> {
  if (findChromium() !== undefined) return undefined;
  const hint = "install it with: apt-get install chromium " +
    "(or name one in LARS_TEST_CHROMIUM, or pass --skip browser)";
  if (!existsSync("/usr/bin/apt-get") || process.getuid?.() !== 0) {
    return `no Chromium on this machine; ${hint}`;
  }
  say("Installing Chromium (Debian package, once, about 100 MB) ...");
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  const plain = ["-o", "Dpkg::Use-Pty=0"];
  await run(["apt-get", "update", "-qq", ...plain], env);
  const { code } = await run(
    ["apt-get", "install", "-y", "--no-install-recommends", ...plain, "chromium"],
    env,
  );
  return code === 0 && findChromium() !== undefined
    ? undefined
    : `Chromium did not install; ${hint}`;
}

async function testFiles(): Promise<string[]> {
  const found: string[] = [];
  const walk = async (folder: string): Promise<void> => {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      if (entry.name.startsWith(".") || ["node_modules", "dist", "data"].includes(entry.name)) {
        continue;
      }
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) await walk(path);
      else if (entry.name.endsWith("_test.ts")) found.push(path);
    }
  };
  await walk(".");
  return found.sort();
}

function isDenoOnly(path: string): boolean {
  return readFileSync(path, "utf8").slice(0, 400).includes(DENO_ONLY_MARK);
}

/** A runtime under which the tests run. */
interface Runner {
  readonly name: "Deno" | "Bun";
  command(files: readonly string[]): string[];
  read(output: string): TestRun;
}

const RUNNERS: readonly Runner[] = [
  {
    name: "Deno",
    command: (files) => [process.execPath, "test", "-A", "--no-check", "--quiet", ...files],
    read: readDenoOutput,
  },
  {
    name: "Bun",
    command: (files) => ["npx", "-y", BUN_PACKAGE, "test", "--timeout", "60000", ...files],
    read: readBunOutput,
  },
];

async function runFiles(
  runner: Runner,
  files: readonly string[],
  env: Record<string, string>,
): Promise<TestRun> {
  const { code, output } = await run(runner.command(files), env);
  const result = runner.read(output);
  if (code === 0 || result.failed > 0) return result;
  say(`${runner.name} ended with exit code ${code}`);
  return { ...result, failed: 1 };
}

/**
 * Runs the files of failed tests once more, alone: on a machine that other programs load, a
 * time-out may say nothing about the code. What passes then is named as such in the last lines.
 */
async function runAgain(
  runner: Runner,
  first: TestRun,
  env: Record<string, string>,
): Promise<TestRun & { unsteady: string[] }> {
  const files = [...new Set(first.failures.map(({ file }) => file))];
  if (
    files.length === 0 || files.length > RERUN_FILES_MAX || first.failed > first.failures.length
  ) {
    return { ...first, unsteady: [] };
  }
  say(`\n== ${runner.name}, failed tests once more: ${files.join(" ")} ==`);
  const second = await runFiles(runner, files, env);
  const left = Math.min(second.failed, first.failed);
  const stillFails = (name: string): boolean =>
    left > 0 && (second.failures.length === 0 || second.failures.some((one) => one.name === name));
  return {
    passed: first.passed + first.failed - left,
    failed: left,
    skipped: first.skipped,
    failures: second.failures,
    unsteady: first.failures.filter(({ name }) => !stillFails(name))
      .map(({ file, name }) => `${runner.name}: ${file}: ${name}`),
  };
}

function parseOptions(argv: string[]): { options: Options; paths: string[] } {
  const command = new Command("deno task test")
    .description("Run all tests on Deno and on Bun, with a real MariaDB.")
    .argument("[paths...]", "only test files whose path contains one of these texts")
    .option(
      "--skip <what>",
      "mysql: no database tests; browser: no tests of pages; bun: Deno only",
      (value, all: string[]) => {
        if (!["mysql", "browser", "bun"].includes(value)) {
          throw new CommanderError(
            2,
            "usage",
            `--skip knows mysql, browser and bun: current value is ${value}`,
          );
        }
        return [...all, value];
      },
      [],
    )
    .option("--only <runtime>", "deno or bun")
    .option("--strict", "a failed test counts as failed, it is not run once more")
    .exitOverride();
  command.parse(argv, { from: "user" });
  return { options: command.opts<Options>(), paths: command.args };
}

async function main(argv: string[]): Promise<number> {
  const { options, paths } = parseOptions(argv);
  const files = (await testFiles()).filter((file) =>
    paths.length === 0 || paths.some((path) => file.includes(path))
  );
  if (files.length === 0) {
    say(`No test file matches ${paths.join(" ")}`);
    return 2;
  }
  const env: Record<string, string> = {};
  let database: MariaDb | undefined;
  if (options.skip.includes("mysql")) env.LARS_TEST_SKIP_MYSQL = "1";
  else if (process.env.LARS_TEST_MYSQL_URL === undefined) {
    await bringMariaDb();
    database = await startMariaDb();
    env.LARS_TEST_MYSQL_URL = database.url;
  }
  if (options.skip.includes("browser")) env.LARS_TEST_SKIP_BROWSER = "1";
  else if (files.some((file) => file.includes(BROWSER_TESTS))) {
    const reason = await bringChromium();
    if (reason !== undefined) {
      await database?.stop();
      throw new Error(reason);
    }
  }
  if (files.some((file) => file.endsWith("tests/metrics_test.ts"))) {
    const promtool = bringPromtool();
    if (promtool !== undefined) env[PROMTOOL_VARIABLE] = promtool;
  }
  let failed = 0;
  try {
    failed = await runAll(files, options, env);
  } finally {
    await database?.stop();
  }
  return failed === 0 ? 0 : 1;
}

/** Runs the files under every runtime asked for, and says what came of it. */
async function runAll(
  files: readonly string[],
  options: Options,
  env: Record<string, string>,
): Promise<number> {
  const firsts: { runner: Runner; first: TestRun }[] = [];
  for (const runner of RUNNERS) {
    const name = runner.name.toLowerCase();
    if (options.skip.includes(name) || (options.only ?? name) !== name) continue;
    const portable = runner.name === "Bun" ? files.filter((file) => !isDenoOnly(file)) : files;
    const left = files.length - portable.length;
    say(`\n== ${runner.name} ==${left === 0 ? "" : ` (${left} files run on Deno only)`}`);
    firsts.push({ runner, first: await runFiles(runner, portable, env) });
  }
  const total = { passed: 0, failed: 0, skipped: 0 };
  const lines = options.skip.map((what) => `${what} was skipped on request`);
  for (const { runner, first } of firsts) {
    const result = options.strict ? { ...first, unsteady: [] } : await runAgain(runner, first, env);
    total.passed += result.passed;
    total.failed += result.failed;
    total.skipped += result.skipped;
    lines.push(...result.unsteady.map((test) => `Passed on the second run only: ${test}`));
    lines.push(
      ...result.failures.map(({ file, name }) => `Failed: ${runner.name}: ${file}: ${name}`),
    );
  }
  lines.push(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  say(`\n${lines.join("\n")}`);
  return total.passed > 0 ? total.failed : Math.max(1, total.failed);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof CommanderError) {
    if (error.code === "usage") process.stderr.write(`${error.message}\n`);
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
