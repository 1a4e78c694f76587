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
import type { MarkedBucket, MarkedOutcome } from "./call_history.ts";
import { RowsRefusedError } from "./divided_write.ts";
import {
  CALL_HISTORY_CHUNK_ROWS,
  lowerMarkScript,
  writeHistoryRowsScript,
} from "./history_scripts.ts";

/** Marks of one statement. */
const MARKS_CHUNK = 1_000;

/** Up to which report each session is in the history; sessions without a mark are missing. */
export function* readMarksScript(
  shape: SchemaShape,
  sessions: readonly number[],
): Script<Map<number, number> | undefined> {
  if (!shape.reportMarks) return undefined;
  const found = new Map<number, number>();
  for (const some of chunksOf(sessions, MARKS_CHUNK)) {
    const rows = yield {
      sql: `SELECT session, seq FROM ReportMark WHERE session IN (${some.join(",")})`,
    };
    for (const row of rows) found.set(numberOf(row.session), numberOf(row.seq));
  }
  return found;
}

/**
 * Locks the marks of a bucket and looks whether they stand where its reports begin. A session
 * without a mark gets one there.
 *
 * @returns undefined when this bucket was written before; else the sessions that stand further on.
 */
function* checkMarksScript(
  dialect: Dialect,
  { writer, number, marks }: MarkedBucket,
  nowS: number,
): Script<number[] | undefined> {
  const wanted = new Map(marks.map(({ session, from }) => [session, from]));
  wanted.set(writer, number - 1);
  const sorted = [...wanted].sort(([one], [other]) => one - other);
  const found = new Map<number, number>();
  for (const some of chunksOf(sorted, MARKS_CHUNK)) {
    const values = some.map(([session, seq]) => `(${session},${seq},${nowS})`).join(",");
    yield {
      sql: `INSERT INTO ReportMark(session, seq, seen_at) VALUES ${values}` +
        onConflict(dialect, "session", ["seen_at"]),
    };
    const rows = yield {
      sql: "SELECT session, seq FROM ReportMark WHERE session IN (" +
        `${some.map(([session]) => session).join(",")})${forUpdate(dialect)}`,
    };
    for (const row of rows) found.set(numberOf(row.session), numberOf(row.seq));
  }
  if ((found.get(writer) ?? 0) >= number) return undefined;
  // One that stands before: the database is of before, from a backup.
  return marks.filter(({ session, from }) => (found.get(session) ?? 0) > from)
    .map(({ session }) => session);
}

/** Sets the marks to where the reports of a bucket end. */
function* setMarksScript(
  dialect: Dialect,
  { writer, number, marks }: MarkedBucket,
  nowS: number,
): Script<void> {
  const ends = [...marks, { session: writer, to: number }]
    .sort((one, other) => one.session - other.session);
  for (const some of chunksOf(ends, MARKS_CHUNK)) {
    const values = some.map(({ session, to }) => `(${session},${to},${nowS})`).join(",");
    yield {
      sql: `INSERT INTO ReportMark(session, seq, seen_at) VALUES ${values}` +
        onConflict(dialect, "session", ["seq", "seen_at"]),
    };
  }
}

/** Writes a bucket and its marks; the driver provides the transaction. */
function* writeMarkedScript(
  dialect: Dialect,
  shape: SchemaShape,
  bucket: MarkedBucket,
  nowS: number,
): Script<number[]> {
  const moved = yield* checkMarksScript(dialect, bucket, nowS);
  if (moved === undefined) return [];
  if (moved.length > 0) return moved;
  for (const some of chunksOf(bucket.rows, CALL_HISTORY_CHUNK_ROWS)) {
    yield* writeHistoryRowsScript(dialect, shape, bucket.source, some);
  }
  yield* setMarksScript(dialect, bucket, nowS);
  // Last, because others wait for it.
  const oldest = bucket.rows.reduce((least, row) => Math.min(least, row.atSeconds), Infinity);
  if (bucket.rows.length > 0) yield* lowerMarkScript(60, oldest);
  return [];
}

/** Deletes marks of sessions that nobody has heard of since `beforeTs`, in unix seconds. */
export function* pruneMarksScript(shape: SchemaShape, beforeTs: number): Script<void> {
  if (!shape.reportMarks) return;
  yield { sql: "DELETE FROM ReportMark WHERE seen_at < ?", params: [beforeTs] };
}

/** What is needed of a store to write a bucket with marks. */
export interface MarkedWriting {
  readonly dialect: Dialect;
  /** The schema has a table for marks. */
  readonly hasMarks: boolean;
  readonly nowS: number;
  transact<T>(script: (shape: SchemaShape) => Script<T>): Promise<T>;
  /** Writes the rows alone, in any number of transactions. */
  writeRows(): Promise<MarkedOutcome["bad"]>;
}

/** Rows of history that go into one transaction: SQLite writes on this thread. */
const MARKED_ROWS_MAX: Readonly<Record<Dialect, number>> = { mysql: 200_000, sqlite: 10_000 };

/** Writes a bucket of sorted rows and its marks, in one transaction if the database takes it. */
export async function writeMarkedBucket(
  bucket: MarkedBucket,
  { dialect, hasMarks, nowS, transact, writeRows }: MarkedWriting,
): Promise<MarkedOutcome> {
  if (!hasMarks) return { moved: [], bad: await writeRows() };
  if (bucket.rows.length <= MARKED_ROWS_MAX[dialect]) {
    try {
      const moved = await transact((shape) => writeMarkedScript(dialect, shape, bucket, nowS));
      return { moved, bad: [] };
    } catch (error) {
      if (!(error instanceof RowsRefusedError)) throw error;
    }
  }
  // In parts, the marks last. Safe to repeat: rows replace those of the same bucket and source.
  const moved = await transact(() => checkMarksScript(dialect, bucket, nowS));
  if (moved === undefined) return { moved: [], bad: [] };
  if (moved.length > 0) return { moved, bad: [] };
  const bad = await writeRows();
  await transact(() => setMarksScript(dialect, bucket, nowS));
  return { moved: [], bad };
}
