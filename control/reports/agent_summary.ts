// Core. The agents of the fleet in a few lines: how many, and those that somebody should look at.

import type { ServiceInstance } from "../../sql/store.ts";
import { AGENT_BEHIND_S, AGENT_STATES } from "../system/agent_list.ts";
import { SERVICE_SILENT_MS } from "../system/system_model.ts";
import type { AgentLine, AgentSummary } from "../schemas.ts";

/** Agents that are named one by one. */
export const AGENTS_SHOWN_MAX = 20;

function lineOf(agent: ServiceInstance, version: number, nowS: number): AgentLine {
  const { address, seenAt, software, detail } = agent;
  const known = typeof detail.version === "number" ? detail.version : null;
  const held = typeof detail.modulesHeld === "number" ? detail.modulesHeld : 0;
  // Versions are unix seconds: what dns wrote right after a change tells nothing yet.
  const isBehind = known !== null && known < version && seenAt - version > AGENT_BEHIND_S;
  const state = (nowS - seenAt) * 1000 > SERVICE_SILENT_MS
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
    .sort((a, b) => AGENT_STATES.indexOf(a.state) - AGENT_STATES.indexOf(b.state));
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
