// Core. Who said that calls of a node failed: one caller, or several, of calls that they were given.

import { UNKNOWN_CALLER } from "./caller_tally.ts";

/** What callers said of one node; made with its first failure. */
export class CallerEvidence {
  /** Who reported the latest failure, and since when nobody else reported a success. */
  failedBy = UNKNOWN_CALLER;
  failedSinceMs = 0;
  /** The latest failure was of a call that the caller was given. */
  isBacked = false;
  /** The latest two callers with such failures. */
  #first = UNKNOWN_CALLER;
  #firstMs = -Infinity;
  #second = UNKNOWN_CALLER;
  #secondMs = -Infinity;

  /** A caller reports a failure. */
  failed(caller: number, isBacked: boolean, nowMs: number): void {
    if (caller !== this.failedBy) {
      this.failedBy = caller;
      this.failedSinceMs = nowMs;
    }
    this.isBacked = isBacked;
    if (!isBacked) return;
    if (caller !== this.#first) {
      this.#second = this.#first;
      this.#secondMs = this.#firstMs;
      this.#first = caller;
    }
    this.#firstMs = nowMs;
  }

  /** A caller reports a success: what others say alone begins anew. */
  succeeded(caller: number, nowMs: number): void {
    if (caller !== this.failedBy) this.failedSinceMs = nowMs;
  }

  /** The same, of several calls: the latest that another caller reported than the latest failure. */
  othersSucceeded(atMs: number): void {
    this.failedSinceMs = atMs;
  }

  /** True when another caller than the latest saw the node fail, in a call that it was given. */
  isConfirmed(sinceMs: number): boolean {
    const isOther = this.#first !== this.failedBy && this.#first !== UNKNOWN_CALLER;
    return isOther ? this.#firstMs >= sinceMs : this.#secondMs >= sinceMs;
  }
}
