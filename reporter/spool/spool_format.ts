// Core. Results on disk: files of numbered records that say whether they are whole.

import {
  type CallGains,
  decodeReportStatusRequest,
  encodeReportStatusRequest,
  type HostCallResult,
  type ReportStatusRequest,
} from "../../proto/codec.ts";
import { crc32 } from "../../reactor/crc32.ts";
import { ProtocolError } from "../../reactor/errors.ts";
import { type ReportedRow, rowsOf } from "../report_rows.ts";

/** First bytes of a file: "LARP". */
const MAGIC = 0x5052414c;
/** Changes whenever the layout does; files of other versions are set aside. */
export const SPOOL_VERSION = 1;
/** Magic, version, number of the spool, number of the first record, checksum of these. */
const HEAD_BYTES = 4 + 4 + 8 + 8 + 4;
/** Length and checksum of what follows. */
const FRAME_BYTES = 4 + 4;
/** When it arrived, the session of its sender, and its number there. */
const RECORD_HEAD_BYTES = 8 + 8 + 8;
/** Largest record: what fits one frame of the network, and the history's part of it. */
export const SPOOL_RECORD_BYTES_MAX = 256 * 1024;

/** What stands for the session of a sender that keeps nothing. */
export const NO_SESSION = 0;

/** What the first bytes of a file say. */
export interface SpoolHead {
  /** The spool: a number by chance, up to 2^53. Each start of a reporter begins one. */
  readonly id: number;
  /** Number of the first record in it; they count up from 1 over the files of a spool. */
  readonly first: number;
}

/** One report, with what the history counts of it. */
export interface SpoolRecord {
  /** When it arrived, by the clock of the reporter, in milliseconds since 1970. */
  readonly atMs: number;
  /** Of a sender that keeps its reports; else {@linkcode NO_SESSION}. */
  readonly session: number;
  /** With a `seq` only in a session. */
  readonly report: ReportStatusRequest;
}

/** What the history counts of one row. */
export interface RowGains extends CallGains {
  readonly refused: number;
}

const NO_GAINS: RowGains = { succ: 0, err: 0, timed: 0, timeMs: 0, refused: 0 };

/**
 * The report that a list of rows, of one module and caller, was made of.
 *
 * @param gainsOf What the history counts of the row at this place; undefined: nothing.
 */
export function reportOf(
  rows: readonly ReportedRow[],
  gainsOf: (index: number) => RowGains | undefined,
): ReportStatusRequest {
  const { modId, cmdId, caller, ts, kept } = rows[0];
  const results: HostCallResult[] = [];
  let refused: Pick<ReportStatusRequest, "refused" | "refusedNew"> = {};
  for (const [index, row] of rows.entries()) {
    const { refused: more, ...gains } = gainsOf(index) ?? NO_GAINS;
    if (row.refused !== undefined) {
      const totals = { ...row.refused, fresh: row.refusedFresh === true };
      refused = { refused: totals, refusedNew: more };
      continue;
    }
    const { ip, port, succCount, errCount, overload } = row;
    const { succTotal, errTotal, timedTotal, timeMsTotal } = row;
    results.push({
      ...{ ip, port, succ: succCount, err: errCount, overload, gains },
      ...(succTotal === undefined ? {} : { succTotal }),
      ...(errTotal === undefined ? {} : { errTotal }),
      ...(timedTotal === undefined ? {} : { timedTotal }),
      ...(timeMsTotal === undefined ? {} : { timeMsTotal }),
    });
  }
  const numbered = kept === undefined ? {} : { seq: kept.seq };
  return { modId, cmdId, caller, results, ts, ...refused, ...numbered };
}

/** The rows of a record; each says in `kept` what the history is to count of it. */
export function recordRows({ session, report }: SpoolRecord): ReportedRow[] {
  const numbered = { ...report, seq: report.seq ?? 0 };
  return rowsOf(numbered, report.ts, 0, session).rows;
}

/** The rows of a record that was found; none when it is none in spite of its checksum. */
export function rowsIn(one: NumberedRecord): ReportedRow[] {
  try {
    return recordRows(one.read());
  } catch (error) {
    if (error instanceof ProtocolError) return [];
    throw error;
  }
}

/** The first bytes of a file. */
export function encodeSpoolHead({ id, first }: SpoolHead): Uint8Array {
  const bytes = new Uint8Array(HEAD_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, SPOOL_VERSION, true);
  view.setFloat64(8, id, true);
  view.setFloat64(16, first, true);
  view.setUint32(24, crc32(bytes.subarray(0, 24)), true);
  return bytes;
}

/** A record as it follows the one before. */
export function encodeSpoolRecord({ atMs, session, report }: SpoolRecord): Uint8Array {
  const body = encodeReportStatusRequest(report);
  const bytes = new Uint8Array(FRAME_BYTES + RECORD_HEAD_BYTES + body.length);
  const view = new DataView(bytes.buffer);
  view.setFloat64(8, atMs, true);
  view.setFloat64(16, session, true);
  view.setFloat64(24, report.seq ?? 0, true);
  bytes.set(body, FRAME_BYTES + RECORD_HEAD_BYTES);
  view.setUint32(0, bytes.length - FRAME_BYTES, true);
  view.setUint32(4, crc32(bytes.subarray(FRAME_BYTES)), true);
  return bytes;
}

/** A record whose checksum is right, not read yet but for its head. */
export interface NumberedRecord {
  readonly number: number;
  readonly atMs: number;
  readonly session: number;
  /** Its number in the session; 0 without one. */
  readonly seq: number;
  /**
   * Reads the rest.
   *
   * @throws {ProtocolError} when it is none, in spite of its checksum.
   */
  read(): SpoolRecord;
}

/** How a file ended that has more bytes than whole records. */
export interface SpoolFault {
  /** Where in the file. */
  readonly atByte: number;
  readonly reason: string;
  /** The file just ends too early, as after a kill in the middle of a write. */
  readonly isTorn: boolean;
}

/** Reads one file. Whatever its bytes are, it ends, and trusts no number that it has not checked. */
export class SpoolReader {
  readonly head: SpoolHead | undefined;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #fault: SpoolFault | undefined;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.head = this.#readHead();
  }

  /** What is wrong with the file; known once its records have been read. */
  get fault(): SpoolFault | undefined {
    return this.#fault;
  }

  /** Records in order, up to the first that is not whole. */
  *records(): Generator<NumberedRecord> {
    if (this.head === undefined) return;
    let number = this.head.first;
    let at = HEAD_BYTES;
    while (at < this.#bytes.length) {
      const next = this.#readRecord(at, number);
      if (next === undefined) return;
      yield next.record;
      number++;
      at = next.end;
    }
  }

  #fail(atByte: number, reason: string, isTorn = false): undefined {
    this.#fault = { atByte, reason, isTorn };
    return undefined;
  }

  #readHead(): SpoolHead | undefined {
    const view = this.#view;
    if (this.#bytes.length < HEAD_BYTES) return this.#fail(0, "it ends in its head", true);
    if (view.getUint32(0, true) !== MAGIC) return this.#fail(0, "it is no spool of results");
    const version = view.getUint32(4, true);
    if (version !== SPOOL_VERSION) {
      return this.#fail(4, `version ${version} is not ${SPOOL_VERSION}`);
    }
    if (view.getUint32(24, true) !== crc32(this.#bytes.subarray(0, 24))) {
      return this.#fail(24, "the checksum of its head does not match");
    }
    const [id, first] = [view.getFloat64(8, true), view.getFloat64(16, true)];
    const areNumbers = [id, first].every((one) => isNumber(one) && one > 0);
    return areNumbers ? { id, first } : this.#fail(8, "its numbers are none");
  }

  #readRecord(at: number, number: number): { record: NumberedRecord; end: number } | undefined {
    const bytes = this.#bytes;
    const start = at + FRAME_BYTES;
    if (start > bytes.length) return this.#fail(at, "it ends in a record", true);
    const length = this.#view.getUint32(at, true);
    if (length < RECORD_HEAD_BYTES || length > SPOOL_RECORD_BYTES_MAX) {
      // Space that was made and never written reads as zeros.
      const isEmpty = length === 0 && bytes.subarray(at).every((byte) => byte === 0);
      return this.#fail(at, `a record of ${length} bytes cannot be`, isEmpty);
    }
    const end = start + length;
    if (end > bytes.length) return this.#fail(at, "it ends in a record", true);
    if (this.#view.getUint32(at + 4, true) !== crc32(bytes.subarray(start, end))) {
      return this.#fail(at, "a checksum does not match", end === bytes.length);
    }
    const [atMs, session, seq] = [0, 8, 16].map((by) => this.#view.getFloat64(start + by, true));
    const areNumbers = Number.isFinite(atMs) && isNumber(session) && isNumber(seq);
    if (!areNumbers || (session === NO_SESSION) !== (seq === 0)) {
      return this.#fail(at, "the head of a record is none");
    }
    const body = bytes.subarray(start + RECORD_HEAD_BYTES, end);
    const read = (): SpoolRecord => {
      const { seq: _, ...report } = decodeReportStatusRequest(body);
      return { atMs, session, report: seq === 0 ? report : { ...report, seq } };
    };
    return { record: { number, atMs, session, seq, read }, end };
  }
}

function isNumber(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
