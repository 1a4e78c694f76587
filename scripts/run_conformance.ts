// Shell. `deno task conformance`: plays every exchange with the driver of each client.

import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { execFile } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { ClientDriver, type DriverCommand, fillWords } from "../api/conformance/driver.ts";
import type { Exchange } from "../api/conformance/exchange.ts";
import { Player } from "../api/conformance/player.ts";
import { exchangesOfVectors, type Vectors } from "../api/conformance/vectors.ts";
import { ConformanceAgent } from "./conformance_agent.ts";
import { ROOT } from "./sources.ts";

const FOLDER = `${ROOT}/api/conformance`;

/** A build takes seconds; on a loaded machine many times that. */
const BUILD_TIMEOUT_MS = 600_000;

/** What compilers say is kept up to here; one that says more has failed. */
const OUTPUT_BYTES_MAX = 16 * 2 ** 20;

/** How one client did. */
export interface ConformanceResult {
  readonly passed: number;
  /** Names of exchanges with the feature that the client does not have. */
  readonly leftOut: readonly string[];
  /** Names of exchanges with what went wrong. */
  readonly failed: readonly string[];
}

/** Every exchange: those of the byte vectors first. */
export function readExchanges(): Exchange[] {
  const vectors = JSON.parse(readFileSync(`${FOLDER}/vectors.json`, "utf8")) as Vectors;
  const files = readdirSync(`${FOLDER}/exchanges`).filter((file) => file.endsWith(".json")).sort();
  return [
    ...exchangesOfVectors(vectors),
    ...files.flatMap((file) =>
      JSON.parse(readFileSync(`${FOLDER}/exchanges/${file}`, "utf8")) as Exchange[]
    ),
  ];
}

/** What each client's `driver.json` says, by the name of its folder in `api/`. */
export function readDrivers(): Map<string, DriverCommand> {
  const drivers = new Map<string, DriverCommand>();
  for (const { name } of readdirSync(`${ROOT}/api`, { withFileTypes: true })) {
    try {
      const text = readFileSync(`${ROOT}/api/${name}/driver.json`, "utf8");
      drivers.set(name, JSON.parse(text) as DriverCommand);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code !== "ENOENT" && code !== "ENOTDIR") throw error;
    }
  }
  return drivers;
}

/**
 * Builds a driver in `out`, starts it and plays the exchanges whose name contains one of `texts`.
 *
 * @throws {Error} with what the compiler says, when it does not build or does not start.
 */
export async function checkClient(
  command: DriverCommand,
  out: string,
  texts: readonly string[] = [],
  say: (line: string) => void = () => {},
): Promise<ConformanceResult> {
  const places = { root: ROOT, out };
  if (command.build !== undefined) await buildDriver(fillWords(command.build, places));
  const driver = await ClientDriver.start(fillWords(command.run, places));
  const player = new Player(driver, (options) => ConformanceAgent.open(options));
  const leftOut: string[] = [];
  const failed: string[] = [];
  let passed = 0;
  try {
    for (const exchange of readExchanges()) {
      if (texts.length > 0 && !texts.some((text) => exchange.name.includes(text))) continue;
      const { name, outcome } = await player.play(exchange);
      say(`${outcome === "passed" ? "ok  " : "    "} ${command.name}: ${name}: ${outcome}`);
      if (outcome === "passed") passed++;
      else if (outcome.startsWith("left out")) leftOut.push(`${name}: ${outcome}`);
      else failed.push(`${name}: ${outcome}`);
    }
  } finally {
    await driver.close();
  }
  if (driver.errors !== "") failed.push(`the driver complained: ${driver.errors}`);
  return { passed, leftOut, failed };
}

/**
 * Runs the words of a build; others go on meanwhile, whose drivers' answers must not seem late.
 *
 * @throws {Error} with what the compiler says.
 */
export function buildDriver(argv: readonly string[]): Promise<void> {
  const options = { timeout: BUILD_TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX };
  return new Promise((resolve, reject) => {
    execFile(argv[0], argv.slice(1), options, (error, stdout, stderr) => {
      if (error === null) resolve();
      else reject(new Error(`${argv.join(" ")} failed: ${error.message}${stdout}${stderr}`));
    });
  });
}

const USAGE = `Usage: deno task conformance [CLIENT...] [--only TEXT] [--driver 'PROGRAM WORDS...']

Plays every exchange of api/conformance with the drivers of all clients, or of those named by their
folder in api/. --only plays exchanges whose name contains the text; --driver runs a driver that is
in no folder.`;

/** @returns the exit code: 0 when nothing failed. */
async function main(argv: readonly string[]): Promise<number> {
  const texts: string[] = [];
  const wanted: string[] = [];
  const drivers = readDrivers();
  for (let at = 0; at < argv.length; at++) {
    if (argv[at] === "--help") {
      process.stdout.write(`${USAGE}\n`);
      return 0;
    }
    if (argv[at] === "--only" && argv[at + 1] !== undefined) texts.push(argv[++at]);
    else if (argv[at] === "--driver" && argv[at + 1] !== undefined) {
      drivers.set("--driver", { name: "driver", programs: {}, run: argv[++at].split(" ") });
      wanted.push("--driver");
    } else wanted.push(argv[at]);
  }
  const unknown = wanted.find((name) => !drivers.has(name));
  if (unknown !== undefined) {
    process.stderr.write(`${unknown} must be one of ${[...drivers.keys()].join(", ")}\n${USAGE}\n`);
    return 2;
  }
  let failures = 0;
  for (const [folder, command] of drivers) {
    if (wanted.length > 0 && !wanted.includes(folder)) continue;
    failures += await checkAndTell(command, texts);
  }
  return failures === 0 ? 0 : 1;
}

async function checkAndTell(command: DriverCommand, texts: readonly string[]): Promise<number> {
  const out = await mkdtemp(join(tmpdir(), "lars-conformance-"));
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  try {
    const { passed, leftOut, failed } = await checkClient(command, out, texts, say);
    say(`${command.name}: ${passed} passed, ${failed.length} failed, ${leftOut.length} left out`);
    return failed.length;
  } catch (error) {
    say(`${command.name}: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  } finally {
    await rm(out, { recursive: true, force: true });
  }
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
