// Shell. Finds the programs that tests need beside the runtimes, or installs them where it may.

import { existsSync } from "node:fs";
import process from "node:process";
import { findChromium } from "../browser/chromium.ts";
import { findProgram } from "./mariadb.ts";
import { runProgram } from "./test_job.ts";

/** Debian packages that hold the database server and its client. */
const MARIADB_PACKAGES = ["mariadb-server", "mariadb-client"];

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Runs an installer with its output shown. */
function runShown(argv: readonly string[]): Promise<{ code: number }> {
  return runProgram(argv, {
    env: { DEBIAN_FRONTEND: "noninteractive" },
    onOutput: (text) => void process.stdout.write(text),
  });
}

/** Finds a `mariadbd`, or installs the Debian package where that is possible. */
export async function bringMariaDb(): Promise<void> {
  if (findProgram("mariadbd") !== undefined) return;
  const isDebian = existsSync("/usr/bin/apt-get");
  const isRoot = process.getuid?.() === 0;
  const hint = `install it with: apt-get install ${MARIADB_PACKAGES.join(" ")} ` +
    "(or set LARS_TEST_MYSQL_URL=mysql://user:password@host:port, or pass --skip mysql)";
  if (!isDebian || !isRoot) throw new Error(`No mariadbd on this machine; ${hint}`);
  say("Installing MariaDB (Debian package, once) ...");
  const quiet = ["-qq", "-o", "Dpkg::Use-Pty=0"];
  await runShown(["apt-get", "update", ...quiet]);
  const { code } = await runShown(
    ["apt-get", "install", "-y", "--no-install-recommends", ...quiet, ...MARIADB_PACKAGES],
  );
  if (code !== 0 || findProgram("mariadbd") === undefined) {
    throw new Error(`MariaDB did not install; ${hint}`);
  }
}

/** Programs of others that tests put beside ours, and the Debian packages that hold them. */
const NEIGHBOURS: Readonly<Record<string, string>> = {
  haproxy: "haproxy",
  nginx: "nginx-light",
  dig: "dnsutils",
  unbound: "unbound",
  dnsmasq: "dnsmasq-base",
  "musl-gcc": "musl-tools",
};

/** Brings proxies, resolvers and compilers of others; says in a line what is missing: tests skip what needs it. */
export async function bringNeighbours(): Promise<string | undefined> {
  const missing = await installMissing(NEIGHBOURS);
  if (missing.length === 0) return undefined;
  const packages = missing.map((program) => NEIGHBOURS[program]);
  return `Not tested: ${missing.join(", ")}; install with: apt-get install ${packages.join(" ")}`;
}

/** Finds a Chromium, or installs the Debian package; says in a line why not when it cannot. */
export async function bringChromium(): Promise<string | undefined> {
  if (findChromium() !== undefined) return undefined;
  const hint = "install it with: apt-get install chromium " +
    "(or name one in LARS_TEST_CHROMIUM, or pass --skip browser)";
  if (!existsSync("/usr/bin/apt-get") || process.getuid?.() !== 0) {
    return `no Chromium on this machine; ${hint}`;
  }
  say("Installing Chromium (Debian package, once, about 100 MB) ...");
  const plain = ["-o", "Dpkg::Use-Pty=0"];
  await runShown(["apt-get", "update", "-qq", ...plain]);
  const { code } = await runShown(
    ["apt-get", "install", "-y", "--no-install-recommends", ...plain, "chromium"],
  );
  return code === 0 && findChromium() !== undefined
    ? undefined
    : `Chromium did not install; ${hint}`;
}

/** Programs of these that are missing, after their Debian packages were installed where that may be. */
async function installMissing(programs: Readonly<Record<string, string>>): Promise<string[]> {
  const missing = (): string[] =>
    Object.keys(programs).filter((program) => findProgram(program) === undefined);
  const packages = [...new Set(missing().map((program) => programs[program]))];
  const isRoot = process.getuid?.() === 0;
  if (packages.length > 0 && existsSync("/usr/bin/apt-get") && isRoot) {
    say(`Installing ${packages.join(", ")} (Debian packages, once) ...`);
    const quiet = ["-qq", "-o", "Dpkg::Use-Pty=0"];
    await runShown(["apt-get", "update", ...quiet]);
    await runShown(["apt-get", "install", "-y", "--no-install-recommends", ...quiet, ...packages]);
  }
  return missing();
}

/** Finds the shells whose completion is tried, or installs them; tests of one that is missing say so. */
export async function bringShells(): Promise<void> {
  await installMissing({ fish: "fish", zsh: "zsh" });
}

/**
 * Finds the compilers and interpreters of the clients in other languages, or installs their Debian
 * packages, so that none of these clients is left out.
 *
 * @param programs each with the package that has it.
 * @throws {Error} naming what is missing, where it cannot be installed.
 */
export async function bringToolchains(programs: Readonly<Record<string, string>>): Promise<void> {
  const missing = await installMissing(programs);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((program) => programs[program]))];
  const hint = `install them with: apt-get install ${packages.join(" ")} (or pass --skip clients)`;
  throw new Error(`Missing for the clients in other languages: ${missing.join(", ")}; ${hint}`);
}
