// Core. One writer: gathers rows, writes them in batches, and keeps them while the database is away.

import { type Clock, sleep, type Timer } from "../reactor/time/clock.ts";
import type { Rng } from "../reactor/time/rng.ts";
import type { RefusedRow } from "../sql/results/divided_write.ts";
import type { CallStatusRow, Store } from "../sql/store.ts";
import { endsWithin } from "../service/store_health.ts";
import { RowIndex } from "./row_index.ts";
import { type RowColumns, StatusColumns, type WaitingStatus } from "./status_columns.ts";

/** Most keys a batch holds unless told otherwise; about 20 MB when full. */
export const STATUS_KEYS_MAX = 200_000;

/** What {@linkcode StatusBatch.add} did. */
export type AddResult = "added" | "replaced" | "refused";

/**
 * Rows by (modId, cmdId, ip, port, caller), in the order in which their keys came. Rows that are
 * being written still count against the limit, because they may come back.
 */
export class StatusBatch<Row extends CallStatusRow = WaitingStatus> {
  readonly #keysMax: number;
  readonly #rows: RowIndex<Row>;
  readonly #taken = new Map<Row, number>();
  /** Rows waiting or taken by their marks: of the oldest row that each took the place of. */
  readonly #counts = new Map<number, number>();
  #mark = 0;

  constructor(keysMax: number, columns: RowColumns<Row>, rng: Rng) {
    this.#keysMax = keysMax;
    this.#rows = new RowIndex(columns, RowIndex.factors(() => rng.next()));
  }

  /** Rows waiting. */
  get size(): number {
    return this.#rows.size;
  }

  /** Rows being written. */
  get takenCount(): number {
    return this.#taken.size;
  }

  /** Rows waiting and being written. */
  *rows(): Generator<Row> {
    yield* this.#rows.rows();
    yield* this.#taken.keys();
  }

  /** Divides what has come from what comes. @returns a number for {@linkcode isWritten}. */
  divide(): number {
    return this.#mark++;
  }

  /** True when all that came before this division is written, or something newer in its place. */
  isWritten(division: number): boolean {
    for (const mark of this.#counts.keys()) if (mark <= division) return false;
    return true;
  }

  /** Replaces the waiting row of the same key, or adds one unless the batch is full. */
  add(row: Row): AddResult {
    const place = this.#rows.find(row);
    if (place !== undefined) {
      this.#rows.replace(place, row);
      return "replaced";
    }
    if (this.#rows.size + this.#taken.size >= this.#keysMax) return "refused";
    this.#rows.add(row, this.#mark);
    this.#count(this.#mark, 1);
    return "added";
  }

  /** Hands out up to `rowsMax` of the oldest keys; they are out until `settle` or `putBack`. */
  take(rowsMax: number): Row[] {
    const taken: Row[] = [];
    while (taken.length < rowsMax) {
      const oldest = this.#rows.takeOldest();
      if (oldest === undefined) break;
      taken.push(oldest.row);
      this.#taken.set(oldest.row, oldest.mark);
    }
    return taken;
  }

  /** Rows taken before have been written. */
  settle(rows: readonly Row[]): void {
    for (const row of rows) {
      const mark = this.#taken.get(row);
      if (mark === undefined) continue;
      this.#taken.delete(row);
      this.#count(mark, -1);
    }
  }

  /** Rows taken before could not be written; those without a newer row wait again. */
  putBack(rows: readonly Row[]): void {
    for (const row of rows) {
      const mark = this.#taken.get(row);
      if (mark === undefined) continue;
      this.#taken.delete(row);
      const newer = this.#rows.find(row);
      if (newer === undefined) {
        this.#rows.add(row, mark);
        continue;
      }
      this.#count(this.#rows.markOf(newer), -1);
      this.#rows.setMark(newer, mark);
    }
  }

  #count(mark: number, change: number): void {
    const count = (this.#counts.get(mark) ?? 0) + change;
    if (count === 0) this.#counts.delete(mark);
    else this.#counts.set(mark, count);
  }
}

/** Rows in one write: beyond this a larger statement gains nothing. */
export const FLUSH_ROWS_MAX = 1_000;

/** First and longest pause after a failed write; it doubles in between, with jitter. */
export const RETRY_MIN_MS = 100;
export const RETRY_MAX_MS = 5_000;

/** Pause between two tries while stopping. */
export const STOP_RETRY_MS = 50;

/** What {@linkcode StoreQueue} is given. */
export interface StoreQueueOptions {
  readonly store: Pick<Store, "writeCallStatus">;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly keysMax: number;
  /** Longest time a row waits for others. */
  readonly flushIntervalMs: number;
  /** A write succeeded (undefined) or failed. */
  onOutcome(error: unknown): void;
  /** The database has refused rows for good for what is in them; all others are written. */
  onRefused?(rows: readonly RefusedRow<CallStatusRow>[]): void;
}

/** Counters since start; `waiting` is the present number. */
export interface StoreQueueStats {
  readonly waiting: number;
  readonly written: number;
  readonly writes: number;
  readonly failures: number;
  /** Rows overwritten by a newer one of their key before they were written. */
  readonly replaced: number;
  /** Rows refused because the batch was full. */
  readonly refused: number;
  /** Rows that the database refused for good. */
  readonly bad: number;
}

/** A {@linkcode StatusBatch} and the one connection that empties it. */
export class StoreQueue {
  readonly #options: StoreQueueOptions;
  readonly #batch: StatusBatch;
  #flushIntervalMs: number;
  #timer: Timer | undefined;
  #writing: Promise<void> | undefined;
  #failuresRunning = 0;
  #stopping = false;
  #written = 0;
  #writes = 0;
  #failures = 0;
  #replaced = 0;
  #refused = 0;
  #bad = 0;

  constructor(options: StoreQueueOptions) {
    this.#options = options;
    this.#batch = new StatusBatch<WaitingStatus>(
      options.keysMax,
      new StatusColumns(),
      options.rng,
    );
    this.#flushIntervalMs = options.flushIntervalMs;
  }

  get stats(): StoreQueueStats {
    return {
      waiting: this.#batch.size,
      written: this.#written,
      writes: this.#writes,
      failures: this.#failures,
      replaced: this.#replaced,
      refused: this.#refused,
      bad: this.#bad,
    };
  }

  /** As {@linkcode StatusBatch.divide}. */
  divide(): number {
    return this.#batch.divide();
  }

  /** As {@linkcode StatusBatch.isWritten}. */
  isWritten(division: number): boolean {
    return this.#batch.isWritten(division);
  }

  /** Takes over a new interval from the next row on. */
  setFlushInterval(flushIntervalMs: number): void {
    this.#flushIntervalMs = flushIntervalMs;
  }

  /** Takes a row to be written soon. */
  add(row: CallStatusRow): AddResult {
    const result = this.#batch.add(row);
    if (result === "replaced") this.#replaced++;
    else if (result === "refused") this.#refused++;
    // After a failure only the retry timer starts a write, however many rows come.
    if (this.#writing === undefined && this.#failuresRunning === 0) {
      if (this.#batch.size >= FLUSH_ROWS_MAX) this.#startWrite();
      else this.#timer ??= this.#setTimer(this.#flushIntervalMs);
    }
    return result;
  }

  /**
   * Writes out what is waiting, for at most `limitMs`.
   *
   * @returns the rows that could not be written.
   */
  async stop(limitMs: number): Promise<WaitingStatus[]> {
    this.#stopping = true;
    this.#timer?.cancel();
    const { clock } = this.#options;
    const endMs = clock.nowMs() + limitMs;
    while (this.#batch.size > 0 || this.#writing !== undefined) {
      const leftMs = endMs - clock.nowMs();
      if (leftMs <= 0) break;
      this.#writing ??= this.#write();
      if (!await endsWithin(clock, leftMs, this.#writing)) break;
      if (this.#failuresRunning > 0) await sleep(clock, STOP_RETRY_MS);
    }
    return [...this.#batch.rows()];
  }

  #setTimer(delayMs: number): Timer {
    return this.#options.clock.setTimer(delayMs, () => this.#startWrite());
  }

  #startWrite(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#batch.size > 0) this.#writing ??= this.#write();
  }

  /** Writes one batch, of at least one row, and plans the next. Never throws. */
  async #write(): Promise<void> {
    const { store, onOutcome, onRefused } = this.#options;
    const rows = this.#batch.take(FLUSH_ROWS_MAX);
    try {
      const bad = await store.writeCallStatus(rows);
      this.#writes++;
      this.#written += rows.length - bad.length;
      this.#bad += bad.length;
      if (bad.length > 0) onRefused?.(bad);
      this.#batch.settle(rows);
      this.#failuresRunning = 0;
      onOutcome(undefined);
    } catch (error) {
      this.#batch.putBack(rows);
      this.#failuresRunning++;
      this.#failures++;
      onOutcome(error);
    }
    this.#writing = undefined;
    if (!this.#stopping) this.#planNext();
  }

  #planNext(): void {
    if (this.#failuresRunning > 0) {
      const limitMs = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** (this.#failuresRunning - 1));
      this.#timer = this.#setTimer(limitMs * (0.5 + 0.5 * this.#options.rng.next()));
    } else if (this.#batch.size >= FLUSH_ROWS_MAX) {
      this.#startWrite();
    } else if (this.#batch.size > 0) {
      this.#timer ??= this.#setTimer(this.#flushIntervalMs);
    }
  }
}
