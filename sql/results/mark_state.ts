// Core. Which reports of one sender are in the history: a mark, and what is owed before it.

/** Reports of one session: those after `from`, up to `to`. */
export interface ReportRange {
  readonly from: number;
  readonly to: number;
}

/**
 * All reports up to `seq` are in the history but for those of the gaps: they were told as kept for
 * good by a reporter that has them on its disk and has not written them yet.
 */
export interface MarkState {
  readonly seq: number;
  /** In no order; none overlaps another, none is empty. */
  readonly gaps: readonly ReportRange[];
}

/** Of a session that nothing is known of. */
export const NO_MARK: MarkState = { seq: 0, gaps: [] };

/**
 * The state once these reports are written too.
 *
 * @returns undefined when some of them are in the history already.
 */
export function afterRange({ seq, gaps }: MarkState, range: ReportRange): MarkState | undefined {
  const { from, to } = range;
  if (to <= from) return { seq, gaps };
  // A mark that stands before: somebody keeps what is between, or the database is of before.
  if (seq <= from) return { seq: to, gaps: seq < from ? [...gaps, { from: seq, to: from }] : gaps };
  const gap = gaps.find((one) => one.from <= from && to <= one.to);
  if (gap === undefined) return undefined;
  const left = [{ from: gap.from, to: from }, { from: to, to: gap.to }];
  return {
    seq,
    gaps: [...gaps.filter((one) => one !== gap), ...left.filter((one) => one.from < one.to)],
  };
}

/** Of these reports those that are not in the history yet, in order. */
export function missingIn({ seq, gaps }: MarkState, { from, to }: ReportRange): ReportRange[] {
  return [...gaps, { from: seq, to: Infinity }]
    .map((open) => ({ from: Math.max(open.from, from), to: Math.min(open.to, to) }))
    .filter((one) => one.from < one.to)
    .sort((one, other) => one.from - other.from);
}

/** Whether a report is in the history. */
export function isIn({ seq, gaps }: MarkState, report: number): boolean {
  return report <= seq && !gaps.some(({ from, to }) => from < report && report <= to);
}

/** Gaps of one sender that are remembered: as many changes of its reporter, each with a full disk. */
export const MARK_GAPS_MAX = 32;

/**
 * The state with as many gaps as are remembered, the latest. What is owed in the others counts as
 * written: a sender that makes up ever more gaps loses calls of its own.
 */
export function withinGaps({ seq, gaps }: MarkState): { state: MarkState; givenUp: number } {
  const givenUp = Math.max(0, gaps.length - MARK_GAPS_MAX);
  if (givenUp === 0) return { state: { seq, gaps }, givenUp };
  const latest = [...gaps].sort((one, other) => other.from - one.from).slice(0, MARK_GAPS_MAX);
  return { state: { seq, gaps: latest }, givenUp };
}

/** The state once a list of reports is written too; undefined when one of them is already. */
export function afterRanges(
  state: MarkState,
  ranges: Iterable<ReportRange>,
): MarkState | undefined {
  let now: MarkState | undefined = state;
  for (const range of ranges) now = now && afterRange(now, range);
  return now;
}

/** The marks alone. */
export function seqsOf(
  states: ReadonlyMap<number, MarkState> | undefined,
): Map<number, number> | undefined {
  return states && new Map([...states].map(([session, { seq }]) => [session, seq]));
}
