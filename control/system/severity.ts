// Core. How bad something is: the one place that says so, for every page, REST and the command line.

import type { NodeHealth } from "../schemas.ts";

/** How bad something is that goes wrong. */
export type TroubleSeverity = "warning" | "critical";

/** How bad news are. */
export type Severity = "info" | TroubleSeverity;

/** Share of failed calls from which on a node or a module is in trouble. */
export const ERROR_SHARE_WARNING = 0.05;
/** The same from which on it is bad. */
export const ERROR_SHARE_CRITICAL = 0.25;
/** A single failure in so many seconds says nothing of a share. */
const SINGLE_FAILURE_S = 10;

/**
 * How bad a share of failed calls is; null when it is not.
 *
 * @param callsPerSecond All calls, failed ones too.
 */
export function errorSeverity(share: number, callsPerSecond: number): TroubleSeverity | null {
  const failures = share * callsPerSecond * SINGLE_FAILURE_S;
  if (share < ERROR_SHARE_WARNING || failures < 1.5) return null;
  return share < ERROR_SHARE_CRITICAL ? "warning" : "critical";
}

/** The worse of two. */
export function worseOf(
  one: TroubleSeverity | null,
  other: TroubleSeverity | null,
): TroubleSeverity | null {
  return one === "critical" || other === null ? one : other;
}

/** How bad it is that a node is so: to be kept out is a warning, the others take its calls. */
export function nodeSeverity(
  { health, errorShare, callsPerSecond }: {
    readonly health: NodeHealth;
    readonly errorShare: number;
    readonly callsPerSecond: number;
  },
): TroubleSeverity | null {
  if (health === "overload" || health === "partial") return "warning";
  return health === "failing" ? errorSeverity(errorShare, callsPerSecond) : null;
}

/** Kinds of events that are warnings. */
const WARNINGS = /\.(overload|out|silent|lost|refused|behind|backlog|failed|dropped)$/;

/** How bad an event is: an alert is as bad as its rule says, and its end is only news. */
export function eventSeverity(
  kind: string,
  detail: Readonly<Record<string, unknown>> = {},
): Severity {
  if (kind === "alert.firing") return detail.severity === "critical" ? "critical" : "warning";
  return WARNINGS.test(kind) ? "warning" : "info";
}

/** True for an event that says that something is well again. */
export function isRecovery(kind: string): boolean {
  return kind === "node.idle" || kind === "alert.ended";
}
