// Core. Counts the calls of one module's nodes and says why a node should go out or come back.

import type { BalanceSettings } from "./balance_settings.ts";
import { CallOutcome, callOutcomeOf } from "./call_outcome.ts";
import type { Host } from "../host.ts";
import type { DetectionRule, ModuleSettings } from "../module_settings.ts";
import {
  type CallCounts,
  countCalls,
  countFailure,
  countSuccess,
  errorRateRule,
  errorRunRule,
  failureWeight,
  judgeWindow,
  reasonToIdle,
} from "./overload_policy.ts";

/** The median call time of the nodes is worked out anew at most this often. Milliseconds. */
const MEDIAN_EVERY_MS = 1000;

/** Slow calls that the rule `slow` needs at least, so that one pause proves nothing. */
const SLOW_CALLS_MIN = 5;

/** One module's rules. Keeps no state of nodes but in them. */
export class OutlierDetector {
  readonly #settings: ModuleSettings;
  readonly #rules: Readonly<Record<DetectionRule, boolean>>;
  /** True when some failures count more than others. */
  readonly #isWeighted: boolean;
  #medianMs = 0;
  #medianDueMs = -Infinity;

  constructor(settings: ModuleSettings) {
    const has = (rule: DetectionRule): boolean => settings.rules.includes(rule);
    this.#settings = settings;
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
    const outcome = callOutcomeOf(retcode);
    if (outcome !== CallOutcome.Success) {
      const times = this.#weightOf(outcome);
      const tookMs = Math.max(timecostMs, settings.failurePenaltyMs);
      if (times > 0) countFailure(host, failureWeight(timecostMs) * times, times);
      else host.rerr++, host.errTotal++;
      stats.ewma.observe(tookMs, nowMs, settings.ewmaDecayMs);
      stats.evidence.add(nowMs, settings.evidenceMs, 1, times > 0 ? 1 : 0, 0);
      return false;
    }
    countSuccess(host);
    // 0 is also what callers send who do not know.
    if (timecostMs > 0) {
      stats.ewma.observe(timecostMs, nowMs, settings.ewmaDecayMs);
      stats.meanTime.observe(timecostMs);
    }
    const isSlow = this.#rules.slow && this.#isSlow(timecostMs, nowMs, hosts);
    stats.evidence.add(nowMs, settings.evidenceMs, 1, 0, isSlow ? 1 : 0);
    if (!(isSlow && host.judged)) return true;
    // It is out because it is slow; that it answers at all is no reason to take it back.
    host.vsucc--;
    host.verr++;
    host.continSucc = 0;
    return false;
  }

  /**
   * Counts many calls of a node at once. Of such batches neither single times are known nor which failure
   * was of which kind: each weighs what they weigh on average.
   */
  countMany(host: Host, calls: CallCounts, nowMs: number): void {
    const { stats } = host;
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
    stats.evidence.add(nowMs, evidenceMs, succ + err, hits, 0);
    if (err > 0) stats.ewma.observe(failurePenaltyMs, nowMs, ewmaDecayMs);
  }

  /** Why an idle node whose call has just been counted should go out, or undefined. */
  whyOut(host: Host, failed: boolean, base: BalanceSettings): string | undefined {
    const rules = this.#rules;
    if (!failed) return rules.slow ? this.#slowReason(host) : undefined;
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
    const { slowMsMin, slowFactor } = this.#settings;
    if (timecostMs < slowMsMin) return false;
    if (nowMs >= this.#medianDueMs) {
      this.#medianDueMs = nowMs + MEDIAN_EVERY_MS;
      this.#medianMs = medianTimeMs(hosts.values());
    }
    return this.#medianMs > 0 && timecostMs > slowFactor * this.#medianMs;
  }
}

/**
 * Counts one call of a node by the original rules.
 *
 * @returns true when it went well.
 */
export function countPlainly(host: Host, retcode: number, timecostMs: number): boolean {
  if (retcode === 0) countSuccess(host);
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
