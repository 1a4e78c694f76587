// Core. Reports that are kept for a while: their numbers side by side, so that they are no work for who collects garbage.

import type { TimedReport } from "./pending_reports.ts";
import type { GainedResult } from "./reported_totals.ts";

const NUMBERS = 13;

/** Results in one piece of memory; a longer report has one of its own. */
const PIECE_RESULTS = 512;

/** Pieces that are kept for later, of 53 KB each; further ones are left to the garbage collector. */
const SPARE_PIECES_MAX = 64;

/** Where the numbers of some reports lie. */
interface Piece {
  readonly numbers: Float64Array;
  used: number;
  /** Reports in it that are not forgotten. */
  reports: number;
}

/** A report as it is kept. */
export interface PackedReport extends Omit<TimedReport, "results"> {
  readonly resultCount: number;
  readonly piece: Piece;
  /** Of each result {@linkcode NUMBERS}, from there on. */
  readonly at: number;
}

/**
 * Packs reports, into memory that is used again once they are forgotten: where there are many in each
 * second, a buffer for each would have the engine collect garbage all the time.
 */
export class ReportPacker {
  #piece: Piece | undefined;
  readonly #spare: Piece[] = [];

  /** Packs a report; nothing of it is changed. */
  pack(report: TimedReport): PackedReport {
    const { results, modId, cmdId, ts, refused, refusedNew } = report;
    const piece = this.#pieceFor(results.length * NUMBERS);
    const { numbers, used: at } = piece;
    piece.used += results.length * NUMBERS;
    piece.reports++;
    results.forEach((result, index) => writeResult(numbers, at + index * NUMBERS, result));
    const packed = { modId, cmdId, ts, refusedNew, resultCount: results.length, piece, at };
    return refused === undefined ? packed : { ...packed, refused };
  }

  /** The report is not wanted any more, and not to be unpacked again. To be called once. */
  forget({ piece }: PackedReport): void {
    piece.reports--;
    if (piece.reports > 0) return;
    piece.used = 0;
    const isUsual = piece.numbers.length === PIECE_RESULTS * NUMBERS;
    if (piece === this.#piece || !isUsual || this.#spare.length >= SPARE_PIECES_MAX) return;
    this.#spare.push(piece);
  }

  /** A piece with room for so many numbers. */
  #pieceFor(count: number): Piece {
    if (count > PIECE_RESULTS * NUMBERS) return newPiece(count);
    const now = this.#piece;
    if (now !== undefined && now.used + count <= now.numbers.length) return now;
    return this.#piece = this.#spare.pop() ?? newPiece(PIECE_RESULTS * NUMBERS);
  }
}

function newPiece(length: number): Piece {
  return { numbers: new Float64Array(length), used: 0, reports: 0 };
}

function writeResult(numbers: Float64Array, at: number, result: GainedResult): void {
  const { gains } = result;
  numbers[at] = result.ip;
  numbers[at + 1] = result.port;
  numbers[at + 2] = result.succ;
  numbers[at + 3] = result.err;
  numbers[at + 4] = result.overload ? 1 : 0;
  numbers[at + 5] = result.succTotal;
  numbers[at + 6] = result.errTotal;
  numbers[at + 7] = result.timedTotal;
  numbers[at + 8] = result.timeMsTotal;
  numbers[at + 9] = gains.succ;
  numbers[at + 10] = gains.err;
  numbers[at + 11] = gains.timed;
  numbers[at + 12] = gains.timeMs;
}

/** The report that was packed. */
export function unpackReport(packed: PackedReport): TimedReport {
  const { piece: { numbers }, at: first, resultCount, modId, cmdId, ts, refused, refusedNew } =
    packed;
  const results: GainedResult[] = [];
  for (let at = first; at < first + resultCount * NUMBERS; at += NUMBERS) {
    const [ip, port, succ, err, overload, succTotal, errTotal, timedTotal, timeMsTotal] = numbers
      .subarray(at);
    const [gained, failed, timed, timeMs] = numbers.subarray(at + 9);
    results.push({
      ...{ ip, port, succ, err, overload: overload === 1 },
      ...{ succTotal, errTotal, timedTotal, timeMsTotal },
      gains: { succ: gained, err: failed, timed, timeMs },
    });
  }
  const report = { modId, cmdId, ts, refusedNew, results };
  return refused === undefined ? report : { ...report, refused };
}
