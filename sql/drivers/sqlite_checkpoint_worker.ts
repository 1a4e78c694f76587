// Shell. Entry of the thread that moves the log of an SQLite database into the database, and waits for
// the disk while it does.

import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { messageOf } from "../../reactor/errors.ts";

/** The part of a worker's global object that is used here. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<string>) => void) | null;
  postMessage(fault: string): void;
  close(): void;
}

const scope = globalThis as unknown as WorkerScope;

/** Is given the path of the database, and says what went wrong; "": nothing. */
scope.onmessage = ({ data: path }): void => {
  try {
    checkpoint(path);
    scope.postMessage("");
  } catch (error) {
    scope.postMessage(messageOf(error));
  }
  scope.close();
};

function checkpoint(path: string): void {
  // To open it would make it.
  if (!existsSync(path)) return;
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    // What takes long holds up no writer; what is left then is little, and begins the log anew.
    for (const mode of ["PASSIVE", "TRUNCATE"]) {
      database.prepare(`PRAGMA wal_checkpoint(${mode})`).all();
    }
  } finally {
    database.close();
  }
}
