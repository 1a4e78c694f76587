// Core. How far the reports of each sender are in the history; and a bucket that is written with it.

import {
  chunksOf,
  type Dialect,
  forUpdate,
  numberOf,
  onConflict,
  type Script,
} from "../drivers/sql_script.ts";
import type { SchemaShape } from "../schema/schema_shape.ts";
import type {
  CallHistoryRow,
  MarkedBucket,
  MarkedOutcome,
  MovedSession,
  SessionMark,
} from "./call_history.ts";
import { afterRanges, type MarkState, NO_MARK, withinGaps } from "./mark_state.ts";
import { RowsRefusedError } from "./divided_write.ts";
import {
  CALL_HISTORY_CHUNK_ROWS,
  clearHistoryRowsScript,
  lowerMarkScript,
  writeHistoryRowsScript,
} from "./history_scripts.ts";

/** Marks of one statement. */
const MARKS_CHUNK = 1_000;

/** Gaps of all senders together that are remembered; of more those told longest ago are given up. */
export const REPORT_GAPS_MAX = 100_000;

/** Gaps that are made between two looks whether there are too many. */
const GAPS_PER_LOOK = 5_000;

/** How far each session is in the history; sessions without a mark are missing. */
export function* readMarkStatesScript(
  shape: SchemaShape,
  sessions: readonly number[],
  lock = "",
): Script<Map<number, MarkState> | undefined> {
  if (!shape.reportMarks) return undefined;
  const found = new Map<number, MarkState>();
  for (const some of chunksOf(sessions, MARKS_CHUNK)) {
    const rows = yield {
      sql: `SELECT session, seq FROM ReportMark WHERE session IN (${some.join(",")})${lock}`,
    };
    for (const row of rows) found.set(numberOf(row.session), { seq: numberOf(row.seq), gaps: [] });
  }
  if (!shape.reportGaps) return found;
  // Once all marks are locked, so that nobody changes these either.
  for (const some of chunksOf(sessions, MARKS_CHUNK)) {
    const rows = yield {
      sql: `SELECT session, seq_from, seq_to FROM ReportGap WHERE session IN (${some.join(",")})`,
    };
    for (const row of rows) {
      const session = numberOf(row.session);
      const { seq, gaps } = found.get(session) ?? NO_MARK;
      const gap = { from: numberOf(row.seq_from), to: numberOf(row.seq_to) };
      found.set(session, { seq, gaps: [...gaps, gap] });
    }
  }
  return found;
}

/** Where the marks of a bucket stand, before it and with it. */
interface MarkMove {
  readonly session: number;
  readonly before: MarkState;
  readonly after: MarkState;
}

/** Marks that may be moved, or the sessions some of whose reports are in the history already. */
type MarkCheck =
  | { readonly moves: readonly MarkMove[]; readonly givenUp: number }
  | { readonly moved: MovedSession[] };

/** Gaps that a bucket made, and those that were given up for it. */
interface GapCounts {
  readonly made: number;
  readonly givenUp: number;
}

/** What became of a bucket whose rows the database takes. */
type Written = { readonly moved: readonly MovedSession[]; readonly gaps: GapCounts };

const NO_GAPS: GapCounts = { made: 0, givenUp: 0 };

function rangesOf({ marks }: MarkedBucket): Map<number, SessionMark[]> {
  const ranges = new Map<number, SessionMark[]>();
  for (const mark of marks) {
    const known = ranges.get(mark.session);
    if (known === undefined) ranges.set(mark.session, [mark]);
    else known.push(mark);
  }
  return ranges;
}

/**
 * Locks the marks of a bucket and looks whether its reports are still missing.
 *
 * @returns undefined when this bucket was written before.
 */
function* checkMarksScript(
  dialect: Dialect,
  shape: SchemaShape,
  bucket: MarkedBucket,
  nowS: number,
): Script<MarkCheck | undefined> {
  const { writer, number } = bucket;
  const ranges = rangesOf(bucket);
  const sorted = [...new Set([...ranges.keys(), writer])].sort((one, other) => one - other);
  for (const some of chunksOf(sorted, MARKS_CHUNK)) {
    const values = some.map((session) => `(${session},0,${nowS})`).join(",");
    yield {
      sql: `INSERT INTO ReportMark(session, seq, seen_at) VALUES ${values}` +
        onConflict(dialect, "session", ["seen_at"]),
    };
  }
  const found = (yield* readMarkStatesScript(shape, sorted, forUpdate(dialect))) ?? new Map();
  if ((found.get(writer)?.seq ?? 0) >= number) return undefined;
  const moves: MarkMove[] = [];
  const moved: MovedSession[] = [];
  let givenUp = 0;
  for (const [session, reports] of ranges) {
    const before = found.get(session) ?? NO_MARK;
    const after = afterRanges(before, reports);
    if (after === undefined) {
      moved.push({ session, state: before });
      continue;
    }
    const within = withinGaps(after);
    givenUp += within.givenUp;
    moves.push({ session, before, after: within.state });
  }
  return moved.length > 0 ? { moved } : { moves, givenUp };
}

/** Sets the marks to where they stand with a bucket. @returns how many gaps it made. */
function* setMarksScript(
  dialect: Dialect,
  shape: SchemaShape,
  { writer, number }: MarkedBucket,
  moves: readonly MarkMove[],
  nowS: number,
): Script<number> {
  const ends = [
    ...moves.map(({ session, after }) => ({ session, to: after.seq })),
    { session: writer, to: number },
  ].sort((one, other) => one.session - other.session);
  for (const some of chunksOf(ends, MARKS_CHUNK)) {
    const values = some.map(({ session, to }) => `(${session},${to},${nowS})`).join(",");
    yield {
      sql: `INSERT INTO ReportMark(session, seq, seen_at) VALUES ${values}` +
        onConflict(dialect, "session", ["seq", "seen_at"]),
    };
  }
  let made = 0;
  if (!shape.reportGaps) return made;
  for (const { session, before, after } of moves) {
    if (before.gaps === after.gaps) continue;
    const gone = before.gaps.filter((gap) => !after.gaps.includes(gap));
    const come = after.gaps.filter((gap) => !before.gaps.includes(gap));
    made += come.length;
    for (const { from } of gone) {
      yield {
        sql: "DELETE FROM ReportGap WHERE session = ? AND seq_from = ?",
        params: [session, from],
      };
    }
    for (const { from, to } of come) {
      yield {
        sql: "INSERT INTO ReportGap(session, seq_from, seq_to, seen_at) VALUES (?, ?, ?, ?)",
        params: [session, from, to, nowS],
      };
    }
  }
  return made;
}

/** Writes a bucket and its marks; the driver provides the transaction. */
function* writeMarkedScript(
  dialect: Dialect,
  shape: SchemaShape,
  bucket: MarkedBucket,
  nowS: number,
): Script<Written> {
  const check = yield* checkMarksScript(dialect, shape, bucket, nowS);
  if (check === undefined) return { moved: [], gaps: NO_GAPS };
  if ("moved" in check) return { moved: check.moved, gaps: NO_GAPS };
  for (const some of chunksOf(bucket.rows, CALL_HISTORY_CHUNK_ROWS)) {
    yield* writeHistoryRowsScript(dialect, shape, bucket.source, some);
  }
  const made = yield* setMarksScript(dialect, shape, bucket, check.moves, nowS);
  // Last, because others wait for it.
  const oldest = bucket.rows.reduce((least, row) => Math.min(least, row.atSeconds), Infinity);
  if (bucket.rows.length > 0) yield* lowerMarkScript(60, oldest);
  return { moved: [], gaps: { made, givenUp: check.givenUp } };
}

/** Deletes marks of sessions that nobody has heard of since `beforeTs`, in unix seconds. */
export function* pruneMarksScript(shape: SchemaShape, beforeTs: number): Script<void> {
  if (!shape.reportMarks) return;
  yield { sql: "DELETE FROM ReportMark WHERE seen_at < ?", params: [beforeTs] };
  if (shape.reportGaps) {
    yield { sql: "DELETE FROM ReportGap WHERE seen_at < ?", params: [beforeTs] };
  }
}

/** Gives gaps up that are too many, those told longest ago. @returns how many. */
export function* trimGapsScript(shape: SchemaShape, gapsMax = REPORT_GAPS_MAX): Script<number> {
  if (!shape.reportGaps) return 0;
  const [last] = yield {
    sql: "SELECT seen_at FROM ReportGap ORDER BY seen_at DESC LIMIT 1 OFFSET ?",
    params: [gapsMax - 1],
  };
  if (last === undefined) return 0;
  const before = [numberOf(last.seen_at)];
  const [older] = yield {
    sql: "SELECT COUNT(*) AS n FROM ReportGap WHERE seen_at < ?",
    params: before,
  };
  yield { sql: "DELETE FROM ReportGap WHERE seen_at < ?", params: before };
  return numberOf(older?.n);
}

/** Says when it is time to look whether there are too many gaps. */
export class GapWatch {
  /** The first one that is made may be one too many. */
  #made = GAPS_PER_LOOK;

  /** True when gaps should be looked at, as so many were made since. */
  isDue(made: number): boolean {
    if (made === 0) return false;
    this.#made += made;
    if (this.#made < GAPS_PER_LOOK) return false;
    this.#made = 0;
    return true;
  }
}

/** Has rows of a bucket count nothing. No other bucket of this source has rows of the same time. */
function* takeBackScript(
  shape: SchemaShape,
  source: number,
  rows: readonly CallHistoryRow[],
): Script<void> {
  for (const atSeconds of new Set(rows.map((row) => row.atSeconds))) {
    const modIds = rows.filter((row) => row.atSeconds === atSeconds).map(({ modId }) => modId);
    const ends = [modIds[0], modIds[modIds.length - 1]] as const;
    yield* clearHistoryRowsScript(shape, source, atSeconds, ends);
    yield* lowerMarkScript(60, atSeconds);
  }
}

/** What a store keeps from one write to the next. */
export class MarkingState {
  /** Buckets of which rows may be written and marks are not. */
  readonly inParts = new Set<string>();
  readonly gapWatch = new GapWatch();
}

/** What is needed of a store to write a bucket with marks. */
export interface MarkedWriting {
  readonly dialect: Dialect;
  /** The schema has a table for marks. */
  readonly hasMarks: boolean;
  readonly nowS: number;
  readonly state: MarkingState;
  transact<T>(script: (shape: SchemaShape) => Script<T>): Promise<T>;
  /** Writes the rows alone, in any number of transactions. */
  writeRows(): Promise<MarkedOutcome["bad"]>;
}

/** Rows of history that go into one transaction: SQLite writes on this thread. */
const MARKED_ROWS_MAX: Readonly<Record<Dialect, number>> = { mysql: 200_000, sqlite: 10_000 };

/** Writes a bucket of sorted rows and its marks, in one transaction if the database takes it. */
export async function writeMarkedBucket(
  bucket: MarkedBucket,
  writing: MarkedWriting,
): Promise<MarkedOutcome> {
  const { hasMarks, state: { inParts, gapWatch }, transact, writeRows } = writing;
  if (!hasMarks) return { moved: [], bad: await writeRows() };
  const { gaps, ...outcome } = await writeWhole(bucket, writing) ??
    await writeInParts(bucket, writing);
  const name = nameOf(bucket);
  if (outcome.moved.length > 0 && inParts.has(name)) {
    // What others have written as well must not stand here too: the caller leaves it out, and writes the rest.
    for (const some of chunksOf(bucket.rows, CALL_HISTORY_CHUNK_ROWS)) {
      await transact((shape) => takeBackScript(shape, bucket.source, some));
    }
  }
  inParts.delete(name);
  const isDue = gapWatch.isDue(gaps.made);
  const trimmed = isDue ? await transact((shape) => trimGapsScript(shape)) : 0;
  const gapsGivenUp = gaps.givenUp + trimmed;
  return gapsGivenUp === 0 ? outcome : { ...outcome, gapsGivenUp };
}

type GapOutcome = MarkedOutcome & { readonly gaps: GapCounts };

/** @returns undefined when it has to be written in parts. */
async function writeWhole(
  bucket: MarkedBucket,
  { dialect, nowS, transact }: MarkedWriting,
): Promise<GapOutcome | undefined> {
  if (bucket.rows.length > MARKED_ROWS_MAX[dialect]) return undefined;
  try {
    const written = await transact((shape) => writeMarkedScript(dialect, shape, bucket, nowS));
    return { ...written, bad: [] };
  } catch (error) {
    if (!(error instanceof RowsRefusedError)) throw error;
    return undefined;
  }
}

/** The marks last. Safe to repeat: rows replace those of the same bucket and source. */
async function writeInParts(
  bucket: MarkedBucket,
  { dialect, nowS, state: { inParts }, transact, writeRows }: MarkedWriting,
): Promise<GapOutcome> {
  const check = await transact((shape) => checkMarksScript(dialect, shape, bucket, nowS));
  if (check === undefined) return { moved: [], bad: [], gaps: NO_GAPS };
  if ("moved" in check) return { moved: check.moved, bad: [], gaps: NO_GAPS };
  inParts.add(nameOf(bucket));
  const bad = await writeRows();
  // Nobody was kept from the marks meanwhile, so they are looked at again.
  const marksAlone = { ...bucket, rows: [] };
  const written = await transact((shape) => writeMarkedScript(dialect, shape, marksAlone, nowS));
  return { ...written, bad: written.moved.length > 0 ? [] : bad };
}

function nameOf({ writer, number }: MarkedBucket): string {
  return `${writer},${number}`;
}
