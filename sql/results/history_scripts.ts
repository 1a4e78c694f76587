// Core. The conversations about CallHistory: buckets of call results, their sums, their end.

import {
  type CallHistory,
  type CallHistoryPoint,
  type CallHistoryQuery,
  type CallHistoryRow,
  HISTORY_COUNT_MAX,
  HISTORY_GRACE_S,
  HISTORY_KEEP_S,
  HISTORY_POINTS_MAX,
  HISTORY_SLOTS_MAX,
  HISTORY_STEPS_S,
  HISTORY_TIME_MS_MAX,
  type HistoryGroup,
  type HistoryStep,
  type RollUpOptions,
} from "./call_history.ts";
import { missingTable } from "../grants/grants.ts";
import type { SchemaShape } from "../schema/schema_shape.ts";
import {
  chunksOf,
  type Dialect,
  forUpdate,
  numberOf,
  onConflict,
  type Script,
  type SqlRow,
} from "../drivers/sql_script.ts";

/** Rows of one upsert. */
export const CALL_HISTORY_CHUNK_ROWS = 1000;
/** Buckets named in one SELECT, each a short walk in the primary key. */
const BUCKETS_PER_QUERY = 500;
/** Module numbers that are summed up in one statement: more would hold SQLite's thread too long. */
const MODULES_PER_SLICE = 50;
/** Rows in whole modules, and rows for each node and caller: second column of the primary key. */
const GRAIN_MODULE = 0;
const GRAIN_NODE = 1;

const KEY_COLUMNS = "step_s, grain, bucket_at, modid, cmdid, ip, port, caller, source";
const COUNT_COLUMNS = ["succ", "err", "reports", "overload_reports"];
/** Columns of a later migration. */
const TIME_COLUMNS = ["timed_calls", "time_ms_sum"];

function countColumns(shape: SchemaShape): readonly string[] {
  return [
    ...COUNT_COLUMNS,
    ...(shape.callTimes ? TIME_COLUMNS : []),
    ...(shape.callRefusals ? ["refused"] : []),
  ];
}

function allColumns(shape: SchemaShape): string {
  return [KEY_COLUMNS, ...countColumns(shape)].join(", ");
}

function countSums(shape: SchemaShape): string {
  return countColumns(shape).map((name) => `SUM(${name}) AS ${name}`).join(", ");
}

function requireTable(shape: SchemaShape): void {
  if (shape.callHistory) return;
  throw missingTable("CallHistory");
}

function floorTo(value: number, step: number): number {
  return Math.floor(value / step) * step;
}

function ceilTo(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

function count(value: number, most = HISTORY_COUNT_MAX): number {
  return value > 0 ? Math.min(Math.trunc(value), most) : 0;
}

/**
 * A row as text: every value is a whole number made here, and binding thousands of them takes the
 * library longer than the rest of the write.
 */
function valuesText(shape: SchemaShape, source: number, row: CallHistoryRow): string {
  const grain = row.port === 0 && row.caller === 0 ? GRAIN_MODULE : GRAIN_NODE;
  return `(${HISTORY_STEPS_S[0]},${grain},${floorTo(row.atSeconds, HISTORY_STEPS_S[0])},` +
    `${row.modId >>> 0},${row.cmdId >>> 0},${row.ip >>> 0},${row.port & 0xffff},` +
    `${row.caller >>> 0},${source >>> 0},${count(row.succCount)},${count(row.errCount)},` +
    `${count(row.reportCount)},${count(row.overloadCount)}` +
    (shape.callTimes
      ? `,${count(row.timedCount)},${count(row.timeMsSum, HISTORY_TIME_MS_MAX)}`
      : "") +
    (shape.callRefusals ? `,${count(row.refusedCount)})` : ")");
}

function compareRows(a: CallHistoryRow, b: CallHistoryRow): number {
  return a.atSeconds - b.atSeconds || a.modId - b.modId || a.cmdId - b.cmdId || a.ip - b.ip ||
    a.port - b.port || a.caller - b.caller;
}

/** Rows in the order of the primary key: writers at work at once then never wait in a circle. */
export function sortCallHistory(rows: readonly CallHistoryRow[]): CallHistoryRow[] {
  return rows.toSorted(compareRows);
}

/**
 * Writes one chunk of rows. Buckets that had been rolled up already are marked to be rolled up
 * again: a reporter whose database was away writes late.
 *
 * @throws {StoreError} for good, when the table is missing.
 */
export function* writeCallHistoryScript(
  dialect: Dialect,
  shape: SchemaShape,
  source: number,
  rows: readonly CallHistoryRow[],
): Script<void> {
  yield* writeHistoryRowsScript(dialect, shape, source, rows);
  const oldest = rows.reduce((least, row) => Math.min(least, row.atSeconds), Infinity);
  yield* lowerMarkScript(60, oldest);
}

/** The rows alone; to be followed by {@linkcode lowerMarkScript}. */
export function* writeHistoryRowsScript(
  dialect: Dialect,
  shape: SchemaShape,
  source: number,
  rows: readonly CallHistoryRow[],
): Script<void> {
  requireTable(shape);
  const values = rows.map((row) => valuesText(shape, source, row)).join(",");
  yield {
    sql: `INSERT INTO CallHistory(${allColumns(shape)}) VALUES ${values}` +
      onConflict(dialect, KEY_COLUMNS, countColumns(shape)),
  };
}

/**
 * Has what a source has written of the bucket at `atSeconds` count nothing, of modules from one number to
 * another; to be followed by {@linkcode lowerMarkScript}. Rows that are gone would stay in sums made of them.
 */
export function* clearHistoryRowsScript(
  shape: SchemaShape,
  source: number,
  atSeconds: number,
  [firstModId, lastModId]: readonly [number, number],
): Script<void> {
  const step = HISTORY_STEPS_S[0];
  yield {
    sql: `UPDATE CallHistory SET ${countColumns(shape).map((name) => `${name} = 0`).join(", ")} ` +
      "WHERE step_s = ? AND grain IN (?, ?) AND bucket_at = ? AND modid BETWEEN ? AND ? " +
      "AND source = ?",
    params: [
      ...[step, GRAIN_MODULE, GRAIN_NODE, floorTo(atSeconds, step)],
      ...[firstModId, lastModId, source],
    ],
  };
}

/** Makes the next roll-up begin at `seconds` at the latest. */
export function* lowerMarkScript(step: HistoryStep, seconds: number): Script<void> {
  const mark = floorTo(seconds, step);
  yield {
    sql: "UPDATE CallHistoryStep SET rolled_to = ? WHERE id = ? AND rolled_to > ?",
    params: [mark, step, mark],
  };
}

/** What CallHistoryStep says about one kind of bucket. */
interface StepState {
  /** Everything before has been summed up into buckets of this kind. */
  readonly rolledTo: number;
  /** Some buckets of this kind before this time have been deleted. */
  readonly deletedTo: number;
  /** How long they are kept. */
  readonly keepS: number;
}

const NOTHING: StepState = { rolledTo: 0, deletedTo: 0, keepS: Infinity };

type StepStates = Readonly<Record<HistoryStep, StepState>>;

function* stepStatesScript(lock = ""): Script<StepStates> {
  const rows = yield {
    sql: `SELECT id, rolled_to, deleted_to, keep_s FROM CallHistoryStep${lock}`,
  };
  const stateOf = (step: HistoryStep): StepState => {
    const row = rows.find((found) => numberOf(found.id) === step);
    return row === undefined ? { ...NOTHING, keepS: HISTORY_KEEP_S[step] } : {
      rolledTo: numberOf(row.rolled_to),
      deletedTo: numberOf(row.deleted_to),
      keepS: numberOf(row.keep_s),
    };
  };
  return { 10: stateOf(10), 60: stateOf(60), 3600: stateOf(3600) };
}

function* setMarkScript(
  dialect: Dialect,
  step: HistoryStep,
  name: "rolled_to" | "deleted_to",
  mark: number,
): Script<void> {
  const marks = name === "rolled_to" ? [mark, 0] : [0, mark];
  yield {
    sql: "INSERT INTO CallHistoryStep(id, rolled_to, deleted_to, keep_s) VALUES (?, ?, ?, ?)" +
      onConflict(dialect, "id", [name]),
    params: [step, ...marks, HISTORY_KEEP_S[step]],
  };
}

/** Begin of the first bucket of `step` from `fromS` on and before `toS`; undefined when none. */
function* firstBucketScript(step: number, fromS: number, toS: number): Script<number | undefined> {
  const rows = yield {
    sql: "SELECT bucket_at FROM CallHistory WHERE step_s = ? AND grain = ? AND bucket_at >= ? " +
      "AND bucket_at < ? ORDER BY bucket_at LIMIT 1",
    params: [step, GRAIN_MODULE, fromS, toS],
  };
  return rows.length === 0 ? undefined : numberOf(rows[0].bucket_at);
}

/** A window that is to be summed up. */
export interface RollUpWindow {
  readonly step: 60 | 3600;
  /** Begin, in unix seconds. */
  readonly atS: number;
  /** First and last module number of each part. */
  readonly slices: readonly (readonly [number, number])[];
}

/**
 * Finds the next window of `step` that is due and marks it as begun: its mark then lies one second
 * inside it. Rows that come late move the mark back, and {@linkcode endWindowScript} then leaves the
 * window to be summed up again; so windows can be summed up in parts, each in a transaction of its
 * own, and by several reporters at once. Windows whose buckets are in part deleted already are left
 * as they are. The driver provides the transaction.
 *
 * @returns undefined when nothing is due.
 */
export function* beginWindowScript(
  dialect: Dialect,
  shape: SchemaShape,
  step: 60 | 3600,
  { nowSeconds }: RollUpOptions,
): Script<RollUpWindow | undefined> {
  if (!shape.callHistory) return undefined;
  const finer = step === 60 ? 10 : 60;
  const states = yield* stepStatesScript(forUpdate(dialect));
  const graceEndS = floorTo(nowSeconds - HISTORY_GRACE_S, step);
  // Hours are made of minutes that are summed up themselves.
  const endS = finer === 10 ? graceEndS : Math.min(graceEndS, floorTo(states[60].rolledTo, step));
  const beginS = Math.max(states[step].rolledTo, ceilTo(states[finer].deletedTo, step));
  if (beginS >= endS) return undefined;
  const bucketS = yield* firstBucketScript(finer, beginS, endS);
  if (bucketS === undefined) {
    yield* setMarkScript(dialect, step, "rolled_to", endS);
    return undefined;
  }
  const atS = floorTo(bucketS, step);
  yield* setMarkScript(dialect, step, "rolled_to", atS + 1);
  const rows = yield {
    sql: "SELECT DISTINCT modid FROM CallHistory WHERE step_s = ? AND grain = ? " +
      "AND bucket_at >= ? AND bucket_at < ? ORDER BY modid",
    params: [finer, GRAIN_MODULE, atS, atS + step],
  };
  const slices: [number, number][] = [];
  for (const some of chunksOf(rows.map((row) => numberOf(row.modid)), MODULES_PER_SLICE)) {
    slices.push([some[0], some[some.length - 1]]);
  }
  return { step, atS, slices };
}

/** Sums one part of a window up; computed anew, never added to. One statement. */
export function* sumSliceScript(
  dialect: Dialect,
  shape: SchemaShape,
  { step, atS }: RollUpWindow,
  [firstModId, lastModId]: readonly [number, number],
): Script<void> {
  const finer = step === 60 ? 10 : 60;
  const buckets = Array.from({ length: step / finer }, (_, index) => atS + index * finer);
  yield {
    sql: `INSERT INTO CallHistory(${allColumns(shape)}) ` +
      `SELECT ${step}, grain, ${atS}, modid, cmdid, ip, port, caller, 0, ` +
      `${countSums(shape)} ` +
      `FROM CallHistory WHERE step_s = ${finer} AND grain IN (${GRAIN_MODULE}, ${GRAIN_NODE}) ` +
      `AND bucket_at IN (${buckets.join(",")}) AND modid BETWEEN ${firstModId} AND ${lastModId} ` +
      // Another reporter may be ahead, and deleting: a sum of what is left would be too small.
      "AND NOT EXISTS (SELECT 1 FROM CallHistoryStep AS done " +
      `WHERE done.id = ${finer} AND done.deleted_to > ${atS}) ` +
      "GROUP BY grain, modid, cmdid, ip, port, caller" +
      onConflict(dialect, KEY_COLUMNS, countColumns(shape)),
  };
}

/** Moves the mark past a window, unless rows have come late since it was begun. */
export function* endWindowScript({ step, atS }: RollUpWindow): Script<void> {
  // The hour of a minute that was summed up again has to be, too.
  if (step === 60) yield* lowerMarkScript(3600, atS);
  yield {
    sql: "UPDATE CallHistoryStep SET rolled_to = ? WHERE id = ? AND rolled_to = ?",
    params: [atS + step, step, atS + 1],
  };
}

/**
 * Deletes the oldest bucket of `step` if it is past its time.
 *
 * @returns false when it is not.
 */
export function* deleteOldBucketsScript(
  dialect: Dialect,
  shape: SchemaShape,
  step: HistoryStep,
  options: RollUpOptions,
): Script<boolean> {
  if (!shape.callHistory) return false;
  const keepS = (options.keepSeconds ?? HISTORY_KEEP_S)[step];
  const keptS = floorTo(options.nowSeconds - keepS, step);
  const oldestS = yield* firstBucketScript(step, 0, keptS);
  if (oldestS === undefined) return false;
  // First the mark, then the rows: a roll-up waits for the mark, and then leaves the rest alone.
  const endS = oldestS + step;
  const states = yield* stepStatesScript(forUpdate(dialect));
  if (endS > states[step].deletedTo) yield* setMarkScript(dialect, step, "deleted_to", endS);
  yield {
    sql: "DELETE FROM CallHistory WHERE step_s = ? AND grain IN (?, ?) AND bucket_at < ?",
    params: [step, GRAIN_MODULE, GRAIN_NODE, endS],
  };
  return true;
}

/** Writes down how long each kind of bucket is kept, for those who read. */
export function* noteRetentionScript(shape: SchemaShape, options: RollUpOptions): Script<void> {
  if (!shape.callHistory) return;
  const { keepSeconds = HISTORY_KEEP_S } = options;
  for (const step of HISTORY_STEPS_S) {
    const keepS = Math.trunc(keepSeconds[step]);
    yield {
      sql: "UPDATE CallHistoryStep SET keep_s = ? WHERE id = ? AND keep_s <> ?",
      params: [keepS, step, keepS],
    };
  }
}

/** A stretch of time that is read from buckets of one length. */
interface Segment {
  readonly step: HistoryStep;
  readonly fromS: number;
  readonly toS: number;
}

/** How a query is answered. */
interface Plan {
  readonly stepS: number;
  readonly fromS: number;
  readonly toS: number;
  readonly segments: readonly Segment[];
}

/** Which buckets answer a query: the coarsest that fit its step, and finer ones for the end. */
function planOf(query: CallHistoryQuery, states: StepStates, nowS: number): Plan {
  const { fromSeconds, toSeconds, stepSeconds } = query;
  const fits = (step: HistoryStep): boolean => step <= stepSeconds;
  const kept = (step: HistoryStep): boolean => fromSeconds >= nowS - states[step].keepS;
  const base = HISTORY_STEPS_S.findLast((step) => fits(step) && kept(step)) ??
    HISTORY_STEPS_S.find((step) => !fits(step) && kept(step)) ?? 3600;
  const stepS = ceilTo(Math.max(stepSeconds, base), base);
  const fromS = floorTo(fromSeconds, stepS);
  const toS = ceilTo(toSeconds, stepS);
  const segments: Segment[] = [];
  let at = fromS;
  for (const step of HISTORY_STEPS_S.toReversed()) {
    if (step > base) continue;
    // What is wanted may end within a slot; finer buckets know where.
    const endS = step === 10 ? ceilTo(toSeconds, step) : Math.min(toS, states[step].rolledTo);
    if (endS <= at) continue;
    segments.push({ step, fromS: at, toS: endS });
    at = endS;
  }
  return { stepS, fromS, toS, segments };
}

function checkQuery({ fromSeconds, toSeconds, stepSeconds }: CallHistoryQuery): void {
  for (const [name, value] of Object.entries({ fromSeconds, toSeconds })) {
    if (value >= 0 && value < 100_000_000_000) continue;
    throw new RangeError(`${name} must be in unix seconds: current value is ${value}`);
  }
  if (!(stepSeconds >= 1) || stepSeconds > 366 * 86_400) {
    throw new RangeError(`stepSeconds must be from 1 to a year: current value is ${stepSeconds}`);
  }
  const slots = (toSeconds - fromSeconds) / Math.max(stepSeconds, HISTORY_STEPS_S[0]);
  if (slots > 0 && slots <= HISTORY_SLOTS_MAX) return;
  throw new RangeError(
    `History must be from 1 to ${HISTORY_SLOTS_MAX} steps: current value is ${fromSeconds} to ` +
      `${toSeconds} in steps of ${stepSeconds} s`,
  );
}

/** The columns that tell the series of a grouping apart. */
function groupColumns(group: HistoryGroup): readonly string[] {
  if (group === "total") return [];
  if (group === "module") return ["modid", "cmdid"];
  return group === "node" ? ["modid", "cmdid", "ip", "port"] : ["modid", "cmdid", "caller"];
}

/**
 * As {@linkcode countSums}, of rows of a node and a caller: each counts for what it keeps out by the
 * time that it covers, and not by the number of its reports, as a node that is out has fewer.
 */
function pairSums(shape: SchemaShape, step: HistoryStep): string {
  const counts = countColumns(shape).filter((name) =>
    name !== "reports" && name !== "overload_reports"
  );
  return [
    ...counts.map((name) => `SUM(${name}) AS ${name}`),
    `SUM(CASE WHEN reports > 0 THEN ${step} ELSE 0 END) AS reports`,
    `SUM(CASE WHEN reports > 0 THEN ${step} * 1e0 * overload_reports / reports ELSE 0e0 END) ` +
    "AS overload_reports",
  ].join(", ");
}

function* segmentScript(
  shape: SchemaShape,
  query: CallHistoryQuery,
  plan: Plan,
  segment: Segment,
): Script<SqlRow[]> {
  const { module, node, caller, groupBy = "total" } = query;
  const detailed = node !== undefined || caller !== undefined || groupBy === "node" ||
    groupBy === "caller";
  const terms = [`step_s = ${segment.step}`, `grain = ${detailed ? GRAIN_NODE : GRAIN_MODULE}`];
  if (module !== undefined) {
    terms.push(`modid = ${module.modId >>> 0}`, `cmdid = ${module.cmdId >>> 0}`);
  }
  if (node !== undefined) terms.push(`ip = ${node.ip >>> 0}`, `port = ${node.port & 0xffff}`);
  if (caller !== undefined) terms.push(`caller = ${caller >>> 0}`);
  if (groupBy === "node") terms.push("port <> 0");
  const groups = groupColumns(groupBy);
  const slot = `bucket_at - bucket_at % ${plan.stepS}`;
  const sums = detailed ? pairSums(shape, segment.step) : countSums(shape);
  const select = `SELECT ${[`${slot} AS slot`, ...groups, sums].join(", ")} ` +
    `FROM CallHistory WHERE ${terms.join(" AND ")} AND `;
  const end = ` GROUP BY ${[slot, ...groups].join(", ")} LIMIT ${HISTORY_POINTS_MAX + 1}`;
  const { fromS, toS } = segment;
  if (module === undefined) {
    const rows = yield { sql: `${select}bucket_at >= ${fromS} AND bucket_at < ${toS}${end}` };
    return [...rows];
  }
  // The key begins with the time: one short walk for each bucket instead of one over all modules.
  const buckets: number[] = [];
  for (let at = fromS; at < toS; at += segment.step) buckets.push(at);
  const found: SqlRow[] = [];
  for (const some of chunksOf(buckets, BUCKETS_PER_QUERY)) {
    const rows = yield { sql: `${select}bucket_at IN (${some.join(",")})${end}` };
    found.push(...rows);
  }
  return found;
}

/** A point while it is added up. */
interface Sum {
  readonly row: SqlRow;
  readonly slot: number;
  succ: number;
  err: number;
  reports: number;
  overloads: number;
  timed: number;
  timeMs: number;
  refused: number;
}

function addUp(rows: readonly SqlRow[], groups: readonly string[]): Sum[] {
  const sums = new Map<string, Sum>();
  for (const row of rows) {
    const key = [row.slot, ...groups.map((name) => row[name])].join(",");
    const known = sums.get(key);
    const sum = known ??
      {
        row,
        slot: numberOf(row.slot),
        succ: 0,
        err: 0,
        reports: 0,
        overloads: 0,
        timed: 0,
        timeMs: 0,
        refused: 0,
      };
    if (known === undefined) sums.set(key, sum);
    sum.succ += numberOf(row.succ);
    sum.err += numberOf(row.err);
    sum.reports += numberOf(row.reports);
    sum.overloads += numberOf(row.overload_reports);
    sum.timed += numberOf(row.timed_calls);
    sum.timeMs += numberOf(row.time_ms_sum);
    sum.refused += numberOf(row.refused);
  }
  const order = ["slot", ...groups];
  return [...sums.values()].sort((a, b) => {
    for (const name of order) {
      const difference = numberOf(a.row[name]) - numberOf(b.row[name]);
      if (difference !== 0) return difference;
    }
    return 0;
  });
}

function pointOf(sum: Sum, group: HistoryGroup): CallHistoryPoint {
  const { row } = sum;
  const module = { modId: numberOf(row.modid), cmdId: numberOf(row.cmdid) };
  return {
    atSeconds: sum.slot,
    ...(group === "total" ? {} : { module }),
    ...(group === "node" ? { node: { ip: numberOf(row.ip), port: numberOf(row.port) } } : {}),
    ...(group === "caller" ? { caller: numberOf(row.caller) } : {}),
    succCount: sum.succ,
    errCount: sum.err,
    overloadShare: sum.reports === 0 ? 0 : sum.overloads / sum.reports,
    timedCount: sum.timed,
    timeMsSum: sum.timeMs,
    refusedCount: sum.refused,
  };
}

/**
 * Reads series of points; no points when the table is missing.
 *
 * @throws {RangeError} when the range is empty or too long.
 */
export function* readCallHistoryScript(
  shape: SchemaShape,
  query: CallHistoryQuery,
  nowS: number,
): Script<CallHistory> {
  checkQuery(query);
  const { groupBy = "total" } = query;
  const states = shape.callHistory
    ? yield* stepStatesScript()
    : { 10: NOTHING, 60: NOTHING, 3600: NOTHING };
  const plan = planOf(query, states, nowS);
  const rows: SqlRow[] = [];
  for (const segment of shape.callHistory ? plan.segments : []) {
    rows.push(...yield* segmentScript(shape, query, plan, segment));
  }
  const sums = addUp(rows, groupColumns(groupBy));
  return {
    stepSeconds: plan.stepS,
    fromSeconds: plan.fromS,
    toSeconds: plan.toS,
    points: sums.slice(0, HISTORY_POINTS_MAX).map((sum) => pointOf(sum, groupBy)),
    truncated: sums.length > HISTORY_POINTS_MAX,
  };
}
