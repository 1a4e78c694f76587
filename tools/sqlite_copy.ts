// Shell. A copy of an embedded database that is in use.

import { existsSync } from "node:fs";
import { rename, rm, stat } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { messageOf } from "../reactor/errors.ts";
import { CommandError } from "./cli_errors.ts";

/** Time that a writer of the database may keep the copy waiting, in milliseconds. */
const BUSY_TIMEOUT_MS = 20_000;

/**
 * Copies a database as it is at one instant, whoever writes to it meanwhile, and checks the copy
 * before it gets its name.
 *
 * @returns the size of the copy, in bytes.
 * @throws {CommandError} when there is no such database, or the copy cannot be written or is not
 * whole; then no file is left.
 */
export async function copySqlite(from: string, to: string): Promise<number> {
  if (!existsSync(from)) throw new CommandError(`There is no database at ${from}`);
  const beside = `${to}.new`;
  try {
    await rm(beside, { force: true });
    copyInto(from, beside);
    checkCopy(beside);
    await rename(beside, to);
    return (await stat(to)).size;
  } catch (error) {
    await rm(beside, { force: true });
    throw new CommandError(`${from} cannot be copied to ${to}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function copyInto(from: string, to: string): void {
  const database = new DatabaseSync(from, { readOnly: true });
  try {
    database.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    // One read transaction: a copy of pages under a writer would mix two states.
    database.prepare("VACUUM INTO ?").run(to);
  } finally {
    database.close();
  }
}

function checkCopy(path: string): void {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const [row] = database.prepare("PRAGMA integrity_check").all();
    const said = Object.values(row ?? {})[0];
    if (said !== "ok") throw new CommandError(`the copy is not whole: ${said}`);
  } finally {
    database.close();
  }
}
