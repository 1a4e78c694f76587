// Core. Reports that are kept until the reporter says that they are stored: numbered, in order.

import { type PackedReport, ReportPacker, unpackReport } from "./packed_reports.ts";
import type { TimedReport } from "./pending_reports.ts";

/**
 * Results kept, about 200 bytes each. When so many are, further ones wait unsent, the latest of each
 * node, until some are stored.
 */
export const KEPT_RESULTS_MAX = 65_536;

/** A report and its number in the session. */
export interface NumberedReport {
  readonly seq: number;
  readonly report: TimedReport;
}

interface Kept {
  readonly seq: number;
  readonly report: PackedReport;
}

/** Places that a report takes. */
function sizeOf({ resultCount }: PackedReport): number {
  return Math.max(1, resultCount);
}

/** What a report says under its number never changes: whoever has it already passes it over. */
export class KeptReports {
  readonly #packer = new ReportPacker();
  /** Oldest first; those before `#start` are stored. */
  #reports: Kept[] = [];
  #start = 0;
  /** First that has not been sent over this connection. */
  #unsent = 0;
  #lastSeq = 0;
  #resultCount = 0;
  #storedSeq = 0;

  /** Reports up to this number are known to be stored. */
  get storedSeq(): number {
    return this.#storedSeq;
  }

  /** Results that are not known to be stored. */
  get resultCount(): number {
    return this.#resultCount;
  }

  get isFull(): boolean {
    return this.#resultCount >= KEPT_RESULTS_MAX;
  }

  /** False when all have been sent. */
  get hasUnsent(): boolean {
    return this.#unsent < this.#reports.length;
  }

  /** The first report that is still to be sent; undefined: none. */
  get nextUnsent(): NumberedReport | undefined {
    const next = this.#reports[this.#unsent];
    return next === undefined ? undefined : { seq: next.seq, report: unpackReport(next.report) };
  }

  /**
   * Gives a report its number, and keeps it, to be sent after all others.
   *
   * @returns the number.
   */
  add(report: TimedReport): number {
    const kept = { seq: ++this.#lastSeq, report: this.#packer.pack(report) };
    this.#reports.push(kept);
    this.#resultCount += sizeOf(kept.report);
    return kept.seq;
  }

  /** {@linkcode nextUnsent} has been sent. */
  noteSent(): void {
    this.#unsent++;
  }

  /** Over a new connection: what comes after `held` is to be sent. @returns results sent again. */
  rewind(held: number): number {
    const before = this.#unsent;
    this.#unsent = this.#start;
    while ((this.#reports[this.#unsent]?.seq ?? Infinity) <= held) this.#unsent++;
    let again = 0;
    for (let at = this.#unsent; at < before; at++) again += this.#reports[at].report.resultCount;
    return again;
  }

  /** All that is kept. */
  newestFirst(): TimedReport[] {
    return this.#reports.slice(this.#start).reverse().map(({ report }) => unpackReport(report));
  }

  /** Forgets reports up to this number. */
  noteStored(seq: number): void {
    this.#storedSeq = Math.max(this.#storedSeq, Math.min(seq, this.#lastSeq));
    for (; this.#start < this.#reports.length; this.#start++) {
      const one = this.#reports[this.#start];
      if (one.seq > seq) break;
      this.#resultCount -= sizeOf(one.report);
      this.#packer.forget(one.report);
    }
    this.#unsent = Math.max(this.#unsent, this.#start);
    // Half at a time, so that the cost of moving the rest is small for each report.
    if (this.#start * 2 < this.#reports.length) return;
    this.#reports.splice(0, this.#start);
    this.#unsent -= this.#start;
    this.#start = 0;
  }
}
