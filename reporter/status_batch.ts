// Core. Call results waiting to be written: the latest of each key, never more than a limit.

import type { CallStatusRow } from "../sql/store.ts";
import { callsId } from "../model/node.ts";

/** Most keys a batch holds unless told otherwise; about 60 MB when full. */
export const STATUS_KEYS_MAX = 200_000;

/** What {@linkcode StatusBatch.add} did. */
export type AddResult = "added" | "replaced" | "refused";

/**
 * Rows by (modId, cmdId, ip, port, caller), in the order in which their keys came. Rows that are
 * being written still count against the limit, because they may come back.
 */
export class StatusBatch<Row extends CallStatusRow = CallStatusRow> {
  readonly #keysMax: number;
  readonly #rows = new Map<string, Row>();
  #takenCount = 0;

  constructor(keysMax = STATUS_KEYS_MAX) {
    this.#keysMax = keysMax;
  }

  /** Rows waiting. */
  get size(): number {
    return this.#rows.size;
  }

  /** Rows being written. */
  get takenCount(): number {
    return this.#takenCount;
  }

  /** Replaces the waiting row of the same key, or adds one unless the batch is full. */
  add(row: Row): AddResult {
    const key = callsId(row);
    if (this.#rows.has(key)) {
      this.#rows.set(key, row);
      return "replaced";
    }
    if (this.#rows.size + this.#takenCount >= this.#keysMax) return "refused";
    this.#rows.set(key, row);
    return "added";
  }

  /** Hands out up to `rowsMax` of the oldest keys; they are out until `settle` or `putBack`. */
  take(rowsMax: number): Row[] {
    const taken: Row[] = [];
    for (const [key, row] of this.#rows) {
      if (taken.length >= rowsMax) break;
      taken.push(row);
      this.#rows.delete(key);
    }
    this.#takenCount += taken.length;
    return taken;
  }

  /** Rows taken before have been written. */
  settle(rows: readonly Row[]): void {
    this.#takenCount -= rows.length;
  }

  /** Rows taken before could not be written; those without a newer row wait again. */
  putBack(rows: readonly Row[]): void {
    this.#takenCount -= rows.length;
    for (const row of rows) {
      const key = callsId(row);
      if (!this.#rows.has(key)) this.#rows.set(key, row);
    }
  }
}
