// Core. An explanation of a module as short texts, and as a value for programs.

import { quantity } from "../model/quantity.ts";
import type { ExplainedNode, Explanation } from "../control/schemas.ts";

/** `12 s`, `5 min`, `3 h`, `2 d`; below a second in milliseconds. */
export function ageText(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** `12.5 %`; nothing when it is not known. */
export function percentText(share: number | null): string {
  return share === null ? "" : `${Math.round(share * 1000) / 10} %`;
}

/** A zone in one line. */
export function zoneLine(view: Explanation["zones"][number]): string {
  const { zone, own, evacuated, usableNodes, healthShare, share } = view;
  const marks = [own ? "own" : "", evacuated ? "evacuated" : ""].filter((mark) => mark !== "");
  return `zone ${zone === "" ? "(none)" : zone}${
    marks.length > 0 ? ` (${marks.join(", ")})` : ""
  }: ` +
    `${percentText(share)} of the calls, ${quantity(usableNodes, "usable node")}, ` +
    `${percentText(healthShare)} of the usable weight`;
}

/** The explanation under the names that the agent has for it; null when it knows no such module. */
export function explanationJson(
  { modId, cmdId }: { modId: number; cmdId: number },
  explanation: Explanation,
): Record<string, unknown> | null {
  const { routeState, ageMs, hasNodes, policy, settings, mode, modeReason } = explanation;
  if (routeState === "unknown") return null;
  const { modeSinceMs, zones, nodes, picksRemembered, decisions } = explanation;
  const module = {
    modId,
    cmdId,
    policy,
    settings,
    mode,
    modeReason,
    ...(modeSinceMs === null ? {} : { modeSinceMs }),
    zones,
    nodes: nodes.map(({ reason, expectedShare, pickShare, ...node }) => ({
      ...node,
      ...(expectedShare === null ? {} : { expectedShare }),
      ...(reason === "" ? {} : { reason }),
      ...(pickShare === null ? {} : { pickShare }),
    })),
    picksRemembered,
    decisions: decisions.map(({ node, ...decision }) => ({
      ...decision,
      ...(node === null ? {} : { node }),
    })),
  };
  return {
    state: routeState,
    ...(ageMs === null ? {} : { ageMs }),
    ...(hasNodes ? { module } : {}),
  };
}

/** One node as the columns of a table. */
export interface NodeLine {
  readonly node: string;
  readonly zone: string;
  /** `100`, or `20 of 100` while it gets less than its weight. */
  readonly weight: string;
  readonly condition: string;
  readonly since: string;
  /** Share of the calls it is to get. */
  readonly expected: string;
  /** Share of the latest picks. */
  readonly share: string;
  readonly succTotal: number;
  readonly errTotal: number;
  readonly reason: string;
}

/** The nodes as lines, those that are not in order first. */
export function nodeLines(nodes: readonly ExplainedNode[]): NodeLine[] {
  const lines = nodes.map((view): NodeLine => ({
    node: view.node,
    zone: view.zone,
    weight: view.pickWeight === view.weight || view.condition !== "ramping"
      ? `${view.weight}`
      : `${Math.round(view.pickWeight)} of ${view.weight}`,
    condition: view.condition,
    since: ageText(view.sinceMs),
    expected: percentText(view.expectedShare),
    share: percentText(view.pickShare),
    succTotal: view.succTotal,
    errTotal: view.errTotal,
    reason: view.reason,
  }));
  return [
    ...lines.filter(({ condition }) => condition !== "idle"),
    ...lines.filter(({ condition }) => condition === "idle"),
  ];
}
