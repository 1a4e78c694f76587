// Core. The agents of the fleet: told apart by how they do, and told of page by page.

import type { ServiceInstance } from "../../sql/store.ts";
import type { SystemView } from "./system_model.ts";
import type {
  AgentCounts,
  AgentList,
  AgentListWish,
  AgentRow,
  AgentState,
  ServiceView,
} from "../schemas.ts";

/** An agent is behind when it has lacked a change for longer than this, in seconds. */
export const AGENT_BEHIND_S = 5;

/** Agents in the state for scripts: those that are worst; a list of its own has all. */
export const STATUS_AGENTS_MAX = 100;

/** How an agent does, worst first. */
export const AGENT_STATES = ["silent", "holding", "behind", "ok"] as const;
function detailNumber({ detail }: ServiceView, name: string): number {
  const value = detail[name];
  return typeof value === "number" ? value : 0;
}

/** Changes of routes that an agent holds back, as far as is known now. */
export function heldCount(agent: ServiceView): number {
  return agent.isSilent ? 0 : detailNumber(agent, "modulesHeld");
}

/** Silent, or holding changes back, or without the newest routes, or well. */
export function agentState(agent: ServiceView): AgentState {
  if (agent.isSilent) return "silent";
  if (heldCount(agent) > 0) return "holding";
  const isUnlinked = agent.detail.dnsConnected === 0;
  return isUnlinked || (agent.revisionLag ?? 0) > AGENT_BEHIND_S ? "behind" : "ok";
}

/**
 * What dns instances know of agents, with what the console's own agent answered: it knows more of
 * itself, and can be asked also when no dns is there.
 */
export function withWatched(
  stored: readonly ServiceInstance[],
  watched: readonly ServiceInstance[],
): ServiceInstance[] {
  const all = new Map(stored.map((agent) => [agent.address, agent]));
  for (const own of watched) {
    const known = all.get(own.address);
    if (known === undefined) {
      all.set(own.address, own);
      continue;
    }
    const [older, newer] = known.seenAt > own.seenAt ? [own, known] : [known, own];
    all.set(own.address, {
      ...newer,
      startedAt: known.startedAt,
      detail: { ...older.detail, ...newer.detail },
    });
  }
  return [...all.values()];
}

function compare(a: AgentRow, b: AgentRow): number {
  return AGENT_STATES.indexOf(a.state) - AGENT_STATES.indexOf(b.state) ||
    detailNumber(b, "modulesHeld") - detailNumber(a, "modulesHeld") ||
    (b.revisionLag ?? 0) - (a.revisionLag ?? 0) ||
    (a.address < b.address ? -1 : a.address > b.address ? 1 : 0);
}

function agentRows(view: SystemView): AgentRow[] {
  return view.services.filter(({ kind }) => kind === "agent").map((agent) => ({
    ...agent,
    state: agentState(agent),
  }));
}

/** How many agents there are, and how they do. */
export function countAgents(view: SystemView): AgentCounts {
  const counts = { all: 0, silent: 0, holding: 0, behind: 0, ok: 0 };
  for (const { state } of agentRows(view)) {
    counts.all++;
    counts[state]++;
  }
  return counts;
}

/** Fewest characters that find an address by its middle or end: fewer are in nearly all of them. */
const PART_LENGTH_MIN = 3;

/** True when an address begins with the text, or has enough of it within. */
export function isPartOf(address: string, text: string): boolean {
  return address.startsWith(text) || (text.length >= PART_LENGTH_MIN && address.includes(text));
}

/** The agents, worst first. */
export function listAgents(view: SystemView, wish: AgentListWish): AgentList {
  const text = wish.search?.trim().toLowerCase() ?? "";
  const found = agentRows(view).filter(({ address, state, detail }) =>
    (wish.state === undefined || state === wish.state) &&
    (text === "" || isPartOf(address, text) ||
      [detail.zone, detail.dns].some((value) =>
        typeof value === "string" && value.toLowerCase().startsWith(text)
      ))
  ).sort(compare);
  const offset = wish.offset ?? 0;
  const plain = view.services.filter(({ kind, isSilent }) => kind === "dns" && !isSilent)
    .reduce((sum, dns) => sum + detailNumber(dns, "connectionsPlain"), 0);
  return {
    total: found.length,
    counts: countAgents(view),
    plainConnections: plain,
    agents: found.slice(offset, offset + (wish.limit ?? 100)),
  };
}
