// Shell. A wall clock that a test can set for the processes it starts, and for nobody else.

import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileOfDebianPackage } from "./debian_package.ts";

/** The variable that names libfaketime where it is not in its usual place. */
export const FAKETIME_VARIABLE = "LARS_TEST_FAKETIME";

const TRIPLES: Readonly<Record<string, string>> = {
  x64: "x86_64-linux-gnu",
  arm64: "aarch64-linux-gnu",
};

const FILE = `usr/lib/${TRIPLES[process.arch] ?? process.arch}/faketime/libfaketime.so.1`;

/** Path of libfaketime, or undefined when there is none on this machine. */
export function findFaketime(): string | undefined {
  return [process.env[FAKETIME_VARIABLE], `/${FILE}`]
    .find((path) => path !== undefined && existsSync(path));
}

/**
 * Finds libfaketime, or takes it out of the Debian package.
 *
 * @returns its path, or undefined where that is not possible; tests that need it then say so.
 */
export function bringFaketime(): string | undefined {
  return findFaketime() ?? fileOfDebianPackage("libfaketime", FILE);
}

/**
 * Wall clock of the processes that are started with its `env`: right until it is stepped. Clocks that
 * only move forward are not touched.
 */
export class WallClock {
  readonly env: Readonly<Record<string, string>>;
  readonly #file: string;

  /** @throws {Error} when there is no libfaketime: see {@linkcode findFaketime}. */
  constructor(directory: string) {
    const library = findFaketime();
    if (library === undefined) throw new Error("libfaketime must be there: see bringFaketime");
    this.#file = join(directory, "wall-clock");
    this.step(0);
    this.env = {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    };
  }

  /** From now on the clock is this much ahead; negative: behind. */
  step(aheadS: number): void {
    writeFileSync(this.#file, `${aheadS < 0 ? "" : "+"}${aheadS}\n`);
  }
}
