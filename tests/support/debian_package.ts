// Shell. Files of Debian packages that are unpacked and not installed, so that nothing else changes.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** Longest time for one step of fetching. */
const FETCH_TIMEOUT_MS = 60_000;

/**
 * Takes one file out of a Debian package, which is fetched once for this user and machine.
 *
 * @param file path of the file inside the package, without the first slash.
 * @returns where it is now, or undefined where that is not possible: no Debian, no network.
 */
export function fileOfDebianPackage(name: string, file: string): string | undefined {
  if (!existsSync("/usr/bin/apt-get")) return undefined;
  const folder = join(tmpdir(), `lars-${name}-${process.getuid?.() ?? 0}`);
  const path = join(folder, file);
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  const run = (...argv: string[]): void =>
    void execFileSync(argv[0], argv.slice(1), {
      cwd: folder,
      stdio: "ignore",
      timeout: FETCH_TIMEOUT_MS,
    });
  const download = (): void => run("apt-get", "download", "-qq", name);
  try {
    try {
      download();
    } catch {
      // A new machine has no list of packages yet.
      run("apt-get", "update", "-qq");
      download();
    }
    const archive = readdirSync(folder).find((entry) => entry.endsWith(".deb"));
    if (archive !== undefined) run("dpkg", "-x", archive, folder);
  } catch {
    return undefined; // No network, no package list: then it is not possible here.
  }
  return existsSync(path) ? path : undefined;
}
