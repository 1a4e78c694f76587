// Core. Counts the calls of nodes and says by which rule a node should go out or come back.

import type { BalanceSettings } from "./balance_settings.ts";
import { CallOutcome, callOutcomeOf, TIME_COUNTED_MS_MAX } from "./call_outcome.ts";
import type { Host } from "../host.ts";
import type { PolicyName } from "../module_policy.ts";
import {
  EVIDENCE_PIECES,
  evidencePieceOf,
  isTimeSampled,
  type NodeStatistics,
} from "./node_statistics.ts";
import type { DetectionRule, ModuleSettings } from "../module_settings.ts";

/** Outcomes of many calls of one node. */
export interface CallCounts {
  readonly succ: number;
  readonly err: number;
  /** What the failures count in verr, together: see {@linkcode failureWeight}. */
  readonly errWeight: number;
  /** Successes in a row at the end; 0 when the last call failed. */
  readonly continSucc: number;
  /** Failures in a row at the end; 0 when the last call went well. */
  readonly continErr: number;
  /** Of `err`, those of a kind, see `call_outcome.ts`; the rest are others. Default 0. */
  readonly errPushback?: number;
  readonly errRefused?: number;
  readonly errTimeout?: number;
  /** Calls whose time is known: see {@linkcode isTimeKnown}. */
  readonly timed: number;
  /** What those took together. Milliseconds. */
  readonly timeMs: number;
}

/** True for a time that can have been the time of a call, 0 too. */
export function isTimeKnown(timecostMs: number): boolean {
  return timecostMs >= 0 && timecostMs <= TIME_COUNTED_MS_MAX;
}

/**
 * How often a failed call counts in verr: once for each full 100 ms it took, at least once. A
 * caller that waits one second for a dead node reports one failure a second; without this weight
 * such a node would not be found within a window.
 */
export function failureWeight(timecostMs: number): number {
  return timecostMs < 200 ? 1 : Math.floor(timecostMs / 100);
}

/** Counts calls that went well. */
function countSuccesses(host: Host, count: number): void {
  host.vsucc += count;
  host.rsucc += count;
  host.succTotal += count;
  host.continSucc += count;
  host.continErr = 0;
}

/**
 * Counts a call that failed: `weight` times in verr, `run` times in the run of failures, once in
 * what is reported.
 */
function countFailure(host: Host, weight: number, run = 1): void {
  host.verr += weight;
  host.rerr++;
  host.errTotal++;
  host.continErr += run;
  host.continSucc = 0;
}

/** Adds the time of a call to what its node's calls took, if it is known. */
export function countTime(host: Host, timecostMs: number): void {
  countTimes(host, 1, timecostMs);
}

/** The same of several calls that took the same time. */
export function countTimes(host: Host, count: number, timecostMs: number): void {
  if (!isTimeKnown(timecostMs)) return;
  host.timedTotal += count;
  host.timeMsTotal += count * timecostMs;
}

/**
 * Counts many calls at once, as if each had been counted alone, in an order that ends with the
 * streak the batch tells. Each failure counts `times` times in what decides.
 */
function countCalls(host: Host, calls: CallCounts, times = 1): void {
  const { succ, err, errWeight, continSucc, continErr, timed, timeMs } = calls;
  host.vsucc += succ;
  host.rsucc += succ;
  host.succTotal += succ;
  host.verr += errWeight * times;
  host.rerr += err;
  host.errTotal += err;
  host.timedTotal += timed;
  host.timeMsTotal += timeMs;
  // A batch of one kind goes on with the streak before it.
  host.continSucc = err === 0 ? host.continSucc + succ : continSucc;
  host.continErr = succ === 0 ? host.continErr + err * times : continErr * times;
}

/** Forgets the calls of an idle node: the state it begins with, and begins each window with. */
export function resetIdle(host: Host, settings: BalanceSettings): void {
  host.judged = false;
  host.vsucc = settings.initSuccCnt;
  host.verr = 0;
  host.rsucc = 0;
  host.rerr = 0;
  host.continSucc = 0;
  host.continErr = 0;
  host.dueMs = Infinity;
}

/** Makes the counters those of a node that became overload at `atMs`. */
export function resetOverload(host: Host, settings: BalanceSettings, atMs: number): void {
  host.judged = true;
  host.vsucc = 0;
  host.verr = settings.initErrCnt;
  host.rsucc = 0;
  host.rerr = 0;
  host.continSucc = 0;
  host.continErr = 0;
  host.badWindows = 0;
  host.sinceMs = atMs;
  host.dueMs = atMs + settings.overloadTimeoutMs;
}

/** End of the window that `nowMs` falls in; windows lie on a grid that starts at `sinceMs`. */
export function windowEndMs(sinceMs: number, idleTimeoutMs: number, nowMs: number): number {
  return sinceMs + (Math.floor((nowMs - sinceMs) / idleTimeoutMs) + 1) * idleTimeoutMs;
}

/** A rate with at most three decimals, for people. */
function rateText(part: number, whole: number): string {
  return String(Math.round((part / whole) * 1000) / 1000);
}

/** Idle node, after a failure: too large a share of the (virtual) calls failed. */
function errorRateRule(host: Host, settings: BalanceSettings): string | undefined {
  const all = host.vsucc + host.verr;
  if (!(host.verr / all > settings.errRate)) return undefined;
  return `${host.rerr} of ${host.rsucc + host.rerr} calls failed, ` +
    `error rate ${rateText(host.verr, all)} > ${settings.errRate}`;
}

/** Idle node, after a failure: too many failures in a row. */
function errorRunRule(host: Host, settings: BalanceSettings): string | undefined {
  if (host.continErr < settings.continErrLimit) return undefined;
  return `${host.continErr} calls failed in a row, limit ${settings.continErrLimit}`;
}

/** Overload node, after a success: a large enough share of the (virtual) calls went well. */
function successRateRule(host: Host, settings: BalanceSettings): string | undefined {
  const all = host.vsucc + host.verr;
  if (!(host.vsucc / all > settings.succRate)) return undefined;
  return `${host.rsucc} of ${host.rsucc + host.rerr} probes went well, ` +
    `success rate ${rateText(host.vsucc, all)} > ${settings.succRate}`;
}

/** Overload node, after a success: enough successes in a row. */
function successRunRule(host: Host, settings: BalanceSettings): string | undefined {
  if (host.continSucc < settings.continSuccLimit) return undefined;
  return `${host.continSucc} calls went well in a row, limit ${settings.continSuccLimit}`;
}

/** Why an overload node that has just succeeded should become idle, or undefined. */
function reasonToIdle(host: Host, settings: BalanceSettings): string | undefined {
  return successRateRule(host, settings) ?? successRunRule(host, settings);
}

/** Bad small windows that must follow each other before a node is judged by them. */
export const BAD_SMALL_WINDOWS = 2;

/**
 * The largest number of calls that counts as small: the error-rate rule cannot fire on it even
 * if every call failed (each of weight 1).
 *
 * n failures fire when n / (init_succ_cnt + n) > err_rate, that is when
 * n > init_succ_cnt · err_rate / (1 − err_rate): 180 · 0.1 / 0.9 = 20 with the defaults. With
 * err_rate 1 the rule never fires and every count is small.
 */
export function smallWindowCallsMax(settings: BalanceSettings): number {
  if (settings.errRate >= 1) return Infinity;
  const bound = (settings.initSuccCnt * settings.errRate) / (1 - settings.errRate);
  // The quotient of decimal fractions may fall a hair short of the whole number it should be.
  return Math.floor(bound + 1e-9);
}

/**
 * Judges an idle node by the window that ends now, and keeps `badWindows`.
 *
 * A window whose real error rate reaches window_err_rate is bad. A bad window with many calls
 * condemns at once, one with a small number only together with a second one. A good window breaks
 * the run; a window without any call neither counts nor breaks it, so that a module called once a
 * minute can be judged too.
 *
 * @returns why the node should become overload, or undefined.
 */
function judgeWindow(host: Host, settings: BalanceSettings): string | undefined {
  const calls = host.rsucc + host.rerr;
  if (calls === 0) return undefined;
  if (!(host.rerr / calls >= settings.windowErrRate)) {
    host.badWindows = 0;
    return undefined;
  }
  host.badWindows++;
  const small = calls <= smallWindowCallsMax(settings);
  if (small && host.badWindows < BAD_SMALL_WINDOWS) return undefined;
  return `${host.rerr} of ${calls} calls of a window failed, ` +
    `error rate ${rateText(host.rerr, calls)} >= ${settings.windowErrRate}` +
    (small ? `, ${host.badWindows} such windows running` : "");
}

/** Times that differ by less may fall into another piece of time by rounding. Milliseconds. */
const ROUNDING_MS = 0.01;

/** The median call time of the nodes is worked out anew at most this often. Milliseconds. */
const MEDIAN_EVERY_MS = 1000;

/** Slow calls that the rule `slow` needs at least, so that one pause proves nothing. */
const SLOW_CALLS_MIN = 5;

/** The median call time of the nodes of one module, and when it is to be worked out anew. */
interface Median {
  ms: number;
  dueMs: number;
}

/**
 * The rules of all modules with the same policy: with many modules, what they share stays in the
 * caches of the processor. Keeps no state of nodes but in them.
 */
export class OutlierDetector {
  readonly #settings: ModuleSettings;
  readonly #rules: Readonly<Record<DetectionRule, boolean>>;
  /** True when some failures count more than others. */
  readonly #isWeighted: boolean;
  /** True when the policy compares nodes by their call times. */
  readonly #followsTimes: boolean;
  /** The call that was counted last was slow: only such a call can show that its node is. */
  #sawSlow = false;
  /** By the nodes of the module. Only calls that may be slow ask. */
  readonly #medians = new WeakMap<ReadonlyMap<number, Host>, Median>();
  /** The median that the call was compared with that was counted last. */
  #medianMs = 0;

  constructor(settings: ModuleSettings, policy: PolicyName = "lars") {
    const has = (rule: DetectionRule): boolean => settings.rules.includes(rule);
    this.#settings = settings;
    this.#followsTimes = policy === "p2c_ewma";
    const { pushbackWeight, refusedWeight, timeoutWeight, otherWeight } = settings;
    this.#isWeighted = [pushbackWeight, refusedWeight, timeoutWeight, otherWeight].some((weight) =>
      weight !== 1
    );
    this.#rules = {
      errorRate: has("errorRate"),
      errorRun: has("errorRun"),
      window: has("window"),
      wilson: has("wilson"),
      slow: has("slow"),
    };
  }

  /**
   * Counts one call of a node.
   *
   * @param hosts All nodes of the module, to compare it with.
   * @returns true when it speaks for the node: it went well, and, of a node that is judged
   * overload by a module that looks for slow nodes, was not slow.
   */
  count(
    host: Host,
    retcode: number,
    timecostMs: number,
    nowMs: number,
    hosts: ReadonlyMap<number, Host>,
  ): boolean {
    const { stats } = host;
    if (stats === undefined) return countPlainly(host, retcode, timecostMs);
    const settings = this.#settings;
    this.#sawSlow = false;
    if (retcode !== 0) {
      const outcome = callOutcomeOf(retcode);
      const times = this.#weightOf(outcome);
      const tookMs = Math.max(timecostMs, settings.failurePenaltyMs);
      if (times > 0) countFailure(host, failureWeight(timecostMs) * times, times);
      else host.rerr++, host.errTotal++;
      if (this.#followsTimes) stats.ewma.observe(tookMs, nowMs, settings.ewmaDecayMs);
      takeCounted(host, stats);
      stats.evidence.add(nowMs, settings.evidenceMs, 1, times > 0 ? 1 : 0, 0);
      return false;
    }
    countSuccesses(host, 1);
    // 0 is also what callers send who do not know.
    const mayBeSlow = timecostMs >= settings.slowMsMin;
    if (timecostMs > 0 && (this.#followsTimes || mayBeSlow || isTimeSampled(host.succTotal))) {
      if (this.#followsTimes) stats.ewma.observe(timecostMs, nowMs, settings.ewmaDecayMs);
      stats.meanTime.observe(timecostMs);
    }
    const isSlow = this.#rules.slow && mayBeSlow && this.#isSlow(timecostMs, nowMs, hosts);
    this.#sawSlow = isSlow;
    const piece = evidencePieceOf(nowMs, settings.evidenceMs);
    if (isSlow || piece !== host.evidencePiece) {
      takeCounted(host, stats);
      host.evidencePiece = piece;
    }
    if (!isSlow) {
      host.evidenceCalls++;
      return true;
    }
    stats.evidence.addTo(piece, 1, 0, 1);
    if (!host.judged) return true;
    // It is out because it is slow; that it answers at all is no reason to take it back.
    host.vsucc--;
    host.verr++;
    host.continSucc = 0;
    return false;
  }

  /** True for the time of a call that went well and may be slow: it is judged by itself. */
  mayBeSlow(timecostMs: number): boolean {
    return this.#rules.slow && timecostMs >= this.#settings.slowMsMin;
  }

  /** True when the median of the nodes' times will be worked out for such a call. */
  needsMedian(timecostMs: number, nowMs: number, hosts: ReadonlyMap<number, Host>): boolean {
    return this.mayBeSlow(timecostMs) && nowMs >= (this.#medians.get(hosts)?.dueMs ?? -Infinity);
  }

  /**
   * True for a node of which successes that took less than `slowMsMin` change nothing but its counts,
   * the evidence of their piece of time, and the mean of its times.
   */
  isPlain({ stats }: Host): boolean {
    return stats === undefined || !this.#followsTimes;
  }

  /** Number of the piece of time in which evidence is gathered. */
  pieceOf(nowMs: number): number {
    return evidencePieceOf(nowMs, this.#settings.evidenceMs);
  }

  /** Until when it is that piece for sure. */
  pieceUntilMs(piece: number): number {
    return (piece + 1) * this.#settings.evidenceMs / EVIDENCE_PIECES - ROUNDING_MS;
  }

  /** Counts successes of a node that {@linkcode isPlain}, with which its mean of times is `meanMs`. */
  countPlain(
    host: Host,
    count: number,
    meanMs: number,
    meanCalls: number,
    piece: number,
  ): void {
    const { stats } = host;
    countSuccesses(host, count);
    if (stats === undefined) return;
    if (meanCalls > 0) {
      stats.meanTime.ms = meanMs;
      stats.meanTime.calls = meanCalls;
    }
    if (piece !== host.evidencePiece) {
      takeCounted(host, stats);
      host.evidencePiece = piece;
    }
    host.evidenceCalls += count;
  }

  /**
   * Counts calls of a node that went well and took the same time, as `count` counts each of them. Not
   * for a node that is judged, nor for a time that {@linkcode mayBeSlow}.
   */
  countRun(host: Host, count: number, timecostMs: number, nowMs: number): void {
    const { stats } = host;
    const { ewmaDecayMs, evidenceMs, slowMsMin } = this.#settings;
    const before = host.succTotal;
    countSuccesses(host, count);
    if (stats === undefined) return;
    this.#sawSlow = false;
    if (timecostMs > 0) {
      const isEach = this.#followsTimes || timecostMs >= slowMsMin;
      // At one moment the same time counts once, however often it comes.
      if (this.#followsTimes) stats.ewma.observe(timecostMs, nowMs, ewmaDecayMs);
      for (let total = before + 1; total <= host.succTotal; total++) {
        if (isEach || isTimeSampled(total)) stats.meanTime.observe(timecostMs);
      }
    }
    const piece = evidencePieceOf(nowMs, evidenceMs);
    if (piece !== host.evidencePiece) {
      takeCounted(host, stats);
      host.evidencePiece = piece;
    }
    host.evidenceCalls += count;
  }

  /**
   * Counts many calls of a node at once. Of such batches neither single times are known nor which failure
   * was of which kind: each weighs what they weigh on average.
   */
  countMany(host: Host, calls: CallCounts, nowMs: number): void {
    const { stats } = host;
    this.#sawSlow = false;
    if (stats === undefined) return countCalls(host, calls);
    const { succ, err, errPushback = 0, errRefused = 0, errTimeout = 0 } = calls;
    let weight = 0;
    let hits = 0;
    const add = (outcome: CallOutcome, count: number): void => {
      const times = this.#weightOf(outcome);
      weight += count * times;
      if (times > 0) hits += count;
    };
    add(CallOutcome.Pushback, errPushback);
    add(CallOutcome.Refused, errRefused);
    add(CallOutcome.Timeout, errTimeout);
    add(CallOutcome.Other, err - errPushback - errRefused - errTimeout);
    countCalls(host, calls, err === 0 ? 1 : weight / err);
    const { evidenceMs, ewmaDecayMs, failurePenaltyMs } = this.#settings;
    takeCounted(host, stats);
    stats.evidence.add(nowMs, evidenceMs, succ + err, hits, 0);
    if (err > 0 && this.#followsTimes) stats.ewma.observe(failurePenaltyMs, nowMs, ewmaDecayMs);
  }

  /** Why an idle node whose call has just been counted should go out, or undefined. */
  whyOut(host: Host, failed: boolean, base: BalanceSettings): string | undefined {
    const rules = this.#rules;
    if (!failed) return this.#sawSlow ? this.#slowReason(host) : undefined;
    return (rules.errorRate ? errorRateRule(host, base) : undefined) ??
      (rules.errorRun ? this.#runReason(host, base) : undefined) ??
      (rules.wilson ? this.#wilsonReason(host) : undefined);
  }

  /** Why an idle node whose window ends should go out, or undefined. */
  whyOutAtWindowEnd(host: Host, base: BalanceSettings): string | undefined {
    return this.#rules.window ? judgeWindow(host, base) : undefined;
  }

  /** Why a node that is judged overload should come back after a call that speaks for it. */
  whyBack(host: Host, base: BalanceSettings): string | undefined {
    const { recovery, probeSuccesses } = this.#settings;
    if (recovery === "lars") return reasonToIdle(host, base);
    if (host.continSucc < probeSuccesses) return undefined;
    return `${host.continSucc} probes went well in a row, wanted ${probeSuccesses}`;
  }

  #weightOf(outcome: CallOutcome): number {
    const { pushbackWeight, refusedWeight, timeoutWeight, otherWeight } = this.#settings;
    switch (outcome) {
      case CallOutcome.Pushback:
        return pushbackWeight;
      case CallOutcome.Refused:
        return refusedWeight;
      case CallOutcome.Timeout:
        return timeoutWeight;
      default:
        return otherWeight;
    }
  }

  #runReason(host: Host, base: BalanceSettings): string | undefined {
    const reason = errorRunRule(host, base);
    if (reason === undefined || !this.#isWeighted) return reason;
    const run = Number(host.continErr.toFixed(1));
    return `failures that count as ${run} in a row, limit ${base.continErrLimit}`;
  }

  #wilsonReason({ stats }: Host): string | undefined {
    const { wilsonErrRate, wilsonZ, wilsonFailuresMin } = this.#settings;
    const found = stats?.evidence.failures(wilsonErrRate, wilsonZ, wilsonFailuresMin);
    if (found === undefined) return undefined;
    return `${found.hits} of ${found.calls} calls failed, ` +
      `error rate above ${wilsonErrRate} for sure (${wilsonZ} deviations)`;
  }

  #slowReason({ stats }: Host): string | undefined {
    const { slowShare, slowFactor, wilsonZ } = this.#settings;
    const found = stats?.evidence.slowCalls(slowShare, wilsonZ, SLOW_CALLS_MIN);
    if (found === undefined) return undefined;
    return `${found.hits} of ${found.calls} calls took over ${slowFactor} times ` +
      `${this.#medianMs.toFixed(1)} ms, the median of the nodes`;
  }

  #isSlow(timecostMs: number, nowMs: number, hosts: ReadonlyMap<number, Host>): boolean {
    const { slowFactor } = this.#settings;
    const median = this.#medians.get(hosts) ?? { ms: 0, dueMs: -Infinity };
    if (median.dueMs === -Infinity) this.#medians.set(hosts, median);
    if (nowMs >= median.dueMs) {
      median.dueMs = nowMs + MEDIAN_EVERY_MS;
      median.ms = medianTimeMs(hosts.values());
    }
    this.#medianMs = median.ms;
    return this.#medianMs > 0 && timecostMs > slowFactor * this.#medianMs;
  }
}

/** Puts the calls that were counted on the node itself into its evidence. */
function takeCounted(host: Host, stats: NodeStatistics): void {
  if (host.evidenceCalls > 0) stats.evidence.addTo(host.evidencePiece, host.evidenceCalls, 0, 0);
  host.evidenceCalls = 0;
}

/** Forgets what was gathered of the outcomes of a node's calls. */
export function forgetEvidence(host: Host): void {
  host.evidenceCalls = 0;
  host.stats?.evidence.clear();
}

/**
 * Counts one call of a node by the original rules.
 *
 * @returns true when it went well.
 */
export function countPlainly(host: Host, retcode: number, timecostMs: number): boolean {
  if (retcode === 0) countSuccesses(host, 1);
  else countFailure(host, failureWeight(timecostMs));
  return retcode === 0;
}

/** The lower median of the nodes' mean call times: of two nodes the faster; 0 with less than two. */
function medianTimeMs(hosts: Iterable<Host>): number {
  const times: number[] = [];
  for (const { stats } of hosts) {
    if (stats !== undefined && stats.meanTime.calls > 0) times.push(stats.meanTime.ms);
  }
  if (times.length < 2) return 0;
  times.sort((a, b) => a - b);
  return times[Math.floor((times.length - 1) / 2)];
}
