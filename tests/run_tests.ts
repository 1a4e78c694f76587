// Shell. `deno task test`: brings a database, runs every test on Deno and on Bun, counts them once.

import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import process from "node:process";
import { Command, CommanderError } from "commander";
import { findChromium } from "./browser/chromium.ts";
import { findProgram, type MariaDb, startMariaDb } from "./support/mariadb.ts";

/** The Bun that tests run on, taken from npm. */
const BUN_PACKAGE = "bun@1.4.5";

/** Debian packages that hold the database server and its client. */
const MARIADB_PACKAGES = ["mariadb-server", "mariadb-client"];

/** A test file whose first lines say this needs Deno itself and is left out on Bun. */
const DENO_ONLY_MARK = "// Runs on Deno only";

interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

interface Options {
  skip: string[];
  only?: string;
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

/** Reads the closing line of `deno test`: `ok | 12 passed | 0 failed | 1 ignored (3s)`. */
function countDeno(output: string): Count {
  // deno-lint-ignore no-control-regex -- colour codes
  const plain = output.replace(/\x1b\[[0-9;]*m/g, "");
  const lines = plain.match(/^(ok|FAILED) \| .*$/gm) ?? [];
  const last = lines.at(-1) ?? "";
  const number = (word: string): number =>
    Number(new RegExp(`(\\d+) ${word}`).exec(last)?.[1] ?? 0);
  return { passed: number("passed"), failed: number("failed"), skipped: number("ignored") };
}

/** Reads the closing lines of `bun test`: ` 12 pass`, ` 1 skip`, ` 0 fail`. */
function countBun(output: string): Count {
  const number = (word: string): number =>
    Number([...output.matchAll(new RegExp(`^\\s*(\\d+) ${word}`, "gm"))].at(-1)?.[1] ?? 0);
  return { passed: number("pass"), failed: number("fail"), skipped: number("skip") };
}

async function runOnDeno(files: string[], env: Record<string, string>): Promise<Count> {
  say("\n== Deno ==");
  const { code, output } = await run(
    [process.execPath, "test", "-A", "--no-check", "--quiet", ...files],
    env,
  );
  const count = countDeno(output);
  if (code !== 0 && count.failed === 0) count.failed = 1;
  return count;
}

async function runOnBun(files: string[], env: Record<string, string>): Promise<Count> {
  const portable = files.filter((file) => !isDenoOnly(file));
  say(`\n== Bun == (${files.length - portable.length} files run on Deno only)`);
  const { code, output } = await run(
    ["npx", "-y", BUN_PACKAGE, "test", "--timeout", "60000", ...portable],
    env,
  );
  const count = countBun(output);
  if (code !== 0 && count.failed === 0) count.failed = 1;
  return count;
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
  const total: Count = { passed: 0, failed: 0, skipped: 0 };
  try {
    const counts: Count[] = [];
    if (options.only !== "bun") counts.push(await runOnDeno(files, env));
    if (options.only !== "deno" && !options.skip.includes("bun")) {
      counts.push(await runOnBun(files, env));
    }
    for (const count of counts) {
      total.passed += count.passed;
      total.failed += count.failed;
      total.skipped += count.skipped;
    }
  } finally {
    await database?.stop();
  }
  const left = options.skip.map((what) => `${what} was skipped on request`).join(", ");
  say(
    `\n${
      left === "" ? "" : `${left}\n`
    }${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`,
  );
  return total.failed === 0 && total.passed > 0 ? 0 : 1;
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
