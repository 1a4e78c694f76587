// Core. The calls of a module that are under way: which began, which ended, which nobody reported.

import { CallOutcome } from "../detection/call_outcome.ts";
import type { Host } from "../host.ts";
import type { ModuleState } from "../module_state.ts";

/** Calls whose outcome nobody reports are looked for so often within their time. */
const EXPIRY_LOOKS = 8;

/** A node was picked: a call of it begins. */
export function callBegan(module: ModuleState, host: Host, nowMs: number): void {
  const { stats } = host;
  if (stats === undefined) return;
  const { memory } = module;
  memory.picks?.add(host);
  expireCallsOf(module, host, nowMs);
  stats.underWay.begin(nowMs, module.policy.settings.outstandingTimeoutMs);
  memory.underWay++;
  host.pool?.began(host, nowMs);
  if (!module.isTicking) module.wantTicks();
}

/** Calls of a node ended; of some the beginning may not be known. */
export function callsEnded(
  module: ModuleState,
  host: Host,
  count: number,
  outcome: CallOutcome,
  nowMs: number,
): void {
  const { stats } = host;
  if (stats === undefined) return;
  const known = Math.min(count, stats.underWay.count);
  for (let i = 0; i < known; i++) stats.underWay.end();
  module.memory.underWay -= known;
  host.pool?.ended(host, known, outcome, nowMs);
}

/** Forgets calls of all nodes whose outcome nobody reported in time, when it is time to look. */
export function expireCalls(module: ModuleState, nowMs: number): void {
  if (nowMs < module.memory.expiryDueMs) return;
  const { outstandingTimeoutMs } = module.policy.settings;
  module.memory.expiryDueMs = nowMs + outstandingTimeoutMs / EXPIRY_LOOKS;
  for (const host of module.hosts.values()) expireCallsOf(module, host, nowMs);
}

function expireCallsOf(module: ModuleState, host: Host, nowMs: number): void {
  const { stats } = host;
  if (stats === undefined) return;
  const before = stats.underWay.count;
  stats.underWay.expire(nowMs, module.policy.settings.outstandingTimeoutMs);
  const expired = before - stats.underWay.count;
  if (expired === 0) return;
  module.memory.underWay -= expired;
  host.pool?.ended(host, expired, CallOutcome.Unknown, nowMs);
}
