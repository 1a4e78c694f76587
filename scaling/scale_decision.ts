// Core. How many nodes a module should have: one decision from what callers reported, with its reason.

import type { ScaleRule } from "../control/schemas.ts";

/** Load of a module at one instant, as it was reported. */
export interface LoadSample {
  /** By the clock of the database, in milliseconds. */
  readonly atMs: number;
  /** Calls/s or calls in flight of the whole module, or the mean time of a call in milliseconds. */
  readonly load: number;
  /** 0 to 1. */
  readonly errorShare: number;
}

/** Nodes of a module, counted by what may be expected of them. */
export interface NodeCounts {
  /** That are on and not about to leave. */
  readonly on: number;
  /** Of them: kept out by callers, so that they take no calls. */
  readonly keptOut: number;
  /** Of them: so young that they are not yet warm. */
  readonly cold: number;
  /** Ordered, and not yet there. */
  readonly pending: number;
}

/** A wish of an earlier instant: the most of the stabilisation window counts for shrinking. */
export interface ScaleAdvice {
  readonly atMs: number;
  readonly nodes: number;
}

/** What is decided from. */
export interface DecisionInput {
  readonly rule: ScaleRule;
  readonly samples: readonly LoadSample[];
  readonly counts: NodeCounts;
  /** The highest scheduled floor that holds now; 0: none. */
  readonly floor: number;
  /** Wishes within the stabilisation window. */
  readonly advice: readonly ScaleAdvice[];
  /** Since when there was data without a gap; undefined: there is none. */
  readonly watchedSinceMs: number | undefined;
  /** When the module grew and shrank last; -Infinity: never. */
  readonly grownAtMs: number;
  readonly shrunkAtMs: number;
  readonly nowMs: number;
}

/** What is to be done. */
export interface ScaleDecision {
  readonly kind: "up" | "down" | "hold";
  /** Nodes now, those that were ordered among them. */
  readonly from: number;
  /** Nodes that there should be after this step. */
  readonly to: number;
  /** What the load alone asks for, within min, max and floors; null: it is not known. */
  readonly wish: number | null;
  /** Load over the window, see {@linkcode decideScale}; null: it is not known. */
  readonly load: number | null;
  /** One sentence for people. */
  readonly reason: string;
}

/** Data older than this is none, in milliseconds; half of the window when that is longer. */
const STALE_MS_MIN = 10_000;

const UNITS: Readonly<Record<ScaleRule["metric"], string>> = {
  calls: "calls/s",
  inflight: "calls in flight",
  latency: "ms a call",
};

/** Data older than this is none, in milliseconds. */
export function staleAfterMs({ windowS }: ScaleRule): number {
  return Math.max(STALE_MS_MIN, windowS * 500);
}

function short(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(0);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

/** The samples of the window, or why they do not do. */
function windowOf({ rule, samples, nowMs }: DecisionInput): readonly LoadSample[] | string {
  const windowMs = rule.windowS * 1000;
  const inside = samples.filter(({ atMs }) => atMs > nowMs - windowMs && atMs <= nowMs);
  const newest = inside.at(-1);
  if (newest === undefined) return `no data of the last ${rule.windowS} s`;
  const ageMs = nowMs - newest.atMs;
  if (ageMs > staleAfterMs(rule)) return `the newest data is ${seconds(ageMs)} s old`;
  const coveredMs = newest.atMs - inside[0].atMs;
  if (coveredMs < windowMs / 2 - 1000) {
    return `data of only ${seconds(coveredMs)} s of the window of ${rule.windowS} s`;
  }
  return inside;
}

/**
 * The mean of the window, or that of its newest third when it is higher: a rise must not wait until
 * it fills the window, a fall may.
 */
function loadOf(window: readonly LoadSample[]): number {
  const mean = (some: readonly LoadSample[]): number =>
    some.reduce((sum, one) => sum + one.load, 0) / some.length;
  return Math.max(mean(window), mean(window.slice(-Math.ceil(window.length / 3))));
}

/** What the load asks for, before limits; and how that was reckoned. */
function wishOf(
  { rule, counts }: DecisionInput,
  load: number,
): { readonly nodes: number; readonly text: string } {
  const { target, metric, tolerance, windowS } = rule;
  const current = counts.on + counts.pending;
  const serving = counts.on - counts.keptOut;
  const said = `${short(load)} ${UNITS[metric]} over ${windowS} s`;
  if (metric === "latency") {
    const ratio = load / target;
    const text = `${said}, target ${short(target)}`;
    if (Math.abs(ratio - 1) <= tolerance) {
      return { nodes: current, text: `${text}: within ${percent(tolerance)}` };
    }
    if (ratio < 1) return { nodes: Math.ceil(serving * ratio) + counts.keptOut, text };
    // Cold and ordered nodes will take their part: what there is may do already.
    const coming = counts.cold + counts.pending;
    const warm = Math.max(1, serving - counts.cold);
    if (coming > 0 && load * warm / (warm + coming) <= target * (1 + tolerance)) {
      return { nodes: current, text: `${text}: ${coming} nodes are still starting` };
    }
    return { nodes: Math.max(current, Math.ceil(warm * ratio) + counts.keptOut), text };
  }
  const each = current - counts.keptOut;
  const usage = each > 0 ? load / each : Infinity;
  const text = `${said}, ${short(usage)} for each of ${each} nodes, target ${short(target)}`;
  if (Math.abs(usage / target - 1) <= tolerance) {
    return { nodes: current, text: `${text}: within ${percent(tolerance)}` };
  }
  return { nodes: Math.ceil(load / target) + counts.keptOut, text };
}

/**
 * Decides. Pure: the same input gives the same decision.
 *
 * The load is the mean over the window, or over its newest third where that is more. Without data nothing is decided but to reach the least number of nodes; a module grows at once,
 * as far as step and cool-down let it, and shrinks to the most that was wished for within the
 * stabilisation window.
 */
export function decideScale(input: DecisionInput): ScaleDecision {
  const { rule, counts, floor, nowMs, grownAtMs } = input;
  const from = counts.on + counts.pending;
  const least = Math.min(rule.max, Math.max(rule.min, floor));
  const hold = (
    reason: string,
    wish: number | null = null,
    load: number | null = null,
  ): ScaleDecision => ({ kind: "hold", from, to: from, wish, load, reason });
  const coolingMs = grownAtMs + rule.coolDownUpS * 1000 - nowMs;
  if (from < least) {
    const what = floor > rule.min ? "its scheduled floor" : "min";
    const reason = `${from} nodes are fewer than ${what}, ${least}`;
    if (coolingMs > 0) return hold(`${reason}; grew less than ${rule.coolDownUpS} s ago`);
    const to = Math.min(least, from + rule.stepUp);
    return { kind: "up", from, to, wish: null, load: null, reason };
  }
  const window = windowOf(input);
  if (typeof window === "string") return hold(`nothing is decided: ${window}`);
  const load = loadOf(window);
  if (counts.on > 0 && counts.keptOut * 2 > counts.on) {
    return hold(
      `callers keep ${counts.keptOut} of ${counts.on} nodes out: more nodes would not cure that`,
      null,
      load,
    );
  }
  const { nodes, text } = wishOf(input, load);
  const wish = Math.min(rule.max, Math.max(least, nodes));
  const limited = wish < nodes ? `; max is ${rule.max}` : wish > nodes ? `; least is ${least}` : "";
  const said = `${text}${limited}`;
  if (wish > from) {
    if (coolingMs > 0) {
      return hold(`${said}; grew less than ${rule.coolDownUpS} s ago`, wish, load);
    }
    const to = Math.min(wish, from + rule.stepUp);
    return { kind: "up", from, to, wish, load, reason: said };
  }
  if (wish === from) return hold(said, wish, load);
  const stable = Math.max(wish, ...mostAdvised(input));
  const blocked = whyNotShrink(input, window, stable);
  if (blocked !== undefined) return hold(`${said}; ${blocked}`, wish, load);
  const to = Math.max(stable, from - rule.stepDown);
  return { kind: "down", from, to, wish, load, reason: said };
}

function mostAdvised({ rule, advice, nowMs }: DecisionInput): number[] {
  return advice.filter(({ atMs }) => atMs >= nowMs - rule.stabilisationS * 1000)
    .map(({ nodes }) => nodes);
}

/** What keeps a module from shrinking; undefined: nothing. */
function whyNotShrink(
  { rule, counts, watchedSinceMs, grownAtMs, shrunkAtMs, nowMs }: DecisionInput,
  window: readonly LoadSample[],
  stable: number,
): string | undefined {
  const watchedMs = watchedSinceMs === undefined ? 0 : nowMs - watchedSinceMs;
  if (watchedMs < rule.stabilisationS * 1000) {
    return `watched for ${seconds(watchedMs)} of ${rule.stabilisationS} s`;
  }
  if (stable >= counts.on + counts.pending) {
    return `${stable} nodes were needed within the last ${rule.stabilisationS} s`;
  }
  if (counts.pending > 0) return `${counts.pending} nodes are still starting`;
  if (counts.keptOut > 0) return `callers keep ${counts.keptOut} nodes out`;
  const errorShare = Math.max(...window.map((one) => one.errorShare));
  if (errorShare > rule.errorShareMax) return `${percent(errorShare)} of the calls fail`;
  if (nowMs - Math.max(grownAtMs, shrunkAtMs) < rule.coolDownDownS * 1000) {
    return `changed less than ${rule.coolDownDownS} s ago`;
  }
  return undefined;
}
