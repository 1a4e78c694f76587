// Core. A run in numbers: one record for programs, one column of a table for people.

import type { SimScript } from "./scripts.ts";
import type { SimulationOutcome } from "./simulation.ts";

/** Median and worst of a number of times; null when there was none. */
export interface Spread {
  readonly count: number;
  readonly median: number | null;
  readonly worst: number | null;
}

/** What callers saw in one bucket of time. */
export interface BucketSummary {
  /** When it begins. Milliseconds. */
  readonly atMs: number;
  readonly calls: number;
  readonly failed: number;
  readonly refused: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Share of the sent calls that went to nodes the script strikes. 0 to 1. */
  readonly struckShare: number;
  /** Share of the sent calls that stayed in the zone of their agent. 0 to 1. */
  readonly nearShare: number;
}

/** What came of one policy. */
export interface PolicySummary {
  readonly policy: string;
  readonly calls: number;
  /** Calls that failed on their node. */
  readonly failed: number;
  /** Calls that got no node. */
  readonly refused: number;
  /** Share of the calls that failed or were refused. 0 to 1. */
  readonly errorShare: number;
  /** Failed and refused calls of the agents. */
  readonly failedPerAgent: Spread;
  /** Failed calls of one node at one agent, from the fault until the node was out. */
  readonly failedUntilOut: Spread;
  /** From a fault until the node was out, at each agent. */
  readonly detectionMs: Spread;
  /** Faults that no verdict followed, counted at each agent. */
  readonly missed: number;
  /** From the end of a fault until the node was idle, at each agent that had it out. */
  readonly recoveryMs: Spread;
  /** Nodes that were well and still out when the run ended, counted at each agent. */
  readonly notBack: number;
  /** Times an agent put a node out that was well. */
  readonly falseOuts: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Calls of the least and the most called node that the script leaves alone; null without any. */
  readonly callsPerNode: { readonly least: number; readonly most: number } | null;
  /** Calls sent to each node. */
  readonly picks: readonly number[];
  readonly buckets: readonly BucketSummary[];
}

/** Hundredths of a millisecond are noise; so few digits keep files small. */
function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

/** Median (of an even number of values the lower one) and largest. */
export function medianAndWorst(values: readonly number[]): { median: number; worst: number } {
  const sorted = [...values].sort((a, b) => a - b);
  return { median: sorted[Math.floor((sorted.length - 1) / 2)], worst: sorted[sorted.length - 1] };
}

function spreadOf(values: readonly number[]): Spread {
  const count = values.length;
  if (count === 0) return { count, median: null, worst: null };
  const { median, worst } = medianAndWorst(values);
  return { count, median: rounded(median, 1), worst: rounded(worst, 1) };
}

function summarizeBuckets({ meter }: SimulationOutcome, script: SimScript): BucketSummary[] {
  const nodes = meter.picks.length;
  return meter.buckets.map(({ calls, failed, refused, near }, index) => {
    const struck = script.struck.reduce(
      (sum, node) => sum + meter.picksIn[index * nodes + node],
      0,
    );
    const latency = meter.latencyOf[index];
    return {
      atMs: rounded(index * meter.bucketMs, 1),
      calls,
      failed,
      refused,
      p50Ms: latency.percentile(0.5),
      p99Ms: latency.percentile(0.99),
      struckShare: calls === refused ? 0 : rounded(struck / (calls - refused), 4),
      nearShare: calls === refused ? 0 : rounded(near / (calls - refused), 4),
    };
  });
}

/** Sums a run up. */
export function summarize(
  policy: string,
  script: SimScript,
  outcome: SimulationOutcome,
): PolicySummary {
  const { meter, faults } = outcome;
  const buckets = summarizeBuckets(outcome, script);
  const total = (part: (bucket: BucketSummary) => number): number =>
    buckets.reduce((sum, bucket) => sum + part(bucket), 0);
  const calls = total((bucket) => bucket.calls);
  const failed = total((bucket) => bucket.failed);
  const refused = total((bucket) => bucket.refused);
  const seen = faults.views.filter(({ outMs }) => !Number.isNaN(outMs));
  const struck = new Set(script.struck);
  const others = [...meter.picks].filter((_, node) => !struck.has(node)).sort((a, b) => a - b);
  return {
    policy,
    calls,
    failed,
    refused,
    errorShare: calls === 0 ? 0 : rounded((failed + refused) / calls, 6),
    failedPerAgent: spreadOf([...meter.failedOf]),
    failedUntilOut: spreadOf(seen.map((view) => view.failed)),
    detectionMs: spreadOf(seen.map(({ startMs, outMs }) => outMs - startMs)),
    missed: faults.missed,
    recoveryMs: spreadOf(faults.recoveriesMs),
    notBack: faults.notBack,
    falseOuts: faults.falseOuts,
    p50Ms: meter.latency.percentile(0.5),
    p99Ms: meter.latency.percentile(0.99),
    callsPerNode: others.length === 0
      ? null
      : { least: others[0], most: others[others.length - 1] },
    picks: [...meter.picks],
    buckets,
  };
}

function seconds(ms: number | null): string {
  return ms === null ? "-" : `${(ms / 1000).toFixed(2)} s`;
}

function spreadText({ median, worst }: Spread, show: (value: number | null) => string): string {
  return median === null ? "-" : `${show(median)}, ${show(worst)}`;
}

const plain = (value: number | null): string => String(value ?? "-");

/** What the table shows: a name, and how it reads for one policy. */
const MEASURES: readonly (readonly [name: string, show: (summary: PolicySummary) => string])[] = [
  ["calls", ({ calls }) => String(calls)],
  ["failed calls", ({ failed }) => String(failed)],
  ["refused calls", ({ refused }) => String(refused)],
  ["error share", ({ errorShare }) => `${(errorShare * 100).toFixed(3)} %`],
  [
    "failed and refused per agent: median, worst",
    ({ failedPerAgent }) => spreadText(failedPerAgent, plain),
  ],
  [
    "failed calls until out: median, worst",
    ({ failedUntilOut }) => spreadText(failedUntilOut, plain),
  ],
  ["time until out: median, worst", ({ detectionMs }) => spreadText(detectionMs, seconds)],
  ["faults nobody noticed", ({ missed }) => String(missed)],
  ["time until back: median, worst", ({ recoveryMs }) => spreadText(recoveryMs, seconds)],
  ["not back at the end", ({ notBack }) => String(notBack)],
  ["healthy nodes put out", ({ falseOuts }) => String(falseOuts)],
  ["latency: p50, p99", ({ p50Ms, p99Ms }) => `${p50Ms.toFixed(1)} ms, ${p99Ms.toFixed(1)} ms`],
  [
    "calls per node left alone: least, most",
    ({ callsPerNode }) =>
      callsPerNode === null ? "-" : `${callsPerNode.least}, ${callsPerNode.most}`,
  ],
];

/** The table: a row for each measure, a column for each policy. */
export function summaryTable(
  summaries: readonly PolicySummary[],
): { readonly head: string[]; readonly rows: string[][] } {
  return {
    head: ["measure", ...summaries.map(({ policy }) => policy)],
    rows: MEASURES.map(([name, show]) => [name, ...summaries.map(show)]),
  };
}

/** What the table of many seeds shows: a name, a number of each run, and how it reads. */
const SEED_MEASURES: readonly (readonly [
  name: string,
  value: (summary: PolicySummary) => number | null,
  show: (value: number) => string,
])[] = [
  ["failed calls", ({ failed }) => failed, String],
  ["refused calls", ({ refused }) => refused, String],
  ["error share", ({ errorShare }) => errorShare, (value) => `${(value * 100).toFixed(3)} %`],
  ["failed calls until out, worst node", ({ failedUntilOut }) => failedUntilOut.worst, String],
  ["time until out, worst node", ({ detectionMs }) => detectionMs.worst, seconds],
  ["faults nobody noticed", ({ missed }) => missed, String],
  ["time until back, worst node", ({ recoveryMs }) => recoveryMs.worst, seconds],
  ["not back at the end", ({ notBack }) => notBack, String],
  ["healthy nodes put out", ({ falseOuts }) => falseOuts, String],
  ["latency: p99", ({ p99Ms }) => p99Ms, (value) => `${value.toFixed(1)} ms`],
];

/**
 * The table of several seeds: median and worst of each measure, a column for each policy.
 *
 * @param runs Summaries of each policy, one for each seed.
 */
export function seedsTable(
  runs: readonly (readonly PolicySummary[])[],
): { readonly head: string[]; readonly rows: string[][] } {
  return {
    head: ["measure: median, worst", ...runs.map(([first]) => first.policy)],
    rows: SEED_MEASURES.map(([name, valueOf, show]) => [
      name,
      ...runs.map((summaries) => {
        const values = summaries.map(valueOf).filter((value) => value !== null);
        if (values.length === 0) return "-";
        const { median, worst } = medianAndWorst(values);
        return `${show(median)}, ${show(worst)}`;
      }),
    ]),
  };
}
