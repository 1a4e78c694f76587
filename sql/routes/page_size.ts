// Core. How many rows a page of a long reading has.

import type { Clock } from "../../reactor/time/clock.ts";
import { ROUTE_PAGE_ROWS } from "../store.ts";

/** SQLite reads on this thread: pages that hold it for longer are made smaller, others larger. */
const PAGE_MS = 1.5;
const PAGE_ROWS_MIN = 50;

/** Largest page of a full read, in rows. */
const PAGE_ROWS_MAX = 100_000;

/** Rows of a page of a full read, as they are wanted: 1 to {@linkcode PAGE_ROWS_MAX}. */
export function pageRowsOf(wanted = ROUTE_PAGE_ROWS): number {
  return Math.min(Math.max(1, Math.trunc(wanted) || 1), PAGE_ROWS_MAX);
}

/** Rows of the next page: as many as asked for, fewer where a page takes long and holds the loop. */
export class PageSize {
  rows: number;
  readonly #rowsMax: number;
  readonly #adapts: boolean;
  readonly #clock: Clock;
  #startMs = 0;

  constructor(rowsMax: number, adapts: boolean, clock: Clock) {
    this.rows = this.#rowsMax = rowsMax;
    this.#adapts = adapts;
    this.#clock = clock;
  }

  begin(): void {
    this.#startMs = this.#clock.nowMs();
  }

  end(): void {
    if (!this.#adapts) return;
    const tookMs = this.#clock.nowMs() - this.#startMs;
    const factor = tookMs > PAGE_MS ? 0.7 : tookMs < PAGE_MS / 2 ? 1.2 : 1;
    const rows = Math.ceil(this.rows * factor);
    this.rows = Math.min(this.#rowsMax, Math.max(PAGE_ROWS_MIN, rows));
  }
}
