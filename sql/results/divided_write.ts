// Core. Writes many rows so that one that the database refuses neither holds up nor loses another.

import { messageOf, StoreError } from "../../reactor/errors.ts";

/** The database refuses rows of a statement, or so many at once; fewer may pass. */
export class RowsRefusedError extends StoreError {
  override name = "RowsRefusedError";

  constructor(message: string, options?: ErrorOptions) {
    super(message, false, options);
  }
}

/** A row that the database does not take, and why. */
export interface RefusedRow<Row> {
  readonly row: Row;
  readonly reason: string;
}

/**
 * Writes rows together, and where they are refused half of them at a time, until those that are to
 * blame stand alone. Writing must be safe to repeat.
 *
 * @returns the rows that were refused alone; all others are written.
 * @throws what `write` throws besides {@linkcode RowsRefusedError}; some rows may be written then.
 */
export async function writeDivided<Row>(
  rows: readonly Row[],
  write: (rows: readonly Row[]) => Promise<void>,
): Promise<RefusedRow<Row>[]> {
  if (rows.length === 0) return [];
  try {
    await write(rows);
    return [];
  } catch (error) {
    if (!(error instanceof RowsRefusedError)) throw error;
    if (rows.length === 1) return [{ row: rows[0], reason: messageOf(error) }];
    const half = Math.ceil(rows.length / 2);
    return [
      ...await writeDivided(rows.slice(0, half), write),
      ...await writeDivided(rows.slice(half), write),
    ];
  }
}
