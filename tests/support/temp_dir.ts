// Shell. Directories that vanish after a test.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A directory of its own, with the way to remove it. */
export interface TempDir {
  /** Absolute path. */
  readonly path: string;
  /** Removes the directory and everything in it; does nothing the second time. */
  remove(): void;
}

/** Makes an empty directory under the system's place for temporary files. */
export function makeTempDir(prefix = "lars-test-"): TempDir {
  const path = mkdtempSync(join(tmpdir(), prefix));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Runs `fn` with an empty directory and removes it afterwards, also when `fn` throws. */
export async function withTempDir<T>(fn: (path: string) => T | Promise<T>): Promise<T> {
  const directory = makeTempDir();
  try {
    return await fn(directory.path);
  } finally {
    directory.remove();
  }
}
