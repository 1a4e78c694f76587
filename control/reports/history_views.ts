// Core. Questions about the past as the database takes them, and its answers as charts take them.

import { moduleText } from "../../model/module.ts";
import { addressText } from "../../model/node.ts";
import { formatIpv4, parseIpv4 } from "../../reactor/address.ts";
import {
  type CallHistory,
  type CallHistoryPoint,
  type CallHistoryQuery,
  historyWholeUntil,
} from "../../sql/results/call_history.ts";
import type { EventQuery, EventRecord } from "../../sql/results/event.ts";
import { parseNode } from "../changes/change_edits.ts";
import { eventSeverity } from "../system/severity.ts";
import { ControlError } from "../control_error.ts";
import type { EventView, EventWish, History, HistorySeries, HistoryWish } from "../schemas.ts";

/** Series of one answer: the largest ones. */
const SERIES_SHOWN = 50;
/** Without any result, of any module, for so long nothing is known: nobody called, or nobody told. */
const GAP_S = 120;
/** Points of one series are about so many. */
const POINTS_WANTED = 360;

const RANGE_S = {
  "5m": 300,
  "15m": 900,
  "1h": 3600,
  "6h": 21_600,
  "24h": 86_400,
  "7d": 7 * 86_400,
  "30d": 30 * 86_400,
} as const;
const RANGE_MAX_S = 90 * 86_400;

function stepFor(rangeS: number): number {
  const wanted = rangeS / POINTS_WANTED;
  return [10, 20, 60, 120, 300, 600, 1800, 3600, 7200, 21_600].find((step) => step >= wanted) ??
    86_400;
}

/**
 * The question for the database. It ends where the history is whole; see
 * {@linkcode historyWholeUntil}.
 *
 * @throws {ControlError} invalid, when the range is none.
 */
export function historyQuery(query: HistoryWish, wallMs: number): CallHistoryQuery {
  const { modId, cmdId, node, caller, by = "total", range = "1h", fromMs, toMs } = query;
  if ((fromMs === undefined) !== (toMs === undefined)) {
    throw new ControlError("invalid", "fromMs and toMs must be given together");
  }
  if ((modId === undefined) !== (cmdId === undefined)) {
    throw new ControlError("invalid", "modId and cmdId must be given together");
  }
  const wholeS = historyWholeUntil(wallMs / 1000);
  const endS = toMs === undefined ? wholeS : Math.ceil(toMs / 1000);
  const fromSeconds = fromMs === undefined ? endS - RANGE_S[range] : Math.floor(fromMs / 1000);
  const rangeS = endS - fromSeconds;
  // Rounded to seconds, a range that ends before it begins may be one of a second.
  const isNone = fromMs !== undefined && toMs !== undefined && fromMs >= toMs;
  if (isNone || rangeS <= 0 || rangeS > RANGE_MAX_S) {
    throw new ControlError("invalid", "The range must be longer than 0 and at most 90 days");
  }
  // A range of the last seconds, or of the time to come, is read all the same: it is one gap.
  const toSeconds = Math.max(fromSeconds + 1, Math.min(endS, wholeS));
  return {
    ...(modId === undefined || cmdId === undefined ? {} : { module: { modId, cmdId } }),
    ...(node === undefined ? {} : { node: parseNode(node) }),
    ...(caller === undefined ? {} : { caller: parseIpv4(caller) }),
    fromSeconds,
    toSeconds,
    stepSeconds: stepFor(rangeS),
    groupBy: by,
  };
}

function keyOf(point: CallHistoryPoint, manyModules: boolean): string {
  const module = point.module === undefined ? "" : moduleText(point.module);
  if (point.node !== undefined) {
    const node = addressText(point.node);
    return manyModules && module !== "" ? `${module} ${node}` : node;
  }
  if (point.caller !== undefined) return formatIpv4(point.caller);
  return module === "" ? "total" : module;
}

/** One series while its points are added up. */
class SeriesSums {
  readonly #key: string;
  readonly #calls: number[];
  readonly #errors: number[];
  readonly #overloadShare: number[];
  readonly #timed: number[];
  readonly #timeMs: number[];
  readonly #refused: number[];

  constructor(key: string, steps: number) {
    const zeros = (): number[] => new Array<number>(steps).fill(0);
    this.#key = key;
    this.#calls = zeros();
    this.#errors = zeros();
    this.#overloadShare = zeros();
    this.#timed = zeros();
    this.#timeMs = zeros();
    this.#refused = zeros();
  }

  /** Calls that were made and calls that were refused: what callers wanted. */
  get wantedCount(): number {
    return sumOf(this.#calls) + sumOf(this.#refused);
  }

  add(index: number, point: CallHistoryPoint): void {
    this.#calls[index] += point.succCount + point.errCount;
    this.#errors[index] += point.errCount;
    this.#overloadShare[index] = rounded(point.overloadShare);
    this.#timed[index] += point.timedCount;
    this.#timeMs[index] += point.timeMsSum;
    this.#refused[index] += point.refusedCount;
  }

  view(): HistorySeries {
    return {
      key: this.#key,
      calls: this.#calls,
      errors: this.#errors,
      overloadShare: this.#overloadShare,
      latencyMs: this.#timed.map((timed, index) => meanMs(this.#timeMs[index], timed)),
      meanLatencyMs: meanMs(sumOf(this.#timeMs), sumOf(this.#timed)),
      refused: this.#refused,
    };
  }
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function meanMs(timeMs: number, timed: number): number | null {
  return timed === 0 ? null : rounded(timeMs / timed);
}

/** The question which times anything is known of: results of any module. */
export function knownQuery(
  { fromSeconds, toSeconds, stepSeconds }: CallHistoryQuery,
): CallHistoryQuery {
  return { fromSeconds, toSeconds, stepSeconds };
}

/** Stretches of which nobody told anything, of the times of results in ascending order. */
function gapsIn(known: CallHistory, untilS: number): History["gaps"] {
  const gaps: { fromMs: number; toMs: number }[] = [];
  let atS = known.fromSeconds;
  const close = (toS: number): void => {
    if (toS - atS > GAP_S) gaps.push({ fromMs: atS * 1000, toMs: toS * 1000 });
  };
  for (const { atSeconds } of known.points) {
    close(Math.min(atSeconds, untilS));
    atS = Math.max(atS, atSeconds + known.stepSeconds);
  }
  close(untilS);
  return gaps;
}

/**
 * The answer for a chart: one value for each step, 0 where nothing was reported, and null for the
 * latency where nobody told what calls took.
 *
 * @param known The answer to {@linkcode knownQuery}.
 */
export function historyView(
  history: CallHistory,
  query: CallHistoryQuery,
  known: CallHistory,
): History {
  const { stepSeconds, fromSeconds, points, truncated } = history;
  // The steps of the answer are those of its buckets; it ends where it was asked to.
  const untilS = Math.ceil(query.toSeconds / 10) * 10;
  const steps = Math.max(1, Math.ceil((untilS - fromSeconds) / stepSeconds));
  const manyModules = query.module === undefined;
  const byKey = new Map<string, SeriesSums>();
  for (const point of points) {
    const key = query.groupBy === "total" ? "total" : keyOf(point, manyModules);
    let series = byKey.get(key);
    if (series === undefined) byKey.set(key, series = new SeriesSums(key, steps));
    const index = Math.floor((point.atSeconds - fromSeconds) / stepSeconds);
    if (index >= 0 && index < steps) series.add(index, point);
  }
  const all = [...byKey.values()].sort((a, b) => b.wantedCount - a.wantedCount);
  return {
    fromMs: fromSeconds * 1000,
    stepMs: stepSeconds * 1000,
    steps,
    wholeMs: untilS * 1000,
    gaps: gapsIn(known, untilS),
    series: all.slice(0, SERIES_SHOWN).map((series) => series.view()),
    seriesCount: all.length,
    isTruncated: truncated,
  };
}

/** The question about events. */
export function eventQuery(query: EventWish): EventQuery {
  const { before, after, limit = 100, modId, cmdId, kind } = query;
  if (before !== undefined && after !== undefined) {
    throw new ControlError("invalid", "before and after must not be given together");
  }
  if ((modId === undefined) !== (cmdId === undefined)) {
    throw new ControlError("invalid", "modId and cmdId must be given together");
  }
  return {
    limit,
    ...(before === undefined ? {} : { beforeId: before }),
    ...(after === undefined ? {} : { afterId: after }),
    ...(kind === undefined ? {} : { kinds: kind }),
    ...(modId === undefined || cmdId === undefined ? {} : { module: { modId, cmdId } }),
  };
}

/** An event as clients get it. */
export function eventView(event: EventRecord, withDetail = false): EventView {
  return {
    id: event.id,
    atMs: event.atMs,
    kind: event.kind,
    severity: eventSeverity(event.kind, event.detail),
    modId: event.module?.modId ?? null,
    cmdId: event.module?.cmdId ?? null,
    node: event.node === undefined ? null : addressText(event.node),
    host: event.host === undefined ? null : formatIpv4(event.host),
    text: event.text,
    ...(withDetail ? { detail: event.detail } : {}),
  };
}
