// Core. A database that a newer program has migrated: what is said, and what is written no more.

import { StoreError } from "../../reactor/errors.ts";
import type { Script } from "../drivers/sql_script.ts";
import { SCHEMA_VERSION } from "./migrations.ts";

/** What a statement that changes something begins with. */
const WRITE = /^\s*(insert|update|delete|replace|alter|create|drop|truncate)\b/i;

/** A write was refused because the database is newer than the program. */
export class NewerSchemaError extends StoreError {
  override name = "NewerSchemaError";

  constructor(message: string) {
    super(message, false);
  }
}

/** What everybody is told of a database that is newer than the program. */
export function newerSchemaText(label: string, newestVersion: number): string {
  return `${label} has schema version ${newestVersion}, and this program knows ${SCHEMA_VERSION}: ` +
    "it only reads there; run the version of lars that migrated it, or a later one";
}

/**
 * The script as it is, or, on a database that is newer, one that fails at its first write: what a
 * column of later means nobody here can know.
 *
 * @throws {NewerSchemaError} for good, in the place of a write.
 */
export function* readingOnlyIfNewer<T>(
  label: string,
  newestVersion: number,
  script: Script<T>,
): Script<T> {
  if (newestVersion <= SCHEMA_VERSION) return yield* script;
  let step = script.next();
  while (step.done !== true) {
    if (WRITE.test(step.value.sql)) {
      throw new NewerSchemaError(`Nothing was written: ${newerSchemaText(label, newestVersion)}`);
    }
    step = script.next(yield step.value);
  }
  return step.value;
}
