// Core. The reports that a bucket was made of, one by one, so that those can be taken out of it again
// that somebody else has written.

import { addressId, callsId } from "../model/node.ts";
import type { CallHistoryRow } from "../sql/results/call_history.ts";
import type { KeptRow, TimedStatusRow } from "./report_rows.ts";
import type { RowGains } from "./spool/spool_format.ts";

/**
 * Results that are remembered with the report in which they came, over all buckets that wait, 96 bytes
 * each. Of a bucket that goes beyond it a sender has to send all again when others have written some.
 */
export const BUCKET_RESULTS_MAX = 200_000;

/** Numbers that a result takes. */
const FIELDS = 12;

/** Results for which there is room at first. */
const FIRST_RESULTS = 64;

/** Side by side in one array of numbers: tens of thousands of results a second live for seconds here. */
export class BucketReports {
  readonly #resultsMax: number;
  #numbers = new Float64Array(FIRST_RESULTS * FIELDS);
  #size = 0;
  #isWhole = true;

  constructor(resultsMax = BUCKET_RESULTS_MAX) {
    this.#resultsMax = resultsMax;
  }

  /** Results in it. */
  get size(): number {
    return this.#size;
  }

  /** False: there were more than there is room for. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** Takes what a report counts for one node, or for calls that got none. */
  add({ session, seq }: KeptRow, row: TimedStatusRow, gained: RowGains): void {
    if (this.#size >= this.#resultsMax) {
      this.#isWhole = false;
      return;
    }
    this.#makeRoom(1);
    const numbers = this.#numbers;
    const at = this.#size++ * FIELDS;
    numbers[at] = session;
    numbers[at + 1] = seq;
    numbers[at + 2] = row.modId;
    numbers[at + 3] = row.cmdId;
    const node = addressId(row.ip, row.port);
    numbers[at + 4] = node;
    numbers[at + 5] = row.caller;
    numbers[at + 6] = gained.succ;
    numbers[at + 7] = gained.err;
    numbers[at + 8] = gained.timed;
    numbers[at + 9] = gained.timeMs;
    numbers[at + 10] = gained.refused;
    // Refused calls tell nothing of a node.
    numbers[at + 11] = (node === 0 ? 0 : 1) + (row.overload ? 2 : 0);
  }

  /** Takes all of another one. */
  addAll(other: BucketReports): void {
    this.#makeRoom(other.#size);
    this.#numbers.set(other.#numbers.subarray(0, other.#size * FIELDS), this.#size * FIELDS);
    this.#size += other.#size;
    this.#isWhole &&= other.#isWhole;
  }

  /** Takes out what came in some reports. @returns as rows of that time, by session. */
  takeOut(
    isTaken: (session: number, seq: number) => boolean,
    atSeconds: number,
  ): Map<number, CallHistoryRow[]> {
    const taken = new Map<number, Map<string, CallHistoryRow>>();
    this.#keep((at) => {
      const [session, seq] = [this.#numbers[at], this.#numbers[at + 1]];
      if (!isTaken(session, seq)) return true;
      const rows = taken.get(session) ?? new Map<string, CallHistoryRow>();
      taken.set(session, rows);
      addRow(rows, this.#rowAt(at, atSeconds));
      return false;
    });
    return new Map([...taken].map(([session, rows]) => [session, [...rows.values()]]));
  }

  /** Takes out all that came from some sessions. @returns it. */
  split(sessions: ReadonlySet<number>): BucketReports {
    const others = new BucketReports(this.#resultsMax);
    others.#isWhole = this.#isWhole;
    this.#keep((at) => {
      if (!sessions.has(this.#numbers[at])) return true;
      others.#makeRoom(1);
      others.#numbers.set(this.#numbers.subarray(at, at + FIELDS), others.#size++ * FIELDS);
      return false;
    });
    return others;
  }

  /** Drops the results for which this says false. */
  #keep(isKept: (at: number) => boolean): void {
    let kept = 0;
    for (let at = 0; at < this.#size * FIELDS; at += FIELDS) {
      if (!isKept(at)) continue;
      this.#numbers.copyWithin(kept, at, at + FIELDS);
      kept += FIELDS;
    }
    this.#size = kept / FIELDS;
  }

  #makeRoom(results: number): void {
    const needed = (this.#size + results) * FIELDS;
    if (needed <= this.#numbers.length) return;
    const larger = new Float64Array(Math.max(needed, 2 * this.#numbers.length));
    larger.set(this.#numbers);
    this.#numbers = larger;
  }

  #rowAt(at: number, atSeconds: number): CallHistoryRow {
    const [modId, cmdId, node, caller, succCount, errCount, timedCount, timeMsSum, refusedCount] =
      this.#numbers.subarray(at + 2, at + FIELDS - 1);
    const flags = this.#numbers[at + FIELDS - 1];
    return {
      ...{ modId, cmdId, ip: Math.floor(node / 65_536), port: node % 65_536, caller, atSeconds },
      ...{ succCount, errCount, timedCount, timeMsSum, refusedCount },
      ...{ reportCount: flags % 2, overloadCount: Math.floor(flags / 2) },
    };
  }
}

/** Adds a row to the one of these that is about the same calls, if there is one. */
export function addRow(rows: Map<string, CallHistoryRow>, row: CallHistoryRow): void {
  const key = callsId(row);
  const known = rows.get(key);
  rows.set(key, known === undefined ? row : sumOf(known, row));
}

/** Two rows about the same calls in one; with -1 what the second says is taken away. */
export function sumOf(
  one: CallHistoryRow,
  other: CallHistoryRow,
  sign: 1 | -1 = 1,
): CallHistoryRow {
  return {
    ...one,
    succCount: one.succCount + sign * other.succCount,
    errCount: one.errCount + sign * other.errCount,
    reportCount: one.reportCount + sign * other.reportCount,
    overloadCount: one.overloadCount + sign * other.overloadCount,
    timedCount: one.timedCount + sign * other.timedCount,
    timeMsSum: one.timeMsSum + sign * other.timeMsSum,
    refusedCount: one.refusedCount + sign * other.refusedCount,
  };
}
