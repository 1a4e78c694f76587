// Core. The agents of the fleet in a few lines: how many, and those that somebody should look at.

import type { ServiceInstance } from "../sql/store.ts";

/** Agents that are named one by one. */
export const AGENTS_SHOWN_MAX = 20;

/** An agent that was not heard for longer is silent, in seconds: dns writes every 10 s. */
const SILENT_S = 30;

/** An agent may lack the newest version for so long before it counts as behind, in seconds. */
const BEHIND_S = 5;

/** How an agent does, worst first. */
const STATES = ["silent", "holding", "behind", "ok"] as const;

/** An agent, as the command line tells of it. */
export interface AgentLine {
  readonly address: string;
  readonly state: (typeof STATES)[number];
  readonly zone: string;
  /** The dns that wrote of it last. */
  readonly dns: string;
  /** In unix seconds. */
  readonly seenAt: number;
  readonly software: string;
  /** Route version it has; null when dns does not know. */
  readonly version: number | null;
  /** Modules of which it holds a change back. */
  readonly held: number;
}

/** All agents. */
export interface AgentSummary {
  readonly total: number;
  readonly silent: number;
  readonly holding: number;
  readonly behind: number;
  /** Worst first, at most {@linkcode AGENTS_SHOWN_MAX}. */
  readonly agents: readonly AgentLine[];
}

function lineOf(agent: ServiceInstance, version: number, nowS: number): AgentLine {
  const { address, seenAt, software, detail } = agent;
  const known = typeof detail.version === "number" ? detail.version : null;
  const held = typeof detail.modulesHeld === "number" ? detail.modulesHeld : 0;
  // Versions are unix seconds: what dns wrote right after a change tells nothing yet.
  const isBehind = known !== null && known < version && seenAt - version > BEHIND_S;
  const state = nowS - seenAt > SILENT_S
    ? "silent"
    : held > 0
    ? "holding"
    : isBehind
    ? "behind"
    : "ok";
  return {
    address,
    state,
    zone: String(detail.zone ?? ""),
    dns: String(detail.dns ?? ""),
    seenAt,
    software,
    version: known,
    held,
  };
}

/**
 * Sums agents up.
 *
 * @param version `RouteVersion` of the database.
 * @param nowS Now, in unix seconds.
 */
export function summariseAgents(
  instances: readonly ServiceInstance[],
  version: number,
  nowS: number,
): AgentSummary {
  const lines = instances.filter(({ kind }) => kind === "agent")
    .map((agent) => lineOf(agent, version, nowS))
    .sort((a, b) => STATES.indexOf(a.state) - STATES.indexOf(b.state));
  const count = (state: AgentLine["state"]): number =>
    lines.filter((line) => line.state === state).length;
  return {
    total: lines.length,
    silent: count("silent"),
    holding: count("holding"),
    behind: count("behind"),
    agents: lines.slice(0, AGENTS_SHOWN_MAX),
  };
}
