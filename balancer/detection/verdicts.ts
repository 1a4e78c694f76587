// Core. What becomes of a node that is judged: it goes out as far as its module allows, and comes back.

import { mayGoOut } from "./lone_callers.ts";
import type { NodeStatistics } from "./node_statistics.ts";
import { forgetEvidence, resetIdle, resetOverload, windowEndMs } from "./outlier_detector.ts";
import type { Host } from "../host.ts";
import type { ModuleSettings } from "../module_settings.ts";
import type { ModuleState } from "../module_state.ts";
import { takesCalls } from "../../model/node.ts";

/**
 * Judges a node by the call that has just been counted.
 *
 * @param good True when the call speaks for the node.
 */
export function judgeCall(module: ModuleState, host: Host, good: boolean, nowMs: number): void {
  // An idle node is judged by failures only and an overload one by successes only, so that a
  // node near both bounds does not flap.
  if (host.judged) return judgeProbe(module, host, good, nowMs);
  if (!good || host.stats !== undefined) {
    const reason = module.detector.whyOut(host, !good, module.rules);
    if (reason !== undefined && mayGoOut(module, host, nowMs)) {
      // A call that went well shows nothing else.
      if (host.stats !== undefined) host.stats.isOnlySlow = good;
      return change(module, host, true, reason, nowMs);
    }
  }
  if (host.activeIndex >= 0) return;
  host.dueMs = windowEndMs(host.sinceMs, module.rules.idleTimeoutMs, nowMs);
  module.context.active.add(host);
}

function judgeProbe(module: ModuleState, host: Host, good: boolean, nowMs: number): void {
  // Calls that were under way when the node went out prove nothing about how it is now.
  if (host.overload && host.stats?.resting === true) return;
  if (good) {
    const reason = module.detector.whyBack(host, module.rules);
    if (reason !== undefined) change(module, host, false, reason, nowMs);
  } else {
    if (host.stats?.isOnlySlow === true && host.continErr >= module.rules.continErrLimit) {
      host.stats.isOnlySlow = false;
      enforce(module, host, nowMs);
    }
    if (host.overload && module.isStaged) restAgain(module, host, nowMs);
  }
}

/**
 * Ends the windows and the overload time of a node that have run out by `nowMs`, each at its own
 * time: the outcome is the same however late or often it is called.
 */
export function settle(module: ModuleState, host: Host, nowMs: number): void {
  const { context, rules } = module;
  // At most three turns: a window ends in overload, overload ends in idle or in waiting for
  // probes, and neither a fresh idle node nor a waiting one has a due time.
  while (nowMs >= host.dueMs) {
    const atMs = host.dueMs;
    if (host.judged) {
      if (module.isStaged) endRest(module, host, atMs);
      else change(module, host, false, `overload for ${rules.overloadTimeoutMs / 1000} s`, atMs);
      continue;
    }
    const reason = module.detector.whyOutAtWindowEnd(host, rules);
    if (reason !== undefined && mayGoOut(module, host, atMs)) {
      change(module, host, true, reason, atMs);
    } else {
      resetIdle(host, rules);
      context.active.remove(host);
    }
  }
}

/** A health check says what a node is: it is taken back, put out, or kept out for longer. */
export function applyHealth(
  module: ModuleState,
  host: Host,
  healthy: boolean,
  reason: string,
  nowMs: number,
): void {
  if (nowMs >= host.dueMs) settle(module, host, nowMs);
  if (healthy === host.judged) change(module, host, !healthy, reason, nowMs);
  else if (!healthy) host.dueMs = Math.max(host.dueMs, nowMs + module.rules.overloadTimeoutMs);
}

function change(
  module: ModuleState,
  host: Host,
  overload: boolean,
  reason: string,
  atMs: number,
): void {
  const wasOut = host.overload;
  if (overload) turnOverload(module, host, atMs);
  else turnIdle(module, host, atMs);
  forgetEvidence(host);
  enforce(module, host, atMs);
  // It is in use again, and well.
  if (!overload && wasOut && module.isStaged && module.mode !== "open") {
    startRamp(module, host, module.policy.settings.rampMs, atMs);
  }
  module.markDirty(host);
  tell(module, host, overload, reason, atMs);
}

function turnOverload(module: ModuleState, host: Host, atMs: number): void {
  resetOverload(host, module.rules, atMs);
  module.memory.judged.add(host);
  module.memory.verdictAtMs = atMs;
  if (module.isStaged) rest(module, host, atMs);
  module.context.active.add(host);
}

function turnIdle(module: ModuleState, host: Host, atMs: number): void {
  resetIdle(host, module.rules);
  if (host.stats !== undefined) host.stats.isOnlySlow = false;
  host.sinceMs = atMs;
  module.memory.judged.delete(host);
  module.memory.verdictAtMs = atMs;
  module.context.active.remove(host);
  if (host.stats !== undefined) forgetFailures(host.stats, atMs);
}

/** The node is well again: what its failures cost must not keep calls away any longer. */
function forgetFailures(stats: NodeStatistics, atMs: number): void {
  stats.ejectionsAtMs = atMs;
  stats.ewma.restart(stats.meanTime.ms, atMs);
}

function tell(
  { modId, cmdId, memory, policy, context }: ModuleState,
  host: Host,
  overload: boolean,
  reason: string,
  atMs: number,
): void {
  const { ip, port } = host;
  const { dryRun } = policy.settings;
  const held = overload && !host.overload && !dryRun;
  const became = !overload ? "idle" : dryRun ? "overload (dry run)" : held ? "held" : "overload";
  memory.decisions.add(atMs, host, became, reason);
  context.onStateChange({
    ...{ modId, cmdId, ip, port, overload, reason, atMs },
    ...(dryRun ? { dryRun } : {}),
    ...(held ? { held } : {}),
  });
}

/** While a module is open it goes on so until this share of its nodes is usable: none then gets
 * more than 6/5 of its fair share when the others lose theirs. */
const OPEN_UNTIL_SHARE = 5 / 6;

/** Unless no verdict has changed for so long: nobody else is on its way back then, and those that
 * are not well would have their share of the calls for as long as they are broken. */
const OPEN_SETTLED_MS = 30_000;

/**
 * Lets verdicts take effect as far as the module allows it.
 *
 * @param changed The node whose verdict is new; undefined when the route is.
 */
export function enforce(module: ModuleState, changed: Host | undefined, nowMs: number): void {
  const { overloadShareMax, whenAllOverload, dryRun } = module.policy.settings;
  const flipped = updateMode(module, nowMs);
  const isPlain = overloadShareMax >= 1 && whenAllOverload !== "open" && !dryRun;
  // A new route may have brought a node back into service that was judged before.
  if (!isPlain || flipped || changed === undefined) enforceAll(module);
  if (changed === undefined) return;
  if (isPlain || !changed.judged) setOut(module, changed, changed.judged);
}

/** The same for all nodes, after the mode was brought up to date. */
export function enforceAll(module: ModuleState): void {
  const { overloadShareMax, dryRun } = module.policy.settings;
  const isOpen = dryRun || module.mode === "open";
  let allowed = isOpen ? 0 : ejectionsAllowed(module.inService, overloadShareMax);
  const { judged } = module.memory;
  for (const host of judged) {
    if (!isOnlySlow(host)) setOut(module, host, takesCalls(host) && allowed-- > 0);
  }
  for (const host of judged) {
    if (isOnlySlow(host)) setOut(module, host, takesCalls(host) && allowed-- > 0);
  }
}

function isOnlySlow({ stats }: Host): boolean {
  return stats?.isOnlySlow === true;
}

function setOut(module: ModuleState, host: Host, out: boolean): void {
  host.overload = out;
  if (out && module.memory.ramping.delete(host)) module.setPickWeight(host, host.weight);
  module.place(host);
}

/**
 * Number of nodes in service that the rules do not hold for overload. Where too few are well, slow
 * ones are: a module is not thrown open to nodes that fail because others are slow.
 */
function wellCount({ inService, memory, policy }: ModuleState): number {
  const isOpening = policy.settings.whenAllOverload === "open";
  let judged = 0;
  for (const host of memory.judged) {
    if (takesCalls(host) && !(isOpening && isOnlySlow(host))) judged++;
  }
  return inService - judged;
}

/**
 * Brings the mode of a module up to date. One that is open and may close by time alone asks for
 * ticks until `closeDueMs`.
 *
 * @returns true when it changed.
 */
export function updateMode(module: ModuleState, atMs: number): boolean {
  const { whenAllOverload, usableShareMin, overloadShareMax, dryRun } = module.policy.settings;
  const { memory, modId, cmdId, inService } = module;
  const count = wellCount(module);
  // Those that are held take calls as well ones do: no call is refused for want of a node then.
  const held = Math.max(0, inService - count - ejectionsAllowed(inService, overloadShareMax));
  const inUse = whenAllOverload === "open" ? count : count + held;
  const usable = inService === 0 ? 1 : inUse / inService;
  const isUnsettled = memory.mode === "open" && atMs < memory.verdictAtMs + OPEN_SETTLED_MS;
  const leastShare = whenAllOverload !== "open"
    ? 0
    : isUnsettled
    ? Math.max(usableShareMin, OPEN_UNTIL_SHARE)
    : usableShareMin;
  const isWithout = !dryRun && (usable === 0 || usable < leastShare);
  const mode = isWithout ? whenAllOverload : "normal";
  const mayClose = mode === "open" && usable > 0 && usable >= usableShareMin;
  memory.closeDueMs = mayClose ? memory.verdictAtMs + OPEN_SETTLED_MS : Infinity;
  if (mayClose) module.wantTicks();
  if (mode === memory.mode) return false;
  if (memory.mode === "open") letWellOnesProbe(module);
  const reason = whenAllOverload === "open"
    ? `${count} of ${inService} nodes are well${mode === "open" ? ", all stay in use" : ""}`
    : `${inUse} of ${inService} nodes are usable`;
  memory.mode = mode;
  memory.modeReason = reason;
  memory.modeSinceMs = atMs;
  memory.decisions.add(atMs, undefined, mode, reason);
  module.context.onModeChange({ modId, cmdId, mode, reason, atMs });
  return true;
}

/** The node gets nothing for a while: longer each time it goes out. */
function rest({ context, policy }: ModuleState, host: Host, atMs: number): void {
  const { stats } = host;
  if (stats === undefined) return;
  const { settings } = policy;
  // A node that is out already is not in use: nothing decays then.
  const inUseMs = Math.max(0, atMs - stats.ejectionsAtMs);
  const before = decayedEjections(stats.ejections, inUseMs, settings.ejectionDecayMs);
  stats.ejections = before + 1;
  stats.ejectionsAtMs = Infinity;
  stats.resting = true;
  host.continSucc = 0;
  host.dueMs = atMs + ejectionTimeMs(stats.ejections, settings, context.rng.next());
  context.active.add(host);
}

/** A probe failed: the node rests again. */
function restAgain(module: ModuleState, host: Host, atMs: number): void {
  rest(module, host, atMs);
  module.memory.decisions.add(atMs, host, "resting", "a probe failed");
  module.place(host);
}

/** The node has rested: from now on it gets probes. */
function endRest(module: ModuleState, host: Host, atMs: number): void {
  host.dueMs = Infinity;
  module.context.active.remove(host);
  if (host.stats !== undefined) host.stats.resting = false;
  module.place(host);
  if (host.overload) {
    module.memory.decisions.add(atMs, host, "overload", "has rested, gets probes");
  }
}

/** While all were in use some went well but not often enough: they need not rest first. */
function letWellOnesProbe({ memory, context }: ModuleState): void {
  for (const host of memory.judged) {
    if (host.stats === undefined || host.continSucc === 0 || !host.stats.resting) continue;
    host.stats.resting = false;
    host.dueMs = Infinity;
    context.active.remove(host);
  }
}

/** From now on the share of the node grows to the whole of it, over `rampMs` and some jitter. */
export function startRamp(module: ModuleState, host: Host, rampMs: number, atMs: number): void {
  const { context, policy } = module;
  const jitter = 1 + policy.settings.recoveryJitter * context.rng.next();
  if (host.stats === undefined || !(rampMs > 0)) return;
  host.stats.rampFromMs = atMs;
  host.stats.rampMs = rampMs * jitter;
  module.memory.ramping.add(host);
  growShares(module, atMs);
  module.wantTicks();
}

/** Lets the shares of returned and new nodes grow; not when most nodes are such. */
export function growShares(module: ModuleState, nowMs: number): void {
  const { router } = module;
  const { ramping } = module.memory;
  let usable = 0;
  let growing = 0;
  for (const { weight } of router.usable()) usable += weight;
  for (const host of ramping) if (host.pool !== undefined) growing += host.weight;
  // Who else should take their calls?
  const isSkipped = growing * 2 > usable || module.mode === "open";
  const { rampStartShare } = module.policy.settings;
  for (const host of ramping) {
    const { stats, pool } = host;
    const share = stats === undefined || pool === undefined
      ? 1
      : rampShare(nowMs - stats.rampFromMs, stats.rampMs, rampStartShare);
    if (share === 1) ramping.delete(host);
    module.setPickWeight(host, isSkipped ? host.weight : host.weight * share);
  }
}

/**
 * Nodes of a module that may be out at once. With a share of 1 all of them, as in the original;
 * below 1 at least one (unless the share is 0) but never the last:
 *
 * | share | n = 1 | 2 | 3 | 4 | 5 | 6 |
 * | ----- | ----- | - | - | - | - | - |
 * | 1     | 1     | 2 | 3 | 4 | 5 | 6 |
 * | 0.5   | 0     | 1 | 1 | 2 | 2 | 3 |
 * | 0.3   | 0     | 1 | 1 | 1 | 1 | 1 |
 * | 0     | 0     | 0 | 0 | 0 | 0 | 0 |
 */
export function ejectionsAllowed(nodes: number, shareMax: number): number {
  if (shareMax >= 1) return nodes;
  if (shareMax <= 0) return 0;
  // Shares are decimal fractions, whose product may fall a hair short of the whole number.
  return Math.max(0, Math.min(nodes - 1, Math.max(1, Math.floor(nodes * shareMax + 1e-9))));
}

/** What is left of a count of ejections after some time in use: one less for each decay time. */
export function decayedEjections(ejections: number, inUseMs: number, decayMs: number): number {
  return Math.max(0, ejections - Math.floor(inUseMs / decayMs));
}

/**
 * How long a node rests that goes out for the `ejections`th time: twice as long each time, up to a
 * cap, plus a random part so that nodes which went out together do not come back together.
 *
 * @param chance 0 to 1.
 */
export function ejectionTimeMs(
  ejections: number,
  { ejectionMs, ejectionMaxMs, recoveryJitter }: ModuleSettings,
  chance: number,
): number {
  // 2^30 times the shortest time is beyond any cap.
  const timeMs = Math.min(
    ejectionMaxMs,
    ejectionMs * 2 ** Math.min(30, Math.max(0, ejections - 1)),
  );
  return timeMs * (1 + recoveryJitter * chance);
}

/** Steps in which a share grows: finer ones would only make work. */
const RAMP_STEPS = 50;

/** Share of its weight a node has `sinceMs` after its share began to grow. */
export function rampShare(sinceMs: number, rampMs: number, startShare: number): number {
  if (sinceMs >= rampMs) return 1;
  const step = Math.floor(Math.max(0, sinceMs) / rampMs * RAMP_STEPS) / RAMP_STEPS;
  // A share of 0 would never get a call that shows that the node is well.
  return Math.max(1 / RAMP_STEPS, startShare + (1 - startShare) * step);
}
