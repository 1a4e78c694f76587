// Core. Whether the failures that would put a node out are more than what one caller says.

import type { Host } from "../host.ts";
import type { ModuleState } from "../module_state.ts";
import { CallerEvidence } from "./caller_evidence.ts";
import { UNKNOWN_CALLER } from "./caller_tally.ts";

/** So long a caller's calls must fail, with no other's going well, until it is believed alone. */
const ALONE_MS = 1000;

/** Callers whose latest node put out is remembered, of each module; when full all are forgotten. */
const CALLERS_MAX = 64;

/** Stands for all callers that were not given the nodes they report. */
const MADE_UP = -1;

/** A call of a node was reported by a caller, before it is judged. */
export function callReported(
  host: Host,
  caller: number,
  failed: boolean,
  isBacked: boolean,
  nowMs: number,
): void {
  const { stats } = host;
  if (stats === undefined) return;
  if (!failed) return stats.callers?.succeeded(caller, nowMs);
  stats.callers ??= new CallerEvidence();
  host.hasCallers = true;
  stats.callers.failed(caller, isBacked, nowMs);
}

/**
 * Whether a node that is judged may go out by what callers said of it. Where a module limits
 * what one caller does alone, it may when two callers saw it fail, or when it is the first node in a
 * window that this caller puts out, or when the caller's own calls fail on and on and no other
 * caller's go well. Callers that were not given the node they report count as one.
 */
export function mayGoOut(module: ModuleState, { stats }: Host, nowMs: number): boolean {
  const { callerOutsMax } = module.policy.settings;
  const callers = stats?.callers;
  if (callerOutsMax === 0 || callers === undefined) return true;
  const { failedBy, failedSinceMs, isBacked } = callers;
  if (failedBy === UNKNOWN_CALLER) return true;
  const sinceMs = nowMs - module.rules.idleTimeoutMs;
  if (callers.isConfirmed(sinceMs)) return true;
  if (isBacked && nowMs - failedSinceMs >= ALONE_MS) return true;
  const { outsByCaller } = module.memory;
  const key = isBacked ? failedBy : MADE_UP;
  const outs = (outsByCaller.get(key) ?? []).filter((atMs) => atMs > sinceMs);
  if (outs.length >= callerOutsMax) return false;
  if (outsByCaller.size >= CALLERS_MAX) outsByCaller.clear();
  outsByCaller.set(key, [...outs, nowMs]);
  return true;
}
