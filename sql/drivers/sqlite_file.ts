// Shell. Looks at a file before it is opened as a database: opening one would already change it.

import { closeSync, openSync, readSync, statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

/** The first bytes of every database of SQLite. */
const HEADER = "SQLite format 3\0";
/** Where the header says by which kind of log the file is written, and what it says of ours. */
const LOG_KIND_AT = 18;
const WRITE_AHEAD = 2;

/** A table that is in every schema, also that of the original. */
const OWN_TABLE = "RouteData";

/**
 * Why a file that is there cannot be a database of ours, in words that follow its name; undefined when
 * it may be one. Nothing is changed, whatever it is.
 *
 * @throws {Error} when it cannot be read.
 */
export function sqliteFileFault(path: string): string | undefined {
  const { size, isFolder } = factsOf(path);
  if (isFolder) return "is a folder";
  if (size === 0) return "is empty";
  const head = headOf(path);
  if (new TextDecoder("latin1").decode(head.subarray(0, HEADER.length)) !== HEADER) {
    return "is no file of SQLite";
  }
  // Ours have a log of that kind, and to look into one would make files beside it.
  if (head[LOG_KIND_AT] === WRITE_AHEAD) return undefined;
  return lacksOwnTable(path) ? `has no table ${OWN_TABLE}` : undefined;
}

function factsOf(path: string): { readonly size: number; readonly isFolder: boolean } {
  const facts = statSync(path);
  return { size: facts.size, isFolder: facts.isDirectory() };
}

function headOf(path: string): Uint8Array {
  const file = openSync(path, "r");
  try {
    const head = new Uint8Array(LOG_KIND_AT + 1);
    return head.subarray(0, readSync(file, head, 0, head.length, 0));
  } finally {
    closeSync(file);
  }
}

/** False also when that cannot be seen: whoever opens it in earnest says why. */
function lacksOwnTable(path: string): boolean {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { readOnly: true });
    const select = "SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND name = ?";
    return database.prepare(select).all(OWN_TABLE).length === 0;
  } catch {
    return false;
  } finally {
    database?.close();
  }
}
