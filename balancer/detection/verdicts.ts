// Core. When a node goes out or comes back: after a call, when its time has run out, when it is told.

import type { Host } from "../host.ts";
import type { ModuleState } from "../module_state.ts";
import { enforce } from "./enforcement.ts";
import type { NodeStatistics } from "./node_statistics.ts";
import { resetIdle, resetOverload, windowEndMs } from "./overload_policy.ts";
import { endRest, rest, restAgain, startReturn } from "./recovery.ts";

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
    if (reason !== undefined) return change(module, host, true, reason, nowMs);
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
  } else if (host.overload && module.isStaged) {
    restAgain(module, host, nowMs);
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
    if (reason !== undefined) {
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
  host.stats?.evidence.clear();
  enforce(module, host, atMs);
  if (!overload && wasOut) startReturn(module, host, atMs);
  module.markDirty(host);
  tell(module, host, overload, reason, atMs);
}

function turnOverload(module: ModuleState, host: Host, atMs: number): void {
  resetOverload(host, module.rules, atMs);
  module.memory.judged.add(host);
  if (module.isStaged) rest(module, host, atMs);
  module.context.active.add(host);
}

function turnIdle(module: ModuleState, host: Host, atMs: number): void {
  resetIdle(host, module.rules);
  host.sinceMs = atMs;
  module.memory.judged.delete(host);
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
