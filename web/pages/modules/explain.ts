// Core. Why each node of a module gets the calls it gets, in sentences.

import { formatNumber, formatShare, formatSpan, plural, UNKNOWN } from "../parts/format.ts";
import { takesCalls } from "../../../model/node.ts";
import { errorSeverity } from "../../../control/system/severity.ts";
import type { ModuleDetail, NodeStatus } from "../../../control/schemas.ts";

/** How a node's condition is shown. */
export interface ConditionLook {
  readonly tone: "ok" | "warn" | "crit" | "idle" | "info";
  readonly icon: "ok" | "warn" | "crit" | "idle" | "info" | "pause" | "off" | "up";
  readonly text: string;
  readonly title: string;
}

const CONDITIONS: Readonly<Record<string, ConditionLook>> = {
  idle: { tone: "ok", icon: "ok", text: "in use", title: "Picked by its full weight" },
  ramping: { tone: "info", icon: "up", text: "coming back", title: "Its share still grows" },
  held: {
    tone: "warn",
    icon: "warn",
    text: "judged, in use",
    title: "Too many of its calls fail, but no more nodes may be out",
  },
  overload: { tone: "warn", icon: "off", text: "out, probed", title: "Gets probes only" },
  resting: { tone: "warn", icon: "off", text: "resting", title: "Gets nothing, not even probes" },
  drain: { tone: "idle", icon: "pause", text: "drain", title: "Gets no new picks" },
  off: { tone: "idle", icon: "off", text: "off", title: "Switched off" },
};

/** What the word an agent has for a node's condition means; a newer agent's is shown as it is. */
export function stateTextOf(condition: string): ConditionLook {
  return Object.hasOwn(CONDITIONS, condition)
    ? CONDITIONS[condition]
    : { tone: "info", icon: "info", text: condition, title: "A word of a newer agent" };
}

/**
 * How long a node has been what it is. A node that rests has been out for longer, and that is what
 * agents count; of what an operator chose they know no time: "".
 */
export function sinceText(node: { readonly condition: string; readonly sinceMs: number }): string {
  const { condition, sinceMs } = node;
  if (condition === "drain" || condition === "off") return "";
  const isOut = condition === "overload" || condition === "resting";
  return `${isOut ? "out for" : "for"} ${formatSpan(sinceMs)}`;
}

/** Why a node is what it is; of a node in use it is only the latest that befell it. */
export function whyText(node: { readonly condition: string; readonly reason: string }): string {
  if (node.reason === "") return UNKNOWN;
  return node.condition === "idle" ? `Last decision: ${node.reason}` : node.reason;
}

/** A node's share of the calls, wanted and real, and why. */
export interface NodeExplanation {
  /** Share it is to get by the route and the policy, 0 to 1. */
  readonly wantedShare: number;
  /** Share of the calls it got lately; null without calls. */
  readonly realShare: number | null;
  readonly reason: string;
}

/** The reason a node gets what it gets. */
function reasonOf(node: NodeStatus): string {
  if (node.state === "off") return "Switched off: no caller gets it.";
  if (node.state === "drain") {
    return node.callsPerSecond > 0
      ? "Draining: no new picks; the calls seen are those under way, or of agents not yet told."
      : "Draining: no new picks, and no calls are left. It can be removed in peace.";
  }
  if (node.weight === 0) return "Weight 0: no new picks, as if it were draining.";
  const callers = plural(node.callerCount, "caller");
  if (node.health === "overload") {
    const by = node.callerCount === 1 ? "its only caller" : `all of ${callers}`;
    const lately = node.errorShare > 0 ? ` (${formatShare(node.errorShare)} lately)` : "";
    return `Kept out by ${by}: too many of its calls failed${lately}. It gets a probe now and then, and comes back when those succeed.`;
  }
  if (node.health === "partial") {
    return `Kept out by ${node.overloadCallerCount} of ${callers}; the others still call it.` +
      (node.errorShare > 0 ? ` ${formatShare(node.errorShare)} of its calls fail.` : "");
  }
  if (node.health === "failing" && errorSeverity(node.errorShare, node.callsPerSecond) === null) {
    return "Calls failed within the last 10 s, and no caller keeps it out; they succeed now.";
  }
  if (node.health === "failing") {
    return `${
      formatShare(node.errorShare)
    } of its calls fail, and no caller keeps it out: too few ` +
      "fail in a row or in a window for the rules of the module, or it may not go out.";
  }
  if (node.health === "idle") {
    return "Nobody reported on it lately: nobody calls this module, or callers do not report.";
  }
  return `In use: ${formatShare(node.wantedShare)} of the calls by weight, ` +
    `${formatNumber(node.callsPerSecond)} calls/s from ${callers}.`;
}

/** Explains every node, in the order of `module.nodes`. */
export function explainNodes(module: Pick<ModuleDetail, "nodes">): NodeExplanation[] {
  const calls = module.nodes.reduce((sum, node) => sum + node.callsPerSecond, 0);
  return module.nodes.map((node) => ({
    wantedShare: node.wantedShare,
    realShare: calls === 0 ? null : node.callsPerSecond / calls,
    reason: reasonOf(node),
  }));
}

/** The state of a module in one or two sentences. */
export function explainHealth(module: ModuleDetail): string {
  const on = module.nodes.filter(takesCalls);
  const out = on.filter(({ health }) => health === "overload");
  const failing = on.filter(({ health }) => health === "failing");
  if (module.nodes.length === 0) {
    return "The module has no nodes: callers are told that it does not exist.";
  }
  if (on.length === 0) {
    return "No node is on with a weight above 0: callers get no node, whatever its health.";
  }
  const sentences: Record<ModuleDetail["health"], string> = {
    ok: "Callers use every node that is on.",
    degraded: failing.length > 0 && out.length === 0
      ? `Callers use ${
        plural(failing.length, "node")
      } of ${on.length} although many calls fail there.`
      : out.length > 0
      ? `${
        plural(out.length, "node")
      } of ${on.length} kept out by what callers saw; the others carry the calls.`
      : "A node is kept out by some callers, or more calls fail than should.",
    down:
      "Every node that is on is kept out: callers get an overload answer, with a probe now and then.",
    idle: "No caller reported within the last minute.",
    empty: "The module has no nodes.",
  };
  return sentences[module.health];
}
