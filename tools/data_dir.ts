// Shell. The data folder of `lars up`: made when missing, and used by one `lars up` at a time.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { messageOf } from "../reactor/errors.ts";
import { CommandError } from "./cli_errors.ts";

/** Name of the lock inside the folder. */
const LOCK_NAME = "up.lock";

/** A folder that is ours until released. */
export interface DataDir {
  readonly path: string;
  release(): void;
}

/**
 * Makes the folder and locks it. The lock is one of SQLite on a file of its own: the system frees it
 * however this process ends, so a crash leaves nothing to clean up.
 *
 * @throws {CommandError} when the folder cannot be written, or another process holds the lock.
 */
export function openDataDir(path: string): DataDir {
  let lock: DatabaseSync;
  try {
    mkdirSync(path, { recursive: true });
    lock = new DatabaseSync(join(path, LOCK_NAME));
  } catch (error) {
    throw new CommandError(`Data folder ${path} cannot be used: ${messageOf(error)}`, {
      cause: error,
    });
  }
  try {
    lock.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    lock.close();
    const held = /locked|busy/i.test(messageOf(error));
    throw new CommandError(
      held
        ? `Another \`lars up\` uses the data folder ${path}: stop it, or choose another with --data`
        : `Data folder ${path} cannot be locked: ${messageOf(error)}`,
      { cause: error },
    );
  }
  return { path, release: () => lock.close() };
}
