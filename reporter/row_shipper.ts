// Core. Takes rows from a worker to the main thread, one parcel at a time.

import type { Clock, Timer } from "../reactor/time/clock.ts";
import { StatusBatch } from "./status_batch.ts";
import { packRows, type ReportedRow } from "./status_rows.ts";

/** Time a row waits for others, in milliseconds. */
export const SHIP_DELAY_MS = 10;

/** Rows in one parcel. */
export const SHIP_ROWS_MAX = 5_000;

/**
 * Sends the next parcel only when the last one has been received, so that a busy main thread is not
 * buried: meanwhile rows of one key replace each other here, and new keys beyond the limit are
 * refused and counted.
 */
export class RowShipper {
  readonly #clock: Clock;
  readonly #send: (packed: Float64Array<ArrayBuffer>) => void;
  readonly #batch: StatusBatch<ReportedRow>;
  #timer: Timer | undefined;
  #underway: ReportedRow[] | undefined;
  #refusedCount = 0;

  constructor(
    clock: Clock,
    keysMax: number,
    send: (packed: Float64Array<ArrayBuffer>) => void,
  ) {
    this.#clock = clock;
    this.#batch = new StatusBatch<ReportedRow>(keysMax);
    this.#send = send;
  }

  /** Rows refused because too many were waiting. */
  get refusedCount(): number {
    return this.#refusedCount;
  }

  /** Takes rows to be sent soon. */
  add(rows: readonly ReportedRow[]): void {
    for (const row of rows) if (this.#batch.add(row) === "refused") this.#refusedCount++;
    if (this.#underway !== undefined) return;
    this.#timer ??= this.#clock.setTimer(SHIP_DELAY_MS, () => this.#ship());
  }

  /** The last parcel was received. */
  received(): void {
    if (this.#underway !== undefined) this.#batch.settle(this.#underway);
    this.#underway = undefined;
    if (this.#batch.size > 0) this.#ship();
  }

  /** Sends everything that is left, without waiting. */
  flush(): void {
    while (this.#batch.size > 0) this.#ship();
  }

  #ship(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#underway = this.#batch.take(SHIP_ROWS_MAX);
    if (this.#underway.length > 0) this.#send(packRows(this.#underway));
  }
}
