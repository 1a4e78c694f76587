// Core. Rows of results in columns of numbers: a hundred thousand of them take a few megabytes.

import type { CallStatusRow, RefusedCounts } from "../sql/store.ts";
import type { ReportedRow } from "./report_rows.ts";

/** Rows in places that are numbers from 0. */
export interface RowColumns<Row> {
  /** Makes room for so many rows; those below keep their values. */
  resize(capacity: number): void;
  /** Puts a row into a place. */
  write(place: number, row: Row): void;
  /** The row of a place, made anew. */
  read(place: number): Row;
  /** True when the row of a place is about the same calls. */
  isAt(place: number, row: CallStatusRow): boolean;
}

/** A result that waits to be written. */
export interface WaitingStatus extends CallStatusRow {
  /** Session of the sender that keeps it until it is stored; absent: nobody else does. */
  readonly keptBy?: number;
}

/** A row as it comes, or as it was given out before. */
export type ComingStatus = WaitingStatus & Pick<Partial<ReportedRow>, "kept">;

const OVERLOAD = 1;
const SUCC_TOTAL = 2;
const ERR_TOTAL = 4;
const REFUSED = 8;
const KEPT = 16;
const TIMED_TOTAL = 32;
const TIME_MS_TOTAL = 64;
const REFUSED_FRESH = 128;
const AGAIN = 256;

/** Copies numbers into an array of another length. */
function resized<T extends Uint32Array | Uint16Array | Float64Array>(
  from: T,
  to: T,
): T {
  to.set(from.subarray(0, to.length) as never);
  return to;
}

/** Columns of what the database is told of. */
export class StatusColumns implements RowColumns<ComingStatus> {
  #modIds = new Uint32Array();
  #cmdIds = new Uint32Array();
  #ips = new Uint32Array();
  #ports = new Uint16Array();
  #callers = new Uint32Array();
  #succCounts = new Float64Array();
  #errCounts = new Float64Array();
  #times = new Float64Array();
  #succTotals = new Float64Array();
  #errTotals = new Float64Array();
  #keepers = new Float64Array();
  /** Rows about refused calls are few. */
  readonly #refused = new Map<number, RefusedCounts>();
  /** What of a row is true or there, as bits. */
  protected flags = new Uint16Array();

  resize(capacity: number): void {
    this.#modIds = resized(this.#modIds, new Uint32Array(capacity));
    this.#cmdIds = resized(this.#cmdIds, new Uint32Array(capacity));
    this.#ips = resized(this.#ips, new Uint32Array(capacity));
    this.#ports = resized(this.#ports, new Uint16Array(capacity));
    this.#callers = resized(this.#callers, new Uint32Array(capacity));
    this.#succCounts = resized(this.#succCounts, new Float64Array(capacity));
    this.#errCounts = resized(this.#errCounts, new Float64Array(capacity));
    this.#times = resized(this.#times, new Float64Array(capacity));
    this.#succTotals = resized(this.#succTotals, new Float64Array(capacity));
    this.#errTotals = resized(this.#errTotals, new Float64Array(capacity));
    this.#keepers = resized(this.#keepers, new Float64Array(capacity));
    this.flags = resized(this.flags, new Uint16Array(capacity));
    for (const place of this.#refused.keys()) if (place >= capacity) this.#refused.delete(place);
  }

  write(place: number, row: ComingStatus): void {
    const { succTotal, errTotal, refused, keptBy = row.kept?.session } = row;
    this.#modIds[place] = row.modId;
    this.#cmdIds[place] = row.cmdId;
    this.#ips[place] = row.ip;
    this.#ports[place] = row.port;
    this.#callers[place] = row.caller;
    this.#succCounts[place] = row.succCount;
    this.#errCounts[place] = row.errCount;
    this.#times[place] = row.ts;
    this.#succTotals[place] = succTotal ?? 0;
    this.#errTotals[place] = errTotal ?? 0;
    this.#keepers[place] = keptBy ?? 0;
    if (refused === undefined) this.#refused.delete(place);
    else this.#refused.set(place, refused);
    this.flags[place] = (row.overload ? OVERLOAD : 0) |
      (succTotal === undefined ? 0 : SUCC_TOTAL) | (errTotal === undefined ? 0 : ERR_TOTAL) |
      (refused === undefined ? 0 : REFUSED) |
      (keptBy === undefined ? 0 : KEPT);
  }

  read(place: number): WaitingStatus {
    const flags = this.flags[place];
    return {
      modId: this.#modIds[place],
      cmdId: this.#cmdIds[place],
      ip: this.#ips[place],
      port: this.#ports[place],
      caller: this.#callers[place],
      succCount: this.#succCounts[place],
      errCount: this.#errCounts[place],
      ts: this.#times[place],
      overload: (flags & OVERLOAD) !== 0,
      ...((flags & SUCC_TOTAL) === 0 ? {} : { succTotal: this.#succTotals[place] }),
      ...((flags & ERR_TOTAL) === 0 ? {} : { errTotal: this.#errTotals[place] }),
      ...((flags & REFUSED) === 0 ? {} : { refused: this.#refused.get(place) }),
      ...((flags & KEPT) === 0 ? {} : { keptBy: this.#keepers[place] }),
    };
  }

  isAt(place: number, { modId, cmdId, ip, port, caller }: CallStatusRow): boolean {
    return this.#ips[place] === ip && this.#ports[place] === port &&
      this.#modIds[place] === modId && this.#cmdIds[place] === cmdId &&
      this.#callers[place] === caller;
  }
}

/** Columns of all that a report of a sender says which does not keep it. */
export class ReportedColumns extends StatusColumns implements RowColumns<ReportedRow> {
  #peers = new Float64Array();
  #timedTotals = new Float64Array();
  #timeMsTotals = new Float64Array();

  override resize(capacity: number): void {
    super.resize(capacity);
    this.#peers = resized(this.#peers, new Float64Array(capacity));
    this.#timedTotals = resized(this.#timedTotals, new Float64Array(capacity));
    this.#timeMsTotals = resized(this.#timeMsTotals, new Float64Array(capacity));
  }

  override write(place: number, row: ReportedRow): void {
    super.write(place, row);
    const { timedTotal, timeMsTotal, refusedFresh, again } = row;
    this.#peers[place] = row.peer;
    this.#timedTotals[place] = timedTotal ?? 0;
    this.#timeMsTotals[place] = timeMsTotal ?? 0;
    this.flags[place] |= (timedTotal === undefined ? 0 : TIMED_TOTAL) |
      (timeMsTotal === undefined ? 0 : TIME_MS_TOTAL) |
      (refusedFresh === true ? REFUSED_FRESH : 0) | (again === true ? AGAIN : 0);
  }

  override read(place: number): ReportedRow {
    const flags = this.flags[place];
    return {
      ...super.read(place),
      peer: this.#peers[place],
      ...((flags & TIMED_TOTAL) === 0 ? {} : { timedTotal: this.#timedTotals[place] }),
      ...((flags & TIME_MS_TOTAL) === 0 ? {} : { timeMsTotal: this.#timeMsTotals[place] }),
      ...((flags & REFUSED) === 0 ? {} : { refusedFresh: (flags & REFUSED_FRESH) !== 0 }),
      ...((flags & AGAIN) === 0 ? {} : { again: true }),
    };
  }
}
