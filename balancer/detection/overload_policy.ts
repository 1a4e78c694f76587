// Core. When a node becomes overload and when it becomes idle again, each rule a small function.

import type { BalanceSettings } from "./balance_settings.ts";
import type { Host } from "../host.ts";

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

/** Time of a call that nobody has told. */
export const TIME_UNKNOWN_MS = -1;

/**
 * Longest time of a call that counts, a day. Beyond it stands no time, but a number that went
 * wrong: -1 as unsigned is 49 days.
 */
export const TIME_COUNTED_MS_MAX = 86_400_000;

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

/** Counts a call that went well. */
export function countSuccess(host: Host): void {
  host.vsucc++;
  host.rsucc++;
  host.succTotal++;
  host.continSucc++;
  host.continErr = 0;
}

/**
 * Counts a call that failed: `weight` times in verr, `run` times in the run of failures, once in
 * what is reported.
 */
export function countFailure(host: Host, weight: number, run = 1): void {
  host.verr += weight;
  host.rerr++;
  host.errTotal++;
  host.continErr += run;
  host.continSucc = 0;
}

/** Adds the time of a call to what its node's calls took, if it is known. */
export function countTime(host: Host, timecostMs: number): void {
  if (!isTimeKnown(timecostMs)) return;
  host.timedTotal++;
  host.timeMsTotal += timecostMs;
}

/**
 * Counts many calls at once, as if each had been counted alone, in an order that ends with the
 * streak the batch tells. Each failure counts `times` times in what decides.
 */
export function countCalls(host: Host, calls: CallCounts, times = 1): void {
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
export function errorRateRule(host: Host, settings: BalanceSettings): string | undefined {
  const all = host.vsucc + host.verr;
  if (!(host.verr / all > settings.errRate)) return undefined;
  return `${host.rerr} of ${host.rsucc + host.rerr} calls failed, ` +
    `error rate ${rateText(host.verr, all)} > ${settings.errRate}`;
}

/** Idle node, after a failure: too many failures in a row. */
export function errorRunRule(host: Host, settings: BalanceSettings): string | undefined {
  if (host.continErr < settings.continErrLimit) return undefined;
  return `${host.continErr} calls failed in a row, limit ${settings.continErrLimit}`;
}

/** Overload node, after a success: a large enough share of the (virtual) calls went well. */
export function successRateRule(host: Host, settings: BalanceSettings): string | undefined {
  const all = host.vsucc + host.verr;
  if (!(host.vsucc / all > settings.succRate)) return undefined;
  return `${host.rsucc} of ${host.rsucc + host.rerr} probes went well, ` +
    `success rate ${rateText(host.vsucc, all)} > ${settings.succRate}`;
}

/** Overload node, after a success: enough successes in a row. */
export function successRunRule(host: Host, settings: BalanceSettings): string | undefined {
  if (host.continSucc < settings.continSuccLimit) return undefined;
  return `${host.continSucc} calls went well in a row, limit ${settings.continSuccLimit}`;
}

/** Why an overload node that has just succeeded should become idle, or undefined. */
export function reasonToIdle(host: Host, settings: BalanceSettings): string | undefined {
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
export function judgeWindow(host: Host, settings: BalanceSettings): string | undefined {
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
